"""What sort of note it is."""

from __future__ import annotations

import pytest

from engrain.memory.kinds import is_mutable, kind_of
from engrain.memory.styles import is_answer_style

STYLES = [
    "Answer in capital letters, please.",
    "Call me Captain.",
    "Keep your answers short.",
    "End every answer with 'over and out'.",
    "I want everything you say to me in upper case.",
    "Please call me Boss when you answer.",
    "Start each answer with 'Dear friend'.",
    "No long replies, only a few words.",
    "Write all your answers in small letters.",
    "Finish your replies with 'cheers'.",
    "My nickname is Sparky, please use it.",
    "Use ALL CAPS when you talk to me.",
    "Always reply in German.",
    "Be brief.",
]


@pytest.mark.parametrize("text", STYLES)
def test_a_note_on_how_to_answer_is_a_preference_and_a_style(text: str) -> None:
    assert is_answer_style(text)
    assert kind_of(text) == "preference"


@pytest.mark.parametrize(
    "text",
    [
        "I prefer the window seat.",
        "My favourite tea is oolong.",
        "The user hates olives",
        "Oolong is my favourite tea",
        "I don't like rain",
    ],
)
def test_a_taste_is_a_preference_and_no_style(text: str) -> None:
    assert kind_of(text) == "preference"
    assert not is_answer_style(text)


@pytest.mark.parametrize(
    "text",
    [
        "When the trough pump stops, switch off the pump, open the drain valve, then wait five minutes.",
        "If the copier jams, open tray two.",
        "Before using the lathe, tie back your hair, put on the goggles, and check the chuck.",
        "To restart the pump: switch it off, then wait.",
        "Call Ruth if the alarm rings.",
        "Never park the tractor on the concrete.",
    ],
)
def test_what_to_do_when_is_a_procedure(text: str) -> None:
    assert kind_of(text) == "procedure"


@pytest.mark.parametrize(
    "text",
    [
        "The gate code of the north barn is 4417.",
        "Anna likes tea",
        "The clean towels are upstairs.",
        "Our vet is Dr. Halloran.",
        "The answer to the riddle is a shadow.",
        "Ben calls his mother on Sundays.",
        "I'm allergic to walnuts",
        "The reply from the bank came on Tuesday.",
        "The opening time is 9:30",
        "Press time is 6 o'clock",
        "The shop closes at 6",
    ],
)
def test_other_notes_are_facts(text: str) -> None:
    assert kind_of(text) == "fact"
    assert not is_answer_style(text)


@pytest.mark.parametrize(
    "text",
    [
        "Ben is out until Friday.",
        "We have three boxes left.",
        "The printer is currently in the hall.",
        "I am busy right now",
        "Screws are out of stock.",
        "Anna is ill.",
        "The soup today is lentil",
        "Owen is on holiday until the 14th.",
        "At the moment the lift is switched off.",
        "The red paint is nearly finished.",
        "There are 12 jars in stock.",
    ],
)
def test_a_passing_state_is_mutable(text: str) -> None:
    assert is_mutable(text)


@pytest.mark.parametrize(
    "text",
    [
        "The gate code is now 5521.",
        "The shop is open until 6.",
        "Nora lives in Bristol now.",
        "The spare key hangs left of the clock",
        "When the printer is out of paper, open tray two.",
        "The museum is closed on Mondays.",
        "Anna moved to Leeds in May.",
        "Turn left at the chapel",
        "The stock cube is in the tin",
    ],
)
def test_a_lasting_fact_is_not_mutable(text: str) -> None:
    assert not is_mutable(text)
