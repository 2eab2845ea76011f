"""What does a consolidation cost, and how does engrain compare with TRL?

1. Time, CPU seconds, peak memory and size on disk of one consolidation against the number of facts (--sizes), each in a process of
   its own; and of a home of 1, 4 and 16 users, one after the other.
2. Side by side in this run, same model, data, objective (full-vocabulary forward KL to the frozen base shown the notes, on the student's own
   samples), rank, learning rate, schedule and batch: engrain's training loop against TRL's experimental SDFTTrainer. Time to the same
   closed-book accuracy, evaluated at the same steps in both, evaluation and loading off the clock. engrain runs twice: as it is, and
   drawing answers anew at every step as TRL does (refresh 1). TRL runs in an environment of its own, named by --trl-python:
       python -m venv trl && trl/bin/pip install torch==2.13.0 && trl/bin/pip install "trl>=1.16,<2" peft datasets

Bar: at least 3 times faster than TRL. What limits it: see the steps, and seconds per step, in the table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import common
from common import Bars, Meter, Run, closed_book, in_context, number, rate, spread, table
from engrain.engines.lora import SCALE
from engrain.learning.loop import Plan, StepReport, TrainState, context_learning
from engrain.loops.prepare import prepare
from engrain.prompts import add_context
from engrain.records import Memory
from profiles import ask, evaluation_items, profile, trained_queries

SOURCE = Path(__file__).parent.parent / "src"


class _Reached(Exception):
    """The student has reached the accuracy that was asked for."""


def main() -> None:
    parser = common.options(__doc__, seeds=2)
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=None, help="numbers of facts (default 8 16 32 64 128 256 512)"
    )
    parser.add_argument(
        "--users", type=int, nargs="*", default=None, help="numbers of users, 16 facts each (default 1 4 16)"
    )
    parser.add_argument("--facts", type=int, default=None, help="facts of the comparison with TRL (default 32)")
    parser.add_argument("--most-steps", type=int, default=None, help="steps at most in the comparison (default 400)")
    parser.add_argument(
        "--every", type=int, default=None, help="steps between two evaluations in the comparison (default 10)"
    )
    parser.add_argument(
        "--share", type=float, default=0.9, help="accuracy to reach, as a share of that in context (default 0.9)"
    )
    parser.add_argument(
        "--trl-python",
        default=os.environ.get("TRL_PYTHON", sys.executable),
        help="python of an environment with TRL (default: this one)",
    )
    args = parser.parse_args()
    sizes = args.sizes if args.sizes is not None else [8, 16] if args.quick else [8, 16, 32, 64, 128, 256, 512]
    users = args.users if args.users is not None else [1, 2] if args.quick else [1, 4, 16]
    run = Run("cost", args)
    bars = Bars()
    by_size = {n: [alone(args, n, 1, seed) for seed in common.seeds(args)] for n in sizes}
    by_users = {n: [alone(args, 16, n, seed) for seed in common.seeds(args)] for n in users}
    for title, found in (("facts", by_size), ("users, 16 facts each", by_users)):
        if found:
            table((title, "wall s", "CPU s", "peak MB", "MB over base", "adapters, MB", "steps", "in weights", "promoted"), [
                (n, *(number([r[k] for r in rs], d) for k, d in (("wall_s", 1), ("cpu_s", 1), ("peak_mb", 0), ("over_mb", 0), ("disk_mb", 2), ("steps", 0), ("learned", 0), ("promoted", 1))))
                for n, rs in found.items()
            ])  # fmt: skip
    against = [compare(run, args, seed) for seed in common.seeds(args)]
    arms = list(dict.fromkeys(arm for a in against for arm in a["arms"]))
    table((f"to {args.share:.0%} of in context", "wall s", "CPU s", "steps", "CPU s/step", "accuracy", "peak MB"), [
        (arm, *summary([a["arms"][arm] for a in against if arm in a["arms"]])) for arm in arms
    ])  # fmt: skip
    if "TRL" in arms:
        ratios = [r for a in against if (r := faster(a["arms"])) is not None]
        bars.add(
            "TRL's CPU seconds / engrain's, to the same accuracy",
            spread(ratios)["mean"] if ratios else 0.0,
            bool(ratios) and min(ratios) >= 3,
            ">= 3, on every seed",
        )
        bars.show()
    results = {"by_facts": by_size, "by_users": by_users, "against": against}
    draw(run.save(results, bars), by_size, against)


# -- one consolidation ---------------------------------------------------------------------------------------------------


def alone(args: argparse.Namespace, facts: int, users: int, seed: int) -> dict[str, Any]:
    """Measured in a fresh process, because the peak of memory is that of a process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (args, facts, users, seed))


def measure(args: argparse.Namespace, facts: int, users: int, seed: int) -> dict[str, Any]:
    """One consolidation for each user of a home: wall, CPU, memory, disk."""
    meter = Meter()
    learned = steps = promoted = 0
    started = 0.0
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as folder:
        home = Path(folder)
        for number_ in range(users):
            with common.learner(args, home, user=f"user-{number_}") as me:
                common.tell_all(me, profile(100 * seed + number_, facts, 0, 0, unknown=0))
                me.engine.sample([ask("Hello.")], max_tokens=4)
                started = started or common.peak_mb()
                with meter:
                    outcome = me.consolidate()
                learned += len(common.learned(me, me.store.live(me.scope)))
                steps += sum(int(b.settings["learning"]["steps"]) for b in common.batches(me))
                promoted += outcome.verdict is not None and outcome.verdict.decision == "promote"
        disk = sum(f.stat().st_size for f in (home / "adapters").rglob("*") if f.is_file())
    return {
        "wall_s": meter.wall_s, "cpu_s": meter.cpu_s, "peak_mb": common.peak_mb(), "over_mb": common.peak_mb() - started,
        "disk_mb": disk / (1 << 20), "learned": learned, "steps": steps, "promoted": promoted, "reason": outcome.reason,
    }  # fmt: skip


# -- against TRL ---------------------------------------------------------------------------------------------------------


def compare(run: Run, args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """The same training in engrain and in TRL, until both answer equally well."""
    facts, steps = args.facts or (8 if args.quick else 32), args.most_steps or args.steps or (20 if args.quick else 400)
    every = min(steps, args.every or (5 if args.quick else 10))
    user = profile(seed, facts, 0, 0, unknown=0)
    arms: dict[str, Any] = {}
    with common.learner(args) as me:
        settings = me.consolidation
        memories = [
            Memory(id=f"mem_{i}", scope=me.scope, text=item.note, source="tell", valid_from=0.0, recorded_at=0.0)
            for i, item in enumerate(user.items)
        ]
        batch = prepare(me.engine, memories, scope=me.scope, parent="", preparation=settings.preparation)
        train = [e for e in batch.train if e.role == "new"]
        items, _ = evaluation_items(user.items, trained_queries(batch), [i.note for i in user.items])
        base, teacher = rate(closed_book(me, items, "").results), rate(in_context(me, items).results)
        target = args.share * teacher
        for arm, refresh in (("engrain", Plan().refresh), ("engrain, refresh 1", 1)):
            student = me.engine.student("", rank=settings.rank, seed=seed, max_tokens=40)
            plan = Plan(
                batch_size=settings.batch_size, learning_rate=settings.learning_rate, refresh=refresh, seed=seed
            )
            curve: list[dict[str, float]] = []
            meter = Meter()

            def on_step(
                state: TrainState, _: StepReport, meter: Meter = meter, student: Any = student, curve: Any = curve
            ) -> None:
                if state.step % every and state.step != steps:
                    return
                meter.__exit__()
                right = rate(closed_book(me, items, student.save()).results)
                curve.append({"step": state.step, "right": right, "wall_s": meter.wall_s, "cpu_s": meter.cpu_s})
                if right >= target:
                    raise _Reached
                meter.__enter__()

            meter.__enter__()
            with contextlib.suppress(_Reached):
                context_learning(student, train, steps, plan=plan, on_step=on_step)
            arms[arm] = {"curve": curve, "peak_mb": common.peak_mb()}
            run.say(
                f"seed {seed}, {arm}: {curve[-1]['right']:.0%} after {curve[-1]['step']} steps, {curve[-1]['cpu_s']:.1f} CPU s"
            )
        given = {
            "base": str(args.base.resolve()), "source": str(SOURCE), "seed": seed, "steps": steps, "every": every, "target": target,
            "batch_size": settings.batch_size, "learning_rate": settings.learning_rate, "rank": settings.rank,
            "alpha": SCALE * settings.rank, "bf16": student._dtype.itemsize == 2, "stop": sorted(me.engine.chat.stop_ids),
            "train": [
                {"prompt": me.engine.render(e.query), "privileged_context": me.engine.render(add_context(e.context, e.query))} for e in train
            ],
            "questions": [{"prompt": me.engine.render(e.query), "answer": e.reference} for e in items],
        }  # fmt: skip
    trl = with_trl(run, args, given)
    if trl:
        arms["TRL"] = trl
        run.say(
            f"seed {seed}, TRL {trl['trl']}: {trl['curve'][-1]['right']:.0%} after {trl['curve'][-1]['step']} steps, {trl['curve'][-1]['cpu_s']:.1f} CPU s"
        )
    return {
        "seed": seed,
        "base": base,
        "in_context": teacher,
        "target": target,
        "examples": len(train),
        "questions": len(items),
        "arms": arms,
    }


def with_trl(run: Run, args: argparse.Namespace, given: dict[str, Any]) -> dict[str, Any] | None:
    """TRL's half, in its own process and environment; None, with a clear message, where TRL is absent."""
    probe = subprocess.run(
        [args.trl_python, "-c", "import trl.experimental.sdft, datasets, peft"],
        capture_output=True,
        text=True,
        check=False,
    )
    if probe.returncode:
        last = (probe.stderr.strip().splitlines() or ["no message"])[-1]
        run.say(
            f"TRL skipped: {args.trl_python} cannot import it ({last}); see --help for how to install it, then give --trl-python"
        )
        return None
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as folder:
        question, answer = Path(folder) / "given.json", Path(folder) / "found.json"
        question.write_text(json.dumps(given))
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "TRL_EXPERIMENTAL_SILENCE": "1",
            "PYTHONPATH": "",
        }
        done = subprocess.run(
            [args.trl_python, str(Path(__file__).parent / "with_trl.py"), str(question), str(answer)],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"TRL failed:\n{done.stderr[-3000:]}")
        found: dict[str, Any] = json.loads(answer.read_text())
        return found


def reached(arm: dict[str, Any], target: float) -> dict[str, float] | None:
    return next((p for p in arm["curve"] if p["right"] >= target), None)


def faster(arms: dict[str, Any]) -> float | None:
    """TRL's CPU seconds over engrain's, to the accuracy that both reached; None if they have none above 0 in common."""
    common_right = min(max(p["right"] for p in arms[name]["curve"]) for name in ("engrain", "TRL") if name in arms)
    if "TRL" not in arms or common_right <= 0:
        return None
    mine, theirs = reached(arms["engrain"], common_right), reached(arms["TRL"], common_right)
    assert mine and theirs
    return theirs["cpu_s"] / max(1e-9, mine["cpu_s"])


def summary(runs: list[dict[str, Any]]) -> tuple[str, ...]:
    """How each run ended: at the target, or at the last step."""
    last = [r["curve"][-1] for r in runs]
    return (
        number([p["wall_s"] for p in last]), number([p["cpu_s"] for p in last]), number([p["step"] for p in last], 0),
        number([p["cpu_s"] / p["step"] for p in last], 3), common.percent([p["right"] for p in last]), number([r["peak_mb"] for r in runs], 0),
    )  # fmt: skip


def draw(path: Path, by_size: dict[int, list[dict[str, Any]]], against: list[dict[str, Any]]) -> None:
    with common.picture(path, width=10, columns=2) as (left, right):
        if by_size:
            left.errorbar(
                list(by_size), [spread([r["wall_s"] for r in rs])["mean"] for rs in by_size.values()],
                yerr=[spread([r["wall_s"] for r in rs])["sd"] or 0 for rs in by_size.values()], marker="o", color="#225588", label="wall",
            )  # fmt: skip
            left.plot(
                list(by_size),
                [spread([r["cpu_s"] for r in rs])["mean"] for rs in by_size.values()],
                marker="o",
                color="#999999",
                label="CPU",
            )
            left.set_xscale("log", base=2)
            left.set_ylim(bottom=0)
            left.legend(frameon=False)
        left.set_xlabel("facts")
        left.set_ylabel("seconds of one consolidation")
        colours = {"engrain": "#225588", "engrain, refresh 1": "#7799bb", "TRL": "#bb6622"}
        for n, found in enumerate(against):
            for arm, got in found["arms"].items():
                points = [{"cpu_s": 0.0, "right": found["base"]}, *got["curve"]]
                right.plot(
                    [p["cpu_s"] for p in points],
                    [100 * p["right"] for p in points],
                    color=colours[arm],
                    label=None if n else arm,
                )
        right.set_xlabel("CPU seconds of training")
        right.set_ylabel("closed-book accuracy, %")
        right.legend(frameon=False)


if __name__ == "__main__":
    main()
