"""What nearly repeats becomes one, nothing that was said is lost, and every step can be undone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from engrain.errors import Conflict
from engrain.loops.change import change
from engrain.loops.forget import preview
from engrain.loops.tidy import Tidying, add, tidy
from engrain.memory import HashedEmbedder, derive
from engrain.memory.merging import lost
from engrain.records import Delta, Memory, Scope
from engrain.store import SqlStore

ME = Scope()
SHORT = "Always check the free space of the disk before a backup."
SAME = "Always check the free space of the disk before the backup."
MORE = "Always check the free space of the disk before a backup. Keep 40 GB free on /mnt/vault."
ELSE = "Never restart the router during a call."


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path)) as made:
        yield made


def lesson(text: str, at: float = 1.0) -> Memory:
    return Memory(scope=ME, kind="lesson", text=text, valid_from=at, recorded_at=at)


def active(store: SqlStore) -> list[str]:
    return [s.memory.text for s in derive(store.history(scope=ME)).values() if s.state == "active"]


def test_a_lesson_that_says_nothing_more_is_merged_into_the_one_there(store: SqlStore) -> None:
    for text in (SHORT, ELSE, SAME):
        merges = add(store, HashedEmbedder(), lesson(text))
    assert active(store) == [SHORT, ELSE] and len(merges) == 1
    add(store, HashedEmbedder(), lesson(SHORT.upper()))  # in the same words: merged by itself
    assert active(store) == [SHORT, ELSE]


def test_the_fuller_one_stands_and_two_halves_become_a_whole(store: SqlStore) -> None:
    loose = Tidying(cosine=0.6)
    add(store, HashedEmbedder(), lesson(SHORT))
    add(store, HashedEmbedder(), lesson(MORE), settings=loose)
    assert active(store) == [MORE]
    other = "Always check the free space of the disk before a backup. Ask Petra if 40 GB are not there."
    (merge,) = add(store, HashedEmbedder(), lesson(other), settings=loose)
    (whole,) = active(store)
    assert lost([MORE, other], whole) == [] and whole.count("free space") == 1
    assert {n.id for n in store.walk(merge.into, "causes", scope=ME)} >= {merge.one, merge.other}


def test_a_merge_that_is_undone_is_not_made_again(store: SqlStore) -> None:
    add(store, HashedEmbedder(), lesson(SHORT))
    add(store, HashedEmbedder(), lesson(SAME))
    (delta,) = store.select(Delta, scope=ME)
    change(store, "undo", delta.id, scope=ME, reason="they are two things")
    assert active(store) == [SHORT, SAME]
    assert tidy(store, HashedEmbedder(), scope=ME) == [] and active(store) == [SHORT, SAME]


def test_what_would_be_too_long_is_kept_apart_once_and_for_all(store: SqlStore) -> None:
    tight = Tidying(cosine=0.6, longest=80)
    add(store, HashedEmbedder(), lesson(MORE))
    other = "Always check the free space of the disk before a backup. Ask Petra if 40 GB are not there."
    (merge,) = add(store, HashedEmbedder(), lesson(other), settings=tight)
    assert (merge.into, "longer than 80" in merge.reason) == ("", True)
    assert tidy(store, HashedEmbedder(), scope=ME, settings=tight) == [] and len(active(store)) == 2


def test_kinds_and_what_is_only_proposed_stay_by_themselves(store: SqlStore) -> None:
    add(store, HashedEmbedder(), lesson(SHORT))
    assert add(store, HashedEmbedder(), replace(lesson(SAME), kind="reflection")) == []
    assert add(store, HashedEmbedder(), replace(lesson(SAME), proposed=True)) == []
    assert active(store) == [SHORT, SAME]


def two_halves(store: SqlStore) -> tuple[Memory, Memory]:
    other = "Always check the free space of the disk before a backup. Ask Petra if 40 GB are not there."
    first, second = replace(lesson(MORE), source="file:/one.md"), replace(lesson(other, 2.0), source="file:/two.md")
    add(store, HashedEmbedder(), first)
    add(store, HashedEmbedder(), second, settings=Tidying(cosine=0.6))
    return first, second


def test_forgetting_a_source_takes_the_whole_along_and_gives_the_other_half_back(store: SqlStore) -> None:
    first, second = two_halves(store)
    found = preview(store, "source:/one.md", scope=ME)
    assert first.id in found.memories and len(found.memories) == 2 and second.id not in found.memories
    store.erase([*found.memories, *found.others], scope=ME, reason="asked")
    assert active(store) == [second.text]


def test_forgetting_one_that_was_merged_by_its_id_forgets_all_that_say_it(store: SqlStore) -> None:
    first, second = two_halves(store)
    whole = next(m for m in store.select(Memory, scope=ME) if m.source == "tidy")
    assert set(preview(store, whole.id, scope=ME).memories) == {first.id, second.id, whole.id}


def test_one_undo_brings_both_halves_back_and_it_is_not_made_again(store: SqlStore) -> None:
    first, second = two_halves(store)
    merges = [d for d in store.select(Delta, scope=ME) if d.operator == "merge"]
    (undone,) = change(store, "undo", merges[-1].id, scope=ME, reason="they are two things")
    assert active(store) == [first.text, second.text]
    assert tidy(store, HashedEmbedder(), scope=ME, settings=Tidying(cosine=0.6)) == []
    assert active(store) == [first.text, second.text]
    change(store, "undo", undone.id, scope=ME, reason="they are one after all")
    assert len(active(store)) == 1 and "Petra" in active(store)[0]


def test_an_undone_merge_is_not_made_again_by_the_other_half_or_through_a_third(store: SqlStore) -> None:
    _, second = two_halves(store)
    merges = [d for d in store.select(Delta, scope=ME) if d.operator == "merge"]
    change(store, "undo", merges[0].id, scope=ME, reason="they are two things")
    assert tidy(store, HashedEmbedder(), scope=ME, only=[second.id], settings=Tidying(cosine=0.6)) == []
    third = lesson("Always check the free space of the disk before a backup. Look at the log.", 3.0)
    add(store, HashedEmbedder(), third, settings=Tidying(cosine=0.5))
    tidy(store, HashedEmbedder(), scope=ME, settings=Tidying(cosine=0.5))
    assert len(active(store)) == 2 and not any("40 GB free" in text and "Petra" in text for text in active(store))


def test_an_undone_merge_takes_what_was_made_of_it_along_and_another_one_does_not(store: SqlStore) -> None:
    first, second = two_halves(store)
    (whole,) = (m for m in store.select(Memory, scope=ME) if m.source == "tidy")
    covered = lesson("Always check the free space of the disk before a backup.", 3.0)
    add(store, HashedEmbedder(), covered, settings=Tidying(cosine=0.6))
    (merge,) = (d for d in store.select(Delta, scope=ME) if d.targets == (covered.id,))
    change(store, "undo", merge.id, scope=ME, reason="another thing")
    assert active(store) == [whole.text, covered.text]  # the halves stay united
    third = lesson("Always check the free space of the disk before a backup. Look at the log.", 4.0)
    add(store, HashedEmbedder(), third, settings=Tidying(cosine=0.4))
    (halves,) = (d for d in store.select(Delta, scope=ME) if d.targets == (first.id,))
    change(store, "undo", halves.id, scope=ME, reason="they are two things")
    assert {first.text, second.text} <= {*active(store)}
    assert not any("40 GB free" in text and "Petra" in text for text in active(store))


def test_what_gives_a_thing_a_value_stays_by_itself_so_that_another_value_ends_it(store: SqlStore) -> None:
    code, door = "The gate code of the north barn is 4417.", "The door code of the north barn is 4417."
    for text in (code, door):
        store.append(Memory(scope=ME, kind="note", text=text, valid_from=1.0))
    assert tidy(store, HashedEmbedder(), scope=ME, kinds=("note",), settings=Tidying(cosine=0.5, words=0.5)) == []
    store.append(Memory(scope=ME, text="The gate code of the north barn is 7777.", valid_from=2.0))
    assert active(store) == [door, "The gate code of the north barn is 7777."]


def test_who_is_disturbed_all_the_while_leaves_it(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append_all([lesson(SHORT), lesson(SAME)])
    monkeypatch.setattr(store, "append_all", lambda *given, **more: (_ for _ in ()).throw(Conflict("somebody wrote")))
    assert tidy(store, HashedEmbedder(), scope=ME) == [] and active(store) == [SHORT, SAME]


def test_an_accepted_proposal_that_is_tidied_does_not_vanish(store: SqlStore) -> None:
    proposed = replace(lesson(MORE), proposed=True)
    add(store, HashedEmbedder(), proposed)
    change(store, "accept", proposed.id, scope=ME, reason="good")
    other = "Always check the free space of the disk before a backup. Ask Petra if 40 GB are not there."
    add(store, HashedEmbedder(), lesson(other, 2.0), settings=Tidying(cosine=0.6))
    assert len(active(store)) == 1 and "Petra" in active(store)[0]
