"""Learning from failure: how many tasks are solved by trial n, with and without reflections, and with reflections shared between tasks?

A scripted agent (no language model: it follows the plan that it knows, and every advice that it is shown) works in a made-up household. Each kind of
object needs two things done before it can be used, which the agent does not know; a verifier, which acts the answer out, says of a failed try the first
thing that was missing. Tasks are told in plain words ("Use the kettle in the kitchen."), in an order that mixes the objects.

    again        only tries again, with one more step of its own guessing each time
    own          reflections of the task itself: each task has a memory of its own, as in Reflexion
    shared       one memory for all: `loops.reflect.solve` as it is
    written      the same, with reflections that the local base (--base) writes instead of rules; its calls are counted

Everything else is real: store, recall, reflections, verdicts of the verifier as feedback, counters. Bar: with shared reflections more tasks are solved at the first
try and by every later one than with own ones, and with own ones more by the last than without.

    python benchmarks/failure.py
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from common import Bars, Run, options, picture, seeds, spread, table
from engrain.engines.local import LocalEngine
from engrain.gateway.answer import Serving, answer
from engrain.loops.reflect import Critic, Written, by_rules, solve
from engrain.loops.sleep import Metered
from engrain.memory import HashedEmbedder, Shelf
from engrain.memory.worth import worths
from engrain.protocols import Completion, Conversation, Finding
from engrain.records import Interaction, Memory, Message, Scope
from engrain.store import SqlStore

NEEDS = {
    "kettle": ("fill it with water", "plug it in"), "lathe": ("wear the goggles", "lock the chuck"), "kiln": ("close the flap", "set the cone"),
    "printer": ("load the paper", "clear the tray"), "boat": ("check the bilge", "untie the rope"), "oven": ("light the pilot", "close the door"),
    "drone": ("calibrate the compass", "open the arms"), "piano": ("lift the lid", "tune the strings"), "tractor": ("release the brake", "prime the pump"),
    "loom": ("thread the heddles", "wind the bobbin"), "safe": ("enter the code", "turn the wheel"), "camera": ("charge the battery", "remove the cap"),
}  # fmt: skip
PLACES = ("kitchen", "barn", "shed", "attic", "yard")
STEPS = sorted(step for steps in NEEDS.values() for step in steps)
ARMS = ("again", "own", "shared", "written")


class Agent:
    """Does what it is asked, after every step that it was advised for this object; answers with its plan, one step a line."""

    base = "scripted"

    def __init__(self, rng: random.Random | None = None) -> None:
        self.rng = rng

    def sample(
        self,
        prompts: Sequence[Conversation],
        *,
        adapter: str = "",
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Completion]:
        return [self._plan(prompt) for prompt in prompts]

    def score(
        self, prompts: Sequence[Conversation], answers: Sequence[Sequence[int]], *, adapter: str = ""
    ) -> list[list[float]]:
        return [[0.0] * len(a) for a in answers]

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def _plan(self, prompt: Conversation) -> Completion:
        task = prompt[-1].content
        thing = next(o for o in NEEDS if o in task)
        advice = [line for m in prompt if m.role == "system" for line in m.content.splitlines() if thing in line]
        steps = [s for s in STEPS if any(s in line for line in advice)]
        if self.rng is not None:
            steps += self.rng.sample(STEPS, 1)
        text = "\n".join([*dict.fromkeys(steps), f"use the {thing}"])
        return Completion(
            text=text, token_ids=(), logprobs=(), input_tokens=0, output_tokens=len(steps) + 1, finish_reason="stop"
        )


class Household:
    """Acts the plan out: content if everything was done that the object needs."""

    name = "household"

    def verify(self, interaction: Interaction) -> Finding:
        thing = next(o for o in NEEDS if o in interaction.query)
        done = interaction.answer.splitlines()
        missing = next((s for s in NEEDS[thing] if s not in done), None)
        return Finding(
            score=float(missing is None), reason="" if missing is None else f"for the {thing}, {missing} before"
        )


def tasks(rng: random.Random, quick: bool) -> list[str]:
    found = [f"Use the {thing} in the {place}." for thing in NEEDS for place in PLACES]
    rng.shuffle(found)
    return found[:12] if quick else found


def run_arm(arm: str, seed: int, trials: int, quick: bool, base: LocalEngine) -> dict[str, Any]:
    """At which trial each task was solved (from 1; 0: never), in order, and what was reflected."""
    rng = random.Random(seed)
    asked, embedder, shelf = tasks(rng, quick), HashedEmbedder(), Shelf()
    agent, model = Agent(rng if arm == "again" else None), Metered(base)
    critics: dict[str, Critic | None] = {"again": None, "written": Written(model)}
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as home:
        store = SqlStore(home)
        solved: list[int] = []
        reflections = 0
        for number, task in enumerate(asked):
            scope = Scope(user=f"task {number}" if arm == "own" else "all")

            def act(task: str = task, scope: Scope = scope) -> Interaction:
                said = [Message(role="user", content=task)]
                return answer(store, agent, embedder, said, scope=scope, serving=Serving(recall_limit=6), shelf=shelf)

            tried = solve(
                store,
                embedder,
                act,
                [Household()],
                scope=scope,
                trials=trials,
                critic=critics.get(arm, by_rules),
                shelf=shelf,
            )
            solved.append(len(tried.interactions) if tried.solved else 0)
            reflections += len(tried.reflections)
        kept = [m for m in store.select(Memory, scope=Scope(user="all")) if m.kind == "reflection"]
        counted = worths(store, Scope(user="all"), [m.id for m in kept])
        store.close()
    return {
        "solved": solved, "reflections": reflections,
        "helpful": sum(w.helpful for w in counted.values()), "harmful": sum(w.harmful for w in counted.values()),
        "calls": model.calls, "tokens": model.tokens, "said": [m.text for m in kept[:5]],
    }  # fmt: skip


def main() -> None:
    parser = options(__doc__, seeds=3)
    parser.add_argument("--trials", type=int, default=4, help="tries of each task at most (default 4)")
    args = parser.parse_args()
    run, bars = Run("failure", args), Bars()
    results: dict[str, Any] = {}
    base = LocalEngine(args.base, adapters_dir=args.out)
    for arm in ARMS:
        found = [run_arm(arm, seed, args.trials, args.quick, base) for seed in seeds(args)]
        by = [[np.mean([0 < s <= n for s in f["solved"]]) for n in range(1, args.trials + 1)] for f in found]
        results[arm] = {"by_trial": [spread([float(b[n]) for b in by]) for n in range(args.trials)], "runs": found}
        run.say(f"{arm}: {len(found[0]['solved'])} tasks, {len(found)} seeds")
    table(("solved by trial, % (mean of the seeds, least to most)", *map(str, range(1, args.trials + 1)), "reflections", "calls, tokens of the model"), [
        (arm, *(f"{100 * s['mean']:.0f} ({100 * s['min']:.0f} to {100 * s['max']:.0f})" for s in r["by_trial"]),
         f"{np.mean([x['reflections'] for x in r['runs']]):.0f}", f"{np.mean([x['calls'] for x in r['runs']]):.0f}, {np.mean([x['tokens'] for x in r['runs']]):.0f}")
        for arm, r in results.items()
    ])  # fmt: skip
    share = {arm: [s["mean"] for s in r["by_trial"]] for arm, r in results.items()}
    bars.add(
        "shared - own, first try", share["shared"][0] - share["own"][0], share["shared"][0] > share["own"][0], "> 0"
    )
    worst = min(a - b for a, b in zip(share["shared"], share["own"], strict=True))
    bars.add("shared - own, any trial, least", worst, worst >= 0, ">= 0")
    bars.add(
        "own - again, by the last", share["own"][-1] - share["again"][-1], share["own"][-1] > share["again"][-1], "> 0"
    )
    bars.show()
    with picture(run.save(results, bars)) as axis:
        for arm in ARMS:
            axis.plot(range(1, args.trials + 1), [100 * s for s in share[arm]], marker="o", label=arm)
        axis.set_xticks(range(1, args.trials + 1))
        axis.set_xlabel("trial")
        axis.set_ylabel("tasks solved by then, %")
        axis.set_ylim(0, 103)
        axis.legend(frameon=False)


if __name__ == "__main__":
    main()
