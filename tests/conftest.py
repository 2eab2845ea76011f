"""No test reaches beyond this machine, and torch keeps to one thread."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # how fast a machine is, is no test's business
settings.load_profile("untimed")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
SLOWEST = (
    "end_to_end/test_loop.py",
    "evaluation/test_gate_simulation.py",
    "benchmarks/test_smoke.py",
    "gateway/test_isolation.py",
)
"""Files that are begun first, so that no process is left with one when the other has ended."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not str(item.path).endswith(SLOWEST))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(name: str) -> Callable[..., Any]:
        real = getattr(socket.socket, name)

        def refuse(self: socket.socket, *arguments: Any) -> Any:
            if self.family == socket.AF_UNIX or arguments[-1][0] in LOOPBACK:
                return real(self, *arguments)
            raise AssertionError(f"a test tried to reach {arguments[-1]}; the network is blocked")

        return refuse

    look_up = socket.getaddrinfo

    def unknown(host: Any, *arguments: Any, **more: Any) -> Any:
        if host in LOOPBACK:
            return look_up(host, *arguments, **more)
        raise AssertionError(f"a test tried to look up {host}; the network is blocked")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refusing(name))
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
