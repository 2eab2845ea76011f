"""The fake engine keeps the Engine protocol without torch."""

from __future__ import annotations

import pytest

from engrain.engines.fake import FakeEngine
from engrain.errors import InputError, NotFound
from engrain.prompts import UNKNOWN, render_notes
from engrain.protocols import Engine
from engrain.records import Message

NOTES = ["The gate code of the north barn is 4417.", "Mara keeps bees."]
ASK = (Message(role="user", content="What is the gate code?"),)


def test_it_is_an_engine() -> None:
    engine: Engine = FakeEngine()
    assert engine.count_tokens("née") == 4


def test_it_answers_from_notes_it_is_shown_and_else_does_not_know() -> None:
    engine = FakeEngine()
    shown = (Message(role="system", content=render_notes(NOTES)), *ASK)
    assert [c.text for c in engine.sample([shown, ASK])] == [NOTES[0], UNKNOWN]


def test_an_adapter_knows_its_notes_and_its_parents() -> None:
    engine = FakeEngine()
    parent = engine.teach(NOTES[:1])
    child = engine.teach(NOTES[1:], parent=parent)
    assert engine.sample([ASK], adapter=child)[0].text == NOTES[0]
    assert engine.teach(NOTES) == child


def test_what_it_is_shown_outranks_what_it_learned() -> None:
    engine = FakeEngine()
    newer = "The gate code of the north barn is 9."
    shown = (Message(role="system", content=render_notes([newer])), *ASK)
    assert engine.sample([shown], adapter=engine.teach(NOTES))[0].text == newer


def test_its_own_words_score_higher_than_others() -> None:
    engine = FakeEngine()
    own = engine.sample([ASK])[0].token_ids
    assert sum(engine.score([ASK], [own])[0]) > sum(engine.score([ASK], [own[::-1]])[0])


def test_an_answer_is_cut_and_says_so() -> None:
    completion = FakeEngine().sample([ASK], max_tokens=3)[0]
    assert (completion.text, completion.finish_reason) == ("I d", "length")


def test_an_absent_adapter_and_an_empty_conversation_are_errors() -> None:
    with pytest.raises(NotFound):
        FakeEngine().sample([ASK], adapter="none")
    with pytest.raises(InputError):
        FakeEngine().sample([()])
