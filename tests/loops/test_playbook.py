"""Lessons in the loop: shown where they fit, credited by what came of it, retired when they do harm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engrain.engines.fake import FakeEngine
from engrain.gateway.answer import answer
from engrain.loops import remember
from engrain.loops.change import change
from engrain.loops.playbook import prune
from engrain.loops.tidy import add
from engrain.memory import HashedEmbedder
from engrain.memory.worth import Worth, worths
from engrain.records import Interaction, Memory, Message, Scope
from engrain.store import SqlStore

ME = Scope()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path)) as made:
        yield made


def lesson(store: SqlStore, text: str) -> Memory:
    memory = Memory(scope=ME, kind="lesson", text=text, valid_from=1.0, source="curate")
    add(store, HashedEmbedder(), memory)
    return memory


def ask(store: SqlStore, text: str) -> Interaction:
    return answer(store, FakeEngine(), HashedEmbedder(), [Message(role="user", content=text)], scope=ME)


def count(text: str) -> int:
    return len(text.split())


def test_a_lesson_is_shown_where_it_fits_and_credited_by_the_outcome(store: SqlStore) -> None:
    backup, fern = lesson(store, "Check the free space before a backup."), lesson(store, "Water the ferns at dawn.")
    shown = ask(store, "Please make a backup of the disk.")
    assert shown.context.memory_ids == (backup.id,) and "free space" in shown.context.text
    assert worths(store, ME, [backup.id, fern.id]) == {}
    (rated,) = remember.feedback(store, shown.id, scope=ME, rating=1.0)
    assert worths(store, ME, [backup.id, fern.id]) == {backup.id: Worth(helpful=1)}
    remember.feedback(store, ask(store, "And a backup of the other disk?").id, scope=ME, correction="Use the vault.")
    assert worths(store, ME, [backup.id])[backup.id] == Worth(helpful=1, harmful=1)
    store.erase([rated.id], scope=ME, reason="asked")  # with it goes what it proved
    assert worths(store, ME, [backup.id])[backup.id] == Worth(harmful=1)


def test_what_was_merged_brings_its_credit_along(store: SqlStore) -> None:
    one, two = (
        lesson(store, "Check the free space before a backup. Look at the log after each."),
        lesson(store, "Check the free space before a backup."),
    )
    for rating in (1.0, 0.0):
        remember.feedback(store, ask(store, "Make a backup.").id, scope=ME, rating=rating)
    change(store, "merge", two.id, into=one.id, scope=ME, reason="both of backups")
    change(store, "tag", one.id, value="helpful", scope=ME, reason="said the user")
    assert worths(store, ME, [one.id]) == {
        one.id: Worth(helpful=2, harmful=1)
    }  # an answer that was shown both counts once


def test_what_does_harm_is_retired_with_its_grounds_and_by_hand_it_comes_back(store: SqlStore) -> None:
    bad = lesson(store, "Skip the check of free space before a backup.")
    for _ in range(6):
        remember.feedback(store, ask(store, "Make a backup.").id, scope=ME, rating=0.0)
    (delta,) = prune(store, count, scope=ME)
    assert delta.targets == (bad.id,) and "helpful 0 of 5 times" in delta.reason  # then it was shown no more
    assert ask(store, "Make a backup.").context.memory_ids == () and prune(store, count, scope=ME) == []
    change(store, "undo", delta.id, scope=ME, reason="it was the disk")
    assert prune(store, count, scope=ME) == [] and store.filed(scope=ME, kinds=("lesson",)) == [bad.id]
