"""A message is feedback on the answer that it follows: of the same conversation and user, once, and of no other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from engrain.loops.background import Background, Watch
from engrain.loops.consolidate import Consolidation
from engrain.loops.follow import abandoned, from_next
from engrain.records import Feedback, Interaction, Message, Role, Scope, Stamp
from engrain.store import SqlStore

ADA, BEN = Scope(user="ada"), Scope(user="ben")
NOW = 1_800_000_000.0
ASKED = "What is the gate code?"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path / "home")) as made:
        yield made


def said(
    store: SqlStore, *turns: str, answer: str = "It is 4417.", conversation: str = "", at: float = 0.0, scope: Scope = ADA
) -> Interaction:  # fmt: skip
    roles: tuple[Role, Role] = ("user", "assistant")
    made = Interaction(
        scope=scope, conversation=conversation, answer=answer, stamp=Stamp(base="b"), created_at=NOW + at,
        messages=tuple(Message(role=roles[i % 2], content=t) for i, t in enumerate(turns)),
    )  # fmt: skip
    store.append(made)
    return made


def judged(store: SqlStore, scope: Scope = ADA) -> list[tuple[str, str]]:
    return [(f.interaction, f.name) for f in store.select(Feedback, scope=scope)]


def test_a_conversation_is_known_by_its_id(store: SqlStore) -> None:
    first = said(store, ASKED, conversation="a")
    said(store, "Who is on call?", conversation="b", at=5)
    after = said(store, "thanks!", conversation="a", at=20)
    found = from_next(store, after)
    assert found is not None and store.get(found.id, scope=ADA) == found
    assert judged(store) == [(first.id, "accepted")]
    assert [n.id for n in store.causes(found.id, scope=ADA)] == [first.id, after.id]


def test_looking_again_records_nothing_again(store: SqlStore) -> None:
    said(store, ASKED, conversation="a")
    after = said(store, "That's wrong.", conversation="a", at=20)
    assert from_next(store, after) == from_next(store, after)
    assert len(judged(store)) == 1


def test_a_conversation_without_an_id_is_known_by_the_turns_that_it_repeats(store: SqlStore) -> None:
    first = said(store, ASKED)
    other = said(store, "Who is on call?", answer="Priya.", at=5)
    from_next(store, said(store, ASKED, "It is 4417.", "No, it's 5521.", at=30))
    assert judged(store) == [(first.id, "corrected")]
    from_next(store, said(store, "Who is on call?", "Somebody else.", "thanks!", at=40))  # not what was answered
    assert from_next(store, said(store, "thanks!", at=50)) is None  # it could be about anything
    assert all(i != other.id for i, _ in judged(store))


def test_a_turn_that_is_asked_anew_is_a_retry_also_deep_in_a_conversation(store: SqlStore) -> None:
    said(store, "hello", answer="Hi.")
    first = said(store, "hello", "Hi.", ASKED, at=10)
    from_next(store, said(store, "hello", "Hi.", ASKED, answer="It is 5521.", at=30))
    assert judged(store) == [(first.id, "retried")]


def test_the_responses_api_names_a_conversation_by_its_first_answer(store: SqlStore) -> None:
    first = said(store, ASKED)
    from_next(store, said(store, ASKED, "It is 4417.", "thanks", conversation=first.id, at=20))
    assert judged(store) == [(first.id, "accepted")]


def test_another_users_conversation_of_the_same_name_and_words_is_left_alone(store: SqlStore) -> None:
    said(store, ASKED, conversation="a", scope=BEN)
    said(store, ASKED, scope=BEN, at=1)
    assert from_next(store, said(store, "thanks!", conversation="a", at=20)) is None
    assert from_next(store, said(store, ASKED, "It is 4417.", "thanks!", at=20)) is None
    assert judged(store) == judged(store, BEN) == []


def test_a_step_of_a_tool_loop_is_no_word_of_the_user(store: SqlStore) -> None:
    said(store, ASKED, conversation="a")
    made = said(store, ASKED, conversation="a", at=20)
    assert from_next(store, replace(made, messages=(Message(role="tool", content="thanks"),))) is None


def test_what_was_forgotten_takes_its_feedback_with_it_and_gets_none_any_more(store: SqlStore) -> None:
    first = said(store, ASKED, conversation="a")
    after = said(store, "thanks!", conversation="a", at=20)
    store.erase([first.id], scope=ADA, reason="forgotten")
    assert from_next(store, after) is None and judged(store) == []


def test_conversations_that_ended_without_an_answer_are_found_once(store: SqlStore) -> None:
    none = said(store, ASKED, answer="I don't know.", conversation="a")
    said(store, ASKED, answer="I don't know.", conversation="b")
    said(store, "It is 4417, thanks.", answer="Noted.", conversation="b", at=60)  # they went on
    said(store, ASKED, answer="It is 4417.", conversation="c")
    said(store, ASKED, answer="I don't know.")  # no conversation: it may have ended as it was meant to
    recent = said(store, ASKED, answer="I don't know.", conversation="d", at=3000)
    assert [f.interaction for f in abandoned(store, ADA, NOW + 4000)] == [none.id]
    assert abandoned(store, ADA, NOW + 4000) == []
    assert [f.interaction for f in abandoned(store, ADA, NOW + 6000)] == [recent.id]
    said(store, ASKED, answer="I don't know.", conversation="e", at=7000)
    assert abandoned(store, ADA, NOW + 1e8) == []  # long ago: nobody knows any more why it ended


def test_a_clock_that_went_back_hides_no_conversation(store: SqlStore) -> None:
    ended = said(store, ASKED, answer="I don't know.", conversation="a", at=20)
    said(store, ASKED, answer="I don't know.", conversation="b", at=-1e7)  # recorded later, by a clock that was wrong
    assert [f.interaction for f in abandoned(store, ADA, NOW + 4000)] == [ended.id]


def test_the_background_loop_looks_once_a_user_is_silent(store: SqlStore) -> None:
    watch = Watch(store, Consolidation(), Background(idle_s=60.0, silent_s=0.05))
    last = said(store, ASKED, answer="I don't know.", conversation="a", at=time.time() - NOW - 7200)
    watch.look()
    assert judged(store) == []
    time.sleep(0.1)
    watch.look()
    assert judged(store) == [(last.id, "abandoned")]


def test_looking_is_cheap_also_for_a_user_of_hundreds_of_answers(store: SqlStore) -> None:
    store.append_all(
        [
            Interaction(
                scope=ADA, conversation=f"c{n}", answer="It is 4417. " * 20, stamp=Stamp(base="b"), token_ids=tuple(range(200)), logprobs=(0.1,) * 200,
                messages=(Message(role="user", content=ASKED),),
            )
            for n in range(300)
        ]
    )  # fmt: skip
    after = said(store, "thanks!", conversation="c290", at=20)
    spent: list[float] = []
    for _ in range(5):
        begun = time.perf_counter()
        from_next(store, after)
        spent.append(time.perf_counter() - begun)
    assert min(spent) < 0.05
