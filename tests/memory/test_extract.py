"""What a message leaves behind: only what it says."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from engrain.memory.extract import drop_recalled, extract, grounded, parse_notes
from engrain.prompts import NOTHING, extract_request, render_notes
from engrain.protocols import Completion, Conversation


class Scripted:
    """An engine that always says the same and remembers what it was asked."""

    base = "scripted"

    def __init__(self, text: str, finish_reason: str = "stop") -> None:
        self.text, self.finish_reason, self.asked = text, finish_reason, list[str]()

    def sample(
        self,
        prompts: Sequence[Conversation],
        *,
        adapter: str = "",
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Completion]:
        self.asked += [p[-1].content for p in prompts]
        answer = Completion(text=self.text, token_ids=(), logprobs=(), input_tokens=0, finish_reason=self.finish_reason)
        return [answer for _ in prompts]

    def score(
        self, prompts: Sequence[Conversation], answers: Sequence[Sequence[int]], *, adapter: str = ""
    ) -> list[list[float]]:
        raise NotImplementedError

    def count_tokens(self, text: str) -> int:
        return len(text.split())


def test_the_model_is_asked_in_the_standing_words_and_its_lines_are_the_notes() -> None:
    engine = Scripted("- Waffles weighs 26 kilos now.\n- Waffles needs drops twice a day.")
    message = "I was at the vet again, haha. Waffles weighs 26 kilos now and he needs drops twice a day."
    assert extract(engine, message) == ["Waffles weighs 26 kilos now.", "Waffles needs drops twice a day."]
    assert engine.asked == [extract_request(message)]


def test_nothing_is_nothing_and_silence_is_not_asked_about() -> None:
    assert extract(Scripted(NOTHING), "Hello there!") == []
    engine = Scripted("- Hello")
    assert extract(engine, " ... ") == []
    assert engine.asked == []


def test_only_note_lines_count_and_each_once() -> None:
    assert parse_notes("Sure!\n- The code is 4417.\n- the code is now 4417\n-\n- \n* other\n  - Anna likes tea") == [
        "The code is 4417.",
        "Anna likes tea",
    ]


def test_an_answer_that_was_cut_loses_its_last_line() -> None:
    message = "The code is 4417 and Anna has key 12."
    assert extract(Scripted("- The code is 4417\n- Anna has key 1", "length"), message) == ["The code is 4417"]


@pytest.mark.parametrize(
    ("note", "message"),
    [
        ("My locker number is 12.", "Can you remember something for me? My locker number is 12."),
        ("The user lives in Leeds", "I live in Leeds, you know"),
        ("The user is allergic to walnuts.", "I'm allergic to walnuts, so please keep that in mind."),
        ("Waffles needs drops twice a day.", "Waffles is ill and he needs drops twice a day."),
        ("I don't like rain", "I love snow but I don't like rain"),
        ("I love snow", "I love snow but I don't like rain"),
        ("Call Ben, not Anna", "Please call Ben, not Anna."),
        ("The user's stories are on the shelf", "my story is on the shelf"),
        ("Breakfast is at 6:30", "Breakfast is at 6:30!"),
    ],
)
def test_a_note_that_the_message_bears_out_is_kept(note: str, message: str) -> None:
    assert grounded([note], message) == [note]


@pytest.mark.parametrize(
    ("note", "message"),
    [
        ("My locker number is 13.", "My locker number is 12."),
        ("My locker number is 1.", "My locker number is 12."),
        ("Breakfast is at 6:3", "Breakfast is at 6:30"),
        ("Anna likes coffee", "Anna likes tea"),
        ("Ben likes tea", "Anna likes tea"),
        ("I like rain", "I love snow but I don't like rain"),
        ("Anna is not ill", "Anna is ill"),
        ("The pool is closed on Mondays and Tuesdays", "The pool is closed on Mondays"),
    ],
)
def test_a_note_that_says_more_or_the_contrary_is_dropped(note: str, message: str) -> None:
    assert grounded([note], message) == []


def test_notes_pasted_back_are_not_learned_again_but_own_sentences_are() -> None:
    context = render_notes(["[2026-03-02] The gate code is 4417.", "Anna likes tea."])
    own = "The gate code is 4417, indeed. Ben is ill."
    pasted = f'{context}\n> - Anna likes tea\nYou told me "the gate code is 4417". {own}'
    assert drop_recalled(pasted, context) == f"You told me . {own}"
    engine = Scripted("- Anna likes tea.\n- Ben is ill.")
    assert extract(engine, pasted, shown=context) == ["Ben is ill."]
    assert drop_recalled("- mine", "") == "- mine"
