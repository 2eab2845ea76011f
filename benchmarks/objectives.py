"""Which objective writes what? Facts, procedures and preferences apart, at equal steps, each objective at its best learning rate.

For each kind, one user's notes become a batch exactly as engrain prepares it (its own questions, its guards); then each objective
trains on that batch alone, from the bare base. The learning rate is chosen among --rates on a separate seed by closed-book accuracy
times unknown kept; all else is engrain's default, but that the policy gradient's answers are sampled at temperature 1: on likeliest
answers it has no expectation to speak of. Where nothing is said of answers, they are the student's own. Prints the Markdown
tables for docs/methods.md.

The whole takes some two hours of one core. The kinds are independent, so several processes may share the work; each writes
objectives-KIND.json, and --merge reads these, prints the tables, draws the picture and writes objectives.json:
    for kind in fact procedure preference; do python benchmarks/objectives.py --kinds $kind & done; wait
    python benchmarks/objectives.py --merge
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from typing import Any

import common
from common import Meter, Run, closed_book, in_context, percent, rate, spread, table
from engrain.errors import TrainingFailed
from engrain.learning.loop import context_learning
from engrain.learning.methods import JSD, ForwardKL, OffPolicy, PolicyGradient, ReverseKL
from engrain.loops.prepare import prepare
from engrain.loops.study import ANSWER_TOKENS
from engrain.protocols import Method
from engrain.records import Batch, Memory
from profiles import Kind, evaluation_items, profile, trained_queries, unknown_items

METHODS: dict[str, Method] = {
    "forward KL, both answers (default)": ForwardKL(answers="both"),
    "forward KL": ForwardKL(),
    "reverse KL": ReverseKL(),
    "JSD, 0.5": JSD(),
    "forward KL, top 8": ForwardKL(top_k=8),
    "reverse KL, top 8": ReverseKL(top_k=8),
    "JSD, 0.5, top 8": JSD(top_k=8),
    "policy gradient, sampled token": PolicyGradient(),
    "forward KL, teacher's answers": ForwardKL(answers="teacher"),
    "cross entropy, teacher's answers": OffPolicy(),
}
SIZES: dict[Kind, dict[str, int]] = {
    "fact": {"facts": 32, "procedures": 0, "preferences": 0},
    "procedure": {"facts": 0, "procedures": 16, "preferences": 0},
    "preference": {"facts": 0, "procedures": 0, "preferences": 16},
}
TUNING_SEED = 900


def main() -> None:
    parser = common.options(__doc__, seeds=2)
    parser.add_argument(
        "--rates", type=float, nargs="+", default=None, help="learning rates to choose from (default 0.001 0.003)"
    )
    parser.add_argument("--kinds", nargs="+", choices=list(SIZES), default=list(SIZES), help="which kinds of memory")
    parser.add_argument(
        "--merge", action="store_true", help="train nothing; put together what runs with single --kinds have written"
    )
    args = parser.parse_args()
    if args.merge:
        merge(args)
        return
    rates = args.rates or ([2e-3] if args.quick else [1e-3, 3e-3])
    steps = args.steps or (10 if args.quick else 150)
    methods = dict(list(METHODS.items())[:3]) if args.quick else METHODS
    kinds = [k for k in SIZES if k in args.kinds]
    run = Run("objectives" if kinds == list(SIZES) else "-".join(("objectives", *kinds)), args)
    results: dict[str, Any] = {}
    with common.learner(args) as me:
        for kind in kinds:
            cases = [case(me, kind, seed, args.quick) for seed in common.seeds(args)]
            best = dict.fromkeys(methods, rates[0])
            tried: dict[str, dict[str, Any]] = {}
            if len(rates) > 1:
                tuning = case(me, kind, TUNING_SEED, args.quick)
                for name, method in methods.items():
                    tried[name] = {str(lr): learn(me, tuning, method, lr, steps, 0) for lr in rates}
                    best[name] = max(
                        rates, key=lambda lr: tried[name][str(lr)]["right"] * tried[name][str(lr)]["unknown"]
                    )
                    run.say(f"{kind}, {name}: learning rate {best[name]:g}")
            found = {
                n: [learn(me, c, m, best[n], steps, seed) for seed, c in enumerate(cases)] for n, m in methods.items()
            }
            base = [measure(me, c, "") for c in cases]
            teacher = [rate(in_context(me, c["items"]).results) for c in cases]
            results[kind] = {
                "steps": steps, "best_rate": best, "tuning": tried, "base": base, "in_context": spread(teacher), "runs": found,
                "memories": [len(c["batch"].memory_ids) for c in cases], "questions": [len(c["items"]) for c in cases],
            }  # fmt: skip
            show(kind, results[kind])
    draw(run.save(results), results)


def merge(args: argparse.Namespace) -> None:
    """One result of those that runs with single kinds have written."""
    run = Run("objectives", args)
    results: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    for kind in SIZES:
        path = args.out / f"objectives-{kind}{'-quick' if args.quick else ''}.json"
        if not path.exists():
            raise SystemExit(f"{path} is not there; run first: python benchmarks/objectives.py --kinds {kind}")
        document = json.loads(path.read_text(encoding="utf-8"))
        results[kind] = document["results"][kind]
        parts[kind] = {name: document[name] for name in ("at", "commit", "wall_s", "cpu_s", "settings", "machine")}
        show(kind, results[kind])
    for name in ("commit", "machine"):
        if any(part[name] != parts["fact"][name] for part in parts.values()):
            print(f"the parts differ in their {name}: {', '.join(f'{k}: {p[name]}' for k, p in parts.items())}")
    draw(run.save({**results, "parts": parts}), results)


def show(kind: str, found: dict[str, Any]) -> None:
    """The Markdown table of one kind."""
    base = percent([b["right"] for b in found["base"]])
    print(f"\n{kind}s, {found['steps']} steps; in context {percent(found['in_context']['values'])} %, base {base} %\n")
    table(("objective", "lr", "closed book, %", "unknown kept, %", "seconds", "CPU s"), [
        (name, f"{found['best_rate'][name]:g}", percent([r["right"] for r in runs]), percent([r["unknown"] for r in runs]),
         common.number([r["wall_s"] for r in runs]), common.number([r["cpu_s"] for r in runs])) for name, runs in found["runs"].items()
    ], markdown=True)  # fmt: skip


def case(me: Any, kind: Kind, seed: int, quick: bool) -> dict[str, Any]:
    """One user's notes of one kind, prepared, with the questions that judge."""
    sizes = {k: min(v, 8) for k, v in SIZES[kind].items()} if quick else SIZES[kind]
    user = profile(seed, **sizes, unknown=64)
    memories = [
        Memory(
            id=f"mem_{kind}_{seed}_{i}", scope=me.scope, text=item.note, source="tell", valid_from=0.0, recorded_at=0.0
        )
        for i, item in enumerate(user.items)
    ]
    batch = prepare(me.engine, memories, scope=me.scope, parent="", preparation=me.consolidation.preparation)
    queries = trained_queries(batch)
    items, _ = evaluation_items(user.items, queries, [i.note for i in user.items])
    return {"batch": batch, "items": items, "unknown": unknown_items((*user.near, *user.foreign), queries)}


def learn(
    me: Any, given: dict[str, Any], method: Method, learning_rate: float, steps: int, seed: int
) -> dict[str, Any]:
    """Train one objective on one batch, and measure it; a run that diverges counts as it is: nothing learned."""
    batch: Batch = given["batch"]
    settings = me.consolidation
    plan = common.plan(settings, seed, method=method, learning_rate=learning_rate)
    if isinstance(method, PolicyGradient):
        plan = replace(plan, temperature=1.0)
    student = me.engine.student("", rank=settings.rank, seed=seed, max_tokens=ANSWER_TOKENS)
    version, failed = "", ""
    with Meter() as meter:
        try:
            context_learning(student, batch.train, steps, plan=plan)
            version = student.save()
        except TrainingFailed as error:
            failed = str(error)
    return measure(me, given, version) | {
        "failed": failed, "learning_rate": learning_rate, "temperature": plan.temperature, "wall_s": meter.wall_s, "cpu_s": meter.cpu_s,
        "method": type(method).__name__, "fields": asdict(method),  # type: ignore[call-overload]
    }  # fmt: skip


def measure(me: Any, given: dict[str, Any], version: str) -> dict[str, float]:
    return {
        "right": rate(closed_book(me, given["items"], version).results),
        "unknown": rate(closed_book(me, given["unknown"], version).results),
    }


def draw(path: Any, results: dict[str, Any]) -> None:
    with common.picture(path, width=4 * max(2, len(results)), height=4, columns=max(2, len(results))) as axes:
        for axis, (kind, found) in zip(axes, results.items(), strict=False):
            names = list(found["runs"])[::-1]
            for shift, (key, colour, label) in enumerate(
                (("right", "#225588", "closed book"), ("unknown", "#bbbbbb", "unknown kept"))
            ):
                values = [100 * spread([r[key] for r in found["runs"][n]])["mean"] for n in names]
                axis.barh([i + 0.2 - 0.4 * shift for i in range(len(names))], values, 0.38, color=colour, label=label)
            axis.axvline(100 * found["in_context"]["mean"], color="#bb6622", lw=1, label="in context")
            axis.set_yticks(range(len(names)), names if axis is axes[0] else [""] * len(names), fontsize=8)
            axis.set_title(f"{kind}s", fontsize=10)
            axis.set_xlim(0, 100)
            axis.set_xlabel("%")
        axes[0].legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(-0.6, -0.3))


if __name__ == "__main__":
    main()
