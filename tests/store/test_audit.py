"""`verify` against a hand that edits the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engrain.errors import LedgerBroken
from engrain.records import Adapter, Memory, Scope, Verdict
from engrain.store import SqlStore, ledger


@pytest.fixture
def filled(store: SqlStore, memory: Callable[..., Memory], scope: Scope) -> SqlStore:
    """Entries 1 to 3 are memories, the third from the first, 4 an adapter, 5 a verdict, 6 a promotion, 7 forgets memory 2, 8 is a rollback."""
    store.append_all(
        [memory("one", id="mem_1"), memory("two", id="mem_2"), memory("three", id="mem_3", causes=("mem_1",))]
    )
    store.append(Adapter(id="a" * 64, scope=scope, base="b"))
    store.append(Verdict(id="ver_1", scope=scope, decision="promote", reasons=(), candidate="a" * 64))
    store.set_live(scope, "a" * 64, "ver_1", expected="")
    store.erase(["mem_2"], scope=scope, reason="asked")
    store.set_live(scope, "", expected="a" * 64, event="rollback")
    return store


Tamper = Callable[..., None]


@pytest.fixture
def raw(tmp_path: Path, database: str) -> Iterator[Any]:
    """The database without engrain, and without the foreign keys that it holds to."""
    if database:
        import psycopg

        with psycopg.connect(database, autocommit=True) as server:
            server.execute("SET session_replication_role = replica")
            yield server
    else:
        with closing(sqlite3.connect(tmp_path / "engrain.db", isolation_level=None)) as file:
            yield file


@pytest.fixture
def tamper(raw: Any) -> Tamper:
    def tampering(*statements: str) -> None:
        for statement in statements:
            assert raw.execute(statement).rowcount != 0, f"changed nothing: {statement}"

    return tampering


def test_an_honest_history_verifies(filled: SqlStore) -> None:
    assert filled.verify() == 8
    assert filled.verify(expected=filled.head()) == 8


def test_an_empty_store_verifies(store: SqlStore) -> None:
    assert store.verify() == 0
    assert store.head() == (0, ledger.GENESIS)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE ledger SET reason = 'x' WHERE seq = 7", "entry 7 .* was edited"),
        ("UPDATE ledger SET at = at + 1 WHERE seq = 1", "entry 1 .* was edited"),
        ("DELETE FROM ledger WHERE seq = 2", "entry 2 is missing"),
        ("DELETE FROM ledger WHERE seq = 8", "entry 8 is missing"),
        ("DELETE FROM ledger", "entry 1 is missing"),
        ("UPDATE head SET count = 7", "entry 8 is missing or added"),
        ("DELETE FROM head", "entry 1 is missing or added"),
        (
            "UPDATE content SET json = replace(json, 'three', 'seven') WHERE seq = 3",
            "content of ledger entry 3 .* edited",
        ),
        ("UPDATE content SET salt = '' WHERE seq = 3", "content of ledger entry 3 .* edited"),
        ("DELETE FROM content WHERE seq = 3", r"content of ledger entry 3 \(mem_3\) is missing"),
        ("UPDATE subjects SET \"user\" = 'bob' WHERE seq = 3", "entry 3 .* another scope"),
        ("UPDATE subjects SET id = 'mem_9' WHERE seq = 3", "entry 3 .* another scope, kind or id"),
        ("UPDATE moves SET adapter = 'c' WHERE seq = 8", "pointer move of ledger entry 8 was edited"),
        ("DELETE FROM moves WHERE seq = 8", "pointer move of ledger entry 8 was edited or removed"),
        ("DELETE FROM subjects WHERE seq = 1", "entry 1 .* was edited|entry 1 .* another scope"),
        ("DELETE FROM subjects WHERE seq = 2", r"ledger entry 2 \(mem_2\) is about was edited or removed"),
        ("UPDATE subjects SET id = 'mem_9' WHERE seq = 2", r"ledger entry 2 \(mem_2\) is about was edited or removed"),
        ("DELETE FROM edges", r"link from mem_1 to ledger entry 3 \(mem_3\) was removed"),
        ("UPDATE edges SET cause = 'mem_2'", r"link from mem_\d to ledger entry 3 \(mem_3\) was (removed|added)"),
        ("UPDATE edges SET effect = 'mem_1'", r"link from mem_1 to ledger entry 1 \(mem_1\) was added"),
        (
            f"INSERT INTO edges VALUES (9, 'acme', 'ada', 'mem_3', '{'a' * 64}')",
            r"link from mem_3 to ledger entry 4 .* was added",
        ),
        ("INSERT INTO edges VALUES (9, 'acme', 'ada', 'mem_3', 'ver_9')", "link from mem_3 to ver_9 was added"),
        ("INSERT INTO edges VALUES (9, 'acme', 'bob', 'mem_1', 'mem_3')", "link from mem_1 to mem_3 was added"),
    ],
)
def test_every_tampering_is_found_and_placed(filled: SqlStore, tamper: Tamper, statement: str, says: str) -> None:
    tamper(statement)
    with pytest.raises(LedgerBroken, match=says):
        filled.verify()


def test_a_record_that_was_erased_and_came_to_be_again_from_other_causes_verifies(
    store: SqlStore, memory: Callable[..., Memory], scope: Scope
) -> None:
    store.append_all([memory("one", id="mem_1"), memory("two", id="mem_2")])
    for cause in ("mem_1", "mem_2"):
        store.append(Adapter(id="a" * 64, scope=scope, base="b", causes=(cause,)))
        store.erase(["a" * 64], scope=scope, reason="asked")
    store.append(Adapter(id="a" * 64, scope=scope, base="b", causes=("mem_2",)))
    assert store.verify() == 7


def test_entries_that_changed_places_are_found(filled: SqlStore, tamper: Tamper) -> None:
    tamper(
        "UPDATE ledger SET seq = 0 WHERE seq = 2",
        "UPDATE ledger SET seq = 2 WHERE seq = 3",
        "UPDATE ledger SET seq = 3 WHERE seq = 0",
    )
    with pytest.raises(LedgerBroken, match="entry 2 does not follow 1"):
        filled.verify()


def test_a_forgotten_content_put_back_is_found(
    store: SqlStore, raw: Any, tamper: Tamper, memory: Callable[..., Memory], scope: Scope
) -> None:
    store.append(memory("one", id="mem_1"))
    json, salt = raw.execute("SELECT json, salt FROM content").fetchone()
    store.erase(["mem_1"], scope=scope, reason="asked")
    tamper(f"INSERT INTO content VALUES (1, '{json}', '{salt}')")
    with pytest.raises(LedgerBroken, match=r"entry 1 \(mem_1\) was forgotten but its content is back"):
        store.verify()


def test_a_cut_that_also_mends_the_head_is_found_by_a_head_noted_elsewhere(filled: SqlStore, tamper: Tamper) -> None:
    noted = filled.head()
    seventh = list(filled.ledger())[6].hash
    tamper(
        "DELETE FROM moves WHERE seq = 8",
        "DELETE FROM ledger WHERE seq = 8",
        f"UPDATE head SET count = 7, hash = '{seventh}'",
    )
    assert filled.verify() == 7
    with pytest.raises(LedgerBroken, match="entry 8 is missing: 8 entries were noted"):
        filled.verify(expected=noted)


def test_a_rewritten_ledger_is_found_by_a_head_noted_elsewhere_even_after_it_grew(filled: SqlStore) -> None:
    count, _ = filled.head()
    with pytest.raises(LedgerBroken, match="entry 5 is not the one noted earlier"):
        filled.verify(expected=(count - 3, "0" * 64))
