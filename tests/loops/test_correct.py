"""Correcting a memory by its id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engrain.errors import InputError, NotFound, ScopeError
from engrain.loops.correct import correct
from engrain.loops.remember import tell
from engrain.memory import active, derive
from engrain.records import Interaction, Memory, Message, Scope, Stamp
from engrain.store import SqlStore

ADA = Scope(user="ada")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = SqlStore(tmp_path)
    yield store
    store.close()


def held(store: SqlStore) -> list[str]:
    return [m.text for m in active(list(store.select(Memory, scope=ADA)))]


def test_what_is_right_takes_the_place_of_what_is_wrong_and_names_it(store: SqlStore) -> None:
    wrong = tell(store, "Marta keeps the spare key.", scope=ADA)
    right = correct(store, wrong.id, "Jonas keeps  the spare key.", scope=ADA)
    assert held(store) == ["Jonas keeps the spare key."]
    assert (right.source, right.retracts, right.causes) == ("correction", (wrong.id,), (wrong.id,))
    assert [n.id for n in store.effects(wrong.id, scope=ADA)] == [right.id]
    assert store.verify() == 2


def test_a_memory_can_be_wrong_with_nothing_in_its_place_and_that_can_be_taken_back(store: SqlStore) -> None:
    note = tell(store, "The hall is locked at eight.", scope=ADA)
    taken = correct(store, note.id, scope=ADA)
    assert held(store) == [] and taken.text == ""
    assert derive(list(store.select(Memory, scope=ADA)))[note.id].state == "retracted"
    correct(store, taken.id, scope=ADA)
    assert held(store) == ["The hall is locked at eight."]


def test_said_again_it_is_recorded_once(store: SqlStore) -> None:
    wrong = tell(store, "Marta keeps the spare key.", scope=ADA)
    right = correct(store, wrong.id, "Jonas keeps the spare key.", scope=ADA)
    assert correct(store, wrong.id, "Jonas keeps the spare key.", scope=ADA) == right
    assert correct(store, wrong.id, scope=ADA) == right
    with pytest.raises(InputError, match=f"was marked wrong by {right.id} already; correct that one"):
        correct(store, wrong.id, "Pia keeps the spare key.", scope=ADA)
    assert len(list(store.select(Memory, scope=ADA))) == 2


def test_every_saying_of_what_was_wrong_goes(store: SqlStore) -> None:
    first = tell(store, "Marta keeps the spare key.", scope=ADA)
    again = tell(store, "Marta keeps the spare key.", scope=ADA)
    correct(store, again.id, scope=ADA)
    assert held(store) == []
    with pytest.raises(InputError, match="already"):
        correct(store, first.id, "Jonas keeps the spare key.", scope=ADA)


def test_a_bare_value_is_refused_because_nobody_could_read_it_later(store: SqlStore) -> None:
    note = tell(store, "The gate code of the north barn is 4417.", scope=ADA)
    with pytest.raises(InputError, match="a whole sentence"):
        correct(store, note.id, "5521", scope=ADA)
    assert held(store) == [note.text]


def test_only_ones_own_memories_are_corrected(store: SqlStore) -> None:
    asked = Interaction(scope=ADA, messages=(Message(role="user", content="?"),), answer="-", stamp=Stamp(base="b"))
    store.append(asked)
    other = tell(store, "Marta keeps the spare key.", scope=Scope(user="ben"))
    for record, error in ((asked.id, InputError), ("mem_000000000000", NotFound), (other.id, ScopeError)):
        with pytest.raises(error, match=record):
            correct(store, record, "Jonas keeps the spare key.", scope=ADA)


def test_a_correction_keeps_the_key(tmp_path: Path) -> None:
    with closing(SqlStore(tmp_path)) as store:
        about, me = ("north barn", "gate code"), Scope()
        wrong = tell(store, "The gate code of the north barn is 4417.", scope=me, about=about)
        right = correct(store, wrong.id, "The number that opens it is 4471.", scope=me)
        tell(store, "They changed it to 5521.", scope=me, about=about)
        assert derive(store.history(scope=me))[right.id].state == "superseded"
