"""The worker beside a service, and the verifiers that it runs: there while it serves, started anew when it dies, gone when the service is, however that ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from engrain import service
from engrain.engines.fake import FakeEngine
from engrain.engines.upstream import Upstream
from engrain.errors import InputError
from engrain.learner import SPROUT
from engrain.records import Feedback, Interaction, Memory, Message, Scope, Stamp
from engrain.service import Beside, verifiers_of
from engrain.signals.verify import check_names, findings
from engrain.store import SqlStore

SOURCE = Path(service.__file__).parents[1]
PARENT = """
import sys, time
from pathlib import Path
from engrain.service import Beside
with Beside(Path(sys.argv[1]), Path(sys.argv[2]), "cpu") as beside:
    while beside.process is None:
        time.sleep(0.01)
    print(beside.process.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    SqlStore(tmp_path / "home").close()
    return tmp_path / "home"


def soon(happens: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether the process has ended, an unwaited-for one included."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_worker_that_dies_is_replaced_and_the_last_one_ends_with_the_service(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "RESTART_S", 0.05)
    with Beside(home, SPROUT, "cpu") as beside:
        soon(lambda: beside.process is not None)
        assert beside.process is not None
        first = beside.process.pid
        os.kill(first, signal.SIGKILL)
        soon(lambda: beside.process is not None and beside.process.pid != first)
        second = beside.process.pid
        assert not gone(second) and gone(first)
    assert gone(second)


def test_a_worker_does_not_outlive_a_service_that_is_killed(home: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(home), str(SPROUT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        time.sleep(1.0)
        os.kill(parent.pid, signal.SIGKILL)
    soon(lambda: gone(worker))


VERIFIERS = """
from engrain.signals import Function, Judge

def verifiers(engine):
    return [Function(name="short", check=lambda i: len(i.answer) < 500), Judge(engine=engine)]
"""


def test_the_operators_file_makes_verifiers_with_the_engine(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(VERIFIERS, encoding="utf-8")
    engine: Any = object()
    assert [v.name for v in verifiers_of(file)(engine)] == ["short", "judge"]


def test_the_file_of_the_docs_is_one() -> None:
    page = (Path(__file__).parents[1] / "docs/operate.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.S)
    names: dict[str, Any] = {}
    exec(compile(snippet, "docs/operate.md", "exec"), names)
    made = names["verifiers"](FakeEngine())
    check_names(made)
    about = Interaction(
        scope=Scope(), messages=(Message(role="user", content="What is 18 % of 240?"),), answer="43.2", stamp=Stamp(base="b")
    )  # fmt: skip
    assert {f.name: f.score for f in findings(made, about, 0.0)} == {
        "short": 1.0, "code": None, "sum": 1.0, "order": 0.0, "tests": 1.0, "judge": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"), [("x = (", "SyntaxError"), ("1 / 0", "ZeroDivisionError"), ("verifiers = []", "no function verifiers")]
)  # fmt: skip
def test_a_file_without_verifiers_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=f"mine.py.*{said}"):
        verifiers_of(file)
    with pytest.raises(InputError, match="is no Python file"):
        verifiers_of(tmp_path / "nothing.py")


def test_verifiers_without_a_worker_are_refused_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(VERIFIERS, encoding="utf-8")
    with pytest.raises(InputError, match="engrain work --verify"):
        service.serve(
            tmp_path, SPROUT, host="127.0.0.1", port=1, tenant="local", rows=1, device="cpu", learn=False, verify=file
        )


def test_the_worker_verifies_what_was_answered(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "NICE", 0)
    file = tmp_path / "mine.py"
    file.write_text(VERIFIERS, encoding="utf-8")
    with closing(SqlStore(home)) as store:
        said = Interaction(
            scope=Scope(), messages=(Message(role="user", content="Hi"),), answer="Hello", stamp=Stamp(base="b")
        )
        store.append(said)
        service.learn(home, SPROUT, device="cpu", once=True, verify=file)
        found = {f.name: (f.score, f.text) for f in store.select(Feedback, scope=Scope())}
    assert found["short"] == (1.0, "") and found["judge"][0] is None  # sprout is no judge, and its form gives it away


class Answering(BaseHTTPRequestHandler):
    """Answers as OpenAI does, always the same, and notes who asked for what."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((self.headers["authorization"], body["messages"][-1]["content"]))
        said = {"role": "assistant", "content": "Look at the port first."}
        answer = {
            "choices": [{"index": 0, "message": said, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 5},
        }
        written = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(written)))
        self.end_headers()
        self.wfile.write(written)

    def log_message(self, *_: object) -> None:
        pass


def test_the_worker_lets_the_upstream_write_reflections_within_its_budget(home: Path) -> None:
    with closing(SqlStore(home)) as store:
        for task in ("Deploy the site.", "Start the pump.", "Bake the bread."):
            asked = Interaction(
                scope=Scope(), messages=(Message(role="user", content=task),), answer="no", stamp=Stamp(base="b")
            )
            store.append_all(
                [
                    asked,
                    Feedback(
                        scope=Scope(), interaction=asked.id, name="correction", text="Not so.", causes=(asked.id,)
                    ),
                ]
            )
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        upstream = Upstream(url=f"http://127.0.0.1:{server.server_port}/v1", model="m", key="sk-1")
        beside = Beside(home, SPROUT, "cpu", embedder="hashed", sleep_calls=2, upstream=upstream)
        assert "sk-1" not in beside.command  # everybody on the machine sees that
        with subprocess.Popen([*beside.command, "--once"], env=beside.environment, stdin=subprocess.PIPE) as worker:
            assert worker.wait(120) == 0
        server.shutdown()
    assert [key for key, _ in Answering.asked] == ["Bearer sk-1"] * 2
    with closing(SqlStore(home)) as store:
        written = [m.text for m in store.select(Memory, scope=Scope()) if m.kind == "reflection"]
    assert "Look at the port first." in written
