"""What does the service say, and what does it keep, while its disk fails or is full?

`engrain serve` on sprout as a real process, in which every k-th write, every k-th sync, or either, of the database fails with EIO or ENOSPC
(faults.c, preloaded; it needs a C compiler). Users talk to it all the while. After each spell the disk is well again, and the same process must
answer again; after all of an error's spells it is killed in the middle of one more and started anew, and what is on disk is held against what was
acknowledged.

Bars: nothing acknowledged is lost or doubled, the ledger verifies, every error is a 503 in OpenAI's form, and after every spell it answers without a restart.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import common
from common import Bars, Run, table
from engrain.engines.local import LocalEngine
from engrain.store import SqlStore
from kills import Check
from processes import Load, Nursery, free_port, status, wait_until

LEAST = 3
"""Calls that fail in each spell at least."""
KINDS = {"writes": (1, 0), "syncs": (0, 1), "both": (1, 1)}


class _Control(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int32) for name in ("every", "error", "writes", "syncs")),
        *((name, ctypes.c_int64) for name in ("clock_s", "calls", "failed")),
    ]


class Faults:
    """The shim, built in a folder, and its levers; use it in a `with`. What is started with `environment` obeys them."""

    def __init__(self, folder: Path) -> None:
        compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if compiler is None:
            raise LookupError("no C compiler (cc, gcc or clang) is there to build benchmarks/faults.c with")
        library, control = folder / "faults.so", folder / "faults"
        source = Path(__file__).with_name("faults.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
        control.write_bytes(bytes(mmap.PAGESIZE))
        self._file = control.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), mmap.PAGESIZE)
        self._control = _Control.from_buffer(self._map)
        self.environment = {"LD_PRELOAD": str(library), "ENGRAIN_FAULTS": str(control)}

    @property
    def failed(self) -> int:
        """Calls that failed so far."""
        return int(self._control.failed)

    def begin(self, every: int, error: int, kind: str) -> None:
        """From now on every k-th call of this kind fails with this errno."""
        self._control.writes, self._control.syncs = KINDS[kind]
        self._control.error, self._control.every = error, every

    def end(self) -> None:
        """Nothing fails any more."""
        self._control.every = 0

    def move_clock(self, seconds: int) -> None:
        """Set the wall clock of those processes this far ahead (or back) of the real one."""
        self._control.clock_s = seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        del self._control
        self._map.close()
        self._file.close()


def main() -> None:
    parser = common.options(__doc__, seeds=1)
    parser.add_argument(
        "--every", type=int, nargs="+", default=None, help="k (default 1 2 3 5 8 13 30 80; 1 and 8 with --quick)"
    )
    parser.add_argument(
        "--spell", type=float, default=None, help="seconds of each spell at least (default 2; 0.5 with --quick)"
    )
    parser.add_argument("--users", type=int, default=4, help="who talk at the same time (default 4)")
    args = parser.parse_args()
    every = args.every or ([1, 8] if args.quick else [1, 2, 3, 5, 8, 13, 30, 80])
    spell_s = args.spell if args.spell is not None else 0.5 if args.quick else 2.0
    kinds = ["both"] if args.quick else list(KINDS)
    run = Run("faults", args)
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as folder:
        found = sick(run, Path(folder), every, kinds, spell_s)
    spells = found["spells"]
    table(("error, kind, every", "injected", "acknowledged", "503", "other", "recovered in s"), [
        (f"{s['error']} {s['kind']} {s['every']}", s["injected"], s["acknowledged"], s["failed"].get(503, 0),
         sum(n for code, n in s["failed"].items() if code != 503), f"{s['recovered_s']:.2f}") for s in spells
    ])  # fmt: skip
    bars = Bars()
    for name in ("lost", "doubled", "broken"):
        bars.add(name, float(len(found[name])), not found[name], "0")
    others = sum(n for s in spells for code, n in s["failed"].items() if code != 503)
    bars.add("errors other than 503", others, not others, "0")
    bars.add("errors not in OpenAI's form", len(found["wrong"]), not found["wrong"], "0")
    bars.add(
        "spells with faults",
        sum(s["injected"] > 0 for s in spells),
        all(s["injected"] for s in spells),
        f"{len(spells)}",
    )
    bars.add("acknowledged in all", found["acknowledged"], found["acknowledged"] > 0, "> 0")
    bars.show()
    path = run.save(found, bars)
    with common.picture(path) as axis:
        axis.plot([s["recovered_s"] for s in spells], "o")
        axis.set_xlabel("spell")
        axis.set_ylabel("seconds until it answers again")


def sick(run: Run, folder: Path, every: Sequence[int], kinds: Sequence[str], spell_s: float) -> dict[str, Any]:
    """All spells of both errors; what was counted, and every fault in words."""
    home, port = folder / "home", free_port()
    check = Check(home, LocalEngine(run.args.base, adapters_dir=home / "adapters"))
    spells: list[dict[str, Any]] = []
    wrong: list[str] = []
    users = [f"user-{n}" for n in range(run.args.users)]
    words = ("serve", "--no-learn", "--home", home, "--base", run.args.base, "--port", port, "--device", "cpu")
    SqlStore(home).close()
    with Faults(folder) as faults, Nursery(folder / "log", faults.environment) as nursery:
        service = nursery.start("engrain", *words)
        wait_until(lambda: status(port) == 200, "the service does not answer", service)
        for error in (errno.EIO, errno.ENOSPC):
            for kind in kinds:
                for k in every:
                    before = faults.failed
                    with Load(port, users, said=check.said) as load:
                        faults.begin(k, error, kind)
                        time.sleep(spell_s)
                        wait_until(partial(since, faults, before), "nothing fails", service)
                        faults.end()
                    with Load(port, users[:1], said=load.said) as well:
                        recovered_s = well.wait_for_one_more(service)
                    check.said = well.said
                    wrong += load.wrong + well.wrong
                    check.acknowledged += load.acknowledged + well.acknowledged
                    failed = Counter(load.failed) + Counter(well.failed)
                    spells.append({
                        "error": errno.errorcode[error], "kind": kind, "every": k, "injected": faults.failed - before,
                        "acknowledged": len(load.acknowledged), "failed": dict(failed), "recovered_s": recovered_s,
                    })  # fmt: skip
                    run.say(f"{spells[-1]}")
            with Load(port, users, said=check.said) as load:
                faults.begin(every[-1], error, kinds[-1])
                time.sleep(spell_s)
                nursery.end(service)
                faults.end()
            check.said, check.acknowledged = load.said, check.acknowledged + load.acknowledged
            service = nursery.start("engrain", *words)
            check.now(errno.errorcode[error])
            wait_until(lambda: status(port) == 200, "the service does not answer", service)
    return {
        "spells": spells, "wrong": wrong, "acknowledged": len(check.acknowledged), "entries": check.entries,
        "recovered_s": statistics.median(s["recovered_s"] for s in spells),
        **{n: check.faults_of(n) for n in ("lost", "doubled", "broken", "half")},
    }  # fmt: skip


def since(faults: Faults, before: int) -> bool:
    """Whether enough calls failed since then."""
    return faults.failed >= before + LEAST


if __name__ == "__main__":
    main()
