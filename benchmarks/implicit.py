"""How often is the detector of implicit feedback right when it says something, and how much does it see?

Follow-ups written by hand (implicit.jsonl: an answer, what the user did next, and what that says of the answer, hard negatives among
them), split by the hash of their words: the rules were made on one half, and the figures are of the other. One author wrote both the
follow-ups and the rules, knows of no traffic that they could be drawn from, and says so: precision on real conversations is not
measured. `--tuning` shows the half that one may look at, with every error.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import Bars, Run, options, picture, table
from engrain.evaluation.statistics import wilson
from engrain.records import Interaction, Message, Role, Scope, Stamp, content_hash
from engrain.signals.implicit import SCORES, abandonment, follow_up

DATA = Path(__file__).parent / "implicit.jsonl"
KINDS = tuple(SCORES)


@dataclass(frozen=True, slots=True)
class Item:
    """One follow-up with its label; `said` is None where nobody said anything for so many seconds."""

    kind: str
    turns: tuple[str, ...]
    """User's and assistant's in turn; the last is the answer that is judged."""
    said: str | None
    seconds: float

    @property
    def reported(self) -> bool:
        """Whether it is of the half that the figures are of."""
        return int(content_hash([self.turns, self.said, self.seconds], length=8), 16) % 2 == 0


def items() -> list[Item]:
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    return [Item(r["kind"], (*r.get("before", []), r["asked"], r["answer"]), r["said"], r["seconds"]) for r in rows]


def turn(turns: Sequence[str], answer: str, at: float) -> Interaction:
    roles: tuple[Role, Role] = ("user", "assistant")
    messages = tuple(Message(role=roles[i % 2], content=text) for i, text in enumerate(turns))
    return Interaction(scope=Scope(), messages=messages, answer=answer, stamp=Stamp(base="b"), created_at=at)


def detected(item: Item) -> str:
    """What the detector says of this follow-up, asked as a conversation asks it."""
    *asked, answer = item.turns
    last = turn(asked, answer, 0.0)
    if item.said is not None:
        found = follow_up(last, turn([*item.turns, item.said], "", item.seconds))
    else:
        before = turn(asked[:-2], asked[-2], -30.0) if len(asked) > 2 else None
        found = abandonment(last, item.seconds, before=before)
    return found.name if found is not None else "none"


def measure(part: Sequence[Item], said: Sequence[str]) -> dict[str, Any]:
    """By kind: counts, precision and recall with their 95 % intervals (Wilson)."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        right = sum(i.kind == kind == s for i, s in zip(part, said, strict=True))
        told, there = sum(s == kind for s in said), sum(i.kind == kind for i in part)
        found[kind] = {
            "right": right, "told": told, "there": there,
            "precision": right / told if told else None, "precision_interval": wilson(right, told),
            "recall": right / there if there else None, "recall_interval": wilson(right, there),
        }  # fmt: skip
    told = [(i, s) for i, s in zip(part, said, strict=True) if s != "none"]
    good = sum(SCORES[s] == SCORES.get(i.kind) for i, s in told)  # type: ignore[index, call-overload]
    silent = [s for i, s in zip(part, said, strict=True) if i.kind == "none"]
    found["any"] = {
        "right": good, "told": len(told), "precision": good / len(told) if told else None,
        "precision_interval": wilson(good, len(told)), "false_alarms": sum(s != "none" for s in silent), "none": len(silent),
        "false_alarm_interval": wilson(sum(s != "none" for s in silent), len(silent)),
    }  # fmt: skip
    return found


def shown(count: int, of: int) -> str:
    if not of:
        return "-"
    low, high = wilson(count, of)
    return f"{100 * count / of:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def main() -> None:
    parser = options(__doc__, seeds=1)
    parser.add_argument("--tuning", action="store_true", help="the half that the rules were made on, with its errors")
    args = parser.parse_args()
    run, every = Run("implicit", args), items()
    part = [i for i in every if i.reported != args.tuning]
    if args.quick:
        part = part[:60]
    said = [detected(i) for i in part]
    spent: list[float] = []
    for item in part:
        begun = time.perf_counter()
        detected(item)
        spent.append(1e6 * (time.perf_counter() - begun))
    results = measure(part, said)
    results |= {
        "items": len(every),
        "measured": len(part),
        "median_us": statistics.median(spent),
        "worst_us": max(spent),
    }
    run.say(f"{len(part)} of {len(every)} follow-ups, the {'tuning' if args.tuning else 'reported'} half")
    if args.tuning:
        for item, s in zip(part, said, strict=True):
            if s != item.kind:
                print(
                    f"  {item.kind:>9} taken for {s:<9} {item.seconds:6.0f} s  {item.turns[-2]!r} {item.turns[-1]!r} {item.said!r}"
                )
    rows = [
        (kind, k["there"], k["told"], shown(k["right"], k["told"]), shown(k["right"], k["there"]))
        for kind in KINDS
        for k in [results[kind]]
    ]
    table(("kind", "there", "said", "precision (95 %)", "recall (95 %)"), rows)
    any_ = results["any"]
    print(f"good or bad told rightly: {shown(any_['right'], any_['told'])} of {any_['told']} that it spoke of")
    print(f"spoke where nothing is to be said: {shown(any_['false_alarms'], any_['none'])} of {any_['none']}")
    print(f"time: median {results['median_us']:.0f} µs, at most {results['worst_us']:.0f} µs\n")
    bars = Bars()
    bars.add("good or bad told rightly", any_["precision"] or 0.0, (any_["precision"] or 0) >= 0.9, ">= 0.90")
    bars.show()
    path = run.save(results, bars)
    with picture(path) as axis:
        for offset, (name, label) in enumerate(
            (("precision", "right when it speaks"), ("recall", "of those there are"))
        ):
            for place, kind in enumerate(KINDS):
                value = results[kind][name]
                if value is None:
                    continue
                low, high = results[kind][f"{name}_interval"]
                axis.errorbar(
                    [place + 0.16 * (2 * offset - 1)], [100 * value], [[100 * (value - low)], [100 * (high - value)]],
                    fmt="os"[offset], color=("C0", "C1")[offset], capsize=3, label=label if place == 0 else None,
                )  # fmt: skip
        axis.set_xticks(range(len(KINDS)), list(KINDS))
        axis.set_ylim(0, 102)
        axis.set_ylabel("%, with 95 % interval")
        axis.legend(frameon=False, loc="lower left")


if __name__ == "__main__":
    main()
