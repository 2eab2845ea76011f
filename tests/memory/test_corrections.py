"""What a correction makes wrong, and how it reads by itself."""

from __future__ import annotations

import pytest

from engrain.memory import contradicted, stated
from engrain.records import Memory, Scope

SAILS, CODE = "Who repairs the sails?", "What is the gate code of the north barn?"


def wrong_of(question: str, answer: str, correction: str, *notes: str) -> list[str]:
    memories = [Memory(scope=Scope(), text=text, valid_from=0.0) for text in notes]
    found = contradicted(question, answer, correction, memories)
    return [m.text for m in memories if m.id in found]


@pytest.mark.parametrize(
    ("question", "answer", "correction", "note"),
    [
        (SAILS, "Marta", "Hugo repairs the sails.", "Marta repairs the sails."),
        (SAILS, "Marta repairs the sails.", "Hugo repairs the sails.", "Marta repairs the sails."),
        (SAILS, "MARTA, CAPTAIN.", "It is Hugo who repairs sails.", "Marta repairs the sails in the loft."),
        (SAILS, "Marta", "Marta does not repair the sails.", "Marta repairs the sails."),
        (SAILS, "Marta", "Hugo repairs the sails, not the masts.", "Marta repairs the sails."),
        ("Whose task is it?", "Marta", "Hugo repairs the sails.", "Marta repairs the sails."),
        ("When does the vet come?", "on Friday", "The vet comes on Thursday.", "The vet comes on Friday."),
        (CODE, "4417", "The code of the north barn's gate is 5521.", "The north barn gate opens with the code 4417."),
        ("Where do our oak boards come from?", "Elmford", "Our oak boards come from Northwood.",
         "Oak boards come from the sawmill in Elmford."),
        ("Where is the drill press?", "next to the north window", "The drill press stands next to the south window.",
         "The drill press stands next to the north window."),
    ],
)  # fmt: skip
def test_the_note_that_gave_the_wrong_answer_is_found(question: str, answer: str, correction: str, note: str) -> None:
    assert wrong_of(question, answer, correction, note) == [note]


@pytest.mark.parametrize(
    ("question", "answer", "correction", "note"),
    [
        (SAILS, "Marta", "Hugo repairs the sails.", "Marta feeds the goats."),  # about something else
        (SAILS, "Marta", "Hugo repairs the sails.", "Marta repairs the masts."),
        (SAILS, "Marta", "Hugo repairs the sails.", "Marta sews sails."),
        (SAILS, "Marta", "Marta and Hugo repair the sails.", "Marta repairs the sails."),  # adds, and denies nothing
        ("When?", "on Monday", "Marta repairs the sails on Tuesday.", "Hugo repairs the sails on Monday."),  # somebody else
        (SAILS, "I don't know.", "Hugo repairs the sails.", "Marta repairs the sails."),
        (SAILS, "", "Hugo repairs the sails.", "Marta repairs the sails."),
        (CODE, "17", "The code of the gate is 5521.", "The code of the gate is 4417."),  # 17 is no word of 4417
        (SAILS, "Marta", "Please call me Captain.", "Marta repairs the sails."),
        # The note was misread; it is true of another thing.
        ("How much is a boat wash?", "1450 euros", "The price of a boat wash is 95 euros.",
         "The price of a mast is 1450 euros."),
        ("Who paints the hulls?", "Ines", "Hugo paints the hulls on Friday afternoons.",
         "Ines paints the masts on Friday afternoons."),
    ],
)  # fmt: skip
def test_a_note_that_the_correction_does_not_speak_of_is_left_alone(
    question: str, answer: str, correction: str, note: str
) -> None:
    assert wrong_of(question, answer, correction, note) == []


@pytest.mark.parametrize(
    ("question", "said", "note"),
    [
        ("What is the gate code of the north barn?", "5521", "The gate code of the north barn is 5521."),
        ("What's my locker number?", "No, it is 14.", "My locker number is 14."),
        ("What are the opening hours?", "9 to 5", "The opening hours are 9 to 5."),
        ("Where is the key?", "under the mat", "The key is under the mat."),
        ("Where is the key?", "the shed", "Where is the key? the shed."),
        ("Good morning! Who repairs the sails?", "Hugo", "Hugo repairs the sails."),
        ("Who repairs the sails?", "Hugo does.", "Who repairs the sails? Hugo does."),
        ("Who does Hugo work for?", "Rosa", "Who does Hugo work for? Rosa."),
        ("Which numbers open the office safe?", "6095", "Which numbers open the office safe? 6095."),
    ],
)
def test_a_bare_value_becomes_a_sentence_with_what_was_asked(question: str, said: str, note: str) -> None:
    assert stated(question, said) == note


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("What is the gate code?", "The gate code is 5521."),  # says itself what it is about
        ("Who repairs the sails?", "Please call me Captain."),  # a wish
        ("What is your dog called?", "My favourite colour is blue."),  # a statement by itself
        ("The gate code is 4417.", "5521"),  # nothing was asked
        ("x" * 400 + "?", "5521"),
        ("What is the gate code?", "It was changed by the people who came here on Monday."),
    ],
)
def test_any_other_correction_stays_as_it_is(question: str, said: str) -> None:
    assert stated(question, said) == said
