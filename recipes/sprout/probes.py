"""Write the probe bank that ships with the package: unrelated prompts that guard and judge a base model's abilities.

python recipes/sprout/probes.py          (deterministic; writes src/engrain/evaluation/probes.jsonl)
python recipes/sprout/probes.py --more   (adds to the bank that is there what judging lacks, and leaves the rest as it is)
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engrain.evaluation.probes import Part, part_of, probe
from engrain.evaluation.suites import near_any
from engrain.prompts import NOTES_HEADER, UNKNOWN
from frames import load
from tasks import Doc, Maker

OUT = Path(__file__).parent.parent.parent / "src/engrain/evaluation/probes.jsonl"


JUDGING = {"reading": 400, "unknown": 450, "style": 350}
"""Of the part that chooses the share of an update, and of the part that judges, each. With 725 that judged and 601 that chose, an update that
truly lost nothing was let through at a third of its strength, or refused: so few could not tell it from one that loses 5 %."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--more", action="store_true", help="only add what judging lacks to the bank that is there")
    if parser.parse_args().more:
        kept = [json.loads(line) for line in OUT.read_text(encoding="utf-8").splitlines()]
    else:
        kept = bank()
    kept += more(kept)
    OUT.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in kept), encoding="utf-8")


def bank() -> list[dict[str, Any]]:
    """The first of it."""
    _, frames = load()
    maker = Maker(random.Random(2026), frames, held=True)
    rows: dict[tuple[str, ...], dict[str, Any]] = {}

    def add(group: str, notes: list[str], question: str, answer: str) -> None:
        rows[(*notes, question)] = {"group": group, "notes": notes, "question": question, "answer": answer}

    def read(until: int, count: Callable[[], int], *, guards_only: bool = False) -> None:
        while sum(r["group"] == "reading" for r in rows.values()) < until:
            doc = maker.read(count(), 2, plain=True, style=False, dated=False)
            for branch in doc.branches[:1]:
                row = {"group": "reading", "notes": shown(doc), "question": branch[0][1], "answer": branch[1][1]}
                if row["answer"] not in (UNKNOWN, "Yes", "No") and (
                    not guards_only or part_of(probe(**row)) == "guard"
                ):
                    add(**row)

    read(900, lambda: maker.rng.randint(2, 5))
    for _ in range(1300):
        add("unknown", [], maker.bare().branches[0][0][1], UNKNOWN)
    while sum(r["group"] == "unknown" for r in rows.values()) < 1600:
        doc = maker.read(maker.rng.randint(2, 4), 4, plain=True, style=False, dated=False)
        notes = shown(doc)
        for branch in doc.branches:
            if branch[1][1] == UNKNOWN:
                add("unknown", notes, branch[0][1], UNKNOWN)
                break

    def style(until: int, parts: tuple[Part, ...]) -> None:
        count = sum(r["group"] == "style" and part_of(probe(**r)) in parts for r in rows.values())
        while count < until:
            doc = maker.read(maker.rng.randint(1, 3), 2, plain=True, style=True, dated=False)
            row = {"group": "style", "notes": shown(doc)}
            row |= {"question": doc.branches[0][0][1], "answer": doc.branches[0][1][1]}
            if part_of(probe(**row)) in parts:
                count += (*row["notes"], row["question"]) not in rows
                add(**row)

    style(420, ("guard", "scale", "gate"))
    # Reading is what an update breaks first, so most of what holds it is reading: many short prompts, each seen about once.
    read(2900, lambda: 2, guards_only=True)
    # 86 questions of style were too few to tell 8 that broke and 8 that were fixed from harm; and what judges must be guarded.
    style(210, ("gate",))
    style(105, ("scale",))
    style(1000, ("guard",))
    return apart(list(rows.values()))


def more(kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is to be added so that each part that chooses or judges has `JUDGING` items of each group, none near one that is there."""
    _, frames = load()
    maker = Maker(random.Random(2027), frames, held=True)
    have = Counter((part_of(probe(**r)), r["group"]) for r in kept)
    known = [r["question"] for r in kept]
    found: list[dict[str, Any]] = []

    def candidate(group: str) -> dict[str, Any] | None:
        if group == "unknown" and maker.rng.random() < 0.8:
            return {"group": group, "notes": [], "question": maker.bare().branches[0][0][1], "answer": UNKNOWN}
        doc = maker.read(maker.rng.randint(2, 4), 3, plain=True, style=group == "style", dated=False)
        for branch in doc.branches:
            row = {"group": group, "notes": shown(doc), "question": branch[0][1], "answer": branch[1][1]}
            known = row["answer"] != UNKNOWN
            if group == "style" or (known and row["answer"] not in ("Yes", "No") if group == "reading" else not known):
                return row
        return None

    while lacking := {(p, g) for p in ("scale", "gate") for g, n in JUDGING.items() if have[p, g] < n}:
        drawn = [candidate(group) for _, group in sorted(lacking) for _ in range(200)]
        rows = [r for r in drawn if r is not None and (part_of(probe(**r)), r["group"]) in lacking]
        near = near_any([r["question"] for r in rows], known)
        for row, close in zip(rows, near, strict=True):
            place = part_of(probe(**row)), row["group"]
            if close or have[place] >= JUDGING[row["group"]] or row["question"] in known:
                continue
            have[place] += 1
            known.append(row["question"])
            found.append(row)
    return found


def shown(doc: Doc) -> list[str]:
    """The notes of a document that begins with plain ones."""
    return doc.prefix[0][1].removeprefix(NOTES_HEADER + "\n").removeprefix("- ").split("\n- ")


def apart(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without those that would be trained on and nearly repeat one that judges or chooses."""
    trained = [part_of(probe(**r)) == "guard" for r in rows]
    judging = [r["question"] for r, t in zip(rows, trained, strict=True) if not t]
    near = near_any([r["question"] for r in rows], judging)
    return [r for r, t, close in zip(rows, trained, near, strict=True) if not (t and close)]


if __name__ == "__main__":
    main()
