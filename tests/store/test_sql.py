"""Append, get, select and erase, each inside its scope."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from engrain.errors import InputError, NotFound, ScopeError, StoreError
from engrain.protocols import Store
from engrain.records import Adapter, Feedback, Interaction, Memory, Receipt, Scope
from engrain.store import SqlStore

Make = Callable[..., Memory]
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_the_store_is_a_store(store: SqlStore) -> None:
    as_protocol: Store = store
    assert as_protocol is store


def test_importing_the_store_does_not_import_torch() -> None:
    program = "import sys, engrain.store; sys.exit('torch' in sys.modules)"
    path = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program], env=path, check=False).returncode == 0


def test_what_was_appended_is_there_after_opening_again(
    store: SqlStore, tmp_path: Path, database: str, memory: Make, scope: Scope
) -> None:
    kept = memory()
    store.append(kept, reason="told")
    store.close()
    again = SqlStore(tmp_path, database=database)
    assert again.get(kept.id, scope=scope) == kept
    (entry,) = again.ledger()
    assert (entry.event, entry.subject, entry.reason) == ("memory", kept.id, "told")
    again.close()


def test_select_gives_one_kind_in_the_order_of_appending(store: SqlStore, memory: Make, scope: Scope) -> None:
    memories = [memory(f"fact {n}", recorded_at=float(-n)) for n in range(1203)]  # more than two pages
    store.append_all(memories)
    store.append(Feedback(scope=scope, interaction="int_1"))
    assert list(store.select(Memory, scope=scope)) == memories
    assert list(store.select(Interaction, scope=scope)) == []


def test_select_does_not_run_after_what_is_appended_meanwhile(store: SqlStore, memory: Make, scope: Scope) -> None:
    store.append_all([memory() for _ in range(3)])
    for _ in store.select(Memory, scope=scope):
        store.append(memory())
    assert len(list(store.select(Memory, scope=scope))) == 6


def test_the_same_record_twice_is_one_record(store: SqlStore, memory: Make) -> None:
    kept = memory()
    store.append(kept)
    store.append(kept)
    assert len(list(store.ledger())) == 1


def test_another_content_under_the_same_id_is_refused(store: SqlStore, memory: Make, scope: Scope) -> None:
    kept = memory()
    store.append(kept)
    with pytest.raises(InputError, match=f"{kept.id} is already recorded"):
        store.append(replace(kept, text="the gate code is 9"))
    assert store.get(kept.id, scope=scope) == kept


def test_several_records_are_written_all_or_none(store: SqlStore, memory: Make, scope: Scope) -> None:
    good = memory()
    with pytest.raises(InputError):
        store.append_all([memory(), good, replace(good, text="other")])
    assert list(store.ledger()) == []
    assert store.search_text("gate code", scope=scope) == []
    assert store.verify() == 0


def test_nobody_sees_the_records_of_another_scope(store: SqlStore, memory: Make, scope: Scope, other: Scope) -> None:
    mine = memory()
    store.append(mine)
    for stranger in (other, Scope(tenant="rival", user="ada")):
        with pytest.raises(ScopeError, match=f"{mine.id} is not a record of {stranger}"):
            store.get(mine.id, scope=stranger)
        with pytest.raises(ScopeError):
            store.erase([mine.id], scope=stranger, reason="")
        with pytest.raises(ScopeError):
            store.effects(mine.id, scope=stranger)
        with pytest.raises(ScopeError):
            store.note("rollback", mine.id, scope=stranger)
        with pytest.raises(ScopeError):
            store.append(memory(scope=stranger, causes=(mine.id,)))
        assert list(store.select(Memory, scope=stranger)) == []
    assert store.get(mine.id, scope=scope) == mine


def test_two_scopes_may_hold_the_same_adapter_without_seeing_each_other(
    store: SqlStore, scope: Scope, other: Scope
) -> None:
    mine, theirs = (Adapter(id="a" * 64, scope=s, base="b", created_at=1.0) for s in (scope, other))
    store.append_all([mine, theirs])
    store.erase([mine.id], scope=scope, reason="asked")
    assert store.get(theirs.id, scope=other) == theirs
    with pytest.raises(NotFound, match="erased"):
        store.get(mine.id, scope=scope)
    assert store.verify() == 3


def test_what_never_was_is_not_found(store: SqlStore, scope: Scope) -> None:
    with pytest.raises(NotFound, match="no record mem_0 in acme/ada"):
        store.get("mem_0", scope=scope)
    with pytest.raises(NotFound):
        store.walk("mem_0", "causes", scope=scope)


def test_erasing_keeps_hash_and_reason_and_nothing_else(store: SqlStore, memory: Make, scope: Scope) -> None:
    gone, kept = memory("a secret"), memory("no secret")
    store.append_all([gone, kept])
    digest = next(store.ledger()).digest
    store.erase([gone.id, gone.id], scope=scope, reason="asked by ada")
    with pytest.raises(NotFound, match="erased"):
        store.get(gone.id, scope=scope)
    assert list(store.select(Memory, scope=scope)) == [kept]
    assert [id for id, _ in store.search_text("secret", scope=scope)] == [kept.id]
    *_, last = store.ledger()
    assert (last.event, last.subject, last.digest, last.reason) == ("forget", gone.id, digest, "asked by ada")
    assert store.verify() == 3


def test_erasing_is_all_or_none(store: SqlStore, memory: Make, scope: Scope) -> None:
    kept = memory()
    store.append(kept)
    with pytest.raises(NotFound):
        store.erase([kept.id, "mem_0"], scope=scope, reason="")
    assert store.get(kept.id, scope=scope) == kept


def test_erasing_twice_is_erasing_once(store: SqlStore, memory: Make, scope: Scope) -> None:
    gone = memory()
    store.append(gone)
    store.erase([gone.id], scope=scope, reason="asked")
    store.erase([gone.id], scope=scope, reason="asked")
    assert [entry.event for entry in store.ledger()] == ["memory", "forget"]


def test_what_was_forgotten_cannot_come_back_under_its_id(store: SqlStore, memory: Make, scope: Scope) -> None:
    gone = memory()
    store.append(gone)
    store.erase([gone.id], scope=scope, reason="asked")
    with pytest.raises(InputError, match="was forgotten and stays so"):
        store.append(gone)


def test_an_adapter_may_be_learned_again_after_it_was_forgotten(store: SqlStore, scope: Scope) -> None:
    adapter = Adapter(id="a" * 64, scope=scope, base="b")
    store.append(adapter)
    store.erase([adapter.id], scope=scope, reason="asked")
    store.append(adapter)
    assert store.get(adapter.id, scope=scope) == adapter
    assert list(store.select(Adapter, scope=scope)) == [adapter]
    assert store.verify() == 3


def test_erased_text_is_in_no_file_of_the_home(
    tmp_path: Path, memory: Make, interaction: Callable[..., Interaction], scope: Scope
) -> None:
    store = SqlStore(tmp_path)
    filler = ["The lathe needs oil on Mondays. " * n for n in (1, 8, 60, 200)]
    secrets: dict[str, str] = {}
    for round_ in range(6):  # deleting between appends moves rows between pages, where copies used to stay
        for n in range(30):
            word = f"zq{round_:02d}x{n:02d}kvj"
            record = memory(f"{filler[n % 4]} {word}") if n % 3 else interaction(f"{word}? {filler[n % 4]}")
            store.append(record)
            secrets[record.id] = word
            if isinstance(record, Memory):
                store.put_vectors("hash", {record.id: [float(round_), n]}, scope=scope)
        gone = list(secrets)[::4]
        assert all(found(tmp_path, secrets[id]) for id in gone), "the search itself must be able to find"
        store.erase(gone, scope=scope, reason="asked")
        assert [word for word in map(secrets.pop, gone) if found(tmp_path, word)] == []
    assert all(found(tmp_path, word) for word in secrets.values())
    store.verify()
    store.close()


def found(home: Path, word: str) -> bool:
    return any(word.encode() in path.read_bytes() for path in home.iterdir())


@on_sqlite
def test_a_salt_goes_with_its_content(store: SqlStore, tmp_path: Path, memory: Make, scope: Scope) -> None:
    gone = memory()
    store.append(gone)
    with sqlite3.connect(tmp_path / "engrain.db") as raw:
        (salt,) = raw.execute("SELECT salt FROM content").fetchone()
    raw.close()
    assert found(tmp_path, salt)
    store.erase([gone.id], scope=scope, reason="asked")
    assert not found(tmp_path, salt)


def test_a_receipt_and_a_note_have_their_own_events(store: SqlStore, scope: Scope) -> None:
    receipt = Receipt(scope=scope, asked="mem_1", removed=("mem_1",))
    store.append(receipt)
    store.note("rollback", "a" * 64, scope=scope, reason="asked, file \udcff.md")
    assert [entry.event for entry in store.ledger()] == ["receipt", "rollback"]
    assert store.verify() == 2


def test_a_run_is_remembered_replaced_and_forgotten(store: SqlStore, scope: Scope, other: Scope) -> None:
    store.put_run("consolidate", {"step": 1}, scope=scope)
    store.put_run("consolidate", {"step": 2, "done": ["a"]}, scope=scope)
    assert store.get_run("consolidate", scope=scope) == {"step": 2, "done": ["a"]}
    assert store.get_run("consolidate", scope=other) is None
    store.delete_run("consolidate", scope=other)
    assert store.get_run("consolidate", scope=scope) is not None
    store.delete_run("consolidate", scope=scope)
    assert store.get_run("consolidate", scope=scope) is None


def test_what_comes_of_something_forgotten_is_refused(
    store: SqlStore, memory: Make, interaction: Callable[..., Interaction], scope: Scope
) -> None:
    gone = memory()
    store.append(gone)
    late = interaction(causes=(gone.id,))
    store.erase([gone.id], scope=scope, reason="asked")
    with pytest.raises(NotFound, match=f"{gone.id}, which was forgotten meanwhile"):
        store.append(late)
    assert list(store.select(Interaction, scope=scope)) == []
    store.append(interaction(causes=("somewhere.md",)))  # a cause that never was a record is no erased one


def test_bytes_that_an_interrupted_erasure_left_go_when_it_is_repeated(
    tmp_path: Path, memory: Make, scope: Scope
) -> None:
    store = SqlStore(tmp_path, busy_timeout_s=0.1)
    gone = memory("the word is zqkvj")
    store.append(gone)
    with closing(sqlite3.connect(tmp_path / "engrain.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM content").fetchone()
        with pytest.raises(StoreError):
            store.erase([gone.id], scope=scope, reason="asked")
    store.erase([], scope=scope, reason="asked")  # nothing is on record any more, but the file is rewritten
    assert not found(tmp_path, "zqkvj")
    store.close()
