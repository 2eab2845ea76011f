"""Do those who talk notice that something is learned? Time to the first token while a consolidation runs beside them, and while none does.

A home in which one user has told enough; `engrain serve` answers others over HTTP (official client, streams, with memory), and `engrain work` consolidates that user in a
process of its own, at the lowest priority, from studying to the gate. It is halted (SIGSTOP) and goes on (SIGCONT) in turn, so that both
arms are interleaved in one run. Each talker asks again a while after its last answer.

Bar: the 95th percentile of the time to the first token at most 1.5 times as long while something is learned.
"""

from __future__ import annotations

import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import openai

import common
from catalogue import quantile
from common import Bars, Run, table
from engrain.learner import Learner
from engrain.store import SqlStore
from processes import Nursery, free_port, status, wait_until
from profiles import profile

ARMS = ("alone", "learning")


def main() -> None:
    parser = common.options(__doc__, seeds=1)
    parser.add_argument("--rounds", type=int, default=None, help="of both arms (default 8)")
    parser.add_argument("--seconds", type=float, default=None, help="of each arm in a round (default 15)")
    parser.add_argument("--talkers", type=int, default=2, help="who talk at the same time (default 2)")
    parser.add_argument(
        "--pause", type=float, default=0.3, help="seconds from an answer to the next question (default 0.3)"
    )
    parser.add_argument("--facts", type=int, default=None, help="that are learned meanwhile (default 64)")
    args = parser.parse_args()
    rounds, seconds, facts = (
        args.rounds or (1 if args.quick else 8),
        args.seconds or (2 if args.quick else 15),
        args.facts or (8 if args.quick else 64),
    )
    run = Run("pause", args)
    waits: dict[str, list[list[float]]] = {arm: [] for arm in ARMS}
    stages: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="engrain-bench-") as folder:
        home, port = Path(folder) / "home", free_port()
        with Learner(home, base=args.base, user="taught") as me:
            for item in profile(0, facts=facts, procedures=0, preferences=0, unknown=0).items * 2:
                me.tell(item.note)  # said twice, it is durable
        where = ("--home", home, "--base", args.base, "--device", "cpu")
        with Nursery(Path(folder) / "log") as nursery:
            service = nursery.start("engrain", "serve", "--no-learn", "--port", port, *where)
            wait_until(lambda: status(port) == 200, "the service does not answer", service)
            worker = nursery.start("engrain", "work", "--once", *where)
            with closing(SqlStore(home)) as store:
                wait_until(lambda: any(j.state == "running" for j in store.jobs()), "nothing is learned", worker)
                try:
                    for number in range(rounds):
                        for arm in ARMS if number % 2 else ARMS[::-1]:
                            os.kill(worker, signal.SIGCONT if arm == "learning" else signal.SIGSTOP)
                            with talking(port, args.talkers, args.pause) as found:
                                time.sleep(seconds)
                            waits[arm].append(found)
                            if arm == "learning":
                                stages |= {j.stage for j in store.jobs()}
                        if not any(j.state == "running" for j in store.jobs()):
                            raise SystemExit(
                                f"what was learned ended in round {number + 1} of {rounds}; give more than --facts {facts}"
                            )
                        run.say(
                            f"round {number + 1}: "
                            + ", ".join(f"{a} p95 {quantile(waits[a][-1], 0.95):.0f} ms" for a in ARMS)
                        )
                finally:
                    os.kill(worker, signal.SIGCONT)
    pooled = {arm: [ms for found in waits[arm] for ms in found] for arm in ARMS}
    table(("time to the first token, ms", "answers", "p50", "p95", "most"), [
        (arm, len(ms), *(f"{quantile(ms, q):.0f}" for q in (0.5, 0.95, 1.0))) for arm, ms in pooled.items()
    ])  # fmt: skip
    ratios = [quantile(b, 0.95) / quantile(a, 0.95) for a, b in zip(waits["alone"], waits["learning"], strict=True)]
    print(f"p95 while learning / alone, by round: {common.number(ratios, 2)}; stages: {', '.join(sorted(stages))}")
    bars, whole = Bars(), quantile(pooled["learning"], 0.95) / quantile(pooled["alone"], 0.95)
    bars.add("p95 while learning / alone", whole, whole <= 1.5, "<= 1.5")
    bars.show()
    path = run.save(
        {
            "waits": waits,
            "ratio": whole,
            "ratios": ratios,
            "median": {a: statistics.median(ms) for a, ms in pooled.items()},
        },
        bars,
    )
    with common.picture(path) as axis:
        for arm, ms in pooled.items():
            axis.plot(sorted(ms), [100 * (i + 1) / len(ms) for i in range(len(ms))], label=arm)
        axis.set_xscale("log")
        axis.set_xlabel("ms to the first token")
        axis.set_ylabel("% of answers")
        axis.legend(frameon=False)


@contextmanager
def talking(port: int, talkers: int, pause: float) -> Iterator[list[float]]:
    """Milliseconds to the first token of each answer, from so many who talk until the end of the block."""
    found: list[float] = []
    failed: list[Exception] = []
    over = threading.Event()

    def talk(who: int) -> None:
        with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client:
            number = 0
            while not over.wait(pause):
                number += 1
                try:
                    found.append(first_token(client, f"talker-{who}", number))
                except openai.OpenAIError as error:
                    failed.append(error)

    threads = [threading.Thread(target=talk, args=(who,)) for who in range(talkers)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        over.set()
        for thread in threads:
            thread.join()
    if failed or not found:
        raise SystemExit(f"{len(failed)} requests failed, {len(found)} were answered: {failed[:1]}")


def first_token(client: openai.OpenAI, user: str, number: int) -> float:
    """Milliseconds from a request to its first token; the rest of the answer is read, too."""
    said: Any = [{"role": "user", "content": f"The gate code of barn {number % 50} is {number}. What is it?"}]
    begun, first = time.perf_counter(), 0.0
    for chunk in client.chat.completions.create(model="engrain", messages=said, user=user, stream=True, max_tokens=24):
        if not first and chunk.choices and chunk.choices[0].delta.content:
            first = time.perf_counter() - begun
    return 1000 * (first or time.perf_counter() - begun)


if __name__ == "__main__":
    main()
