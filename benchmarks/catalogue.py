"""What does it cost that most adapters are on disk? A large catalogue of adapters, of which a few fit into memory.

1. Cold load: an adapter that is neither in engrain's memory nor in the system's file cache, opened, checked against its name, and ready to
   take a row. Against the same from memory.
2. No cliff: requests of 8 tokens, always 32 in flight, through the batcher; each takes an adapter at random of a working set, which is half of what
   memory holds, all of it, twice and eight times it. Rounds are interleaved.
3. Memory: the process before and after, when many times what fits has gone through.

The adapters are random, of --rank on every linear layer. They are written without waiting for the disk: only reading is measured.

Bars: cold load p99 <= 20 ms; at twice what memory holds >= 0.5 of the tokens a second within it; memory grows by <= 10 % of the process.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import torch

import common
from common import Bars, Run, table
from engrain.engines import lora
from engrain.engines.batching import Batcher, Ticket
from engrain.engines.local import LocalEngine
from engrain.records import Message

IN_FLIGHT = 32
TOKENS = 8
SETS = {"half": 0.5, "all": 1.0, "twice": 2.0, "eight times": 8.0}


def main() -> None:
    parser = common.options(__doc__, seeds=1)
    parser.add_argument(
        "--adapters", type=int, default=None, help="in the catalogue (default 20000; the bar names 100000)"
    )
    parser.add_argument("--resident", type=int, default=None, help="that memory holds (default 64)")
    parser.add_argument("--rank", type=int, default=1, help="of each (default 1, so that many fit the disk)")
    parser.add_argument("--rounds", type=int, default=None, help="interleaved rounds (default 5)")
    parser.add_argument("--requests", type=int, default=None, help="of a round and working set (default 320)")
    args = parser.parse_args()
    count, resident = args.adapters or (40 if args.quick else 20_000), args.resident or (4 if args.quick else 64)
    rounds, requests = args.rounds or (1 if args.quick else 5), args.requests or (64 if args.quick else 320)
    if count < resident * max(SETS.values()):
        raise SystemExit(f"--adapters {count} is less than {max(SETS.values()):g} times --resident {resident}")
    run, rng = Run("catalogue", args), random.Random(0)
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as folder:
        names = written(args.base, Path(folder), count, args.rank, run)
        size = held(LocalEngine(args.base, adapters_dir=Path(folder)), names[0])
        engine = LocalEngine(args.base, adapters_dir=Path(folder), adapter_bytes=size * resident)
        cold, warm = loads(engine, rng.sample(names, min(1000, count)), Path(folder))
        run.say(f"cold load p50 {quantile(cold, 0.5):.1f} ms, p99 {quantile(cold, 0.99):.1f} ms")
        speeds: dict[str, list[float]] = {name: [] for name in SETS}
        process, before = psutil.Process(), 0
        with Batcher(engine, rows=IN_FLIGHT) as batcher:
            for number in range(rounds + 1):
                for name, share in SETS.items():
                    working = rng.sample(names, int(resident * share))
                    serve(
                        batcher, working[:resident], len(working[:resident]), rng
                    )  # as it is when it has run for a while
                    took = serve(batcher, working, requests, rng)
                    if number:
                        speeds[name].append(requests * TOKENS / took)
                before = before or process.memory_info().rss
                run.say(f"round {number}: {process.memory_info().rss >> 20} MB")
        after = process.memory_info().rss
        kept = engine.resident_bytes // size
    within = statistics.median(speeds["all"])
    table(("working set", "tokens/s, median", "of that within memory"), [
        (name, f"{statistics.median(s):.0f}", f"{statistics.median(s) / within:.2f}") for name, s in speeds.items()
    ])  # fmt: skip
    table(("one adapter", "p50 ms", "p99 ms", "most ms"), [
        (name, *(f"{quantile(ms, q):.2f}" for q in (0.5, 0.99, 1.0))) for name, ms in (("cold", cold), ("from memory", warm))
    ])  # fmt: skip
    print(
        f"{count} adapters of {size >> 10} KB, {kept} in memory at the end; process {before >> 20} MB, then {after >> 20} MB"
    )
    bars = Bars()
    bars.add("cold load, p99 ms", quantile(cold, 0.99), quantile(cold, 0.99) <= 20, "<= 20")
    cliff = statistics.median(a / b for a, b in zip(speeds["twice"], speeds["all"], strict=True))
    bars.add("twice what memory holds / within it", cliff, cliff >= 0.5, ">= 0.5")
    grown = after / before - 1
    bars.add("memory, grown by", grown, grown <= 0.1, "<= 0.1")
    bars.show()
    path = run.save(
        {"adapters": count, "resident": resident, "rank": args.rank, "bytes": size, "cold_ms": cold, "warm_ms": warm, "tokens_s": speeds, "rss": [before, after]},
        bars,
    )  # fmt: skip
    with common.picture(path) as axis:
        axis.plot(sorted(cold), [100 * (i + 1) / len(cold) for i in range(len(cold))])
        axis.axvline(20, color="#bb6622", lw=1)
        axis.set_xlabel("ms to open an adapter from disk")
        axis.set_ylabel("% of adapters")


def written(base: Path, folder: Path, count: int, rank: int, run: Run) -> list[str]:
    """So many random adapters in the folder."""
    engine = LocalEngine(base, adapters_dir=folder)
    sync, lora._sync = lora._sync, lambda _path: None
    try:
        names: list[str] = []
        for seed in range(count):
            generator = torch.Generator().manual_seed(seed)
            pairs = {
                name: (
                    torch.randn(rank, into, generator=generator) * 0.1,
                    torch.randn(out, rank, generator=generator) * 0.05,
                )
                for name, (out, into) in engine.network.layers.items()
            }
            names.append(engine.save(pairs))
            if seed % 5000 == 4999:
                run.say(f"{seed + 1} adapters written")
    finally:
        lora._sync = sync
    os.sync()
    return names


def held(engine: LocalEngine, name: str) -> int:
    """Bytes of one adapter in memory."""
    engine.weights(name)
    return engine.resident_bytes


def loads(engine: LocalEngine, names: Sequence[str], folder: Path) -> tuple[list[float], list[float]]:
    """Milliseconds to open each, from disk and once more from memory."""
    cold: list[float] = []
    warm: list[float] = []
    for name in names:
        for file in (folder / name).iterdir():
            with open(file, "rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for found in (cold, warm):
            begun = time.perf_counter()
            engine.weights(name)
            found.append((time.perf_counter() - begun) * 1000)
    return cold, warm


def serve(batcher: Batcher, working: Sequence[str], requests: int, rng: random.Random) -> float:
    """Seconds for so many requests, always IN_FLIGHT at once, each under one of these adapters."""
    open_now: list[Ticket] = []
    begun = time.perf_counter()
    for number in range(requests):
        if len(open_now) == IN_FLIGHT:
            open_now.pop(0).done.result()
        asked = [Message(role="user", content=f"What is the code of gate {number % 7}?")]
        open_now.append(
            batcher.submit(asked, adapter=rng.choice(working), max_tokens=TOKENS, temperature=1.0, seed=number)
        )
    for ticket in open_now:
        ticket.done.result()
    return time.perf_counter() - begun


def quantile(values: Sequence[float], q: float) -> float:
    """Of the sorted values, the one at q."""
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


if __name__ == "__main__":
    main()
