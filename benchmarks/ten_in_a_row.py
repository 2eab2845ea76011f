"""What is left after ten consolidations in a row? Ten batches of 20 facts, each told and consolidated before the next.

R[t, i] is the closed-book accuracy on batch i after consolidation t; row 0 is the untouched model, and beneath stands what it
answers when it is shown the right note among five. Questions are worded as nothing
in any of the ten trainings was. Also: average accuracy, backward transfer, forgetting (definitions in
engrain.evaluation.statistics), and the base abilities (reading, abstaining, style) after each.

Bar, on every seed: after ten, every batch >= 90 % of what it was just after its own consolidation (one that was never learned counts as
lost), and never below the untouched model.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import common
from common import Bars, Count, Run, closed_book, in_context, percent, rate, share, spread, table
from engrain.evaluation.statistics import above_untouched, average_accuracy, backward_transfer, forgetting, wilson
from profiles import evaluation_items, profile


def main() -> None:
    parser = common.options(__doc__, seeds=2)
    parser.add_argument("--tasks", type=int, default=None, help="consolidations (default 10)")
    parser.add_argument("--facts", type=int, default=None, help="facts of each (default 20)")
    args = parser.parse_args()
    tasks, facts = args.tasks or (2 if args.quick else 10), args.facts or (10 if args.quick else 20)
    run = Run("ten_in_a_row", args)
    found = [one(run, args, seed, tasks, facts) for seed in common.seeds(args)]
    matrix = np.mean([f["matrix"] for f in found], axis=0)
    table(("R, %", *(f"batch {i + 1}" for i in range(tasks))), [
        *(("untouched" if t == 0 else f"after {t}", *(f"{100 * v:.0f}" for v in row)) for t, row in enumerate(matrix)),
        ("base, shown the note", *(f"{100 * v:.0f}" for v in np.mean([f["in_context"] for f in found], axis=0))),
    ])  # fmt: skip
    measures = {
        "average accuracy": average_accuracy,
        "backward transfer": backward_transfer,
        "forgetting": forgetting,
        "above untouched": above_untouched,
    }
    rows = {name: [measure(f["matrix"]) for f in found] for name, measure in measures.items()}
    table(("after the last, %", "mean ± sd over seeds"), [(name, percent(values)) for name, values in rows.items()])
    groups = list(found[0]["abilities"][0])
    table(("base abilities, %", *groups), [
        ("untouched" if t == 0 else f"after {t}", *(share([f["abilities"][t][g] for f in found]) for g in groups)) for t in range(tasks + 1)
    ])  # fmt: skip
    asked = min(sum(f["questions"][i] for f in found) for i in range(tasks))
    low, high = wilson(asked // 2, asked)
    print(f"R: at least {asked} questions a cell; 95 % interval at most ± {50 * (high - low):.0f} points\n")
    for seed, f in enumerate(found):
        print(f"seed {seed}: {'; '.join(f['decisions'])}\n")
    bars = Bars()
    own = [(f["matrix"][-1][i], f["matrix"][i + 1][i]) for f in found for i in range(tasks)]
    kept = min(end / just if just else 0.0 for end, just in own)  # a batch that was never learned counts as lost
    bars.add("batch at the end / just after its own, least", kept, kept >= 0.9, ">= 0.90")
    margin = min(
        f["matrix"][t][i] - f["matrix"][0][i] for f in found for t in range(1, tasks + 1) for i in range(tasks)
    )
    bars.add("any batch at any time - untouched, least", margin, margin >= 0, ">= 0")
    learned = float(np.mean([f["matrix"][i + 1][i] - f["matrix"][0][i] for f in found for i in range(tasks)]))
    bars.add(
        "just after its own - untouched, mean (else the bars above mean nothing)", learned, learned > 0.5, "> 0.50"
    )
    bars.show()
    results = {
        "tasks": tasks,
        "facts": facts,
        "mean_matrix": matrix.tolist(),
        "measures": {n: spread(v) for n, v in rows.items()},
        "runs": found,
    }
    draw(run.save(results, bars), matrix)


def one(run: Run, args: argparse.Namespace, seed: int, tasks: int, facts: int) -> dict[str, Any]:
    """Ten in a row for one user. Every version is kept, so all are asked at the end, when all training queries are known."""
    user = profile(seed, tasks * facts, 0, 0, unknown=0)
    decisions: list[str] = []
    seconds: list[float] = []
    with common.learner(args) as me:
        versions = [""]
        for t in range(tasks):
            for item in user.items[t * facts : (t + 1) * facts]:
                me.tell(item.note)
            outcome = me.consolidate()
            decision = outcome.verdict.decision if outcome.verdict is not None else "nothing trained"
            decisions.append(decision if decision == "promote" else f"{decision}: {outcome.reason}")
            seconds.append(outcome.seconds)
            versions.append(me.store.live(me.scope))
            run.say(f"seed {seed}, consolidation {t + 1}: {decisions[-1]}, {outcome.seconds:.0f} s")
        queries = common.trained(me)
        items = [evaluation_items(user.items[i * facts : (i + 1) * facts], queries)[0] for i in range(tasks)]
        shown = [rate(in_context(me, batch).results) for batch in items]
        known: dict[str, tuple[list[float], dict[str, Count]]] = {}
        for version in versions:
            if version not in known:
                known[version] = (
                    [rate(closed_book(me, batch, version).results) for batch in items],
                    common.abilities(me, version, quick=args.quick),
                )
    return {
        "matrix": [known[v][0] for v in versions], "abilities": [known[v][1] for v in versions], "decisions": decisions,
        "in_context": shown, "seconds": seconds, "questions": [len(batch) for batch in items],
    }  # fmt: skip


def draw(path: Any, matrix: np.ndarray) -> None:
    with common.picture(path, width=6.5, height=6) as axis:
        image = axis.imshow(100 * matrix, vmin=0, vmax=100, cmap="Blues")
        for t, row in enumerate(matrix):
            for i, value in enumerate(row):
                axis.text(
                    i,
                    t,
                    f"{100 * value:.0f}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if value > 0.6 else "black",
                )
        axis.set_xticks(range(matrix.shape[1]), [str(i + 1) for i in range(matrix.shape[1])])
        axis.set_yticks(range(matrix.shape[0]), ["untouched", *(f"after {t}" for t in range(1, matrix.shape[0]))])
        axis.set_xlabel("batch")
        axis.figure.colorbar(image, ax=axis, label="closed-book accuracy, %", shrink=0.8)


if __name__ == "__main__":
    main()
