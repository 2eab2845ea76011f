"""The gateway: what is recorded is what was answered, and what is forgotten meanwhile does not come back with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from engrain.adapters import promote
from engrain.engines.fake import FakeEngine
from engrain.errors import NotFound
from engrain.gateway import answer
from engrain.gateway.answer import Say, Serving, asked_without, look_up
from engrain.loops import remember
from engrain.memory import HashedEmbedder, held
from engrain.protocols import Completion, Conversation
from engrain.records import (
    Adapter,
    Evidence,
    Interaction,
    ItemResult,
    Memory,
    Message,
    Scope,
    Verdict,
)
from engrain.store import SqlStore

SCOPE = Scope()
ASKED = [Message(role="user", content="What is the gate code of the north barn?")]


class Slow(FakeEngine):
    """Something happens while it answers."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self.meanwhile, self.calls = meanwhile, 0

    def sample(self, prompts: Sequence[Conversation], **options: Any) -> list[Completion]:
        found = super().sample(prompts, **options)
        self.calls += 1
        self.meanwhile()
        return found


@pytest.fixture
def store(tmp_path: Path) -> SqlStore:
    return SqlStore(tmp_path / "home")


def test_an_answer_in_flight_does_not_bring_back_what_was_forgotten_meanwhile(store: SqlStore) -> None:
    secret = remember.tell(store, "The gate code of the north barn is zq4417kv.", scope=SCOPE)
    engine = Slow(lambda: store.erase([secret.id], scope=SCOPE, reason="asked"))
    given = answer(store, engine, HashedEmbedder(), ASKED, scope=SCOPE)
    assert engine.calls == 2
    assert "zq4417kv" not in given.answer + given.context.text
    assert list(store.select(Interaction, scope=SCOPE)) == [given]
    assert not any(b"zq4417kv" in file.read_bytes() for file in store._db.path.parent.iterdir())


def test_an_answer_that_is_overtaken_every_time_is_an_error_and_leaves_no_record(store: SqlStore) -> None:
    notes = [
        remember.tell(store, f"The gate code of the {where} barn is 44{n}.", scope=SCOPE).id
        for n, where in enumerate(("north", "south", "east", "west"))
    ]
    engine = Slow(lambda: store.erase([notes.pop(0)], scope=SCOPE, reason="asked"))
    with pytest.raises(NotFound, match="forgotten meanwhile"):
        answer(store, engine, HashedEmbedder(), ASKED, scope=SCOPE)
    assert list(store.select(Interaction, scope=SCOPE)) == []


def test_from_an_answer_one_walks_up_to_the_verdict_that_let_its_version_through_and_its_evidence(
    store: SqlStore,
) -> None:
    engine = FakeEngine()
    name = engine.teach(["The gate code of the north barn is 4417."])
    base = Adapter(id=name, scope=SCOPE, base=engine.base)
    held = [Verdict(scope=SCOPE, decision="hold", reasons=("few",), candidate=name, causes=(name,))]
    evidence = Evidence(scope=SCOPE, adapter=name, suite="gate", results=(), causes=(name,))
    passed = Verdict(scope=SCOPE, decision="promote", reasons=("fine",), candidate=name, causes=(name, evidence.id))
    store.append_all([base, *held, evidence])
    promote(store, SCOPE, passed)
    store.set_live(SCOPE, "", expected=name, event="rollback")
    assert answer(store, engine, HashedEmbedder(), ASKED, scope=SCOPE).causes == ()
    store.set_live(SCOPE, name, expected="", event="rollback")
    said = answer(store, engine, HashedEmbedder(), ASKED, scope=SCOPE)
    assert said.causes == (name, passed.id)
    assert [n.id for n in store.walk(said.id, "causes", scope=SCOPE)] == [name, passed.id, evidence.id]


def test_the_latency_of_an_answer_is_that_of_recall_too(store: SqlStore) -> None:
    class Slowly(HashedEmbedder):
        def embed(self, texts: Sequence[str]) -> Any:
            time.sleep(0.05)
            return super().embed(texts)

    remember.tell(store, "The gate code of the north barn is 4417.", scope=SCOPE)
    assert answer(store, FakeEngine(), Slowly(), ASKED, scope=SCOPE).usage.latency_ms >= 50


def test_a_version_that_never_was_is_not_replaced_by_another(store: SqlStore) -> None:
    with pytest.raises(NotFound):
        answer(store, FakeEngine(), HashedEmbedder(), ASKED, scope=SCOPE, adapter="f" * 64)


def taught(store: SqlStore, engine: FakeEngine, memories: Sequence[Memory], said: Sequence[tuple[str, bool]]) -> str:
    """A version that learned these memories, with what it said closed book to held-out questions, and whether that was right."""
    name = engine.teach([memories[0].text])
    results = tuple(
        ItemResult(item=f"{name} {i}", question="", expected="4417", answer=text, right=right, group="new")
        for i, (text, right) in enumerate(said)
    )
    store.append_all([
        Adapter(id=name, scope=SCOPE, base=engine.base, batch="", memory_ids=tuple(m.id for m in memories)),
        Evidence(scope=SCOPE, adapter=name, suite="gate", results=results, causes=(name,)),
    ])  # fmt: skip
    return name


def test_a_version_is_asked_without_notes_first_about_what_it_was_taught(store: SqlStore) -> None:
    known = remember.tell(store, "The gate code of the north barn is 4417.", scope=SCOPE)
    missed = remember.tell(store, "Hay comes every second Tuesday.", scope=SCOPE)
    other = remember.tell(store, "The gate code of the south barn is 2290.", scope=SCOPE)
    style = remember.tell(store, "Call me Captain.", scope=SCOPE)
    engine = FakeEngine()

    def shown(question: str, version: str, say: Say | None = None) -> tuple[str, ...]:
        return look_up(
            store, engine, HashedEmbedder(), [Message(role="user", content=question)],
            held(list(store.select(Memory, scope=SCOPE))), scope=SCOPE, serving=Serving(), version=version, say=say,
        ).memory_ids  # fmt: skip

    north, south = ("What is the gate code of the north barn?", "What is the gate code of the south barn?")
    version = taught(store, engine, [known, missed], [("4417", True)] * 9 + [("2290", False), ("I don't know", False)])
    assert shown(north, "")[:2] == (style.id, known.id)
    assert shown(north, version) == (style.id,)  # it answers from its weights
    assert missed.id in shown("When does the hay come?", version, lambda *_: "I don't know, Captain")
    assert other.id in shown(south, version)  # which it was never taught
    assert known.id in shown(north, version, lambda *_: "Well: I don't know.")


def test_a_version_that_says_wrong_things_closed_book_is_shown_every_note(store: SqlStore) -> None:
    known = remember.tell(store, "The gate code of the north barn is 4417.", scope=SCOPE)
    wrong = taught(store, FakeEngine(), [known], [("4417", True)] * 7 + [("2290", False)] * 2)
    assert asked_without(store, SCOPE, wrong) == frozenset()
    sure = taught(store, FakeEngine(), [remember.tell(store, "Hay is dry.", scope=SCOPE)], [("4417", True)] * 3)
    assert len(asked_without(store, SCOPE, sure)) == 1


def test_skills_that_fit_are_named_where_that_is_asked_for(store: SqlStore) -> None:
    from engrain.loops.skills import keep
    from engrain.memory.skills import Skill
    from engrain.memory.worth import Worth, worths

    kiln = Skill(
        name="fire-the-kiln", description="Fires the kiln: use it when pots are dry.", body="1. Close the flap."
    )
    (memory,) = keep(store, [(kiln, "test")], scope=SCOPE, trusted=True)
    asked = [Message(role="user", content="The pots are dry. Which kiln do I fire?")]
    bare = answer(store, FakeEngine(), HashedEmbedder(), asked, scope=SCOPE)
    assert memory.id not in bare.context.memory_ids
    shown = answer(store, FakeEngine(), HashedEmbedder(), asked, scope=SCOPE, serving=Serving(skills=2))
    assert "fire-the-kiln: Fires the kiln" in shown.context.text and "Close the flap" not in shown.context.text
    remember.feedback(store, shown.id, scope=SCOPE, rating=1.0)
    assert worths(store, SCOPE, [memory.id]) == {memory.id: Worth(helpful=1)}


def test_what_was_shown_for_good_answers_comes_a_little_before_what_was_shown_for_bad_ones() -> None:
    from engrain.evaluation.statistics import wilson
    from engrain.memory.worth import Worth, by_use

    one, two, far = (Memory(scope=SCOPE, text=text, valid_from=1.0) for text in ("a", "b", "c"))
    found = [(one, 0.80), (two, 0.78), (far, 0.3)]
    known = {one.id: Worth(harmful=20), two.id: Worth(helpful=20), far.id: Worth(helpful=50)}
    assert [m for m, _ in by_use(found, known, wilson)] == [two, one, far]
    assert by_use(found, {one.id: Worth(harmful=4), two.id: Worth(helpful=4)}, wilson) == found  # too few to tell
