"""A note of several facts becomes several notes, and nothing else is taken apart."""

from __future__ import annotations

import pytest

from engrain.memory import facts

SPLIT = {
    "The gate code of the north barn is 4417, and the pump is behind the shed.": [
        "The gate code of the north barn is 4417.", "The pump is behind the shed.",
    ],
    "Marta works at the bakery and lives in Porto.": ["Marta works at the bakery.", "Marta lives in Porto."],
    "The rent is 300 euros and is due on Friday": ["The rent is 300 euros.", "The rent is due on Friday."],
    "I live in Porto and work at the bakery.": ["I live in Porto.", "I work at the bakery."],
    "The gate code is 4417. The pump is behind the shed.": ["The gate code is 4417.", "The pump is behind the shed."],
}  # fmt: skip


@pytest.mark.parametrize("note", SPLIT)
def test_what_states_several_facts_becomes_several_notes(note: str) -> None:
    assert facts(note) == SPLIT[note]


@pytest.mark.parametrize(
    "note",
    [
        "The vet is Dr. Lund and she comes on Tuesdays.",
        "Tom's birthday is on 3 May and Ana's is on 4 May.",
        "The red key is for the barn and the blue one is for the shed.",
        "The north gate is 4 metres wide and the south is 5 metres wide.",
        "The bread and the butter are in the fridge.",
        "The colours of the flag are red and blue.",
        "When the bell rings, open the door and wait.",
        "Anna and Ben run the dairy on Mondays.",
        "The price is 5 euros for members and 8 euros for guests.",
        "Hay comes on Tuesday. It comes from the Miller farm.",
        "Call me Captain and be brief.",
        "The north barn is locked at night. Key under the mat.",
        "",
    ],
)
def test_what_leans_on_its_neighbour_or_is_one_fact_stays_whole(note: str) -> None:
    assert facts(note) == ([note] if note else [])
