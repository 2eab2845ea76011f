"""Evaluate sprout on words, frames and phrasings that training never produced, and on hand-written notes; write its card.

python recipes/sprout/evaluate.py                          the shipped model; writes its README.md
python recipes/sprout/evaluate.py --model build/sprout     a new one, with its card beside it
python recipes/sprout/evaluate.py --model build/sprout --install    and then it is the one that ships
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engrain.engines.local import LocalEngine
from engrain.evaluation.statistics import wilson
from engrain.evaluation.suites import is_unknown, right
from engrain.loops.study import answers_it
from engrain.prompts import NOTHING, QUESTION_KINDS, UNKNOWN, extract_request, question_request, render_notes
from engrain.records import Message
from frames import load
from tasks import Doc, Maker

HERE = Path(__file__).parent
SHIPS = (
    "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "training.json",
    "README.md",
)  # fmt: skip
SHIPPED = HERE.parent.parent / "src/engrain/engines/sprout"

ITEMS = 400
BARS = {
    "read": 95, "unknown": 95, "answered where the notes tell": 97, "style": 90, "newest": 90, "ack": 90, "acknowledge": 90,
    "extraction F1": 90, "answerable": 90, "at least 4 kinds": 90,
}  # fmt: skip
"""What is asked of sprout, in percent, by how the ability's name ends."""


@dataclass
class Score:
    """Right and wrong of one ability, with the wrong ones kept to look at."""

    right: int = 0
    total: int = 0
    misses: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, ok: bool, question: str, expected: str, answer: str) -> None:
        self.total += 1
        self.right += ok
        if not ok:
            self.misses.append((question, expected, answer))

    def __str__(self) -> str:
        low, high = wilson(self.right, self.total)
        return f"{100 * self.right / max(1, self.total):.1f} % ({100 * low:.1f} to {100 * high:.1f}, n={self.total})"


def conversation(turns: Sequence[tuple[str, str]]) -> list[Message]:
    return [Message(role=r, content=t) for r, t in turns]  # type: ignore[arg-type]


class Evaluation:
    def __init__(self, engine: LocalEngine) -> None:
        self.engine = engine
        self.scores: dict[str, Score] = {}
        self.f1: dict[str, tuple[float, str]] = {}

    def score(self, name: str) -> Score:
        return self.scores.setdefault(name, Score())

    def table(self) -> str:
        """Every figure beside its bar."""
        shares = {name: (100 * s.right / max(1, s.total), str(s)) for name, s in sorted(self.scores.items())} | self.f1
        lines = ["| ability | right (95 % interval) | bar | met |", "|---|---|---|---|"]
        for name, (share, said) in shares.items():
            bar = next((b for end, b in BARS.items() if name.endswith(end)), 0)
            lines.append(f"| {name} | {said} | " + (f"{bar} % | {'yes' if share >= bar else 'no'} |" if bar else "| |"))
        return "\n".join(lines)

    def answers(self, prompts: list[list[Message]], max_tokens: int = 80) -> list[str]:
        out: list[str] = []
        for i in range(0, len(prompts), 24):
            out += [c.text for c in self.engine.sample(prompts[i : i + 24], max_tokens=max_tokens)]
        return out

    def documents(self, group: str, docs: list[Doc], *, form: bool = False) -> None:
        """First question of each branch, against the expected answer; with `form` case and punctuation count."""
        items = [(d, b) for d in docs for b in d.branches]
        prompts = [conversation([*d.prefix, b[0]]) for d, b in items]
        for (doc, branch), answer in zip(items, self.answers(prompts), strict=True):
            question, expected = branch[0][1], branch[1][1]
            if expected == UNKNOWN:
                self.score(f"{group}: unknown").add(is_unknown(answer), question, expected, answer)
                continue
            ok = right(answer, expected, form=form)
            self.score(f"{group}: {doc.kind}").add(ok, question, expected, answer)
            if doc.kind != "style":
                self.score(f"{group}: answered where the notes tell").add(
                    not is_unknown(answer), question, expected, answer
                )

    def extraction(self, group: str, items: list[tuple[str, list[str]]]) -> None:
        """F1 of whole notes (normalised; the interval by resampling the messages), and the share of empty messages from which
        nothing was taken."""
        prompts = [[Message(role="user", content=extract_request(m))] for m, _ in items]
        counts: list[tuple[int, int]] = []
        for (message, notes), answer in zip(items, self.answers(prompts, 120), strict=True):
            got = (
                []
                if right(answer, NOTHING)
                else [x.removeprefix("- ").strip() for x in answer.splitlines() if x.strip()]
            )
            if not notes:
                self.score(f"{group}: nothing from small talk").add(not got, message, NOTHING, answer)
            same = sum(any(same_note(g, n) for g in got) for n in notes)
            counts.append((2 * same, len(got) + len(notes)))
            if notes:
                self.score(f"{group}: notes found").right += same
                self.score(f"{group}: notes found").total += len(notes)
                if same < len(notes):
                    self.score(f"{group}: notes found").misses.append((message, " | ".join(notes), answer))
        drawn = np.random.default_rng(0).integers(len(counts), size=(1000, len(counts)))
        both = np.array(counts)[np.concatenate([np.arange(len(counts))[None], drawn])].sum(1)
        f1 = 100 * both[:, 0] / np.maximum(1, both[:, 1])
        low, high = np.percentile(f1[1:], [2.5, 97.5])
        self.f1[f"{group}: extraction F1"] = (f1[0], f"{f1[0]:.1f} % ({low:.1f} to {high:.1f}, n={len(counts)})")

    def study(self, group: str, notes: list[str]) -> None:
        """Does the model itself, shown the note, answer its own question with a part of it that the question does not hold; and how
        many kinds of question work? Whether a question is good English is not judged; one that stammers does not count."""
        asks = [(n, k) for n in notes for k in QUESTION_KINDS]
        questions = self.answers([[Message(role="user", content=question_request(n, k))] for n, k in asks])
        back = self.answers(
            [
                conversation([("system", render_notes([n])), ("user", q)])
                for (n, _), q in zip(asks, questions, strict=True)
            ]
        )
        kinds: dict[str, dict[str, str]] = {}
        for (note, kind), question, answer in zip(asks, questions, back, strict=True):
            ok = answers_it(note, question, answer)
            if kind != "yes or no":  # any yes would do
                self.score(f"{group}: self-study, answerable").add(ok, f"{kind}: {note}", question, answer)
            if ok:
                kinds.setdefault(note, {})[question] = kind
        for note in notes:
            n = len(set(kinds.get(note, {}).values()))
            self.score(f"{group}: self-study, at least 4 kinds").add(n >= 4, note, ">= 4", str(n))


LITTLE = frozenset(
    "a an the is are was were has have had that this it its of to in on at by for with and i m am my me user s".split()  # noqa: SIM905
)
"""Words that do not tell one note from another; whether the user is "I" or "the user" does not either."""


def same_note(a: str, b: str) -> bool:
    """Whether two notes say the same: the same words, but for case, order and little ones. A wrong number is another note."""

    def words(text: str) -> set[str]:
        return set(re.findall(r"[a-z0-9]+", text.lower())) - LITTLE

    return words(a) == words(b)


def wild(evaluation: Evaluation, part: str) -> None:
    """The hand-written set; `dev` is its even lines, `test` its odd ones."""
    rows = [json.loads(x) for x in (HERE / "wild.jsonl").read_text().splitlines()]
    rows = [r for i, r in enumerate(rows) if part == "all" or (i % 2 == 0) == (part == "dev")]
    prompts: list[list[Message]] = []
    checks: list[tuple[str, str, list[str], dict[str, str]]] = []
    for row in rows:
        for qa in row.get("qa", []):
            prompts.append(conversation([("system", render_notes(row["notes"])), ("user", qa[0])]))
            checks.append((row["kind"], qa[0], qa[1:], row.get("style", {})))
        for q in row.get("unknown", []):
            prompts.append(conversation([("system", render_notes(row["notes"])), ("user", q)]))
            checks.append(("unknown", q, [], {}))
    for (kind, question, expected, style), answer in zip(checks, evaluation.answers(prompts), strict=True):
        if kind == "unknown":
            evaluation.score("wild: unknown").add(is_unknown(answer), question, UNKNOWN, answer)
        elif kind == "style":
            evaluation.score("wild: style").add(
                styled(answer, expected, style), f"{style} {question}", expected[0], answer
            )
        else:
            evaluation.score(f"wild: {kind}").add(
                any(right(answer, e) for e in expected), question, " / ".join(expected), answer
            )
            evaluation.score("wild: answered where the notes tell").add(
                not is_unknown(answer), question, expected[0], answer
            )
    acks = [r["message"] for r in rows if r["kind"] == "ack"]
    for message, answer in zip(
        acks, evaluation.answers([[Message(role="user", content=m)] for m in acks]), strict=True
    ):
        evaluation.score("wild: acknowledge").add(answer.startswith("Noted"), message, "Noted.", answer)
    evaluation.study("wild", [r["note"] for r in rows if r["kind"] == "study"])
    evaluation.extraction("wild", [(r["message"], r["notes"]) for r in rows if r["kind"] == "extract"])


def styled(answer: str, expected: list[str], style: dict[str, str]) -> bool:
    """Whether the answer holds an expected value and the style that was asked for."""
    low = answer.lower()
    if not any(e.lower() in low for e in expected):
        return False
    kind, text = style["type"], style.get("text", "").lower()
    tail = low.rstrip(" .!'\"")
    return {
        "upper": answer == answer.upper(), "lower": answer == low, "call": text in low, "brief": len(answer.split()) <= 10,
        "end": tail.endswith(text.rstrip(" .!'\"")), "start": low.lstrip(" '\"").startswith(text),
    }[kind]  # fmt: skip


def generated(evaluation: Evaluation, n: int, seed: int) -> None:
    """Held-out frames filled with held-out words, in held-out phrasings of style and chatter."""
    _, frames = load()
    maker = Maker(random.Random(seed), frames, held=True)

    def docs(make: object, count: int) -> list[Doc]:
        out: list[Doc] = []
        while sum(len(d.branches) for d in out) < count:
            doc = make()  # type: ignore[operator]
            if doc and doc.branches:
                out.append(doc)
        return out

    for name, composed in (("composed sentences", 1.0), ("hand-written frames", 0.0)):
        maker.composed = composed
        for low, high in ((3, 8), (9, 16), (17, 30)):
            evaluation.documents(
                f"{name}, {low} to {high} notes",
                docs(
                    lambda low=low, high=high: maker.read(
                        maker.rng.randint(low, high), 5, plain=True, style=False, dated=False
                    ),
                    n,
                ),
            )
    maker.composed = 0.5
    evaluation.documents(
        "style",
        docs(lambda: maker.read(maker.rng.randint(3, 8), 3, plain=True, style=True, dated=False), n),
        form=True,
    )
    evaluation.documents(
        "dated", docs(lambda: maker.read(maker.rng.randint(3, 8), 2, plain=True, style=False, conflict=True), n // 2)
    )
    evaluation.documents("nothing shown", docs(maker.bare, n // 2))
    acks = [d for d in docs(maker.acknowledge, n // 2) if d.branches[0][1][1] == "Noted."]
    evaluation.documents("acknowledge", acks)
    evaluation.study("held-out", [maker.facts(1)[0].note for _ in range(n // 5)])
    evaluation.extraction("held-out", [maker.message() for _ in range(n // 2)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--items", type=int, default=ITEMS, help="questions per ability")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--wild", choices=("all", "dev", "test", "none"), default="all")
    parser.add_argument("--misses", type=int, default=0, help="print this many wrong answers of each ability")
    parser.add_argument("--install", action="store_true", help="copy model and card to where the package ships them")
    args = parser.parse_args()
    started = time.time()
    engine = LocalEngine(args.model, adapters_dir=Path("build/adapters"))
    evaluation = Evaluation(engine)
    if args.items:
        generated(evaluation, args.items, args.seed)
    if args.wild != "none":
        wild(evaluation, args.wild)
    table = evaluation.table()
    print(table)
    print(f"{time.time() - started:.0f} s")
    if args.misses:
        for name, score in evaluation.scores.items():
            for question, expected, answer in score.misses[: args.misses]:
                print(f"{name}\n    {question!r}\n    wanted {expected!r}\n    got    {answer!r}")
    if args.items < ITEMS or args.wild != "all":
        print(f"a card is written with all items (--items {ITEMS} --wild all)")
    else:
        card = (HERE / "card.md").read_text().replace("{table}", table)
        for key, value in json.loads((args.model / "training.json").read_text()).items():
            card = card.replace("{" + key + "}", f"{value:,}" if isinstance(value, int) else str(value))
        (args.model / "README.md").write_text(card)
    if args.install and args.model != SHIPPED:
        for name in SHIPS:
            shutil.copyfile(args.model / name, SHIPPED / name)
        print(f"installed {args.model} in {SHIPPED}")


if __name__ == "__main__":
    main()
