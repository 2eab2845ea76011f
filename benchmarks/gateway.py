"""What does it cost that every answer passes through engrain and is on disk before it is given? The same upstream, called directly, through
engrain and through the LiteLLM proxy.

The upstream is a process that gives one fixed answer at once, so that whatever else takes time is the gateway's. All arms get the same
requests from one client with keep-alive; they take turns, round after round, and ratios are medians of the rounds' ratios. One worker each.
    direct    the upstream itself
    engrain   `engrain serve --upstream`, with a key, recording with full durability (x-engrain-memory: off: nothing is shown or kept)
    memory    the same, with notes looked up and what was said remembered
    litellm   LiteLLM's proxy with a master key, no database, in an environment of its own (--litellm-python); left out without it
Afterwards every acknowledged answer must be on record once, and the ledger verify.

Bars at 16 in flight: engrain >= 15 times LiteLLM's requests/s, added p50 <= 1/10 and added p99 <= 1/5 of its, >= 0.2 of the direct
call's requests/s. Processor time per request is the sounder figure on a machine that does other things.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from aiohttp import web

import common
from common import Bars, Run, table
from engrain.errors import LedgerBroken
from engrain.records import Interaction, Scope
from engrain.store import SqlStore
from processes import Nursery, free_port, status, wait_until

ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "mock",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Wednesday."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23},
}  # fmt: skip
USERS = 64
"""Whose requests these are, in turn."""
MASTER = "sk-bench"
"""LiteLLM's key, which it wants to begin so."""


@dataclass(slots=True, kw_only=True)
class Arm:
    """One way to the upstream."""

    name: str
    url: str
    headers: dict[str, str] = field(default_factory=dict[str, str])
    model: str = "mock"
    process: psutil.Process
    rounds: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    acknowledged: int = 0
    failed: list[str] = field(default_factory=list[str])


def main() -> None:
    parser = common.options(__doc__, seeds=1)
    parser.add_argument("--rounds", type=int, default=None, help="interleaved rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=None, help="of each arm in each round (default 4)")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[16, 1], help="requests at once (default 16 1)")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="what the upstream takes to answer (default 0)")
    parser.add_argument("--litellm-python", type=Path, help='python of an environment with "litellm[proxy]"')
    args = parser.parse_args()
    rounds, seconds = args.rounds or (1 if args.quick else 5), args.seconds or (0.5 if args.quick else 4.0)
    run = Run("gateway", args)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="engrain-bench-")))
        arms = started(stack, folder, args)
        found: dict[int, list[Arm]] = {}
        for many in args.in_flight:
            for number in range(rounds):
                turns = number % len(arms)
                for arm in arms[turns:] + arms[:turns]:
                    arm.rounds.append(asyncio.run(load(arm, many, seconds)))
            found[many] = [replace(arm) for arm in arms]
            show(many, found[many])
            for arm in arms:
                arm.rounds = []
        resident = {arm.name: resident_mb(arm.process) for arm in arms}
        print(f"MB resident: {', '.join(f'{name} {mb:.0f}' for name, mb in resident.items())}")
        faults = check(folder / "home", sum(a.acknowledged for a in arms if a.name in ("engrain", "memory")))
    bars = judge(found[max(found)], faults)
    bars.show()
    path = run.save(
        {
            "rounds": {str(many): {a.name: a.rounds for a in some} for many, some in found.items()}, "resident_mb": resident,
            "faults": faults, "failed": {a.name: a.failed[:5] for a in arms if a.failed},
        },
        bars,
    )  # fmt: skip
    with common.picture(path, columns=2) as (rates, times):
        most = found[max(found)]
        names = [a.name for a in most]
        rates.bar(names, [statistics.median(r["per_s"] for r in a.rounds) for a in most], color="#225588")
        rates.set_title(f"requests/s, {max(found)} in flight")
        times.bar(names, [statistics.median(r["p50_ms"] for r in a.rounds) for a in most], color="#bb6622")
        times.set_title("p50, ms")


def started(stack: ExitStack, folder: Path, args: Any) -> list[Arm]:
    """Every arm's server, which answers by now."""
    port = free_port()
    upstream = stack.enter_context(process([sys.executable, __file__, "upstream", str(port), str(args.delay_ms)]))
    wait_until(lambda: status(port, "/health") == 200, "the upstream")
    at = f"http://127.0.0.1:{port}/v1"
    arms = [Arm(name="direct", url=at, process=psutil.Process(upstream.pid))]
    home, log = folder / "home", folder / "engrain.log"
    store = SqlStore(home)
    _, key = store.new_key("bench", ("serve",), name="bench")
    store.close()
    nursery = stack.enter_context(Nursery(log))
    served = free_port()
    words = ["--home", home, "--base", args.base, "--port", served, "--no-learn"]
    pid = nursery.start("engrain", "serve", *words, "--upstream", at, "--upstream-model", "mock")
    wait_until(lambda: status(served) == 200, f"engrain serve ({log})", pid)
    bearer = {"authorization": f"Bearer {key}"}
    engrain = {"url": f"http://127.0.0.1:{served}/v1", "model": "engrain", "process": psutil.Process(pid)}
    arms.append(Arm(name="engrain", headers=bearer | {"x-engrain-memory": "off"}, **engrain))
    arms.append(Arm(name="memory", headers=bearer, **engrain))
    if args.litellm_python is None:
        print("LiteLLM is left out: give --litellm-python, the python of an environment with litellm[proxy]")
        return arms
    proxied, config = free_port(), folder / "litellm.yaml"
    params = {"model": "openai/mock", "api_base": at, "api_key": "none"}
    general = {"master_key": MASTER}
    config.write_text(
        json.dumps({"model_list": [{"model_name": "mock", "litellm_params": params}], "general_settings": general})
    )
    env = os.environ | {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "LITELLM_LOG": "ERROR",
        "PYTHONPATH": "",
    }
    words = [
        args.litellm_python.parent / "litellm",
        "--config",
        config,
        "--host",
        "127.0.0.1",
        "--port",
        proxied,
        "--num_workers",
        1,
    ]
    litellm = stack.enter_context(process([str(w) for w in words], env, folder / "litellm.log"))
    wait_until(lambda: status(proxied, "/health/liveliness") == 200, f"litellm ({folder / 'litellm.log'})")
    arms.append(
        Arm(
            name="litellm", url=f"http://127.0.0.1:{proxied}/v1", headers={"authorization": f"Bearer {MASTER}"},
            process=psutil.Process(litellm.pid),
        )
    )  # fmt: skip
    return arms


@contextmanager
def process(
    command: Sequence[str], env: dict[str, str] | None = None, log: Path = Path(os.devnull)
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that lasts as long as the block."""
    with log.open("wb") as said, subprocess.Popen(command, env=env, stdout=said, stderr=said) as running:
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(10)
            except subprocess.TimeoutExpired:
                running.kill()


async def load(arm: Arm, many: int, seconds: float) -> dict[str, float]:
    """Ask with so many requests in flight for so long; what came of it."""
    took: list[float] = []
    turn = itertools.count()
    over = math.inf

    async def ask(session: aiohttp.ClientSession) -> None:
        while time.perf_counter() < over:
            number = next(turn)
            text = f"On which day of week {number} does the ferry leave?"
            body = {
                "model": arm.model,
                "messages": [{"role": "user", "content": text}],
                "user": f"user-{number % USERS}",
            }
            begun = time.perf_counter()
            try:
                async with session.post(f"{arm.url}/chat/completions", json=body) as response:
                    said = await response.read()
            except (aiohttp.ClientError, TimeoutError) as error:
                arm.failed.append(f"no answer: {type(error).__name__}")
                await asyncio.sleep(0.05)
                continue
            took.append(time.perf_counter() - begun)
            if response.status == 200 and b"Wednesday" in said:
                arm.acknowledged += 1
            else:
                arm.failed.append(f"{response.status}: {said[:200]!r}")

    connector = aiohttp.TCPConnector(limit=many)
    async with aiohttp.ClientSession(connector=connector, headers=arm.headers) as session:
        over = time.perf_counter() + min(1.0, seconds)
        await asyncio.gather(*(ask(session) for _ in range(many)))  # not measured: connections, caches
        took.clear()
        cpu, begun = processor_s(arm.process), time.perf_counter()
        over = begun + seconds
        await asyncio.gather(*(ask(session) for _ in range(many)))
        wall, cpu = time.perf_counter() - begun, processor_s(arm.process) - cpu
    if not took:
        arm.failed.append(f"no answer in {wall:.1f} s with {many} in flight")
        return {"per_s": 0.0, "p50_ms": 1000 * wall, "p99_ms": 1000 * wall, "cpu_ms": 1000 * cpu, "requests": 0}
    ordered = sorted(took)
    return {
        "per_s": len(took) / wall, "p50_ms": 1000 * statistics.median(ordered), "p99_ms": 1000 * ordered[int(0.99 * len(ordered))],
        "cpu_ms": 1000 * cpu / len(took), "requests": len(took),
    }  # fmt: skip


def processor_s(process: psutil.Process) -> float:
    """Processor seconds of a process and its children so far."""
    every = [process, *process.children(recursive=True)]
    return sum(sum(p.cpu_times()[:2]) for p in every)


def resident_mb(process: psutil.Process) -> float:
    every = [process, *process.children(recursive=True)]
    return sum(p.memory_info().rss for p in every) / (1 << 20)


def show(many: int, arms: Sequence[Arm]) -> None:
    print(f"{many} in flight, median of {len(arms[0].rounds)} rounds")
    names = ("per_s", "p50_ms", "p99_ms", "cpu_ms")
    rows = [
        (a.name, *(f"{statistics.median(r[n] for r in a.rounds):.{0 if n == 'per_s' else 2}f}" for n in names))
        for a in arms
    ]
    table(("", "requests/s", "p50 ms", "p99 ms", "processor ms"), rows)


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """Median of the rounds' ratios; infinite where the other is 0."""
    return statistics.median(a / b if b else math.inf for a, b in zip(one, other, strict=True))


def judge(arms: Sequence[Arm], faults: Sequence[str]) -> Bars:
    """The bars, at the most requests in flight."""
    by = {a.name: {n: [r[n] for r in a.rounds] for n in a.rounds[0]} for a in arms}
    bars = Bars()
    direct, ours = by["direct"], by["engrain"]
    of_direct = ratio(ours["per_s"], direct["per_s"])
    bars.add("requests/s, of the direct call's", of_direct, of_direct >= 0.2, ">= 0.2")
    if theirs := by.get("litellm"):
        times = ratio(ours["per_s"], theirs["per_s"])
        bars.add("requests/s, of LiteLLM's", times, times >= 15, ">= 15")
        for name, most in (("p50_ms", 1 / 10), ("p99_ms", 1 / 5)):
            added = [[g - d for g, d in zip(gateway[name], direct[name], strict=True)] for gateway in (ours, theirs)]
            share = ratio(*added)
            bars.add(f"added {name.removesuffix('_ms')}, of LiteLLM's", share, share <= most, f"<= {most}")
    bars.add("faults in what is on record", float(len(faults)), not faults, "0")
    bars.add("failed requests", float(sum(len(a.failed) for a in arms)), not any(a.failed for a in arms), "0")
    return bars


def check(home: Path, acknowledged: int) -> list[str]:
    """What is wrong with what is on record: everything that was acknowledged must be there once. (Requests that were answered but not
    counted, because the time was over, do not occur: every worker reads its last answer.)"""
    with closing(SqlStore(home)) as store:
        found = [
            i.id for n in range(USERS) for i in store.select(Interaction, scope=Scope(tenant="bench", user=f"user-{n}"))
        ]
        faults = (
            []
            if len(found) == len(set(found)) == acknowledged
            else [f"{acknowledged} acknowledged, {len(found)} on record"]
        )
        try:
            store.verify()
        except LedgerBroken as error:
            faults.append(str(error))
    print(f"{acknowledged} acknowledged by engrain, {len(found)} on record; {faults or 'the ledger verifies'}")
    return faults


def upstream(port: int, delay_ms: float) -> None:
    """A server that gives one answer."""
    said = json.dumps(ANSWER).encode()

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        if delay_ms:
            await asyncio.sleep(delay_ms / 1000)
        return web.Response(body=said, content_type="application/json")

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", answer), web.get("/health", health)])
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    if sys.argv[1:2] == ["upstream"]:
        upstream(int(sys.argv[2]), float(sys.argv[3]))
    else:
        main()
