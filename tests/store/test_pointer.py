"""The live pointer moves atomically, only from where it was thought to be, and remembers every move."""

from __future__ import annotations

import threading

import pytest

from engrain.errors import InputError, NotFound, ScopeError
from engrain.records import Adapter, Scope, Verdict
from engrain.store import SqlStore


@pytest.fixture
def learned(store: SqlStore, scope: Scope) -> SqlStore:
    for name in ("a", "b"):
        store.append(Adapter(id=name * 64, scope=scope, base="base"))
        store.append(Verdict(id=f"ver_{name}", scope=scope, decision="promote", reasons=(), candidate=name * 64))
    return store


A, B = "a" * 64, "b" * 64


def test_at_first_the_bare_base_is_live(store: SqlStore, scope: Scope) -> None:
    assert store.live(scope) == ""
    assert store.pointer_history(scope) == []


def test_promote_and_rollback_move_the_pointer_and_are_remembered(
    learned: SqlStore, scope: Scope, other: Scope
) -> None:
    learned.set_live(scope, A, "ver_a", expected="", reason="better by 4 items")
    learned.set_live(scope, B, "ver_b", expected=A)
    learned.set_live(scope, A, expected=B, event="rollback")
    learned.set_live(scope, "", expected=A, event="rollback")
    moves = [(m.event, m.previous, m.adapter, m.verdict) for m in learned.pointer_history(scope)]
    assert moves == [
        ("promote", "", A, "ver_a"),
        ("promote", A, B, "ver_b"),
        ("rollback", B, A, ""),
        ("rollback", A, "", ""),
    ]
    assert learned.live(scope) == ""
    assert learned.pointer_history(other) == [] and learned.live(other) == ""
    entries = {entry.seq: entry for entry in learned.ledger()}
    assert all(
        entries[m.seq].event == m.event and entries[m.seq].subject == m.adapter for m in learned.pointer_history(scope)
    )
    assert learned.verify() == 8


def test_a_move_from_where_the_pointer_is_not_is_refused(learned: SqlStore, scope: Scope) -> None:
    learned.set_live(scope, A, "ver_a", expected="")
    with pytest.raises(InputError, match=f"is {A}, not the bare base: it moved meanwhile"):
        learned.set_live(scope, B, "ver_b", expected="")
    assert learned.live(scope) == A
    assert len(list(learned.ledger())) == 5


def test_of_many_who_promote_at_once_exactly_one_wins(learned: SqlStore, scope: Scope) -> None:
    outcomes: list[str] = []

    def promote() -> None:
        try:
            learned.set_live(scope, A, "ver_a", expected="")
            outcomes.append("won")
        except InputError:
            outcomes.append("lost")

    threads = [threading.Thread(target=promote) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]
    assert learned.verify() == 5


def test_promoting_without_a_verdict_is_refused(learned: SqlStore, scope: Scope) -> None:
    with pytest.raises(InputError, match="needs the id of the verdict"):
        learned.set_live(scope, A, expected="")


def test_only_adapters_and_verdicts_of_the_scope_can_go_live(learned: SqlStore, scope: Scope, other: Scope) -> None:
    with pytest.raises(NotFound):
        learned.set_live(scope, "c" * 64, "ver_a", expected="")
    with pytest.raises(NotFound):
        learned.set_live(scope, A, "ver_c", expected="")
    with pytest.raises(ScopeError):
        learned.set_live(other, A, "ver_a", expected="")


def test_an_erased_adapter_cannot_go_live_again(learned: SqlStore, scope: Scope) -> None:
    learned.set_live(scope, A, "ver_a", expected="")
    learned.set_live(scope, "", expected=A, event="forget")
    learned.erase([A], scope=scope, reason="asked")
    with pytest.raises(NotFound, match="erased"):
        learned.set_live(scope, A, expected="", event="rollback")
    assert learned.verify() == 7
