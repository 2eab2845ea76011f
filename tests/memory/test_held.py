"""What holds is read once, and again whenever something changed; vectors are made once, and those of what is new are added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engrain.loops import remember
from engrain.memory import HashedEmbedder, Shelf, held, recall
from engrain.records import Memory, Scope, content_hash
from engrain.store import SqlStore

ADA, BEA = Scope(user="ada"), Scope(user="bea")


class Counting(SqlStore):
    """Counts how often it is asked which memories hold, and for vectors."""

    reads = 0
    vectors_read = 0

    def filed(self, **asked: Any) -> Any:
        self.reads += 1
        return super().filed(**asked)

    def vectors(self, name: str, *, scope: Scope) -> tuple[list[str], np.ndarray]:
        self.vectors_read += 1
        return super().vectors(name, scope=scope)


class Embedding(HashedEmbedder):
    """Counts the texts."""

    made: list[str] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.made.extend(texts)
        return super().embed(texts)


@pytest.fixture
def store(tmp_path: Path, database: str) -> Iterator[Counting]:
    with closing(Counting(tmp_path, database=database)) as made:
        yield made


@pytest.fixture
def other(tmp_path: Path, database: str, store: Counting) -> Iterator[SqlStore]:
    """As another process has it."""
    with closing(SqlStore(tmp_path, database=database)) as made:
        yield made


def test_what_holds_is_the_active_memories_told_apart(store: Counting) -> None:
    old = remember.tell(store, "The gate code is 1111.", scope=ADA)
    new = remember.tell(store, "The gate code is 2222.", scope=ADA)
    style = remember.tell(store, "Call me Captain.", scope=ADA)
    now = held(list(store.select(Memory, scope=ADA)))
    assert (now.notes, now.styles) == ((new,), (style,)) and old.id not in {m.id for m in now.notes}
    assert Shelf().of(store, ADA).styles == (style,)
    assert held([]).notes == () and held([]).snapshot == ""


def test_nothing_is_read_again_until_something_is_told_or_forgotten(store: Counting, other: SqlStore) -> None:
    style = remember.tell(store, "Call me Captain.", scope=ADA)
    shelf = Shelf()
    assert shelf.of(store, ADA).styles == (style,)
    assert shelf.of(store, ADA) is shelf.of(store, ADA) and store.reads == 1
    remember.tell(store, "Call me Bea.", scope=BEA)
    shelf.of(store, ADA)
    assert store.reads == 1
    second = remember.tell(other, "Be brief.", scope=ADA)
    assert shelf.of(store, ADA).styles == (style, second) and store.reads == 2
    other.erase([style.id], scope=ADA, reason="asked")
    assert shelf.of(store, ADA).styles == (second,) and store.reads == 3
    assert [m.text for m in shelf.of(store, BEA).styles] == ["Call me Bea."]
    shelf.clear()
    shelf.of(store, ADA)
    assert store.reads == 5


def test_the_scopes_that_were_not_asked_for_lately_go_first(store: Counting) -> None:
    shelf = Shelf(scopes=2)
    for user in ("a", "b", "a", "c", "a", "b"):
        shelf.of(store, Scope(user=user))
    assert store.reads == 4  # a, b, c, and b again


def test_each_state_of_the_memory_has_a_name_of_its_own_that_holds_no_word_of_it(store: Counting) -> None:
    shelf = Shelf()
    assert shelf.of(store, ADA).snapshot == ""
    told = [remember.tell(store, text, scope=ADA) for text in ("The gate code is 1111.", "The dog is called Biscuit.")]
    names = [shelf.of(store, ADA).snapshot]
    store.erase([told[1].id], scope=ADA, reason="asked")
    names.append(shelf.of(store, ADA).snapshot)
    remember.tell(store, "The gate code is 2222.", scope=ADA)
    names.append(shelf.of(store, ADA).snapshot)
    assert len(set(names)) == 3 and [int(n) for n in names] == sorted(int(n) for n in names)
    store.erase([m.id for m in store.select(Memory, scope=ADA)], scope=ADA, reason="asked")
    assert shelf.of(store, ADA).snapshot == ""


def test_vectors_are_read_once_and_those_of_what_is_new_are_added(store: Counting, other: SqlStore) -> None:
    embedder, shelf = Embedding(), Shelf()
    embedder.made.clear()

    def ask(query: str) -> list[str]:
        return [m.text for m, _ in recall(query, index=store, embedder=embedder, scope=ADA, shelf=shelf)]

    for n in range(70):  # more than there is room for at first
        remember.tell(store, f"The code of barn {n} is {n}{n}.", scope=ADA)
    assert ask("What is the code of barn 7?")[0] == "The code of barn 7 is 77."
    gone = remember.tell(other, "The owner of the kiln is Petra.", scope=ADA)
    assert ask("Who is the owner of the kiln?")[0] == gone.text
    assert (store.vectors_read, len(embedder.made)) == (1, 71 + 2)
    other.erase([gone.id], scope=ADA, reason="asked")
    assert gone.text not in ask("Who is the owner of the kiln?")
    assert ask("What is the code of barn 7?")[0] == "The code of barn 7 is 77."
    assert (store.vectors_read, len(embedder.made)) == (2, 71 + 4)
    assert Shelf().vectors(store, embedder, ADA).matrix.shape == (70, 512)


def test_the_vectors_of_few_scopes_are_kept_where_many_do_not_fit(store: Counting) -> None:
    embedder, shelf = HashedEmbedder(), Shelf(vector_bytes=300_000)  # of two scopes
    for user in ("a", "b", "c"):
        remember.tell(store, "The gate code is 1111.", scope=Scope(user=user))
    for user in ("a", "b", "c", "c", "b", "a"):
        shelf.vectors(store, embedder, Scope(user=user))
    assert store.vectors_read == 4  # a, b, c, and a again


def test_what_was_asked_lately_is_not_embedded_again_and_is_gone_when_anything_is_forgotten(store: Counting) -> None:
    embedder, shelf, asked = Embedding(), Shelf(), "What is the gate code?"
    embedder.made.clear()
    told = remember.tell(store, "The gate code is 1111.", scope=ADA)
    for _ in range(2):
        assert recall(asked, index=store, embedder=embedder, scope=ADA, shelf=shelf)
    assert embedder.made == [told.text, asked]
    remember.tell(store, asked, scope=ADA)  # what was asked is told
    shelf.vectors(store, embedder, ADA)
    assert embedder.made == [told.text, asked]
    remember.tell(store, "The kettle is loud.", scope=ADA)
    store.erase([told.id], scope=ADA, reason="asked")
    shelf.vectors(store, embedder, ADA)
    assert set(shelf._vectors[ADA]._said) == {content_hash("The kettle is loud.")}, "no vector of what is gone"
    recall(asked, index=store, embedder=embedder, scope=ADA, shelf=shelf)
    assert embedder.made.count(asked) == 2


def test_how_long_it_takes_tells_nobody_what_another_said(store: Counting) -> None:
    embedder, shelf = Embedding(), Shelf()
    embedder.made.clear()
    for scope in (ADA, BEA, ADA):
        shelf.embed(embedder, ["The gate code is 1111.", "a kettle", "a kettle"], scope)
    assert embedder.made == ["The gate code is 1111.", "a kettle"] * 2


def test_only_the_last_texts_are_kept(store: Counting) -> None:
    embedder, shelf = Embedding(), Shelf()
    first = shelf.embed(embedder, [f"text {n}" for n in range(300)], ADA)
    assert first.shape[0] == 300 and len(shelf._vectors[ADA]._said) == 64
    embedder.made.clear()
    assert np.array_equal(shelf.embed(embedder, ["text 299", "text 0"], ADA), first[[299, 0]])
    assert embedder.made == ["text 0"]
