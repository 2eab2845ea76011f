"""What is filed of each memory is what all of them together say, however they came and went."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text as sql

from engrain.errors import InputError
from engrain.memory.filing import file, keys_of, shelf_of
from engrain.memory.history import UNITED, History, claim_in, derive
from engrain.records import Delta, Memory, Scope
from engrain.store import SqlStore

TEXTS = [
    "The gate code is 1", "The gate code is 2", "2 is the gate code", "Now the gate code is 3", "The gate code is no longer 1",
    "Anna likes tea", "anna likes tea.", "The key is in the shed", "The key is now under the mat", "", "Call me Captain.",
]  # fmt: skip
USERS = count()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    address = "" if request.param == "sqlite" else request.getfixturevalue("new_database")()
    with closing(SqlStore(tmp_path_factory.mktemp("home"), database=address)) as made:
        yield made


def note(scope: Scope, name: str, text: str, at: float, **links: tuple[str, ...]) -> Memory:
    return Memory(id=name, scope=scope, text=text, valid_from=at, recorded_at=at, **links)


def standings(store: SqlStore, scope: Scope) -> dict[str, tuple[Any, ...]]:
    """As they are kept, in the order of recording."""
    rows = 'SELECT id, state, until, "by", confirmations, standings.kind FROM standings JOIN subjects USING (seq) WHERE subjects."user" = :user ORDER BY seq'
    with store._db.read() as connection:
        return {row[0]: tuple(row[1:]) for row in connection.execute(sql(rows), {"user": scope.user})}


def changed(data: st.DataObject, scope: Scope, history: History) -> Delta:
    """Any change to any of them."""
    memories = [r.id for r in history if isinstance(r, Memory)] or ["nobody"]
    deltas = [r.id for r in history if isinstance(r, Delta)]
    operator = data.draw(st.sampled_from(("accept", "archive", "merge", "undo")))
    target, into = data.draw(st.sampled_from(memories)), data.draw(st.sampled_from(memories))
    if operator == "undo" and deltas:
        return Delta(scope=scope, operator="undo", targets=(data.draw(st.sampled_from(deltas)),), reason="asked")
    if operator == "merge" and into != target:
        return Delta(scope=scope, operator="merge", targets=(target,), into=into, reason="said twice")
    return Delta(
        scope=scope, operator="accept" if operator == "accept" else "archive", targets=(target,), reason="asked"
    )


def derived(memories: History) -> dict[str, tuple[Any, ...]]:
    return {
        s.memory.id: (s.state, s.until, s.by, s.confirmations, shelf_of(s.memory)) for s in derive(memories).values()
    }


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_it_is_what_deriving_all_of_them_gives(store: SqlStore, data: st.DataObject) -> None:
    scope, there = Scope(user=f"user {next(USERS)}"), list[Memory]()
    size = data.draw(st.integers(1, 9))
    links = st.lists(st.integers(0, size - 1), max_size=2).map(lambda places: tuple(f"m{p}" for p in places))
    for at in range(size):
        text, valid = data.draw(st.sampled_from(TEXTS)), float(data.draw(st.integers(0, 4)))
        made = note(scope, f"m{at}", text, float(at), supersedes=data.draw(links), retracts=data.draw(links))
        there.append(
            replace(
                made,
                valid_from=valid,
                kind=data.draw(st.sampled_from(("fact", "episode", "lesson"))),
                proposed=data.draw(st.booleans()),
                source=data.draw(st.sampled_from(("tell", UNITED))),
            )
        )
        store.append(there[-1])
        if data.draw(st.integers(0, 2)) == 0:
            store.append(changed(data, scope, store.history(scope=scope)))
        if data.draw(st.booleans()):
            file(store, scope)
            assert standings(store, scope) == derived(store.history(scope=scope))
        if len(there) > 1 and data.draw(st.integers(0, 5)) == 0:
            gone = data.draw(st.sampled_from([r.id for r in store.history(scope=scope)]))
            store.erase([gone], scope=scope, reason="asked")
    file(store, scope)
    assert standings(store, scope) == derived(store.history(scope=scope))
    assert file(store, scope) == 0


def test_only_what_concerns_a_new_one_is_read_again(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    scope = Scope(user="many")
    store.append_all([note(scope, f"m{n}", f"The code of barn {n} is {n}.", float(n)) for n in range(1200)])
    assert file(store, scope) == 1200
    read: list[int] = []
    akin = store.akin

    def counted(*arguments: Any, **more: Any) -> list[Memory]:
        found = akin(*arguments, **more)
        read.append(len(found))
        return found

    monkeypatch.setattr(store, "akin", counted)
    store.append(note(scope, "new", "The code of barn 7 is 4417.", 9999.0))
    assert file(store, scope) == 1 and sum(read) <= 6
    kept = standings(store, scope)
    assert kept["m7"][0] == "superseded" and kept["m7"][2] == "new" and kept["m8"][0] == "active"


def test_forgetting_files_anew_what_the_forgotten_one_had_decided(store: SqlStore) -> None:
    scope = Scope(user="corrected")
    told = [note(scope, "old", "The gate code is 1", 1.0), note(scope, "new", "The gate code is 2", 2.0)]
    store.append_all([*told, note(scope, "other", "Anna likes tea", 3.0)])
    file(store, scope)
    assert store.filed(scope=scope) == ["new", "other"]
    store.erase(["new"], scope=scope, reason="asked")
    assert [m.id for m in store.unfiled(scope=scope)] == ["old"]  # and not the other one
    file(store, scope)
    assert store.filed(scope=scope) == ["old", "other"]


def test_what_holds_is_found_by_ids_and_by_whether_it_says_how_to_answer(store: SqlStore) -> None:
    scope, stranger = Scope(user="styled"), Scope(user="stranger")
    for who in (scope, stranger):
        store.append_all(
            [note(who, "call", "Call me Captain.", 1.0), note(who, "dog", "The dog is called Biscuit.", 2.0)]
        )
    file(store, scope)
    assert store.filed(scope=scope, kinds=("style",)) == ["call"]
    assert store.filed(scope=scope, kinds=("fact",)) == ["dog"]
    assert store.filed(scope=scope, ids=["dog", "nobody"]) == ["dog"]
    assert store.filed(scope=scope, ids=[]) == [] == store.filed(scope=stranger)  # whose wait to be filed
    assert store.akin((), ["call"], scope=Scope(user="nobody")) == []


def test_who_files_at_the_same_time_begins_anew(tmp_path: Path, database: str) -> None:
    scope, home = Scope(), tmp_path / "home"
    with (
        closing(SqlStore(home, database=database)) as first,
        closing(SqlStore(home, database=database)) as second,
    ):
        first.append(note(scope, "a", "The gate code is 1", 1.0))
        seen = first.state(scope=scope)
        second.append(note(scope, "b", "The gate code is 2", 2.0))
        assert not first.file([], scope=scope, seen=seen)
        threads = [threading.Thread(target=file, args=(s, scope)) for s in (first, second)]
        for thread in threads:
            thread.start()
        for n in range(20):
            first.append(note(scope, f"more {n}", f"The gate code is {n + 3}", 3.0 + n))
        for thread in threads:
            thread.join()
        file(first, scope)
        assert second.filed(scope=scope) == ["more 19"]


def test_keys_hold_no_words_and_are_shared_by_what_belongs_together() -> None:
    code, again, tea = (
        note(Scope(), "m", t, 1.0) for t in ("The gate code is 1", "4417 is the gate code", "Anna likes tea")
    )
    keys = [keys_of(m, claim_in(m)) for m in (code, again, tea)]
    assert keys[0] == keys[1] != keys[2]
    assert "gate" not in "".join(keys[0]) and len(keys[0]) == 1
    assert keys_of(replace(code, text=" ", retracts=("x",), supersedes=("y",)), None) == ("names:y", "names:x")


def test_merges_in_a_row_are_filed_as_all_of_them_together_say(store: SqlStore) -> None:
    scope = Scope(user="chain")
    texts = ("Cats nap a lot", "Cats doze", "Cats sleep often")
    store.append_all([note(scope, f"m{i}", text, float(i)) for i, text in enumerate(texts)])
    for at, (one, into) in enumerate((("m0", "m1"), ("m1", "m2"))):
        store.append(
            Delta(scope=scope, recorded_at=10.0 + at, operator="merge", targets=(one,), into=into, reason="same")
        )
    file(store, scope)
    store.append(note(scope, "m3", "Cats sleep often.", 20.0))
    file(store, scope)
    assert standings(store, scope) == derived(store.history(scope=scope))
    with pytest.raises(InputError, match="names 0 records"):
        store.append(Delta(scope=scope, operator="archive", targets=(), reason="none"))
