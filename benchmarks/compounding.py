"""Does knowing compound? A stream of facts and queries; retrieval shows at most a few notes with each query.

Facts arrive in rounds, and every so many rounds the learner consolidates. At each step the same query, about anything told so
far and worded as nothing in training was, is answered by three:
    frozen     the base model with the retrieved notes, for ever
    learner    the live version with exactly the same notes
    engrain    the live version as engrain serves it: asked without notes first about what it was taught
Eight facts are told of each subject, so that a few notes are often not the right ones.

Bar: the curves separate and stay apart. Since the first version went live, the 95 % interval of (learner - frozen) at the end lies
above 0; it is made by resampling facts, for the same fact asked twice is no new evidence. From the step on at which the
anytime-valid interval over steps lies above 0, their mean difference never falls back to 0; nor is the running accuracy of
the learner ever below that of the frozen model.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import common
from common import Bars, Run, percent, served, spread, table
from engrain.evaluation.statistics import confidence_sequence
from engrain.gateway.answer import Serving
from engrain.records import Example
from profiles import Item, evaluation_items, profile

ARMS = ("frozen", "learner", "engrain")
COLOURS = {"frozen": "#999999", "learner": "#225588", "engrain": "#bb6622"}


def main() -> None:
    parser = common.options(__doc__, seeds=3)
    parser.add_argument("--notes", type=int, default=2, help="notes that retrieval may show with a query (2 or 3)")
    parser.add_argument("--rounds", type=int, default=None, help="rounds of the stream (default 24)")
    parser.add_argument("--every", type=int, default=None, help="rounds between consolidations (default 6)")
    args = parser.parse_args()
    rounds, every = args.rounds or (4 if args.quick else 24), args.every or (2 if args.quick else 6)
    told, asked = (6, 6) if args.quick else (4, 12)
    run = Run("compounding", args)
    found = [stream(run, args, seed, rounds, every, told, asked) for seed in common.seeds(args)]
    steps = rounds * asked
    pooled = {arm: [[f["right"][arm][t] for f in found] for t in range(steps)] for arm in ARMS}
    rows = []
    for start in range(0, steps, every * asked):
        window = range(start, min(start + every * asked, steps))
        rows.append(
            (
                f"queries {window.start + 1} to {window.stop}",
                *(percent([sum(f["right"][a][t] for t in window) / len(window) for f in found]) for a in ARMS),
            )
        )
    table(("right, %", *ARMS), [*rows, ("all", *(percent([sum(f["right"][a]) / steps for f in found]) for a in ARMS))])
    table(
        ("context tokens per answer", *ARMS),
        [("mean", *(common.number([f["tokens"][a] for f in found]) for a in ARMS))],
    )
    difference = [
        sum(x) / len(found) - sum(y) / len(found) for x, y in zip(pooled["learner"], pooled["frozen"], strict=True)
    ]
    first = min((f["first"] for f in found), default=0)
    after = difference[first:] or [0.0]
    interval = confidence_sequence(after)
    low, high = resampled(found, first)
    running = {
        arm: [sum(map(sum, pooled[arm][: t + 1])) / (len(found) * (t + 1)) for t in range(steps)] for arm in ARMS
    }
    bars = Bars()
    bars.add(
        "learner - frozen since the first consolidation, lower bound over facts",
        low,
        low > 0,
        "> 0",
    )
    least = min((running["learner"][t] - running["frozen"][t] for t in range(first, steps)), default=0.0)
    apart = next((t for t, (low, _) in enumerate(interval) if low > 0), len(after))
    stay = min((sum(after[: t + 1]) / (t + 1) for t in range(apart, len(after))), default=0.0)
    bars.add("learner - frozen, mean difference once they have separated, least", stay, stay > 0, "> 0")
    bars.add("learner - frozen, running accuracy, least", least, least >= 0, ">= 0")
    bars.show()
    results = {
        "notes": args.notes, "rounds": rounds, "every": every, "told_per_round": told, "asked_per_round": asked, "first": first, "apart_after": first + apart,
        "running": running, "difference_interval": interval.tolist(), "difference_over_facts": [low, high], "windows": rows, "runs": found,
        "accuracy": {a: spread([sum(f["right"][a]) / steps for f in found]) for a in ARMS},
    }  # fmt: skip
    draw(run.save(results, bars), running, found, [every * asked * k for k in range(1, rounds // every + 1)])


def stream(
    run: Run, args: argparse.Namespace, seed: int, rounds: int, every: int, told: int, asked: int
) -> dict[str, Any]:
    """One user's stream: right or wrong of each arm at every step."""
    user = profile(seed, rounds * told, 0, 0, unknown=0, per_subject=8)
    rng = random.Random(f"stream/{seed}")
    items = rng.sample(user.items, len(user.items))
    serving = Serving(recall_limit=args.notes)
    right: dict[str, list[bool]] = {a: [] for a in ARMS}
    about: list[str] = []
    tokens: dict[str, list[float]] = {a: [] for a in ARMS}
    decisions: list[str] = []
    first = rounds * asked
    with common.learner(args) as me:
        queries: list[str] = []
        for number in range(rounds):
            for item in items[number * told : (number + 1) * told]:
                me.tell(item.note)
            live = me.store.live(me.scope)
            for note, wording in asked_about(items[: (number + 1) * told], asked, queries, rng):
                about.append(note)
                for arm, version, show in (("frozen", "", True), ("learner", live, True), ("engrain", live, False)):
                    how = replace(serving, show_learned=show)
                    results, shown = served(me, wording, version, serving=how)
                    right[arm].append(results[0].right)
                    tokens[arm].append(shown)
            if (number + 1) % every == 0 and number + 1 < rounds:
                outcome = me.consolidate()
                decisions.append(
                    outcome.verdict.decision if outcome.verdict is not None else f"nothing trained: {outcome.reason}"
                )
                queries = common.trained(me)
                if me.store.live(me.scope):
                    first = min(first, (number + 1) * asked)
                run.say(f"seed {seed}, round {number + 1}: {decisions[-1]}")
    return {
        "right": right,
        "about": about,
        "tokens": {a: sum(t) / len(t) for a, t in tokens.items()},
        "decisions": decisions,
        "first": first,
    }


def resampled(found: Sequence[dict[str, Any]], first: int) -> tuple[float, float]:
    """95 % interval of learner - frozen from step `first` on, by drawing whole facts (with all the times they were asked) anew."""
    facts: dict[tuple[int, str], list[int]] = {}
    for user, f in enumerate(found):
        for step in range(first, len(f["about"])):
            change = int(f["right"]["learner"][step]) - int(f["right"]["frozen"][step])
            facts.setdefault((user, f["about"][step]), []).append(change)
    if not facts:
        return 0.0, 0.0
    both = np.array([(sum(changes), len(changes)) for changes in facts.values()])
    drawn = np.random.default_rng(0).integers(len(both), size=(2000, len(both)))
    totals = both[drawn].sum(1)
    low, high = np.percentile(totals[:, 0] / totals[:, 1], [2.5, 97.5])
    return float(low), float(high)


def asked_about(
    items: Sequence[Item], count: int, trained: Sequence[str], rng: random.Random
) -> Iterator[tuple[str, list[Example]]]:
    """`count` questions, each with its note, about these items, one at a time, in wordings that were not trained on; an item all of whose wordings
    happened to be is passed over."""
    for _ in range(1000 * count):
        if not count:
            return
        item = turned(rng.choice(items), rng)
        if wording := evaluation_items([item], trained)[0]:
            count -= 1
            yield item.note, wording
    raise SystemExit("every wording of nearly every item was trained on; add wordings to relations.txt")


def turned(item: Item, rng: random.Random) -> Item:
    """The item asked in any of its wordings; none of them was ever given to engrain."""
    return replace(item, asks=tuple(rng.sample(item.asks, len(item.asks))))


def draw(path: Any, running: dict[str, list[float]], found: Sequence[dict[str, Any]], marks: list[int]) -> None:
    with common.picture(path) as axis:
        for arm in ARMS:
            values = running[arm]
            steps = np.arange(1, len(values) + 1)
            each = [100 * np.cumsum(f["right"][arm]) / steps for f in found]
            axis.plot(steps, [100 * v for v in values], color=COLOURS[arm], label=arm)
            axis.fill_between(steps, np.min(each, 0), np.max(each, 0), color=COLOURS[arm], alpha=0.15, lw=0)
        for mark in marks[:-1]:
            axis.axvline(mark, color="#cccccc", lw=0.8, zorder=0)
        axis.set_xlabel("queries so far (grey lines: consolidations)")
        axis.set_ylabel("running accuracy, % (shaded: users)")
        axis.legend(frameon=False)


if __name__ == "__main__":
    main()
