"""Notes know each other: links change what is recalled, evolutions can be taken back, and forgetting reaches what was learned from a note."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engrain.engines.fake import FakeEngine
from engrain.errors import Conflict, InputError
from engrain.loops.change import change
from engrain.loops.forget import preview
from engrain.loops.notes import Described, Description, by_shared_words, by_words, connect, evolve, linked, note, revert
from engrain.memory import HashedEmbedder, derive, recall
from engrain.memory.recall import RecallSettings
from engrain.protocols import Completion
from engrain.records import Memory, Scope
from engrain.store import SqlStore

ME = Scope()
HASHED = HashedEmbedder()
KILN = "The kiln in the north barn runs on propane from Heller."
HELLER = "Heller delivers propane to the north barn on Mondays."
CAT = "The cat sleeps on the accordion."


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path)) as made:
        yield made


def active(store: SqlStore) -> list[Memory]:
    return [s.memory for s in derive(store.history(scope=ME)).values() if s.state == "active"]


def test_a_note_is_described_and_linked_with_what_it_shares_words_with(store: SqlStore) -> None:
    first, none = note(store, HASHED, KILN, scope=ME)
    note(store, HASHED, CAT, scope=ME)
    second, links = note(store, HASHED, HELLER, scope=ME)
    assert none == [] and [d.targets for d in links] == [(second.id, first.id)]
    assert "propan" in links[0].reason and "heller" in first.attribute("keywords")
    assert linked(store, first.id, scope=ME) == [second.id] == [store.get(i, scope=ME).id for i in [second.id]]
    assert connect(store, HASHED, second) == []  # once is enough
    change(store, "undo", links[0].id, scope=ME, reason="they have nothing to do with each other")
    assert linked(store, first.id, scope=ME) == [] and connect(store, HASHED, second) == []  # and stays undone


def test_a_link_changes_what_is_recalled(store: SqlStore) -> None:
    kiln, _ = note(store, HASHED, "The kiln needs an hour to warm up.", scope=ME)
    far, _ = note(store, HASHED, "Petra has the spare key.", scope=ME)

    def found(**settings: float) -> list[str]:
        hits = recall(
            "How long does the kiln warm up?",
            index=store,
            embedder=HASHED,
            scope=ME,
            settings=RecallSettings(**settings),
        )  # type: ignore[arg-type]
        return [m.id for m, _ in hits]

    assert found() == [kiln.id]
    (link,) = change(store, "link", kiln.id, far.id, scope=ME, reason="the key is for the kiln")
    assert found() == [kiln.id, far.id] and found(links=0.0) == [kiln.id]
    change(store, "undo", link.id, scope=ME, reason="it is not")
    assert found() == [kiln.id]
    change(store, "link", kiln.id, far.id, scope=ME, reason="it is, after all")
    change(store, "archive", far.id, scope=ME, reason="lost")
    assert found() == [kiln.id]  # a link to what is put away leads nowhere


def test_an_evolution_keeps_the_words_and_links_and_can_be_taken_back(store: SqlStore) -> None:
    first, _ = note(store, HASHED, KILN, scope=ME)
    second, _ = note(store, HASHED, HELLER, scope=ME)
    new = evolve(store, first.id, Description(tags=("supplies",), context="Where the fuel comes from."), scope=ME)
    assert {m.id for m in active(store)} == {second.id, new.id} and new.text == KILN
    assert linked(store, new.id, scope=ME) == [second.id] and second.id in linked(store, first.id, scope=ME)
    hits = recall("supplies", index=store, embedder=HASHED, scope=ME)
    assert hits[0][0].id == new.id  # found by its tag
    back = revert(store, new.id, scope=ME)
    assert {m.id for m in active(store)} == {second.id, back.id} and linked(store, back.id, scope=ME) == [second.id]
    assert (back.text, back.attributes) == (first.text, first.attributes)
    with pytest.raises(InputError, match="nothing to take back"):
        revert(store, first.id, scope=ME)
    assert recall("supplies", index=store, embedder=HASHED, scope=ME) == []


def test_the_right_neighbour_evolves_and_falls_with_what_it_learned_from(store: SqlStore) -> None:
    cat, _ = note(store, HASHED, CAT, scope=ME)
    first, _ = note(store, HASHED, KILN, scope=ME)
    second, _ = note(store, HASHED, HELLER, scope=ME, evolves=by_shared_words)
    (evolved,) = [m for m in active(store) if m.text == KILN]
    assert evolved.causes == (first.id, second.id) and "propane" in evolved.attribute("tags").split(", ")
    assert cat.id in {m.id for m in active(store)}
    assert evolved.id in preview(store, second.id, scope=ME).memories
    assert evolved.id in preview(store, first.id, scope=ME).memories


def test_an_evolution_over_somebody_elses_change_is_refused(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = note(store, HASHED, KILN, scope=ME)
    real = SqlStore.deltas

    def meanwhile(self: SqlStore, ids: list[str], *, scope: Scope) -> list[object]:
        monkeypatch.setattr(SqlStore, "deltas", real)
        note(store, HASHED, CAT, scope=ME)
        return list(real(self, ids, scope=scope))

    monkeypatch.setattr(SqlStore, "deltas", meanwhile)
    with pytest.raises(Conflict, match="changed since"):
        evolve(store, first.id, Description(tags=("x",)), scope=ME)
    assert [m.text for m in active(store)] == [KILN, CAT]


class Says(FakeEngine):
    """Answers one thing."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def sample(self, prompts, **_):  # type: ignore[no-untyped-def]
        return [
            Completion(text=self._text, token_ids=(), logprobs=(), input_tokens=1, finish_reason="stop")
            for _ in prompts
        ]


def test_a_model_describes_a_note_and_what_cannot_be_read_falls_back_on_its_words() -> None:
    said = 'Sure: {"keywords": ["kiln", "propane"], "tags": ["supplies"], "context": "Fuel of the kiln."}'
    assert Described(Says(said))(KILN) == Description(
        keywords=("kiln", "propane"), tags=("supplies",), context="Fuel of the kiln."
    )
    for odd in ("no idea", '{"keywords": 3}', '["kiln"]', "{"):
        assert Described(Says(odd))(KILN) == by_words(KILN)
