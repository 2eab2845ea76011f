"""Choose the learning settings for a base model, on made-up users that no benchmark uses.

One user's notes become a batch as `consolidate` prepares it; each combination of --rates, --guards and --steps trains on it from the bare base.
Columns: new questions answered with no note shown (their wordings were never trained on), as a share of what the teacher answers with the notes;
unrelated questions still answered don't-know, and unrelated notes still read (the probes that `consolidate` chooses its scale by, never
those that it is judged by). The best row is the one with the most new questions right among those that lose at most --loss of either.

    python benchmarks/tune.py --facts 24 --steps-of 150 300 --rates 0.001 0.002 0.004 --guards 0.125 0.25 0.375
"""

from __future__ import annotations

import itertools
from typing import Any

import common
from common import Meter, Run, closed_book, in_context, rate, table
from engrain.evaluation.probes import probe_group, probes
from engrain.learning.loop import context_learning
from engrain.loops.prepare import prepare
from engrain.records import Example, Memory
from profiles import evaluation_items, profile, trained_queries

FIRST_SEED = 700
"""Of the users here; the benchmarks count from 0, from 900 and from 1000."""


def main() -> None:
    parser = common.options(__doc__, seeds=1)
    parser.add_argument("--facts", type=int, default=24)
    parser.add_argument("--procedures", type=int, default=4)
    parser.add_argument("--preferences", type=int, default=4)
    parser.add_argument("--steps-of", type=int, nargs="+", default=[150, 300], metavar="STEPS", help="lengths of a run")
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3, 2e-3, 4e-3], help="learning rates")
    parser.add_argument("--guards", type=float, nargs="+", default=[0.125, 0.25, 0.375], help="guard shares")
    parser.add_argument("--loss", type=float, default=0.03, help="of abstaining or reading, that a row may cost")
    args = parser.parse_args()
    run = Run("tune", args)
    rows: list[dict[str, Any]] = []
    with common.learner(args) as me:
        for seed in common.seeds(args):
            given = case(me, FIRST_SEED + seed, args.facts, args.procedures, args.preferences)
            before = measure(me, given, "")
            run.say(
                f"user {seed}: {len(given['batch'].memory_ids)} learnable, in context {given['teacher']:.2f}, {before}"
            )
            for steps, learning_rate, guard in itertools.product(args.steps_of, args.rates, args.guards):
                plan = common.plan(
                    me.consolidation, seed, learning_rate=learning_rate, guard=guard, replay=0.0, new=1.0 - guard
                )
                student = me.engine.student("", rank=me.consolidation.rank, seed=seed, max_tokens=64)
                with Meter() as meter:
                    report = context_learning(student, given["batch"].train, args.steps or steps, plan=plan)
                after = measure(me, given, student.save())
                row = {
                    "seed": seed, "steps": steps, "rate": learning_rate, "guard": guard, "kl": report.kl_after,
                    "of_teacher": after["new"] / max(1e-9, given["teacher"]), "cpu_s": meter.cpu_s, "wall_s": meter.wall_s,
                    **after, "unknown_before": before["unknown"], "reading_before": before["reading"],
                }  # fmt: skip
                rows.append(row)
                run.say(" ".join(f"{k} {v:.3g}" for k, v in row.items()))
    table(
        ("steps, rate, guard", "new, %", "of teacher, %", "unknown, %", "reading, %", "KL", "CPU s"),
        [
            (f"{r['steps']}, {r['rate']:g}, {r['guard']:g}", *(f"{100 * r[k]:.0f}" for k in ("new", "of_teacher", "unknown", "reading")),
             f"{r['kl']:.3f}", f"{r['cpu_s']:.0f}")
            for r in rows
        ],
    )  # fmt: skip
    kept = [
        r for r in rows if min(r["unknown"] - r["unknown_before"], r["reading"] - r["reading_before"]) >= -args.loss
    ]
    if kept:
        best = max(kept, key=lambda r: r["new"])
        print(f"best: {best['steps']} steps, rate {best['rate']:g}, guard {best['guard']:g}")
    run.save({"rows": rows})


def case(me: Any, seed: int, facts: int, procedures: int, preferences: int) -> dict[str, Any]:
    """One user's notes as a batch, with the questions that judge what was learned of it."""
    user = profile(seed, facts, procedures, preferences)
    memories = [
        Memory(id=f"mem_{i}", scope=me.scope, text=item.note, source="tell", valid_from=0.0, recorded_at=0.0)
        for i, item in enumerate(user.items)
    ]
    batch = prepare(me.engine, memories, scope=me.scope, parent="", preparation=me.consolidation.preparation)
    items, _ = evaluation_items(user.items, trained_queries(batch), [i.note for i in user.items])
    return {"batch": batch, "items": items, "teacher": rate(in_context(me, items).results)}


def measure(me: Any, given: dict[str, Any], version: str) -> dict[str, float]:
    def probed(group: str) -> list[Example]:
        return [e for e in probes("scale") if probe_group(e) == group]

    return {
        "new": rate(closed_book(me, given["items"], version).results),
        **{group: rate(closed_book(me, probed(group), version).results) for group in ("unknown", "reading")},
    }


if __name__ == "__main__":
    main()
