"""What holds is derived once, and again whenever something changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from engrain.loops import remember
from engrain.memory import Shelf, active, held, snapshot
from engrain.records import Memory, Scope
from engrain.store import SqlStore

ADA, BEA = Scope(user="ada"), Scope(user="bea")


class Counting(SqlStore):
    """Counts how often memories are read."""

    reads = 0

    def select(self, kind, *, scope):  # type: ignore[no-untyped-def]
        self.reads += kind is Memory
        return super().select(kind, scope=scope)


@pytest.fixture
def store(tmp_path: Path) -> Counting:
    return Counting(tmp_path)


def test_what_holds_is_the_active_memories_told_apart(store: Counting) -> None:
    old = remember.tell(store, "The gate code is 1111.", scope=ADA)
    new = remember.tell(store, "The gate code is 2222.", scope=ADA)
    style = remember.tell(store, "Call me Captain.", scope=ADA)
    every = list(store.select(Memory, scope=ADA))
    now = held(every)
    assert (now.notes, now.styles, now.snapshot) == ((new,), (style,), snapshot(active(every)))
    assert old.id not in {m.id for m in now.notes}
    assert held([]).snapshot == ""


def test_nothing_is_read_again_until_something_is_told_or_forgotten(store: Counting, tmp_path: Path) -> None:
    first = remember.tell(store, "The gate code is 1111.", scope=ADA)
    shelf = Shelf()
    assert [m.id for m in shelf.of(store, ADA).notes] == [first.id]
    assert shelf.of(store, ADA) is shelf.of(store, ADA) and store.reads == 1
    remember.tell(store, "Bea's locker is 7.", scope=BEA)
    shelf.of(store, ADA)
    assert store.reads == 1
    other = SqlStore(tmp_path)  # another process
    second = remember.tell(other, "Hay comes on Friday.", scope=ADA)
    assert [m.id for m in shelf.of(store, ADA).notes] == [first.id, second.id] and store.reads == 2
    other.erase([first.id], scope=ADA, reason="asked")
    assert [m.id for m in shelf.of(store, ADA).notes] == [second.id] and store.reads == 3
    assert [m.text for m in shelf.of(store, BEA).notes] == ["Bea's locker is 7."]
    shelf.clear()
    shelf.of(store, ADA)
    assert store.reads == 5


def test_the_scopes_that_were_not_asked_for_lately_go_first(store: Counting) -> None:
    shelf = Shelf(scopes=2)
    for user in ("a", "b", "a", "c", "a", "b"):
        shelf.of(store, Scope(user=user))
    assert store.reads == 4  # a, b, c, and b again
