"""What is left of a service that is killed without a word, over and over, while people talk to it?

`engrain serve` on sprout as a real process; users talk to it all the time with the official client (answers, streams, ratings), and a second process
learns: it saves a version and promotes it, as fast as it can. At a random moment both get SIGKILL, one time in ten before the service answers at all; the next ones
start on the same home while what is left is checked:
    lost        acknowledged (200, and read to the end) but not on record with the same words
    doubled     on record more than once
    broken      the ledger does not verify (`engrain verify`)
    half        a promoted version that is not whole on disk, a promotion that was reported and is not in the history, or an answer by neither
What was not acknowledged may be there or not, once.

Bars: none of them in any kill.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

import common
from common import Bars, Run, table
from engrain.engines import lora
from engrain.engines.local import LocalEngine
from engrain.errors import EngrainError, LedgerBroken
from engrain.records import Adapter, Feedback, Interaction, Scope, Verdict, new_id
from engrain.store import SqlStore
from processes import Acknowledged, Load, Nursery, free_port, status, wait_until

LEARNER = "user-0"
"""Who talks, and whose versions change meanwhile."""
LEARN_S = 0.1
"""Between two promotions."""


def main() -> None:
    parser = common.options(__doc__, seeds=1)
    parser.add_argument("--kills", type=int, default=None, help="how often (default 200; 6 with --quick)")
    parser.add_argument("--users", type=int, default=4, help="who talk at the same time (default 4)")
    parser.add_argument(
        "--window",
        type=float,
        default=0.5,
        help="seconds within which a kill comes, from the first acknowledgement on (default 0.5)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    kills = args.kills or (6 if args.quick else 200)
    run = Run("kills", args)
    run.say(f"{kills} kills")
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as folder:
        found = killed(run, Path(folder), kills)
    counts = found["counts"]
    table(("over all kills", ""), [
        ("kills", kills), ("of them before it answered", found["early"]),
        *((f"acknowledged: {kind}", counts[kind]) for kind in ("answer", "stream", "feedback", "promotion")),
        ("on record though not acknowledged", found["unacknowledged"]), ("ledger entries in the end", found["entries"]),
        ("until it answers again, median s", f"{statistics.median(found['starts']):.2f}"),
        ("until it answers again, most s", f"{max(found['starts']):.2f}"),
    ])  # fmt: skip
    bars = Bars()
    for name in ("lost", "doubled", "broken", "half"):
        bars.add(name, float(len(found[name])), not found[name], "0")
    bars.add("kills", kills, kills >= (1 if args.quick else 200), ">= 200")
    bars.add("acknowledged", sum(counts.values()), sum(counts.values()) >= kills, ">= 1 a kill")
    bars.show()
    path = run.save(found, bars)
    with common.picture(path) as axis:
        axis.hist(found["starts"], bins=20)
        axis.set_xlabel("seconds from a kill's successor to its first answer")
        axis.set_ylabel("kills")


def killed(run: Run, folder: Path, kills: int) -> dict[str, Any]:
    """Kill it this often; everything that was counted, and every fault in words."""
    home, port, rng = folder / "home", free_port(), random.Random(run.args.seed)
    engine = LocalEngine(run.args.base, adapters_dir=home / "adapters")
    layer, (out, into) = next(iter(engine.network.layers.items()))
    promoted = folder / "promoted"
    learner = (home, engine.base, layer, out, into, int(engine.network.transposed), promoted)
    SqlStore(home).close()
    promoted.touch()
    check, early = Check(home, engine), 0
    starts: list[float] = []
    with (
        Nursery(folder / "log") as nursery,
        Load(port, [f"user-{n}" for n in range(run.args.users)]) as load,
    ):

        def begin() -> tuple[int, int]:
            words = ("serve", "--no-learn", "--home", home, "--base", run.args.base, "--port", port, "--device", "cpu")
            return nursery.start("engrain", *words), nursery.start("kills:learn", *learner)

        service, learns = begin()
        for number in range(kills):
            begun = time.monotonic()
            if rng.random() < 0.1 and number:
                early += 1
                time.sleep(rng.uniform(0.0, 0.5))
            else:
                wait_until(lambda: status(port) == 200, "the service does not answer", service)
                starts.append(time.monotonic() - begun)
                load.wait_for_one_more(service)
                time.sleep(rng.uniform(0.0, run.args.window))
            nursery.end(service)
            nursery.end(learns)
            check.acknowledged, check.promoted = load.so_far(), promoted.read_text().split()
            service, learns = begin()  # it comes up while what the last one left is looked at
            check.now(f"kill {number + 1}")
            if (number + 1) % 20 == 0:
                run.say(f"{number + 1} kills, {len(check.acknowledged)} acknowledged, {len(check.faults)} faults")
        wait_until(lambda: status(port) == 200, "the service does not answer", service)
    check.acknowledged, check.promoted = load.acknowledged, promoted.read_text().split()
    check.now("the end")
    counts = Counter(a.kind for a in check.acknowledged)
    return {
        "kills": kills, "early": early, "starts": starts, "failed": load.failed, "entries": check.entries,
        "counts": dict(counts) | {k: 0 for k in ("answer", "stream", "feedback") if k not in counts} | {"promotion": len(check.promoted)},
        "unacknowledged": check.unacknowledged, **{n: check.faults_of(n) for n in ("lost", "doubled", "broken", "half")},
    }  # fmt: skip


class Check:
    """Holds what is on disk against what was acknowledged."""

    def __init__(self, home: Path, engine: LocalEngine) -> None:
        self._home, self._engine = home, engine
        self._whole: set[str] = {""}
        self.acknowledged: list[Acknowledged] = []
        self.promoted: list[str] = []
        self.faults: list[tuple[str, str]] = []
        self.entries = self.unacknowledged = self.said = 0

    def faults_of(self, kind: str) -> list[str]:
        return [said for k, said in self.faults if k == kind]

    def now(self, when: str) -> None:
        """Look at all of it."""
        with closing(SqlStore(self._home)) as store:
            try:
                self.entries = store.verify()
            except LedgerBroken as error:
                self.faults.append(("broken", f"{when}: {error}"))
            self._answers(store, when)
            self._versions(store, when)

    def _answers(self, store: SqlStore, when: str) -> None:
        known, self.unacknowledged = {a.id for a in self.acknowledged}, 0
        on_record = {p.scope.user for p in store.people(Scope().tenant)}
        for user in sorted(on_record | {a.user for a in self.acknowledged}):
            scope, mine = Scope(user=user), [a for a in self.acknowledged if a.user == user]
            kept = list(store.select(Interaction, scope=scope))
            rated = Counter(f.id for f in store.select(Feedback, scope=scope))
            ids, words = Counter(i.id for i in kept), Counter(i.query for i in kept)
            said = {i.id: i.query for i in kept}
            self.unacknowledged += sum(i.id not in known for i in kept)
            for what, times in (*ids.items(), *words.items(), *rated.items()):
                if times != 1:
                    self.faults.append(("doubled", f"{when}: {what} is there {times} times"))
            for one in mine:
                there = one.id in rated if one.kind == "feedback" else said.get(one.id) == one.text
                if not there:
                    self.faults.append(("lost", f"{when}: {one.kind} {one.id} of {user}"))

    def _versions(self, store: SqlStore, when: str) -> None:
        scope = Scope(user=LEARNER)
        versions = {a.id for a in store.select(Adapter, scope=scope)}
        moves = [m.adapter for m in store.pointer_history(scope)]
        answered = {i.stamp.adapter for i in store.select(Interaction, scope=scope)} - {""}
        for name in (versions | set(moves) | answered) - self._whole:
            try:
                lora.load(self._engine.adapters_dir, name, base=self._engine.base, device="cpu")
                self._whole.add(name)
            except EngrainError as error:
                self.faults.append(("half", f"{when}: {error}"))
        if missing := set(self.promoted) - set(moves):
            self.faults.append(("half", f"{when}: promotions of {sorted(missing)} are not in the history"))
        if store.live(scope) != (moves or [""])[-1] or (stray := (set(moves) | answered) - versions - {""}):
            self.faults.append(("half", f"{when}: {stray} have no record, or the live version is not the last move's"))


def learn(home: str, base: str, layer: str, out: str, into: str, transposed: str, promoted: str) -> None:
    """Save and promote one version after the other, in the steps in which a consolidation ends; runs in a process that is killed."""
    scope, folder = Scope(user=LEARNER), Path(home)
    with closing(SqlStore(folder)) as store, Path(promoted).open("a") as said:
        while True:
            pair = torch.randn(1, int(into)) * 0.01, torch.randn(int(out), 1) * 0.01
            name = lora.save({layer: pair}, folder / "adapters", base=base, transposed=bool(int(transposed)))
            live = store.live(scope)
            adapter = Adapter(id=name, scope=scope, base=base, parent=live)
            verdict = Verdict(
                id=new_id("ver"),
                scope=scope,
                decision="promote",
                reasons=("a benchmark",),
                candidate=name,
                against=live,
            )
            store.set_live(scope, name, verdict.id, expected=live, records=[adapter, verdict])
            said.write(name + "\n")
            said.flush()
            time.sleep(LEARN_S)


if __name__ == "__main__":
    main()
