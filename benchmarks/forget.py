"""Does forgetting leave exactly the weights of a history without the record? Random deletions, each compared to the bit.

A small home (12 facts in two consolidations) is built once for each seed. For each deletion a copy of it forgets one record, and a
fresh home is told the same without that record and consolidated twice; the two live adapters are compared by hash and byte for
byte. Times: `forget` against building the home from nothing.

The gate is told to promote every candidate here, so that both histories have the same two versions; whether an update deserves
promotion is another question (the gate's own tests). Runs are short for the same reason: any number of steps must agree.

Bars: bit-identity over 20 random deletions. Time is reported: forgetting against building the home from nothing, and their ratio.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
from common import Bars, Meter, Run, number, spread, table
from engrain.evaluation import SequentialGate
from engrain.loops.consolidate import Consolidation
from engrain.loops.prepare import Preparation
from engrain.records import Decision, Verdict
from profiles import Item, profile

BATCHES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoting(SequentialGate):
    """Promotes every candidate: forgetting is measured here, not judgement."""

    def decide(self, **evidence: Any) -> Verdict:
        after, live = evidence["candidate"], evidence["live"]
        return Verdict(
            scope=evidence["scope"], decision="promote", reasons=("this benchmark promotes everything",), candidate=after.adapter,
            against=live.adapter, causes=(after.id, live.id),
        )  # fmt: skip

    def least_new(self, index: int, history: Sequence[Decision] = ()) -> int:
        return 0

    def least_retained(self, index: int, history: Sequence[Decision] = ()) -> int:
        return 0


def main() -> None:
    parser = common.options(__doc__, seeds=2)
    parser.add_argument("--deletions", type=int, default=None, help="random deletions, all seeds together (default 20)")
    parser.add_argument("--facts", type=int, default=12, help="facts of a home (default 12)")
    args = parser.parse_args()
    run = Run("forget", args)
    users = common.seeds(args)
    deletions = args.deletions or (2 if args.quick else 20)
    share = [deletions // len(users) + (s < deletions % len(users)) for s in users]
    if max(share) > args.facts:
        raise SystemExit(f"{max(share)} deletions of {args.facts} facts for each seed; give more --seeds or --facts")
    steps = args.steps or (10 if args.quick else 40)
    consolidation = common.settings(
        args, gate=Promoting(), least_steps=steps, most_steps=steps, least_advantage=-1.0, gate_items=16, scales=(1.0,),
        preparation=Preparation(guards=32),
    )  # fmt: skip
    found = [
        case for seed, count in zip(users, share, strict=True) for case in one(run, args, seed, count, consolidation)
    ]
    same = [f["identical"] for f in found]
    table(("deletion of", "cases", "bit-identical", "forget, s", "from nothing, s", "forget / from nothing"), [
        (f"a fact of batch {b + 1}", len(some), sum(f["identical"] for f in some), number([f["forget_s"] for f in some]), number([f["fresh_s"] for f in some]), number([f["forget_s"] / f["fresh_s"] for f in some], 2))
        for b in range(BATCHES) if (some := [f for f in found if f["batch"] == b])
    ])  # fmt: skip
    bars = Bars()
    bars.add("rebuilt adapters that are bit-identical", sum(same) / len(same), all(same), "= 1.00")
    trained = [f["trained"] for f in found]
    bars.add(
        "cases in which both homes have an adapter (else nothing was compared)",
        sum(trained) / len(trained),
        all(trained),
        "= 1.00",
    )
    gone = [f["changed"] for f in found]
    bars.add("rebuilt adapters that differ from the one before", sum(gone) / len(gone), all(gone), "= 1.00")
    bars.show()
    times = {k: spread([f[k] for f in found]) for k in ("forget_s", "fresh_s", "forget_cpu_s", "fresh_cpu_s")}
    times["forget / from nothing"] = spread([f["forget_s"] / f["fresh_s"] for f in found])
    draw(run.save({"steps": steps, "times": times, "cases": found}, bars), found)


def one(
    run: Run, args: argparse.Namespace, seed: int, count: int, consolidation: Consolidation
) -> list[dict[str, Any]]:
    items = profile(seed, args.facts, 0, 0, unknown=0).items
    chosen = random.Random(f"forget/{seed}").sample(range(len(items)), count)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as folder:
        origin = Path(folder) / "origin"
        versions, _ = build(args, origin, items, None, consolidation)
        for place in chosen:
            copy, fresh = Path(folder) / f"copy-{place}", Path(folder) / f"fresh-{place}"
            shutil.copytree(origin, copy)
            with Meter() as forgetting, common.learner(args, copy, consolidation=consolidation) as me:
                memory = next(m for m in me.memories(all_states=True) if m.text == items[place].note)
                receipt = me.forget(memory.id)
                rebuilt = me.store.live(me.scope)
            wanted, building = build(args, fresh, items, place, consolidation)
            batch = place // (len(items) // BATCHES)
            case = {
                "seed": seed, "place": place, "batch": min(batch, BATCHES - 1), "rebuilt": len(receipt.rebuilt),
                "trained": bool(rebuilt) and bool(wanted[-1]), "adapters": [rebuilt, wanted[-1]], "identical": rebuilt == wanted[-1] and same_files(copy, fresh, rebuilt),
                "changed": rebuilt != versions[-1], "forget_s": forgetting.wall_s, "forget_cpu_s": forgetting.cpu_s,
                "fresh_s": building.wall_s, "fresh_cpu_s": building.cpu_s,
            }  # fmt: skip
            found.append(case)
            run.say(
                f"seed {seed}, fact {place}: {'identical' if case['identical'] else 'DIFFERENT'}, {forgetting.wall_s:.1f} s against {building.wall_s:.1f} s"
            )
            shutil.rmtree(copy)
            shutil.rmtree(fresh)
    return found


def build(
    args: argparse.Namespace, home: Path, items: tuple[Item, ...], without: int | None, consolidation: Consolidation
) -> tuple[list[str], Meter]:
    """(live adapter after each consolidation, what it took) of a home that is told the items but for one."""
    size = len(items) // BATCHES
    live: list[str] = []
    with Meter() as meter, common.learner(args, home, consolidation=consolidation) as me:
        for b in range(BATCHES):
            for place in range(b * size, len(items) if b == BATCHES - 1 else (b + 1) * size):
                if place != without:
                    me.tell(items[place].note)
            me.consolidate()
            live.append(me.store.live(me.scope))
    return live, meter


def same_files(one: Path, other: Path, adapter: str) -> bool:
    """Whether every file of the adapter has the same bytes in both homes."""
    if not adapter:
        return True
    a, b = one / "adapters" / adapter, other / "adapters" / adapter
    names = {f.name for f in a.iterdir()}
    return (
        b.is_dir()
        and names == {f.name for f in b.iterdir()}
        and all((a / n).read_bytes() == (b / n).read_bytes() for n in names)
    )


def draw(path: Path, found: list[dict[str, Any]]) -> None:
    ordered = sorted(found, key=lambda f: (f["batch"], f["forget_s"]))
    with common.picture(path) as axis:
        axis.scatter(range(len(ordered)), [f["fresh_s"] for f in ordered], color="#999999", label="from nothing")
        colours = ["#225588" if f["identical"] else "#cc2222" for f in ordered]
        axis.scatter(
            range(len(ordered)),
            [f["forget_s"] for f in ordered],
            color=colours,
            label="forget (red: not bit-identical)",
        )
        axis.set_ylim(bottom=0)
        axis.set_xlabel("deletions, those of the first batch first")
        axis.set_ylabel("seconds")
        axis.legend(frameon=False)


if __name__ == "__main__":
    main()
