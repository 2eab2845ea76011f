"""Write the probe bank that ships with the package: unrelated prompts that guard and judge a base model's abilities.

python recipes/sprout/probes.py        (deterministic; writes src/engrain/evaluation/probes.jsonl)
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from engrain.prompts import NOTES_HEADER, UNKNOWN
from frames import load
from tasks import Maker

OUT = Path(__file__).parent.parent.parent / "src/engrain/evaluation/probes.jsonl"


def main() -> None:
    _, frames = load()
    maker = Maker(random.Random(2026), frames, held=True)
    rows: dict[tuple[str, ...], dict[str, object]] = {}

    def add(group: str, notes: list[str], question: str, answer: str) -> None:
        rows[(*notes, question)] = {"group": group, "notes": notes, "question": question, "answer": answer}

    while sum(r["group"] == "reading" for r in rows.values()) < 360:
        doc = maker.read(maker.rng.randint(2, 5), 2, plain=True, style=False, dated=False)
        notes = doc.prefix[0][1].removeprefix(NOTES_HEADER + "\n").removeprefix("- ").split("\n- ")
        for branch in doc.branches[:1]:
            if branch[1][1] not in (UNKNOWN, "Yes", "No"):
                add("reading", notes, branch[0][1], branch[1][1])
    for _ in range(260):
        add("unknown", [], maker.bare().branches[0][0][1], UNKNOWN)
    while sum(r["group"] == "unknown" for r in rows.values()) < 360:
        doc = maker.read(maker.rng.randint(2, 4), 4, plain=True, style=False, dated=False)
        notes = doc.prefix[0][1].removeprefix(NOTES_HEADER + "\n").removeprefix("- ").split("\n- ")
        for branch in doc.branches:
            if branch[1][1] == UNKNOWN:
                add("unknown", notes, branch[0][1], UNKNOWN)
                break
    while sum(r["group"] == "style" for r in rows.values()) < 160:
        doc = maker.read(maker.rng.randint(1, 3), 2, plain=True, style=True, dated=False)
        notes = doc.prefix[0][1].removeprefix(NOTES_HEADER + "\n").removeprefix("- ").split("\n- ")
        for branch in doc.branches[:1]:
            add("style", notes, branch[0][1], branch[1][1])
    OUT.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows.values()), encoding="utf-8")


if __name__ == "__main__":
    main()
