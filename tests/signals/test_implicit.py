"""What follows an answer says something of it, or nothing: each rule has a case worked by hand, and one beside it that must stay silent."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engrain.records import Interaction, Message, Role, Scope, Stamp
from engrain.signals.implicit import AGAIN_S, SILENT_S, abandonment, follow_up, reaction

SCOPE = Scope()
ASKED = "What is the gate code of the north barn?"


def turn(*turns: str, answer: str, at: float = 0.0, latency_ms: float = 0.0) -> Interaction:
    """The interaction in which the last of these turns (user's and assistant's, alternately) was answered."""
    roles: tuple[Role, Role] = ("user", "assistant")
    messages = tuple(Message(role=roles[i % 2], content=t) for i, t in enumerate(turns))
    made = Interaction(scope=SCOPE, messages=messages, answer=answer, stamp=Stamp(base="b"), created_at=at)
    return made if not latency_ms else _slow(made, latency_ms)


def _slow(made: Interaction, latency_ms: float) -> Interaction:
    from dataclasses import replace

    from engrain.records import Usage

    return replace(made, usage=Usage(latency_ms=latency_ms))


def told(said: str, *, asked: str = ASKED, answer: str = "The gate code is 4417.", seconds: float = 20.0) -> str:
    found = reaction(asked, answer, said, seconds)
    return "" if found is None else found.kind


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("thanks, that worked", "accepted"), ("Perfect!", "accepted"), ("Great, that helps.", "accepted"), ("Thanks. And the south barn?", "accepted"),
        ("no, it's 5521", "corrected"), ("No, I meant the evening ferry.", "corrected"), ("That's wrong.", "corrected"), ("nope", "corrected"),
        ("5521, not 4417", "corrected"), ("Thanks, but that's not right", "corrected"), ("you misunderstood me", "corrected"),
        ("that didn't work", "corrected"), ("Thanks for nothing.", "corrected"),
        ("What is the gate code of the north barn??", "retried"), ("try again please", "retried"), ("No, try again.", "retried"),
        ("the north barn's gate code, what is it?", "rephrased"), ("In other words, how do I open it?", "rephrased"),
    ],
)  # fmt: skip
def test_what_is_said_in_so_many_words_is_understood(said: str, kind: str) -> None:
    assert told(said) == kind


@pytest.mark.parametrize(
    "said",
    [
        "What is the gate code of the south barn?", "No problem, I'll ask Lena.", "no thanks", "ok", "Are you sure?", "Thanks in advance!", "",
        "I meant to ask you about the trip as well: when do we leave?", "Write a thank you note to Kuhn.", "What else can go wrong?", "👍👍", "...",
        "It didn't work for long, did it?", "Great example of irony next", "Make it shorter.", "Who called? A wrong number.",
    ],
)  # fmt: skip
def test_what_only_sounds_like_it_says_nothing(said: str) -> None:
    assert told(said) == ""


def test_no_to_a_question_of_the_assistant_is_an_answer_to_it() -> None:
    assert told("No, use the small one.", answer="Shall I use the large size?") == ""
    assert told("No, use the small one.", answer="I used the large size.") == "corrected"


def test_the_same_request_is_a_retry_only_by_a_human_and_soon() -> None:
    assert told(ASKED, seconds=0.2) == "" == told(ASKED, seconds=AGAIN_S + 1)
    assert told("next", asked="next") == ""  # a command that goes on


def test_another_number_or_a_denial_makes_another_question() -> None:
    assert told("What is 17 times 24 in binary?", asked="What is 17 times 23 in binary?") == ""
    assert (
        told("What should not go into the handover document?", asked="What should go into the handover document?") == ""
    )


def test_feedback_names_the_rule_and_both_interactions_and_never_the_words() -> None:
    before, after = (
        turn(ASKED, answer="4417"),
        turn("No, the secret is 5521.", answer="Noted.", at=25.0, latency_ms=5000),
    )
    found = follow_up(before, after)
    assert found is not None and found == follow_up(before, after)  # the same two, the same record
    assert (found.kind, found.name, found.score, found.interaction) == ("implicit", "corrected", 0.0, before.id)
    assert (
        found.causes == (before.id, after.id)
        and found.text == "begins with no, 20 s later"
        and "5521" not in found.text
    )


def test_silence_counts_where_nothing_was_answered_or_a_fault_stayed() -> None:
    declined = turn(ASKED, answer="I don't know.")
    assert abandonment(declined, SILENT_S - 1) is None
    found = abandonment(declined, SILENT_S)
    assert found is not None and (found.name, found.score, found.created_at) == ("abandoned", 0.0, SILENT_S)
    assert found == abandonment(declined, 10 * SILENT_S)  # whenever it is noticed
    assert abandonment(turn(ASKED, answer="4417"), 1e6) is None
    assert abandonment(turn("The cows are out.", answer="I don't know."), 1e6) is None
    before = turn(ASKED, answer="The code is 4417.")
    again = turn(ASKED, "The code is 4417.", "That's wrong.", answer="The code is 4417.", at=20.0)
    assert abandonment(again, 1e6, before=before) is not None
    mended = turn(ASKED, "The code is 4417.", "That's wrong.", answer="You are right, I have noted 5521.", at=20.0)
    assert abandonment(mended, 1e6, before=before) is None


def test_what_was_redacted_is_not_judged() -> None:
    from dataclasses import replace

    gone = replace(turn("", answer=""), finish_reason="redacted")
    assert follow_up(gone, turn("thanks", answer="")) is None and abandonment(gone, 1e6) is None


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=600), st.text(max_size=600), st.text(max_size=600), st.floats(0, 1e6))
def test_no_text_breaks_it(asked: str, answer: str, said: str, seconds: float) -> None:
    found = reaction(asked, answer, said, seconds)
    assert found is None or found.kind in ("accepted", "corrected", "rephrased", "retried")


@pytest.mark.parametrize(
    "unit", ["no ", "no, ", "thanks ", "ok! ", "that is ", "please ", "a", "hmm", ", not ", "sorry, i "]
)
def test_a_long_message_is_read_in_no_time(unit: str) -> None:
    begun = time.perf_counter()
    reaction(unit * 100_000, unit * 100_000, unit * 100_000 + "x", 5.0)
    assert time.perf_counter() - begun < 1.0
