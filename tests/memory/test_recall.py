"""Recall over the real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engrain.memory.embed import HashedEmbedder
from engrain.memory.recall import RecallSettings, fuse, recall, surer
from engrain.records import Memory, Scope
from engrain.store import SqlStore

ME, OTHER = Scope(user="me"), Scope(user="other")
NOTES = [
    "The gate code of the north barn is 4417.",
    "The gate code of the south barn is 9082.",
    "Anna likes mint tea.",
    "The label printer takes 62 mm rolls.",
    "Our vet is Dr. Halloran.",
    "The wifi password is birchwood.",
]


@pytest.fixture
def store(tmp_path: Path, database: str) -> Iterator[SqlStore]:
    store = SqlStore(tmp_path, database=database)
    for at, text in enumerate(NOTES):
        store.append(Memory(id=f"mem_{at}", scope=ME, text=text, valid_from=float(at), recorded_at=float(at)))
    yield store
    store.close()


def ask(store: SqlStore, query: str, *, scope: Scope = ME, **more: Any) -> list[str]:
    return [m.text for m, _ in recall(query, index=store, embedder=HashedEmbedder(), scope=scope, **more)]


def test_the_note_that_answers_comes_first(store: SqlStore) -> None:
    assert ask(store, "What is the gate code of the north barn?")[:2] == NOTES[:2]
    assert ask(store, "Which tea does Anna like?")[0] == NOTES[2]


def test_a_typo_in_every_word_is_found_by_its_letters(store: SqlStore) -> None:
    assert ask(store, "wify pasword")[0] == NOTES[5]


def test_what_fits_nothing_recalls_nothing(store: SqlStore) -> None:
    assert ask(store, "How deep is the ocean?") == []
    assert ask(store, "") == ask(store, "???") == []


def test_superseded_notes_are_not_recalled(store: SqlStore) -> None:
    store.append(Memory(id="mem_new", scope=ME, text="The gate code of the north barn is now 5521.", valid_from=50.0))
    found = ask(store, "What is the gate code of the north barn?")
    assert found[0] == "The gate code of the north barn is now 5521."
    assert NOTES[0] not in found


def test_nobody_recalls_what_another_was_told(store: SqlStore) -> None:
    assert ask(store, "What is the gate code of the north barn?", scope=OTHER) == []


def test_vectors_are_made_once_and_kept(store: SqlStore) -> None:
    class Counting(HashedEmbedder):
        made: list[int] = []

        def embed(self, texts: list[str]) -> np.ndarray:  # type: ignore[override]
            self.made.append(len(texts))
            return super().embed(texts)

    embedder = Counting()
    first = recall("gate code", index=store, embedder=embedder, scope=ME)
    assert recall("gate code", index=store, embedder=embedder, scope=ME) == first
    assert sorted(embedder.made) == [1, 1, len(NOTES)]


def test_erasing_a_memory_leaves_the_recall_of_a_store_that_never_had_it(store: SqlStore, tmp_path: Path) -> None:
    query = "What is the gate code?"
    ask(store, query)
    store.erase(["mem_1"], scope=ME, reason="test")
    other = SqlStore(tmp_path / "other")
    for at, text in enumerate(NOTES):
        if at != 1:
            other.append(Memory(id=f"else_{at}", scope=ME, text=text, valid_from=float(at), recorded_at=float(at)))
    one = recall(query, index=store, embedder=HashedEmbedder(), scope=ME)
    two = recall(query, index=other, embedder=HashedEmbedder(), scope=ME)
    assert [(m.text, s) for m, s in one] == [(m.text, s) for m, s in two]
    other.close()


def test_ties_go_to_the_newest_and_the_limit_holds(store: SqlStore) -> None:
    for at, text in enumerate(("Locker grey tall.", "Tall grey locker.", "Grey locker, tall.")):
        store.append(Memory(scope=ME, text=text, valid_from=float(at), recorded_at=100.0 + at))
    assert ask(store, "locker", limit=2) == ["Grey locker, tall.", "Tall grey locker."]
    assert ask(store, "locker", limit=0) == []


def test_fusion_weighs_each_arm_against_its_own_best() -> None:
    rows = np.array([0, 1, 2])
    score = fuse(np.array([4.0, 2.0, 0.0, 9.0]), np.array([0.1, 0.5, -0.3, 0.9]), rows, dense_weight=1.0)
    assert score == pytest.approx([(1 + 0.2) / 2, (0.5 + 1) / 2, 0.0, 1.0])  # the last one is no candidate
    assert fuse(np.zeros(3), np.zeros(3), rows, dense_weight=0.3) == pytest.approx([0, 0, 0])


def test_the_arm_whose_best_stands_out_says_more() -> None:
    clear, flat = np.array([9.0, *[1.0] * 11]), np.array([1.0, *[0.99] * 11])
    assert surer(clear, flat) < 1 < surer(flat, clear) <= 2.7
    assert surer(clear, clear) == pytest.approx(1.2) and surer(np.zeros(3), np.zeros(3)) >= 0.5


def said(store: SqlStore, talk: str, *turns: str) -> None:
    for at, turn in enumerate(turns):
        store.append(
            Memory(scope=ME, kind="episode", text=turn, talk=talk, valid_from=200.0 + at, recorded_at=200.0 + at)
        )


def test_a_turn_is_found_by_those_around_it_in_its_talk(store: SqlStore) -> None:
    said(
        store,
        "kiln",
        "Anna: Where did the kiln instructions go?",
        "Ben: Behind the blue cupboard.",
        "Anna: Ah, thanks.",
    )
    said(store, "walk", "Anna: The dog is tired.", "Ben: He slept all afternoon.")
    found = ask(store, "Where are the kiln instructions?", kinds=("episode",))
    assert found[:2] == ["Anna: Where did the kiln instructions go?", "Ben: Behind the blue cupboard."]
    assert not any("dog" in text or "slept" in text for text in found)
    assert ask(store, "Where are the kiln instructions?") == []  # what was said is no note, unless it is asked for


def test_a_long_turn_says_itself_what_it_is_about(store: SqlStore) -> None:
    long = "Ben: " + "We walked along the river and counted herons until it rained. " * 20
    said(store, "kiln", "Anna: Where did the kiln instructions go?", long)
    said(store, "again", "Anna: Where did the kiln instructions go?", "Ben: Behind the blue cupboard.")
    hits = dict.fromkeys(ask(store, "Where did the kiln instructions go?", kinds=("episode",)))
    assert "Ben: Behind the blue cupboard." in hits and long.strip() not in map(str.strip, hits)


def test_what_is_said_twice_in_talks_is_two_episodes_and_ends_nothing(store: SqlStore) -> None:
    said(store, "one", "The gate code of the north barn is 1.", "The gate code of the north barn is 1.")
    assert ask(store, "gate code north barn", kinds=("episode",)) == ["The gate code of the north barn is 1."] * 2
    assert ask(store, "What is the gate code of the north barn?")[0] == NOTES[0]


def test_given_memories_are_taken_as_the_active_ones(store: SqlStore) -> None:
    only = [m for m in store.select(Memory, scope=ME) if m.id == "mem_2"]
    found = recall(
        "gate code and tea",
        index=store,
        embedder=HashedEmbedder(),
        scope=ME,
        memories=only,
        settings=RecallSettings(least_share=0),
    )
    assert [m.id for m, _ in found] == ["mem_2"]


def test_a_near_repeat_gives_its_place_to_another(store: SqlStore) -> None:
    for text in (
        "The pump in the north barn needs oil every Monday.",
        "The pump in the north barn needs oil every Monday, please",
        "The pump in the south barn needs oil every Monday.",
        "The pump in the north barn needs oil every 14 days.",
        "The pump is red.",
    ):
        store.append(Memory(scope=ME, kind="note", text=text, valid_from=1.0))
    found = ask(store, "Which oil does the pump in the north barn need every Monday?")
    assert (
        "Monday" in found[0]
        and sum("north barn needs" in text and "Monday" in text for text in found[:2]) == 1
        and len(found) >= 4
    )  # one of the two


def test_opposites_are_no_repeats(store: SqlStore) -> None:
    for text in (
        "Restart the old broker when the queue is stuck.",
        "Never restart the old broker when the queue is stuck.",
    ):
        store.append(Memory(scope=ME, kind="lesson", text=text, valid_from=1.0))
    hits = recall(
        "restart the old broker when the queue is stuck",
        index=store,
        embedder=HashedEmbedder(),
        scope=ME,
        kinds=("lesson",),
    )
    assert len(hits) == 2 and hits[1][1] > 0.8


def test_what_was_told_with_a_key_is_found_by_it(store: SqlStore) -> None:
    key = (("entity", "boat house"), ("attribute", "door code"))
    store.append(
        Memory(scope=ME, text="They changed it: 5521 opens it now.", valid_from=9.0, recorded_at=9.0, attributes=key)
    )
    assert ask(store, "What is the door code of the boat house?")[0] == "They changed it: 5521 opens it now."
