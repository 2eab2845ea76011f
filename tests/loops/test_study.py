"""Self-study: which questions are worth learning from, and how the holdout is kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from engrain.engines.fake import FakeEngine
from engrain.evaluation.suites import near_duplicate
from engrain.loops.grammar import plain_questions
from engrain.loops.study import Question, Study, agrees, answers_it, hold_out
from engrain.protocols import Completion, Conversation

NOTE = "The gate code of the north barn is 4417."


def question(text: str, answer: str = "4417", kind: str = "plain") -> Question:
    return Question(text=text, answer=answer, kind=kind)


def test_an_answer_must_stand_in_the_note_as_whole_words() -> None:
    assert answers_it(NOTE, "What is the gate code of the north barn?", "4417")
    assert answers_it(NOTE, "What is the gate code of the north barn?", "4417.")
    assert not answers_it(NOTE, "What is the gate code of the north barn?", "441")
    assert not answers_it(NOTE, "What is the gate code of the north barn?", "5521")


def test_a_dont_know_or_an_answer_given_away_by_its_question_teaches_nothing() -> None:
    assert not answers_it(NOTE, "What is the gate code?", "I don't know")
    assert not answers_it(NOTE, "Is the gate code 4417 that of the north barn?", "4417")
    assert answers_it(NOTE, "Is the gate code of the north barn 4417?", "Yes")


def test_a_question_that_stammers_or_speaks_of_something_else_is_not_kept() -> None:
    assert not answers_it(NOTE, "What is the gate code of the gate code of the gate code?", "4417")
    assert not answers_it(NOTE, "Who did Nadan see?", "4417")
    assert not answers_it(NOTE, "Do you know the gate code?", "Yes")


def test_the_holdout_depends_on_content_and_not_on_order() -> None:
    questions = [
        question(f"What is the {w} code of the barn over there?") for w in ("gate", "door", "roof", "yard", "wall")
    ]
    train, holdout = hold_out(questions)
    again = hold_out(questions[::-1])
    assert {q.text for q in train} == {q.text for q in again[0]}
    assert {q.text for q in holdout} == {q.text for q in again[1]}
    assert holdout


def test_a_training_question_that_nearly_repeats_a_held_out_one_is_dropped() -> None:
    twins = [question("Tell me the gate code of the north barn"), question("tell me the gate code of the north barn?")]
    others = [question("Which place has a gate with this code?", "the north barn"), question("north barn gate code?")]
    train, holdout = hold_out([*twins, *others])
    assert not any(near_duplicate(t.text, h.text) for t in train for h in holdout)


def test_a_single_question_is_trained_on_and_nothing_is_held_out() -> None:
    train, holdout = hold_out([question("What is the gate code?")])
    assert len(train) == 1
    assert holdout == []


def test_no_kind_of_question_crowds_out_another() -> None:
    asked = [question("Where, said I, is it?", kind="asked")]
    confirming = [question(f"Is it number {n}?", "Yes", "yes or no") for n in range(9)]
    plain = [question(f"What is it, number {n}?") for n in range(5)]
    kept = Study(most=8)._some("", [*confirming, *plain, *asked], {("", plain[4].text)})
    assert kept[:2] == [asked[0], plain[4]]
    assert sum(q.kind == "yes or no" for q in kept) == 1
    assert len(kept) == 7


def test_a_note_of_plain_grammar_asks_its_own_questions() -> None:
    texts = [q for q, *_ in plain_questions(NOTE)]
    assert "What is the gate code of the north barn?" in texts
    assert "Gate code of the north barn?" in texts
    assert "What is 4417?" in texts
    assert ("What is my favourite tea?", "plain", "oolong") in plain_questions("The user's favourite tea is oolong.")
    steps = plain_questions("When the dust alarm rings, switch off the saw, then open the door.")
    assert steps[0] == (
        "What should I do when the dust alarm rings?",
        "plain",
        "switch off the saw, then open the door",
    )
    asked = plain_questions("Marta repairs the sails on Tuesday.")
    assert ("Who repairs the sails on Tuesday?", "reversed", "Marta") in asked
    assert plain_questions("The user prefers oak over pine.")[0][::2] == ("What do I prefer to pine?", "oak")
    assert plain_questions("Marta prefers tea to coffee.")[0].text == "What does Marta prefer to coffee?"
    assert plain_questions("No smoking near the paint, ever; ask Hugo") == []


STEPS = "When the band saw gets stuck, wait for ten minutes, then wipe the sensor."
LAST = "What do I do last when the band saw gets stuck?"


class Answering(FakeEngine):
    """Gives one answer to whatever is asked about a note, and asks one question of its own about each."""

    def __init__(self, answer: str, own: str = "") -> None:
        super().__init__()
        self.answer, self.own = answer, own

    def sample(self, prompts: Sequence[Conversation], **options: Any) -> list[Completion]:
        found = super().sample(prompts, **{**options, "max_tokens": 1000})
        texts = [self.answer if p[0].role == "system" else self.own for p in prompts]
        return [replace(c, text=t, finish_reason="stop") for c, t in zip(found, texts, strict=True)]


def test_a_question_of_grammar_is_dropped_where_the_model_says_another_part_of_the_note() -> None:
    own = "How do I free the band saw?"
    kept = Study(most=99).questions(Answering("wait for ten minutes", own), [STEPS])[STEPS]
    texts = {q.text: q.answer for q in kept}
    assert texts["What do I do first when the band saw gets stuck?"] == "wait for ten minutes"
    assert texts[own] == "wait for ten minutes"  # only the model itself knows what it meant to ask
    assert LAST not in texts
    assert "What should I do when the band saw gets stuck?" not in texts
    kept = Study(most=99).questions(Answering("Wipe the sensor."), [STEPS])[STEPS]
    assert LAST in {q.text for q in kept}
    assert {q.answer for q in kept} == {"Wipe the sensor."}  # as the model says it


KEY = "The spare key is under the wicker basket in the hall."


@pytest.mark.parametrize(
    ("note", "asked", "answer", "expected", "agreed"),
    [
        (
            KEY,
            "Where is the spare key?",
            "under the wicker basket in the hall",
            "under the wicker basket in the hall",
            1,
        ),
        (KEY, "Where is the spare key?", "The wicker basket in the hall.", "under the wicker basket in the hall", 1),
        (KEY, "Where is the spare key?", "under the wicker basket in the hall", "under the wicker basket", 1),
        (KEY, "Where is the spare key?", KEY, "under the wicker basket", 1),
        (KEY, "Where is the spare key?", "in the hall", "under the wicker basket", 0),
        (KEY, "Where is the spare key?", "the basket", "under the wicker basket", 0),
        ("The hall has 12 chairs.", "How many chairs does the hall have?", "12", "12 chairs", 1),
        ("The hall has 12 chairs.", "What does the hall have?", "12", "12 chairs", 0),
        ("The saw needs a blade every six weeks.", "How often?", "six weeks", "every six weeks", 1),
        (
            "The boards come from the mill in Elmford.",
            "Where do the boards come from?",
            "Elmford",
            "from the mill in Elmford",
            1,
        ),
        ("Rosa sold the farm in Elmford.", "What did Rosa sell?", "Elmford", "the farm in Elmford", 0),
        ("The safe opens with the code 6094.", "What does the safe open with?", "6094", "with the code 6094", 1),
        ("Ben is the brother of Anna.", "Who is Ben?", "Anna", "the brother of Anna", 0),
        ("Ben lives north of Halden.", "Where does Ben live?", "Halden", "north of Halden", 0),
        ("We play with at least five players.", "With whom?", "five players", "at least five players", 0),
        ("I prefer the alps over the moors.", "What do I prefer to the moors?", "the alps over", "the alps", 0),
        ("Rent is due before noon.", "When is rent due?", "noon", "before noon", 0),
        ("We meet from Monday to Friday.", "When do we meet?", "Monday", "from Monday to Friday", 0),
        ("The user parks their car in their yard.", "Where do I park my car?", "their yard", "in my yard", 1),
        (STEPS, "What should I do?", "wait for ten minutes", "wait for ten minutes, then wipe the sensor", 0),
        (STEPS, "What should I do?", STEPS, "wait for ten minutes, then wipe the sensor", 1),
        (STEPS, LAST, STEPS, "wipe the sensor", 0),
        (STEPS, LAST, "wait for ten minutes, then wipe the sensor", "wipe the sensor", 0),
    ],
)
def test_an_answer_agrees_with_the_part_asked_for_if_it_is_all_of_it(
    note: str, asked: str, answer: str, expected: str, agreed: bool
) -> None:
    assert agrees(note, asked, answer, expected) == agreed
