"""`engrain serve` as a real process in hard times: killed without a word, on a sick or full disk, with a clock that goes back and a caller who never reads."""

from __future__ import annotations

import errno
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest

from engrain.learner import SPROUT
from engrain.records import Interaction, Memory, Scope
from engrain.store import SqlStore

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
pytest.importorskip("matplotlib", reason="the pictures need engrain[plots]")
compiles = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))),
    reason="no C compiler (cc, gcc or clang) to build the faulty disk with",
)


def run(name: str, out: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> dict[str, Any]:
    """What a benchmark's --quick form wrote; every bar of it must pass."""
    monkeypatch.setattr(sys, "argv", [name, "--quick", "--out", str(out), *options])
    importlib.import_module(name).main()
    document: dict[str, Any] = json.loads((out / f"{name}-quick.json").read_text(encoding="utf-8"))
    assert [b for b in document["bars"] if not b["passed"]] == [], document["results"]
    results: dict[str, Any] = document["results"]
    return results


def test_killed_at_random_moments_it_keeps_what_it_acknowledged_once_and_no_half_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run("kills", tmp_path, monkeypatch)
    assert found["kills"] == 6 and found["entries"] > 0
    assert found["counts"]["promotion"] and found["counts"]["answer"] + found["counts"]["stream"]


@compiles
def test_on_a_sick_or_full_disk_it_acknowledges_nothing_wrongly_and_recovers_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run("faults", tmp_path, monkeypatch)
    assert {s["error"] for s in found["spells"]} == {"EIO", "ENOSPC"}
    assert any(s["failed"] for s in found["spells"])


@compiles
def test_the_disk_may_be_made_well_at_any_moment(tmp_path: Path) -> None:
    from faults import Faults

    program = """
import os, sys, time
file, until = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY), time.monotonic() + 1
while time.monotonic() < until:
    try:
        os.pwrite(file, b"x", 0)
    except OSError:
        pass
"""
    with (
        Faults(tmp_path) as levers,
        subprocess.Popen(
            [sys.executable, "-c", program, tmp_path / "engrain.db"], env=os.environ | levers.environment
        ) as writer,
    ):
        while writer.poll() is None:
            levers.begin(2, errno.EIO, "writes")
            levers.end()
        assert writer.returncode == 0 and levers.failed


def test_a_process_that_dies_is_not_waited_for() -> None:
    from processes import wait_until

    with subprocess.Popen([sys.executable, "-c", ""]) as brief:
        pass
    with pytest.raises(ChildProcessError, match="has died"):
        wait_until(lambda: False, "it does not answer", brief.pid)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any, int, int, Path]]:
    """(levers, nursery, process, port, home) of one service whose clock can be moved."""
    from faults import Faults
    from processes import Nursery, free_port, status, wait_until

    folder, port = tmp_path_factory.mktemp("service"), free_port()
    with Faults(folder) as levers, Nursery(folder / "log", levers.environment) as nursery:
        words = (
            "serve",
            "--no-learn",
            "--home",
            folder / "home",
            "--port",
            port,
            "--rows",
            2,
            "--drain",
            2,
            "--base",
            SPROUT,
        )
        pid = nursery.start("engrain", *words, "--log-json")
        wait_until(lambda: status(port) == 200, "the service does not answer", pid)
        yield levers, nursery, pid, port, folder / "home"


@compiles
def test_when_the_clock_goes_back_nothing_is_lost_and_what_was_said_last_holds(
    started: tuple[Any, Any, int, int, Path],
) -> None:
    levers, _, _, port, home = started
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client:

        def say(text: str) -> Any:
            asked: list[Any] = [{"role": "user", "content": text}]
            return client.chat.completions.create(model="engrain", messages=asked, user="ada", max_tokens=16)

        said = [say("The gate code of the north barn is 1111.").id]
        levers.move_clock(-86_400)
        said.append(say("The gate code of the north barn is 2222.").id)
        answer = say("What is the gate code of the north barn?")
        levers.move_clock(0)
    with closing(SqlStore(home)) as store:
        kept = list(store.select(Interaction, scope=Scope(user="ada")))
        assert [i.id for i in kept] == [*said, answer.id]
        assert kept[0].created_at - kept[1].created_at > 80_000
        assert len(list(store.select(Memory, scope=Scope(user="ada")))) == 2
        assert store.verify() > 0
    assert "2222" in str(answer.choices[0].message.content)


@compiles
def test_who_never_reads_holds_nobody_up_and_is_not_waited_for_at_the_end(
    started: tuple[Any, Any, int, int, Path],
) -> None:
    _, nursery, pid, port, home = started
    stream = {"model": "engrain", "user": "mute", "stream": True, "messages": [{"role": "user", "content": "The gate code of the far barn is 8118."}]}  # fmt: skip
    vectors = {"model": "engrain", "input": ["barn"] * 2048}  # an answer of many megabytes, which no socket takes in
    mute = [asking(port, "/v1/chat/completions", stream) for _ in range(6)]  # three times the rows
    mute += [asking(port, "/v1/embeddings", vectors) for _ in range(2)]
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client:
        asked: list[Any] = [{"role": "user", "content": "Hello, who are you?"}]
        assert client.chat.completions.create(model="engrain", messages=asked, user="bob").choices[0].message.content
    with closing(SqlStore(home)) as store:
        until = time.monotonic() + 60
        while len(list(store.select(Interaction, scope=Scope(user="mute")))) < 6:
            assert time.monotonic() < until
            time.sleep(0.05)
    begun = time.monotonic()
    nursery.end(pid, signal.SIGTERM)
    assert time.monotonic() - begun < 60  # two seconds, and what a busy machine adds
    for one in mute:
        one.close()
    log = nursery.log.read_text(encoding="utf-8")
    assert "barn" not in log  # digits may stand in an id or a time
    requests = [line for line in log.splitlines() if '"message": "request"' in line]
    assert json.loads(requests[-1])["route"]


def asking(port: int, path: str, body: dict[str, Any]) -> socket.socket:
    """A caller who has asked, and reads nothing."""
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.connect(("127.0.0.1", port))
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    caller.sendall(head.encode() + data)
    return caller
