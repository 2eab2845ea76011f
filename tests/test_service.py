"""The worker beside a service: there while it serves, started anew when it dies, gone when the service is, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engrain import service
from engrain.learner import SPROUT
from engrain.service import Beside
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
