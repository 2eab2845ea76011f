"""What does a consolidation cost, and how does engrain compare with TRL?

1. Time, CPU seconds, peak memory and size on disk of one consolidation against the number of facts (--sizes), each in a process of
   its own; and of a home of 1 and 4 users, one after the other.
2. Side by side in this run, on the same model and data: time to the same closed-book accuracy. Three arms:
       TRL                       its experimental SDFTTrainer: full-vocabulary KL(teacher || student) (distillation_alpha 0), mean over each
                                 answer and then over answers, on the student's own samples at temperature 1, drawn anew at every step;
                                 the teacher is the untouched base, shown the notes
       engrain, same objective   that very loss, those samples, that teacher, in engrain's training loop
       engrain, default          what `consolidate` does with what is new (its unrelated prompts are left out here): mean over all tokens,
                                 student's and teacher's likeliest answers in turn, drawn anew every few steps
   The same in all three: examples, questions, batch size, LoRA (rank, alpha, layers, first values' distribution), Adam, learning rate at
   every step, clipping, bfloat16 where the processor has it, torch on one thread (engrain runs the two halves of a batch side by side on two
   cores, so compare the CPU seconds). Each arm is a process of its own, asks the same questions
   once before its clock starts (which warms it up) and then every --every steps; asking and saving are off the clock.
   Still different: the order of examples and the random numbers; TRL leaves out a last, smaller minibatch of each round; engrain's
   questions are answered in float32, TRL's in the precision that it trains in.
   TRL runs in an environment of its own, named by --trl-python:
       python -m venv trl && trl/bin/pip install torch==2.13.0 && trl/bin/pip install "trl>=1.16,<2" peft datasets

Bar: engrain with the same objective at least 3 times faster than TRL, on every seed, in CPU seconds (on a shared machine the fairer ones;
wall seconds are reported beside them). What limits it: see the steps, and seconds per step, in the table.
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
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import common
from common import Bars, Meter, Run, closed_book, in_context, number, rate, spread, table
from engrain.engines.lora import SCALE
from engrain.learning import losses
from engrain.learning.loop import Plan, StepReport, TrainState, _learning_rate, context_learning
from engrain.loops.consolidate import longest_answer
from engrain.loops.prepare import prepare
from engrain.prompts import add_context
from engrain.records import Example, Memory
from profiles import ask, evaluation_items, profile, trained_queries

SOURCE = Path(__file__).parent.parent / "src"
SAME, DEFAULT, TRL = "engrain, same objective", "engrain, default", "TRL"
COLOURS = {SAME: "#225588", DEFAULT: "#7799bb", TRL: "#bb6622"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerMeanKL:
    """KL(teacher || student) as TRL averages it: over the tokens of each answer first, so that short answers count as much
    as long ones."""

    answers: Literal["student"] = "student"

    def loss(self, student_BTV: Tensor, teacher_BTV: Tensor, answer_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Mean over answers of the mean over their tokens, in nats."""
        student_NV, teacher_NV = losses.real_tokens(mask_BT, student_BTV, teacher_BTV)
        kl_N = losses.forward_kl(student_NV, teacher_NV)
        kl_BT = torch.zeros(mask_BT.shape, device=kl_N.device).masked_scatter(mask_BT, kl_N)
        return (kl_BT.sum(1) / mask_BT.sum(1)).mean()


class _Reached(Exception):
    """The student has reached the accuracy that was asked for."""


def main() -> None:
    parser = common.options(__doc__, seeds=2)
    parser.add_argument("--sizes", type=int, nargs="*", default=None, help="numbers of facts (default 8 32 128 512)")
    parser.add_argument(
        "--users", type=int, nargs="*", default=None, help="numbers of users, 16 facts each (default 1 4)"
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
    sizes = args.sizes if args.sizes is not None else [8, 16] if args.quick else [8, 32, 128, 512]
    users = args.users if args.users is not None else [1, 2] if args.quick else [1, 4]
    run = Run("cost", args)
    bars = Bars()
    results: dict[str, Any] = {"by_facts": {}, "by_users": {}, "against": [], "ratios": {}}
    against = results["against"] = [compare(run, args, seed) for seed in common.seeds(args)]
    arms = list(dict.fromkeys(arm for a in against for arm in a["arms"]))
    table((f"to {args.share:.0%} of in context", "wall s", "CPU s", "steps", "CPU s/step", "accuracy", "peak MB"), [
        (arm, *summary([a["arms"][arm] for a in against if arm in a["arms"]])) for arm in arms
    ])  # fmt: skip
    ratios = {arm: [f for a in against if (f := faster(a, arm)) is not None] for arm in (SAME, DEFAULT)}
    results["ratios"] = ratios
    if any(ratios.values()):
        table(("TRL / engrain, to the same accuracy", "CPU s", "wall s", "accuracy", "seeds"), [
            (arm, number([f["cpu"] for f in fs]), number([f["wall"] for f in fs]), common.percent([f["accuracy"] for f in fs]), len(fs)) for arm, fs in ratios.items() if fs
        ])  # fmt: skip
    same = [f["cpu"] for f in ratios[SAME]]
    bars.add(
        "TRL's CPU seconds / engrain's, same objective, to the same accuracy, least (0: not measured)",
        min(same, default=0.0),
        len(same) == len(against) and min(same) >= 3,
        ">= 3, on every seed",
    )
    bars.show()
    run.save(results, bars)  # what was measured stays, whatever becomes of the rest
    for name, title, counts in (("by_facts", "facts", sizes), ("by_users", "users, 16 facts each", users)):
        found = results[name]
        for n in counts:
            found[n] = [
                alone(args, n, 1, s) if name == "by_facts" else alone(args, 16, n, s) for s in common.seeds(args)
            ]
            run.say(f"{n} {title}: {number([r['wall_s'] for r in found[n]])} s")
        if found:
            table((title, "wall s", "CPU s", "peak MB", "MB over base", "adapters, MB", "steps", "in weights", "promoted"), [
                (n, *(number([r[k] for r in rs], d) for k, d in (("wall_s", 1), ("cpu_s", 1), ("peak_mb", 0), ("over_mb", 0), ("disk_mb", 2), ("steps", 0), ("learned", 0), ("promoted", 1))))
                for n, rs in found.items()
            ])  # fmt: skip
    draw(run.save(results, bars), results["by_facts"], against)


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
        default = common.plan(settings, seed)
        student = me.engine.student("", rank=settings.rank, seed=seed)
        given = {
            "base": str(args.base.resolve()), "source": str(SOURCE), "seed": seed, "steps": steps, "every": every, "target": target,
            "batch_size": default.batch_size, "tokens": longest_answer(me.engine, batch), "rates": [_learning_rate(default, s, steps) for s in range(steps)], "rank": settings.rank,
            "alpha": SCALE * settings.rank, "layers": sorted(me.engine.network.layers), "bf16": student._dtype.itemsize == 2,
            "stop": sorted(me.engine.chat.stop_ids), "train": [
                {"prompt": me.engine.render(e.query), "privileged_context": me.engine.render(add_context(e.context, e.query))} for e in train
            ],
            "questions": [{"prompt": me.engine.render(e.query), "answer": e.reference} for e in items],
        }  # fmt: skip
    same = replace(default, method=AnswerMeanKL(), temperature=1.0, refresh=1)
    arms: dict[str, Any] = {}
    for arm, plan in ((SAME, same), (DEFAULT, default)):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            arms[arm] = pool.apply(
                teach, (args, plan, train, items, steps, every, target, settings.rank, given["tokens"])
            )
    if (trl := with_trl(run, args, given)) is not None:
        arms[TRL] = trl
    for arm, got in arms.items():
        last = got["curve"][-1]
        run.say(f"seed {seed}, {arm}: {last['right']:.0%} after {last['step']} steps, {last['cpu_s']:.1f} CPU s")
    return {
        "seed": seed,
        "base": base,
        "in_context": teacher,
        "target": target,
        "examples": len(train),
        "questions": len(items),
        "arms": arms,
    }


def teach(
    args: argparse.Namespace,
    plan: Plan,
    train: Sequence[Example],
    items: Sequence[Example],
    steps: int,
    every: int,
    target: float,
    rank: int,
    tokens: int,
) -> dict[str, Any]:
    """engrain's half, in its own process: accuracy and time every so many steps, until the target."""
    curve: list[dict[str, float]] = []
    meter = Meter()
    with common.learner(args) as me:
        student = me.engine.student("", rank=rank, seed=plan.seed, max_tokens=tokens)
        base = rate(closed_book(me, items, "").results)

        def on_step(state: TrainState, _: StepReport) -> None:
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
    return {"curve": curve, "base": base, "peak_mb": common.peak_mb()}


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


def faster(found: dict[str, Any], arm: str) -> dict[str, float] | None:
    """TRL's seconds over those of an arm of engrain, to the highest accuracy that both reached; None without TRL, or where
    one of the two never rose above the base."""
    if TRL not in found["arms"]:
        return None
    mine, theirs = found["arms"][arm], found["arms"][TRL]
    accuracy = min(max(p["right"] for p in got["curve"]) for got in (mine, theirs))
    ours, others = reached(mine, accuracy), reached(theirs, accuracy)
    if accuracy <= found["base"] or ours is None or others is None:
        return None
    return {
        "accuracy": accuracy, "cpu": others["cpu_s"] / max(1e-9, ours["cpu_s"]), "wall": others["wall_s"] / max(1e-9, ours["wall_s"]),
    }  # fmt: skip


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
        for n, found in enumerate(against):
            for arm, got in found["arms"].items():
                points = [{"cpu_s": 0.0, "right": found["base"]}, *got["curve"]]
                right.plot(
                    [p["cpu_s"] for p in points],
                    [100 * p["right"] for p in points],
                    color=COLOURS[arm],
                    label=None if n else arm,
                )
        right.set_xlabel("CPU seconds of training")
        right.set_ylabel("closed-book accuracy, %")
        right.legend(frameon=False)


if __name__ == "__main__":
    main()
