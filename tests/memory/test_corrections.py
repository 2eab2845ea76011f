"""What a correction makes wrong, and how it reads by itself."""

from __future__ import annotations

import pytest

from engrain.memory import contradicted, stated
from engrain.records import Memory, Scope


def wrong_of(answer: str, correction: str, *notes: str) -> list[str]:
    memories = [Memory(scope=Scope(), text=text, valid_from=0.0) for text in notes]
    found = contradicted(answer, correction, memories)
    return [m.text for m in memories if m.id in found]


@pytest.mark.parametrize(
    ("answer", "correction", "note"),
    [
        ("Marta", "Hugo repairs the sails.", "Marta repairs the sails."),
        ("Marta repairs the sails.", "Hugo repairs the sails.", "Marta repairs the sails."),
        ("MARTA, CAPTAIN.", "It is Hugo who repairs sails.", "Marta repairs the sails."),
        ("Marta", "Marta does not repair the sails.", "Marta repairs the sails."),
        ("on Friday", "The vet comes on Thursday.", "The vet comes on Friday."),
        ("4417", "The code of the north barn's gate is 5521.", "The gate of the north barn opens with 4417."),
        ("Elmford", "Our oak boards come from Northwood.", "Oak boards come from the sawmill in Elmford."),
        ("next to the north window", "The drill press stands next to the south window.",
         "The drill press stands next to the north window."),
    ],
)  # fmt: skip
def test_the_note_that_gave_the_wrong_answer_is_found(answer: str, correction: str, note: str) -> None:
    assert wrong_of(answer, correction, note) == [note]


@pytest.mark.parametrize(
    ("answer", "correction", "note"),
    [
        ("Marta", "Hugo repairs the sails.", "Marta feeds the goats."),  # about something else
        ("Marta", "Hugo repairs the sails.", "Marta and Ines repair the masts."),
        ("Marta", "Marta and Hugo repair the sails.", "Marta repairs the sails."),  # adds, and denies nothing
        ("on Monday", "Marta repairs the sails on Tuesday.", "Hugo repairs the sails on Monday."),  # of somebody else
        ("I don't know.", "Hugo repairs the sails.", "Marta repairs the sails."),
        ("", "Hugo repairs the sails.", "Marta repairs the sails."),
        ("17", "The code of the gate is 5521.", "The code of the gate is 4417."),  # 17 is no word of 4417
        ("Marta", "Please call me Captain.", "Marta repairs the sails."),
    ],
)
def test_a_note_that_the_correction_does_not_speak_of_is_left_alone(answer: str, correction: str, note: str) -> None:
    assert wrong_of(answer, correction, note) == []


def test_of_two_notes_the_one_that_shares_more_is_meant() -> None:
    notes = ("Marta repairs the sails.", "Marta sews sails.")
    assert wrong_of("Marta", "Hugo repairs the sails.", *notes) == ["Marta repairs the sails."]


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
