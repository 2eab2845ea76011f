"""Several processes on one database, and processes that are killed."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from engrain.records import Memory, Scope
from engrain.store import SqlStore

Start = Callable[..., subprocess.Popen[str]]

WRITER = """
import sys
from engrain.records import Memory, Scope
from engrain.store import SqlStore
home, database, name, count = sys.argv[1:]
store = SqlStore(home, database=database)
for n in range(int(count)):
    memory = Memory(scope=Scope(tenant="acme", user="ada"), text=f"{name} says the gate code is {n}", valid_from=0.0)
    store.append(memory)
    print(memory.id, flush=True)
"""


def test_the_chain_holds_when_processes_open_and_append_at_once(
    tmp_path: Path, database: str, python: Start, scope: Scope
) -> None:
    writers = [
        python(WRITER, tmp_path, database, name, 60) for name in ("ada", "bob", "cy")
    ]  # the home does not exist yet
    acknowledged: list[list[str]] = []
    for writer in writers:
        out, problems = writer.communicate(timeout=120)
        assert writer.returncode == 0, problems
        acknowledged.append(out.split())
    store = SqlStore(tmp_path, database=database)
    assert store.verify() == 180
    order = [memory.id for memory in store.select(Memory, scope=scope)]
    assert sorted(order) == sorted(id for own in acknowledged for id in own)
    for own in acknowledged:
        assert [id for id in order if id in set(own)] == own
    store.close()


def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(
    tmp_path: Path, database: str, python: Start, scope: Scope
) -> None:
    rng = random.Random(0)
    acknowledged: list[str] = []
    SqlStore(tmp_path, database=database).close()
    for kill in range(12):
        writer = python(WRITER, tmp_path, database, kill, 1_000_000)
        assert writer.stdout is not None and writer.stderr is not None
        acknowledged.append(writer.stdout.readline().strip())  # it is under way
        time.sleep(rng.uniform(0.0, 0.08))
        writer.kill()
        rest = writer.stdout.read()
        acknowledged += [line for line in rest.splitlines() if len(line) == len(acknowledged[0])]
        writer.wait()
        writer.stdout.close()
        writer.stderr.close()
        store = SqlStore(tmp_path, database=database)
        there = {memory.id for memory in store.select(Memory, scope=scope)}
        assert set(acknowledged) <= there
        assert store.verify() == len(there) <= len(acknowledged) + kill + 1  # at most the one in flight, each time
        assert len(store.search_text("gate code", scope=scope, limit=1_000_000)) == len(there)
        store.close()
    assert len(acknowledged) > 24


HOLDER = """
import sys, time
from engrain.store import home_lock
with home_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_reading_and_writing_need_no_home_lock(tmp_path: Path, python: Start, store: SqlStore, scope: Scope) -> None:
    holder = python(HOLDER, tmp_path)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    store.append(Memory(scope=scope, text="x", valid_from=0.0))
    assert len(list(store.select(Memory, scope=scope))) == 1
    holder.kill()
    holder.communicate()
