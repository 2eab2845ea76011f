"""Words and vectors find memories, inside one scope only."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engrain.errors import InputError, NotFound, ScopeError
from engrain.records import Memory, Scope
from engrain.store import SqlStore, search
from engrain.store.search import words_of

Make = Callable[..., Memory]

on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_question_words_are_not_searched_for() -> None:
    assert words_of("What's the gate code of the Gate?") == ["gate", "code"]
    assert words_of("who is it?") == []


def test_the_memory_with_the_rare_word_comes_first(store: SqlStore, memory: Make, scope: Scope) -> None:
    store.append_all([memory("the gate is green", id="mem_1"), memory("the gate code is 4417", id="mem_2")])
    store.append(memory("the kettle is loud", id="mem_3"))
    hits = store.search_text("What is the code of the gate?", scope=scope)
    assert [id for id, _ in hits] == ["mem_2", "mem_1"]
    assert hits[0][1] > hits[1][1] > 0
    assert len(store.search_text("code gate", scope=scope, limit=1)) == 1


def test_words_match_by_their_stem_whatever_their_case(store: SqlStore, memory: Make, scope: Scope) -> None:
    store.append(memory("Ada PREFERS oiled hinges", id="mem_1"))
    assert store.search_text("preferring a hinge", scope=scope)


def test_equal_scores_come_in_the_order_of_writing(store: SqlStore, memory: Make, scope: Scope) -> None:
    twins = [memory("red kettle") for _ in range(20)]
    store.append_all(twins)
    assert [id for id, _ in store.search_text("kettle", scope=scope)] == [twin.id for twin in twins]


def test_a_memory_that_only_retracts_has_no_words(store: SqlStore, memory: Make, scope: Scope) -> None:
    store.append(memory("", retracts=("mem_0",)))
    assert store.search_text("anything", scope=scope) == []


def test_what_others_wrote_neither_shows_nor_weighs(store: SqlStore, memory: Make, scope: Scope, other: Scope) -> None:
    store.append_all([memory("green gate"), memory("loud kettle"), memory("green kettle")])
    alone = store.search_text("green kettle", scope=scope)
    store.append_all([memory("kettle kettle kettle", scope=other) for _ in range(50)])
    assert store.search_text("green kettle", scope=scope) == alone
    assert len(store.search_text("kettle", scope=other)) == 50


def test_erasing_leaves_the_ranking_of_a_history_without_it(store: SqlStore, memory: Make, scope: Scope) -> None:
    store.append_all([memory("green gate"), memory("loud kettle")])
    before = store.search_text("green kettle", scope=scope)
    extra = memory("green kettle kettle")
    store.append(extra)
    assert store.search_text("green kettle", scope=scope) != before
    store.erase([extra.id], scope=scope, reason="asked")
    assert store.search_text("green kettle", scope=scope) == before


def test_the_scores_are_those_of_an_fts5_index_that_holds_this_scope_alone(
    store: SqlStore, memory: Make, scope: Scope, other: Scope
) -> None:
    said = "the green gates kettle hinges hinge running runs of barns a code is 4417 Zürich preferred generously"
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(said.split(), size=rng.integers(1, 12))) for _ in range(60)]
    gone = memory("green green hinges, and much more that nobody says again")
    store.append_all([gone, *(memory(text, id=f"m{i}") for i, text in enumerate(texts))])
    store.append_all([memory(f"green kettle {n}", scope=other) for n in range(30)])
    store.erase([gone.id], scope=scope, reason="asked")
    with closing(sqlite3.connect(":memory:")) as raw:
        raw.execute("CREATE VIRTUAL TABLE t USING fts5(text, tokenize='porter unicode61')")
        raw.executemany("INSERT INTO t VALUES (?)", [(text,) for text in texts])
        for query in (
            "green hinge",
            "Who runs the barns of Zurich, and prefers running?",
            "generous 4417 kettles code",
        ):
            expression = " OR ".join(words_of(query))
            wanted = raw.execute("SELECT rowid, -bm25(t) FROM t WHERE t MATCH ?", (expression,)).fetchall()
            found = store.search_text(query, scope=scope, limit=99)
            assert dict(found) == pytest.approx({f"m{row - 1}": score for row, score in wanted})
            assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


@on_sqlite
def test_another_user_costs_no_table(store: SqlStore, memory: Make, tmp_path: Path) -> None:
    def tables() -> int:
        with closing(sqlite3.connect(tmp_path / "engrain.db")) as raw:
            return int(raw.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])

    before = tables()
    store.append_all([memory(scope=Scope(user=f"user {n}")) for n in range(50)])
    assert tables() == before and store.search_text("gate", scope=Scope(user="user 7"))


@on_sqlite
def test_no_word_of_what_is_erased_is_left_whatever_once_made_it(
    store: SqlStore, memory: Make, scope: Scope, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:  # an engrain that read words in another way
        earlier.setattr(search, "stems", lambda text: text.upper().split())
        store.append_all([memory("xylophones everywhere", id="mem_1"), memory("green gate", id="mem_2")])
    assert b"XYLOPHONES" in (tmp_path / "engrain.db").read_bytes() + (tmp_path / "engrain.db-wal").read_bytes()
    store.erase(["mem_1"], scope=scope, reason="asked")
    store.close()
    assert not any(b"XYLOPHONES" in file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    with closing(sqlite3.connect(tmp_path / "engrain.db")) as raw:
        assert raw.execute("SELECT notes, length FROM lexicons").fetchall() == [(1, 2)]


@on_sqlite  # PostgreSQL reads no query: its words are bound
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(query=st.text(alphabet=st.characters(exclude_categories=()), max_size=60))
@pytest.mark.parametrize("wrap", ["{}", 'NEAR("{}" *', "gate AND {} OR text:", "{}\x00 -gate ^"])
def test_no_query_is_a_syntax_error(store: SqlStore, memory: Make, scope: Scope, wrap: str, query: str) -> None:
    store.append(memory(id="mem_1", recorded_at=0.0))
    store.search_text(wrap.format(query), scope=scope)


def test_a_very_long_query_is_cut_and_answered(store: SqlStore, memory: Make, scope: Scope) -> None:
    store.append(memory(id="mem_1"))
    query = "gate " + " ".join(f"word{n}" for n in range(20_000))
    assert [id for id, _ in store.search_text(query, scope=scope)] == ["mem_1"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(text=st.text(alphabet=st.characters(exclude_categories=()), max_size=60))
def test_any_text_can_be_remembered(store: SqlStore, memory: Make, scope: Scope, text: str) -> None:
    kept = memory(text)
    store.append(kept)
    assert store.get(kept.id, scope=scope) == kept


def test_vectors_come_back_as_they_went_in_order_of_writing(
    store: SqlStore, memory: Make, scope: Scope, other: Scope
) -> None:
    memories = [memory() for _ in range(3)]
    store.append_all(memories)
    rng = np.random.default_rng(0)
    given_ = {m.id: rng.normal(size=8).astype(np.float32) for m in reversed(memories)}
    store.put_vectors("mini", given_, scope=scope)
    ids, matrix = store.vectors("mini", scope=scope)
    assert ids == [m.id for m in memories]
    assert matrix.dtype == np.float32 and matrix.shape == (3, 8)
    np.testing.assert_array_equal(matrix, [given_[id] for id in ids])
    for name, whose in (("mini", other), ("mega", scope)):
        ids, matrix = store.vectors(name, scope=whose)
        assert ids == [] and matrix.shape == (0, 0)


def test_a_later_vector_replaces_the_earlier_one(store: SqlStore, memory: Make, scope: Scope) -> None:
    store.append(memory(id="mem_1"))
    store.put_vectors("mini", {"mem_1": [1.0, 0.0]}, scope=scope)
    store.put_vectors("mini", {"mem_1": [0.0, 1.0]}, scope=scope)
    assert store.vectors("mini", scope=scope)[1].tolist() == [[0.0, 1.0]]


def test_an_erased_memory_has_no_vector(store: SqlStore, memory: Make, scope: Scope) -> None:
    store.append_all([memory(id="mem_1"), memory(id="mem_2")])
    store.put_vectors("mini", {"mem_1": [1.0], "mem_2": [2.0]}, scope=scope)
    store.erase(["mem_1"], scope=scope, reason="asked")
    ids, matrix = store.vectors("mini", scope=scope)
    assert (ids, matrix.tolist()) == (["mem_2"], [[2.0]])
    with pytest.raises(NotFound):
        store.put_vectors("mini", {"mem_1": [1.0]}, scope=scope)


def test_vectors_that_do_not_fit_are_refused_whole(store: SqlStore, memory: Make, scope: Scope, other: Scope) -> None:
    store.append_all([memory(id="mem_1"), memory(id="mem_2")])
    with pytest.raises(InputError, match=r"mem_2 has shape \(3,\)"):
        store.put_vectors("mini", {"mem_1": [1.0, 2.0], "mem_2": [1.0, 2.0, 3.0]}, scope=scope)
    assert store.vectors("mini", scope=scope)[0] == []
    store.put_vectors("mini", {"mem_1": [1.0, 2.0]}, scope=scope)
    for bad in ([1.0], [[1.0, 2.0]], []):
        with pytest.raises(InputError, match="shape"):
            store.put_vectors("mini", {"mem_2": bad}, scope=scope)
    with pytest.raises((NotFound, ScopeError)):
        store.put_vectors("mini", {"mem_1": [1.0, 2.0]}, scope=other)


def test_in_a_large_memory_words_that_nearly_all_have_are_left_out(
    store: SqlStore, memory: Make, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append_all([memory(f"The number of site {n} is {n}.", id=f"m{n}") for n in range(40)])
    store.append(memory("Running water, the sites of old_mills.", id="rare"))
    query = "Which number runs at the mills and site 7?"
    every = dict(store.search_text(query, scope=scope))
    assert len(every) == 41 and {"m7", "rare"} == set(list(every)[:2])
    monkeypatch.setattr(search, "_MOST_SCORED", 3)
    few = store.search_text(query, scope=scope)
    assert {name for name, _ in few} == {"m7", "rare"}  # "run" and "mill" are found by their stems, "site" is left out
    newest = [name for name, _ in store.search_text("site", scope=scope, limit=99)]
    assert set(newest) == {"m38", "m39", "rare"}  # of the only word, which nearly all have
    assert store.search_text("nowhere", scope=scope) == []
    assert store.search_text("old_mills", scope=scope)[0][0] == "rare"
    monkeypatch.setattr(search, "_MOST_SCORED", 999)
    assert dict(store.search_text(query, scope=scope)) == every
