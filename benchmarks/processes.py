"""`engrain serve` as a process of its own, started in a moment and killed without a word, for benchmarks and tests of what survives that.

Importing torch takes seconds, a kill takes none: a nursery has imported everything and opened nothing, and each process is a fork of it that
runs the command as a terminal would.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import openai

SOURCE = Path(__file__).parents[1] / "src"
PR_SET_PDEATHSIG = 1
START_S = 180.0
"""Within which a process must answer, on a machine that is busy with other things."""


class Nursery:
    """Starts processes from one that has imported them already; use it in a `with`, at whose end all of them are gone."""

    def __init__(self, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        paths = os.pathsep.join([str(SOURCE), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        env = (
            os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | dict(environment or {})
        )
        with log.open("ab") as said:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        self._lock = threading.Lock()
        self.pids: set[int] = set()

    def start(self, run: str, *words: object) -> int:
        """The process id of `engrain WORDS` (run "engrain"), or of a function `MODULE:NAME` that gets the words."""
        with self._lock:
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.write(json.dumps([run, [str(w) for w in words], str(self.log)]) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"no process was started: {self.log.read_text(errors='replace')[-2000:]}")
        self.pids.add(int(line))
        return int(line)

    def end(self, pid: int, how: int = signal.SIGKILL) -> None:
        """Send the signal and wait until the process is gone."""
        with suppress(ProcessLookupError):
            os.kill(pid, how)
        until = time.monotonic() + START_S
        while Path(f"/proc/{pid}").exists():
            if time.monotonic() > until:
                raise TimeoutError(f"process {pid} does not end")
            time.sleep(0.002)
        self.pids.discard(pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for pid in list(self.pids):
            self.end(pid)
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def status(port: int, path: str = "/ready") -> int:
    """The status of a GET; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code
    except OSError:
        return 0


def wait_until(happens: Callable[[], object], what: str, pid: int | None = None, within_s: float = START_S) -> float:
    """Seconds until it happened; TimeoutError if it does not, ChildProcessError as soon as this process is gone."""
    begun = time.monotonic()
    while not happens():
        if pid is not None and not Path(f"/proc/{pid}").exists():
            raise ChildProcessError(f"{what}: process {pid} has died; see its log")
        if time.monotonic() - begun > within_s:
            raise TimeoutError(f"{what}: not within {within_s:.0f} s")
        time.sleep(0.01)
    return time.monotonic() - begun


@dataclass(slots=True, kw_only=True)
class Acknowledged:
    """One thing that the service said it had done."""

    kind: str
    """`answer`, `stream` or `feedback`."""
    id: str
    user: str
    text: str
    """What was said, which nobody ever says twice; "" for feedback."""


@dataclass(slots=True)
class Load:
    """Users who talk to the service all the time, each in a thread with the official client. What was answered with 200 and read to its end is
    kept as acknowledged; what failed is counted by its status, 0 where the connection broke."""

    port: int
    users: Sequence[str]
    acknowledged: list[Acknowledged] = field(default_factory=list[Acknowledged])
    failed: dict[int, int] = field(default_factory=dict[int, int])
    wrong: list[str] = field(default_factory=list[str])
    """Errors that are not in OpenAI's form."""
    said: int = 0
    """Number of the last thing that was said to this home."""
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list[threading.Thread])

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._talk, args=(user,), daemon=True) for user in self.users]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def so_far(self) -> list[Acknowledged]:
        with self._lock:
            return list(self.acknowledged)

    def wait_for_one_more(self, pid: int) -> float:
        """Seconds until this process acknowledged something else."""
        before = len(self.so_far())
        return wait_until(lambda: len(self.so_far()) > before, "nothing is acknowledged", pid)

    def _talk(self, user: str) -> None:
        at = f"http://127.0.0.1:{self.port}/v1"
        with openai.OpenAI(base_url=at, api_key="none", max_retries=0, timeout=60) as client:
            while not self._over.is_set():
                try:
                    self._turn(client, user)
                except (
                    Exception
                ) as error:  # a broken connection shows as many things, and none of them is an acknowledgement
                    self._count(error)
                    self._over.wait(0.05)

    def _turn(self, client: openai.OpenAI, user: str) -> None:
        """One thing said, streamed or not, and now and then a rating of the answer."""
        with self._lock:
            self.said += 1
            number = self.said
        text = f"The gate code of barn {number} is {100_000 + number}."
        asked: dict[str, Any] = {
            "model": "engrain", "messages": [{"role": "user", "content": text}], "user": user, "max_tokens": 3,
        }  # fmt: skip
        if number % 3:
            answer = client.chat.completions.create(**asked)
            name = self._keep("answer", answer.id, user, text)
        else:
            ended, name = False, ""
            for piece in client.chat.completions.create(**asked, stream=True):
                name, ended = piece.id, bool(piece.choices[0].finish_reason)
            if not ended:
                raise ConnectionError("the stream was cut")
            self._keep("stream", name, user, text)
        if number % 4 == 0:
            body = {"interaction": name, "rating": True, "user": user}
            given = client.post("/feedback", body=body, cast_to=dict[str, Any])
            for one in given["data"]:
                self._keep("feedback", one["id"], user, "")

    def _keep(self, kind: str, name: str, user: str, text: str) -> str:
        with self._lock:
            self.acknowledged.append(Acknowledged(kind=kind, id=name, user=user, text=text))
        return name

    def _count(self, error: Exception) -> None:
        status = error.status_code if isinstance(error, openai.APIStatusError) else 0
        body = getattr(error, "body", None)
        with self._lock:
            if isinstance(error, openai.APIError) and isinstance(body, dict) and not status:  # an error within a stream
                status = 503 if body.get("code") == "not_recorded" else 500
            self.failed[status] = self.failed.get(status, 0) + 1
            if status and not (isinstance(body, dict) and {"message", "type", "param", "code"} <= set(body)):
                self.wrong.append(f"{status}: {body!r}")


def _nursery() -> None:
    import transformers.models.llama.modeling_llama  # noqa: F401
    import uvicorn.protocols.http.h11_impl  # noqa: F401

    import engrain.cli
    import engrain.dashboard.api
    import engrain.dashboard.app
    import engrain.engines.llama
    import engrain.engines.local
    import engrain.gateway.server
    import engrain.service  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    while line := sys.stdin.readline():
        run, words, log = json.loads(line)
        if pid := os.fork():
            print(pid, flush=True)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # whoever began all this may be killed itself
        for number, path in ((0, os.devnull), (1, log), (2, log)):
            os.dup2(os.open(path, os.O_RDWR | os.O_APPEND), number)
        faulthandler.enable()
        code = 1
        try:
            if run == "engrain":
                sys.argv = ["engrain", *words]
                engrain.cli.main()
            else:
                module, _, name = run.partition(":")
                getattr(__import__(module), name)(*words)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


if __name__ == "__main__":
    _nursery()
