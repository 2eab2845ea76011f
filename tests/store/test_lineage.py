"""From an answer up to what it came from, and from an interaction down to all it touched."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engrain.records import Adapter, Interaction, Memory, Scope, Signal
from engrain.store import Node, SqlStore


@pytest.fixture
def family(
    store: SqlStore, interaction: Callable[..., Interaction], memory: Callable[..., Memory], scope: Scope
) -> SqlStore:
    """notes.md and int_1 -> mem_1; int_1 -> mem_2; both -> ada; mem_1 -> sig_1."""
    store.append(interaction(id="int_1"))
    store.append(memory(id="mem_1", causes=("int_1", "notes.md")))
    store.append(memory(id="mem_2", causes=("int_1",)))
    store.append(Signal(id="sig_1", scope=scope, memory="mem_1", route="weights", reason="", causes=("mem_1",)))
    store.append(Adapter(id="ada", scope=scope, base="b", causes=("mem_1", "mem_2", "mem_1")))
    return store


def seen(nodes: list[Node]) -> list[tuple[str, str, str, int]]:
    return [(node.id, node.kind, node.state, node.depth) for node in nodes]


def test_one_step_each_way(family: SqlStore, scope: Scope) -> None:
    assert [node.id for node in family.causes("ada", scope=scope)] == ["mem_1", "mem_2"]
    assert [node.id for node in family.effects("mem_1", scope=scope)] == ["sig_1", "ada"]
    assert family.causes("int_1", scope=scope) == []


def test_all_the_way_up_nearest_first_each_once(family: SqlStore, scope: Scope) -> None:
    assert seen(family.walk("ada", "causes", scope=scope)) == [
        ("mem_1", "memory", "kept", 1),
        ("mem_2", "memory", "kept", 1),
        ("int_1", "interaction", "kept", 2),
        ("notes.md", "", "unknown", 2),
    ]


def test_all_the_way_down(family: SqlStore, scope: Scope) -> None:
    assert [node.id for node in family.walk("int_1", "effects", scope=scope)] == ["mem_1", "mem_2", "sig_1", "ada"]
    assert [node.id for node in family.effects("notes.md", scope=scope)] == ["mem_1"]


def test_an_erased_record_stays_in_the_walk_as_erased(family: SqlStore, scope: Scope) -> None:
    family.erase(["mem_1"], scope=scope, reason="asked")
    states = {node.id: node.state for node in family.walk("ada", "causes", scope=scope)}
    assert states == {"mem_1": "erased", "mem_2": "kept", "int_1": "kept", "notes.md": "unknown"}
    assert [node.id for node in family.walk("mem_1", "effects", scope=scope)] == ["sig_1", "ada"]


def test_a_circle_ends(store: SqlStore, memory: Callable[..., Memory], scope: Scope) -> None:
    store.append(memory(id="mem_1", causes=("mem_2",)))
    store.append(memory(id="mem_2", causes=("mem_1",)))
    assert [node.id for node in store.walk("mem_1", "effects", scope=scope)] == ["mem_2"]


def test_a_walk_never_leaves_its_scope(family: SqlStore, memory: Callable[..., Memory], other: Scope) -> None:
    family.append(Adapter(id="ada", scope=other, base="b", causes=("mem_9",)))
    family.append(memory(scope=other, id="mem_10", causes=("ada",)))
    assert [node.id for node in family.walk("mem_10", "causes", scope=other)] == ["ada", "mem_9"]


def test_more_records_than_one_query_may_name_are_walked(
    store: SqlStore, memory: Callable[..., Memory], scope: Scope
) -> None:
    middle = [memory(causes=("notes.md",)) for _ in range(1100)]
    store.append_all(middle)
    store.append(Adapter(id="ada", scope=scope, base="b", causes=tuple(m.id for m in middle)))
    assert len(store.walk("ada", "causes", scope=scope)) == 1101
    assert [n.depth for n in store.walk("notes.md", "effects", scope=scope)] == [1] * 1100 + [2]
