"""Changes to memories are records with reasons; what cannot be changed so says why; forgetting takes them along."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engrain.errors import EngrainError, InputError, NotFound
from engrain.loops.change import change
from engrain.loops.remember import tell
from engrain.memory import HashedEmbedder, recall
from engrain.memory.filing import file
from engrain.records import Memory, Scope
from engrain.store import SqlStore

ME = Scope()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path)) as made:
        yield made


def found(store: SqlStore, query: str) -> list[str]:
    return [m.text for m, _ in recall(query, index=store, embedder=HashedEmbedder(), scope=ME)]


def test_archived_memories_are_not_recalled_until_that_is_undone(store: SqlStore) -> None:
    tea = tell(store, "Anna likes mint tea.", scope=ME)
    again = tell(store, "Anna likes mint tea", scope=ME)
    before = store.state(scope=ME)
    deltas = change(store, "archive", tea.id, scope=ME, reason="not used for a year")
    assert [d.targets for d in deltas] == [(tea.id,), (again.id,)]  # it and what said the same
    assert store.state(scope=ME) != before and found(store, "Which tea does Anna like?") == []
    change(store, "undo", *(d.id for d in deltas), scope=ME, reason="a mistake")
    assert found(store, "Which tea does Anna like?") == ["Anna likes mint tea."]
    with pytest.raises(InputError, match="undone already"):
        change(store, "undo", deltas[0].id, scope=ME, reason="once more")
    undos = [d.id for d in store.deltas([tea.id, again.id], scope=ME) if d.operator == "undo"]
    change(store, "undo", *undos, scope=ME, reason="it was right")
    assert found(store, "Which tea does Anna like?") == []
    assert {n.kind for n in store.walk(tea.id, "effects", scope=ME)} == {"delta"}
    store.verify()


def test_a_merge_is_reversible_and_falls_with_the_memory_that_stood_for_both(store: SqlStore) -> None:
    one, two = (tell(store, text, scope=ME) for text in ("Anna is fond of mint tea.", "Mint tea is dear to Anna."))
    change(store, "merge", two.id, into=one.id, scope=ME, reason="they say the same")
    assert found(store, "Who is fond of mint tea?") == [one.text]
    store.erase([one.id], scope=ME, reason="asked")
    assert found(store, "Who is fond of mint tea?") == [two.text]


def test_forgetting_a_memory_takes_what_was_decided_about_it_along(store: SqlStore) -> None:
    one = tell(store, "Anna likes mint tea.", scope=ME)
    (delta,) = change(store, "archive", one.id, scope=ME, reason="Anna does not like mint tea any more")
    file(store, ME)
    store.erase([delta.id], scope=ME, reason="asked")
    assert found(store, "Which tea does Anna like?") == [one.text]


@pytest.mark.parametrize(("operator", "more", "match"), [
    ("archive", {"reason": " "}, "reason"), ("accept", {}, "only what is proposed"), ("tag", {"value": "good"}, "helpful, harmful"),
    ("merge", {}, "into"), ("merge", {"into": "mem_none"}, "mem_none"), ("link", {}, "two different"), ("undo", {}, "what is undone is a change"),
])  # fmt: skip
def test_what_cannot_be_changed_so_is_refused_with_the_remedy(
    store: SqlStore, operator: str, more: dict[str, str], match: str
) -> None:
    tea = tell(store, "Anna likes mint tea.", scope=ME)
    with pytest.raises(EngrainError, match=match):
        change(store, operator, tea.id, scope=ME, **({"reason": "test"} | more))  # type: ignore[arg-type]
    assert not store.deltas([tea.id], scope=ME)


def test_what_gives_a_thing_a_value_is_not_merged_away(store: SqlStore) -> None:
    code, both = (
        Memory(scope=ME, kind="note", text=text, valid_from=1.0)
        for text in ("The gate code is 4417.", "The gate code is 4417. Ask Ben.")
    )
    store.append_all([code, both])
    with pytest.raises(InputError, match="another value is to end"):
        change(store, "merge", code.id, into=both.id, scope=ME, reason="said twice")


def test_links_and_tags_are_kept_and_a_link_is_made_once(store: SqlStore) -> None:
    one, two = (tell(store, text, scope=ME) for text in ("Anna is fond of mint tea.", "Mint grows behind the barn."))
    assert len(change(store, "link", one.id, two.id, scope=ME, reason="both of mint", value="mint")) == 1
    assert change(store, "link", two.id, one.id, scope=ME, reason="both of mint") == []
    change(store, "tag", one.id, value="helpful", scope=ME, reason="it answered")
    assert [d.operator for d in store.deltas([one.id], scope=ME)] == ["link", "tag"]
    with pytest.raises(NotFound):
        change(store, "archive", "mem_none", scope=ME, reason="test")
    with pytest.raises(InputError, match="nothing to archive"):
        change(store, "archive", scope=ME, reason="test")
