"""What becomes of ten thousand streams that are asked for at once?

So many connections are opened to `engrain serve` and held open; each asks for a streamed answer, and one in ten of those never reads what comes. The service
answers as many as it has rows, lets 256 wait, and must refuse the others at once, in OpenAI's form, without losing anybody.

Bars: each is answered with 200 or 503, no connection breaks; the refusals are whole errors with retry-after; meanwhile and afterwards the service
lives; the memory of its process grows by at most 32 KiB a connection.
"""

from __future__ import annotations

import asyncio
import json
import resource
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

import common
from catalogue import quantile
from common import Bars, Run, table
from processes import Nursery, free_port, status, wait_until

AT_ONCE = 500
"""Connections that are being opened at the same time: more than that is refused by the system, not by the service."""
PATIENCE_S = 300.0
SLOW = 10


@dataclass(slots=True)
class Crowd:
    """What was seen of all of them."""

    answered: Counter[int] = field(default_factory=Counter[int])
    """By status; 0 where a connection broke or nothing came."""
    waits: dict[int, list[float]] = field(default_factory=dict[int, list[float]])
    """Seconds to the status, by status."""
    wrong: list[str] = field(default_factory=list[str])
    """Refusals that are no whole errors."""
    whole: int = 0
    """Streams that were read to their end."""


def main() -> None:
    parser = common.options(__doc__, seeds=1)
    parser.add_argument("--streams", type=int, default=None, help="that are asked for (default 10000)")
    args = parser.parse_args()
    streams = args.streams or (400 if args.quick else 10_000)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < streams + 500:
        raise SystemExit(
            f"--streams {streams}: this system allows {most} open files; raise it (ulimit -n), or ask for fewer"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    run = Run("crowd", args)
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as folder:
        port = free_port()
        with Nursery(Path(folder) / "log") as nursery:
            words = ("--home", Path(folder) / "home", "--base", args.base, "--port", port, "--device", "cpu")
            service = nursery.start("engrain", "serve", "--no-learn", *words)
            wait_until(lambda: status(port) == 200, "the service does not answer", service)
            process = psutil.Process(service)
            before = process.memory_info().rss
            crowd, lived, most_bytes = asyncio.run(come(port, streams, process))
            run.say(", ".join(f"{code}: {n}" for code, n in sorted(crowd.answered.items())))
            afterwards = wait_until(lambda: status(port) == 200, "the service is not ready again", service)
    grown = (most_bytes - before) / streams / 1024
    table(("answered", "connections", "p50 s", "p99 s", "most s"), [
        (code or "broken", n, *(f"{quantile(crowd.waits[code], q):.2f}" for q in (0.5, 0.99, 1.0))) for code, n in sorted(crowd.answered.items())
    ])  # fmt: skip
    print(
        f"{crowd.whole} streams read to their end; /health meanwhile {lived * 1000:.0f} ms at most; ready again after {afterwards:.1f} s; {grown:.1f} KiB a connection"
    )
    bars = Bars()
    odd = sum(n for code, n in crowd.answered.items() if code not in (200, 503))
    bars.add("answered with neither 200 nor 503", odd, odd == 0, "0")
    bars.add("answered with 200", crowd.answered[200], crowd.answered[200] >= min(streams, 32), ">= the rows")
    bars.add("refusals that are no whole errors", len(crowd.wrong), not crowd.wrong, "0")
    bars.add("memory a connection, KiB", grown, grown <= 32, "<= 32")
    bars.show()
    path = run.save(
        {"answered": crowd.answered, "waits": crowd.waits, "wrong": crowd.wrong[:20], "whole": crowd.whole, "health_s": lived, "ready_s": afterwards, "kib": grown},
        bars,
    )  # fmt: skip
    with common.picture(path) as axis:
        for code, waits in crowd.waits.items():
            axis.plot(sorted(waits), range(1, len(waits) + 1), label=str(code or "broken"))
        axis.set_xlabel("seconds from being asked to the status")
        axis.set_ylabel("connections")
        axis.legend(frameon=False)


async def come(port: int, streams: int, process: psutil.Process) -> tuple[Crowd, float, int]:
    """(all that was seen, the longest /health meanwhile in seconds, the most memory of the service in bytes)."""
    crowd, gate, over = Crowd(), asyncio.Semaphore(AT_ONCE), asyncio.Event()
    lived, most = 0.0, 0

    async def watch() -> None:
        nonlocal lived, most
        while not over.is_set():
            begun = time.monotonic()
            if await asyncio.to_thread(status, port, "/health") != 200:
                crowd.wrong.append("/health did not answer")
            lived, most = max(lived, time.monotonic() - begun), max(most, process.memory_info().rss)
            await asyncio.sleep(0.2)

    watching = asyncio.create_task(watch())
    held = await asyncio.gather(*(ask(port, number, crowd, gate) for number in range(streams)))
    over.set()
    await watching
    for writer in held:
        if writer is not None:
            writer.close()
    return crowd, lived, most


async def ask(port: int, number: int, crowd: Crowd, gate: asyncio.Semaphore) -> asyncio.StreamWriter | None:
    """One of them; its connection stays open until all have been answered."""
    body = json.dumps({
        "model": "engrain", "stream": True, "user": f"user-{number % 100}", "max_tokens": 16,
        "messages": [{"role": "user", "content": f"What is the code of gate {number}?"}],
    }).encode()  # fmt: skip
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    begun, code = time.monotonic(), 0
    writer: asyncio.StreamWriter | None = None
    try:
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head.encode() + body)
            await writer.drain()
        async with asyncio.timeout(PATIENCE_S):
            code = int((await reader.readline()).split()[1])
            seen = time.monotonic() - begun
            headers = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            if code == 503:
                length = int(headers.partition("content-length: ")[2].partition("\r\n")[0])
                error = json.loads(await reader.readexactly(length)).get("error", {})
                if "retry-after" not in headers or not {"message", "type", "param", "code"} <= set(error):
                    crowd.wrong.append(str(error))
            elif number % SLOW:
                await reader.readuntil(b"data: [DONE]")
                crowd.whole += 1
    except (
        OSError,
        ValueError,
        IndexError,
        TimeoutError,
        asyncio.IncompleteReadError,
        asyncio.LimitOverrunError,
    ) as error:
        code, seen = 0, time.monotonic() - begun
        crowd.wrong.append(f"{type(error).__name__}: {error}")
    crowd.answered[code] += 1
    crowd.waits.setdefault(code, []).append(seen)
    return writer


if __name__ == "__main__":
    main()
