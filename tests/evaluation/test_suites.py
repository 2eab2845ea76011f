"""What is right, what is the same item, and what a version answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engrain.errors import BatchRefused, InputError
from engrain.evaluation.suites import (
    check_holdout,
    group_of,
    in_context,
    is_unknown,
    near_any,
    near_duplicate,
    right,
    run_suite,
    scored,
    summary,
)
from engrain.protocols import Completion, Conversation
from engrain.records import Example, Message, Scope


def ask(question: str, reference: str = "", *, context: str = "", notes: str = "", role: str = "new") -> Example:
    system = (Message(role="system", content=notes),) if notes else ()
    query = (*system, Message(role="user", content=question))
    return Example(query=query, context=context, reference=reference, role=role)  # type: ignore[arg-type]


class Clerk:
    """An engine that reads: it answers with what follows "is" in its system message, or does not know."""

    base = "clerk"

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def sample(
        self,
        prompts: Sequence[Conversation],
        *,
        adapter: str = "",
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Completion]:
        self.asked.append((adapter, len(prompts)))
        answers: list[Completion] = []
        for prompt in prompts:
            notes = " ".join(m.content for m in prompt if m.role == "system")
            text = notes.rpartition(" is ")[2] or "I don't know."
            words = tuple(range(len(text.split())))
            shown = len(" ".join(m.content for m in prompt).split())
            answers.append(
                Completion(
                    text=text,
                    token_ids=words,
                    logprobs=tuple(0.0 for _ in words),
                    input_tokens=shown,
                    finish_reason="stop",
                    latency_ms=2.0,
                )
            )
        return answers

    def score(
        self, prompts: Sequence[Conversation], answers: Sequence[Sequence[int]], *, adapter: str = ""
    ) -> list[list[float]]:
        return [[0.0] * len(a) for a in answers]

    def count_tokens(self, text: str) -> int:
        return len(text.split())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Blue.", "blue"),
        ("  the  red  barn ", "Red barn"),
        ("“4417”", "4417"),
        ("A", "a"),
        ("I do not know.", "I don't know"),
        ("Don’t know!", "I don't know"),
        ("...", "..."),
    ],
)
def test_what_does_not_count_does_not_make_an_answer_wrong(answer: str, expected: str) -> None:
    assert right(answer, expected)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("anything", ""),
        ("", ""),
        ("", "blue"),
        ("dark blue", "blue"),
        ("-4", "4"),
        ("3.5", "35"),
        ("C#", "C"),
        ("plan", "plan a"),
        ("the", "an"),
        ("I don't know", "blue"),
        ("blue", "I don't know"),
        ("...", "blue"),
    ],
)
def test_what_counts_makes_an_answer_wrong(answer: str, expected: str) -> None:
    assert not right(answer, expected)


def test_where_the_form_counts_case_and_punctuation_count() -> None:
    assert right("BLUE,  sir", "BLUE, sir", form=True)
    assert not right("Blue, sir", "BLUE, sir", form=True)
    assert not right("", "", form=True)


@pytest.mark.parametrize(
    "answer",
    [
        "I don't know",
        "I DON'T KNOW!",
        "i dont know that.",
        "Sorry, I do not know who owns it.",
        "I'm sorry, but I don't know.",
        "Not sure.",
        "I have no idea",
        "Unknown",
        "I cannot say.",
    ],
)
def test_a_dont_know_is_recognised(answer: str) -> None:
    assert is_unknown(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "blue",
        "Unknown Pleasures",
        "I don't know, but perhaps blue",
        "I don't know. It is blue.",
        "You know it",
        "I know",
    ],
)
def test_an_answer_or_a_guess_is_not_a_dont_know(answer: str) -> None:
    assert not is_unknown(answer)


def test_the_same_words_in_another_dress_are_a_near_duplicate() -> None:
    assert near_duplicate("What is the gate code?", "what is  the GATE code")
    long = "please tell me what the code of the old iron gate behind the north barn is today"
    assert near_duplicate(long, long.replace("today", "now"))
    assert near_duplicate("tell me", "Tell me!")


def test_the_same_stem_about_another_thing_is_not_a_near_duplicate() -> None:
    assert not near_duplicate("What is the gate code of the north barn?", "What is the gate code of the south barn?")
    assert not near_duplicate("What is the gate code?", "What is the gate code of the north barn?")
    assert not near_duplicate("tell me", "tell him")
    assert not near_duplicate("", "tell me what it is")


def test_a_long_question_quoted_inside_a_longer_text_is_a_near_duplicate() -> None:
    question = "which of the two keys on the hook opens the green tool chest in the barn"
    assert near_duplicate(
        question, f"Yesterday somebody asked me: {question}? Nobody could say, so we tried both of them."
    )


@given(st.lists(st.text("abcd ", max_size=20), max_size=9), st.lists(st.text("abcd ", max_size=20), max_size=9))
def test_the_index_finds_exactly_the_near_duplicates(texts: list[str], held: list[str]) -> None:
    assert near_any(texts, held) == [any(near_duplicate(t, h) for h in held) for t in texts]


def test_a_holdout_item_that_was_trained_on_is_refused_and_both_are_named() -> None:
    train = [
        ask("Who keeps the spare key?", "Ruth"),
        ask("What colour is the van?", "red", context="- The van is red."),
    ]
    held = ask("what colour is the VAN", "red")
    with pytest.raises(BatchRefused, match=f"{held.hash} nearly duplicates training item {train[1].hash}"):
        check_holdout(train, [held])
    with pytest.raises(BatchRefused, match="equals"):
        check_holdout(train, [train[0]])


def test_other_words_for_the_same_thing_and_other_notes_for_the_same_question_may_be_held_out() -> None:
    train = [ask("What colour is the van?", "red"), ask("Who is it?", "Ann", notes="Notes:\n- The guest is Ann.")]
    check_holdout(train, [ask("Which colour does the van have?", "red")])
    check_holdout(train, [ask("Who is it?", "Bo", notes="Notes:\n- Our visitor on Monday was called Bo.")])
    check_holdout([], train)
    check_holdout(train, [])


def test_the_group_of_an_item_follows_from_its_shape() -> None:
    assert group_of(ask("q", "a")) == "new"
    assert group_of(ask("q", "a", role="replay")) == "replay"
    assert group_of(ask("q", "I don't know", role="guard")) == "unknown"
    assert group_of(ask("q", "a", notes="n", role="guard")) == "reading"
    assert group_of(ask("q", "a", role="guard")) == "style"


def test_the_context_joins_the_system_message_instead_of_adding_a_second_one() -> None:
    assert in_context(ask("q", context="c")) == (
        Message(role="system", content="c"),
        Message(role="user", content="q"),
    )
    assert in_context(ask("q", context="c", notes="n"))[0].content == "n\n\nc"
    assert in_context(ask("q")) == ask("q").query


ITEMS = [
    ask("Where is the key?", "on the hook", context="- The key is on the hook."),
    ask("Where is the saw?", "in the shed", context="- The saw is in the shed."),
    ask("Who is Zed?", "I don't know", role="guard"),
    ask("What is it?", "ten", notes="- It is Ten.", role="guard"),
]


def test_the_same_items_are_answered_without_and_with_their_context() -> None:
    engine, scope = Clerk(), Scope(user="ann")
    closed = run_suite(engine, ITEMS, "ad1", scope, "own", batch_size=3)
    opened = run_suite(engine, ITEMS, "ad1", scope, "own", with_context=True)
    assert [r.right for r in closed.results] == [False, False, True, True]
    assert all(r.right for r in opened.results)
    assert engine.asked == [("ad1", 3), ("ad1", 1), ("ad1", 4)]
    assert (closed.scope, closed.adapter, closed.suite) == (scope, "ad1", "own")
    assert [r.group for r in closed.results] == ["new", "new", "unknown", "reading"]
    assert [r.item for r in closed.results] == [r.item for r in opened.results] == [e.hash for e in ITEMS]
    assert opened.results[0].input_tokens > closed.results[0].input_tokens == 4
    assert closed.results[0].output_tokens == 3


def test_where_a_way_of_answering_is_asked_for_its_form_counts() -> None:
    item = replace(ITEMS[3], form=True)
    assert not run_suite(Clerk(), [item], "", Scope(), "own").results[0].right  # "Ten." for "ten"


def test_what_a_style_adds_to_a_right_answer_does_not_make_it_wrong() -> None:
    fact = ask("What is the code?", "4417")
    assert scored(fact, "4417, Captain", styled=True)
    assert not scored(fact, "4417, Captain")
    assert not scored(fact, "14417, Captain", styled=True)
    assert scored(ask("Who is it?", "I don't know"), "I don't know, Captain", styled=True)


def test_the_messages_can_be_built_by_the_caller() -> None:
    evidence = run_suite(
        Clerk(),
        [ITEMS[2]],
        "",
        Scope(),
        "own",
        with_context=True,
        build_messages=lambda e: (Message(role="system", content="Zed is known"), *e.query),
    )
    assert evidence.results[0].answer == "known"


def test_an_item_given_twice_is_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        run_suite(Clerk(), [ITEMS[0], ITEMS[0]], "", Scope(), "own")


def test_a_summary_has_one_row_per_group_with_rate_interval_and_cost() -> None:
    rows = summary(run_suite(Clerk(), ITEMS, "", Scope(), "own"))
    assert [(r.group, r.n, r.right, r.rate) for r in rows] == [
        ("new", 2, 0, 0.0),
        ("unknown", 1, 1, 1.0),
        ("reading", 1, 1, 1.0),
    ]
    assert (rows[0].low, rows[1].high) == (0.0, 1.0)
    assert rows[0].high == pytest.approx(0.6576, abs=1e-4)
    assert (rows[0].output_tokens, rows[0].latency_ms, rows[0].abstained) == (3.0, 0.5, 1.0)
    assert rows[2].abstained == 0.0


def test_a_summary_of_nothing_is_empty() -> None:
    assert summary(run_suite(Clerk(), [], "", Scope(), "own")) == []
