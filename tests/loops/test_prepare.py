"""Preparing a batch: what enters it is learned, held, and named by it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from engrain.engines.fake import FakeEngine
from engrain.evaluation.probes import probe_group
from engrain.loops.prepare import Preparation, prepare
from engrain.memory import is_answer_style
from engrain.prompts import UNKNOWN, render_notes
from engrain.protocols import Completion, Conversation
from engrain.records import Batch, Example, Memory, Message, Scope, content_hash

SCOPE = Scope()
FACTS = (
    "The gate code of the north barn is 4417.",
    "The colour of the van is dark green.",
    "The password of the printer is maple.",
    "The owner of the kiln is Petra.",
    "The departure time of the ferry is 7:40.",
    "The keeper of the orchard is Hugo.",
)
UNLEARNED = "Zanzibar, quickly; never wobblefish"
FEW = Preparation(guards=4, distractors=2)


class Careful(FakeEngine):
    """Says that it does not know where the question has a word of another note than the one it would answer from."""

    def sample(self, prompts: Sequence[Conversation], **options: Any) -> list[Completion]:
        found = super().sample(prompts, **options)
        unknown = super().sample([[Message(role="user", content="?")]], **options)[0]
        assert unknown.text == UNKNOWN
        told = words(" ".join(FACTS))
        return [
            c if words(p[-1].content) & told <= words(c.text) else unknown for p, c in zip(prompts, found, strict=True)
        ]


def words(text: str) -> set[str]:
    return set(re.findall(r"\w{3,}", text.lower())) - {"the"}


def memories(*texts: str) -> list[Memory]:
    return [Memory(id=f"mem_{content_hash(t, length=8)}", scope=SCOPE, text=t, valid_from=0.0) for t in texts]


def words_of(batch: Batch) -> str:
    examples = (*batch.train, *batch.holdout)
    return "\n".join(t for e in examples for t in (e.context, e.reference, *(m.content for m in e.query)))


def test_a_note_that_is_not_learned_leaves_no_trace_in_the_batch() -> None:
    every = memories(*FACTS, UNLEARNED)
    batch = prepare(Careful(), every, scope=SCOPE, parent="", preparation=FEW)
    assert every[-1].id not in batch.memory_ids
    assert set(batch.memory_ids) == {m.id for m in every[:-1]}
    said = words_of(batch)
    assert FACTS[0] in said
    assert not any(word in said for word in ("Zanzibar", "wobblefish"))
    without = prepare(Careful(), every[:-1], scope=SCOPE, parent="", preparation=FEW)
    assert batch.id == without.id


def test_a_teacher_is_shown_the_note_alone() -> None:
    """Or it could tell the student what another note says."""
    every = memories(*FACTS)
    batch = prepare(FakeEngine(), every, scope=SCOPE, parent="", preparation=FEW)
    new = [e for e in batch.train if e.role == "new"]
    assert {(e.memory_ids, e.context) for e in new} == {((m.id,), render_notes([m.text])) for m in every}


def test_a_lesson_is_asked_in_many_typings_and_each_knows_the_interactions_of_its_question() -> None:
    every, query = memories(*FACTS), "Which digits open the north barn gate?"
    asked = {FACTS[0]: {query: ["int_1"]}}
    batch = prepare(
        FakeEngine(), every, scope=SCOPE, parent="", asked=asked, preparation=replace(FEW, holdout_share=0.1)
    )
    mine = [e for e in (*batch.train, *batch.holdout) if e.interaction_ids == ("int_1",)]
    assert len(mine) > 1
    assert "int_1" in batch.causes


def test_a_question_that_the_teacher_cannot_answer_even_alone_is_no_lesson() -> None:
    class Unread(FakeEngine):
        def sample(self, prompts: Sequence[Conversation], *, adapter: str = "", **options: Any) -> list[Completion]:
            found = super().sample(prompts, adapter=adapter, **options)
            return [replace(c, text="the barn") if adapter and c.text == FACTS[3] else c for c in found]

    every, engine = memories(*FACTS), Unread()
    batch = prepare(engine, every, scope=SCOPE, parent=engine.teach([]), preparation=FEW)
    assert set(batch.memory_ids) == {m.id for m in every} - {every[3].id}
    assert FACTS[3] not in words_of(batch)


def guards_of(batch: Batch) -> list[Example]:
    """Those that were made of the notes."""
    return [e for e in batch.train if e.role == "guard" and probe_group(e) is None]


def test_near_misses_are_made_of_training_questions_alone() -> None:
    batch = prepare(Careful(), memories(*FACTS), scope=SCOPE, parent="", preparation=Preparation(guards=9))
    near = [e.query[-1].content.split() for e in guards_of(batch) if len(e.query) == 1]
    asked = [e.query[-1].content.split() for e in batch.train if e.role == "new"]
    assert near

    def one_word_apart(one: list[str], other: list[str]) -> bool:
        return len(one) == len(other) and sum(a != b for a, b in zip(one, other, strict=True)) == 1

    assert all(any(one_word_apart(n, a) for a in asked) for n in near)


class Reader(FakeEngine):
    """Reads notes of the form "Anna's room is 12." without fail."""

    def sample(self, prompts: Sequence[Conversation], **options: Any) -> list[Completion]:
        def read(prompt: Conversation, found: Completion) -> Completion:
            question = prompt[-1].content.casefold()
            notes = [
                n for m in prompt if m.role == "system" for n in re.findall(r"- (.+?)'s (.+) is (.+)\.", m.content)
            ]
            values = [v for who, what, v in notes if who.casefold() in question and what in question]
            return replace(found, text=values[0] if values else UNKNOWN, finish_reason="stop")

        return [read(p, c) for p, c in zip(prompts, super().sample(prompts, **options), strict=True)]


def test_no_near_miss_is_answered_by_a_note_or_asked_by_a_task() -> None:
    people = ("Anna", "Marta", "Hugo", "Petra", "Lena", "Jonas", "Viktor", "Selma")
    things = ("locker code", "phone number", "room")
    facts = [f"{p}'s {t} is {7 * i + 31 * j + 100}." for i, p in enumerate(people) for j, t in enumerate(things)]
    batch = prepare(Reader(), memories(*facts), scope=SCOPE, parent="", preparation=Preparation(guards=9))
    near = [e.query[-1].content for e in guards_of(batch) if len(e.query) == 1]
    assert len(near) > len(facts)
    parts = {w for t in things for w in t.split()}
    named = [{w for w in re.findall(r"\w+", q) if w in parts} for q in near]
    answered = [
        q
        for q, n in zip(near, named, strict=True)
        if words(q) & {p.lower() for p in people} and n in map(set, map(str.split, things))
    ]
    assert answered == []
    kept_out = near[::2]
    again = prepare(
        Reader(), memories(*facts), scope=SCOPE, parent="", apart=kept_out, preparation=Preparation(guards=9)
    )
    assert not {e.query[-1].content for e in again.train} & set(kept_out)


def test_no_near_miss_asks_what_was_taught_before() -> None:
    people = ("Anna", "Marta", "Hugo", "Petra", "Lena", "Jonas")
    notes = memories(*(f"{p}'s room is {7 * i + 100}." for i, p in enumerate(people)))
    batch = prepare(Reader(), notes, scope=SCOPE, parent="", preparation=Preparation(guards=9))
    near = [e for e in guards_of(batch) if len(e.query) == 1]
    known = {
        f"mem_{n}": Example(query=e.query, context="Notes:\n- Known.", reference="12", memory_ids=(f"mem_{n}",))
        for n, e in enumerate(near[:6])
    }
    taught = tuple(known.values())
    earlier = Batch(scope=SCOPE, parent="", train=taught[:3], holdout=taught[3:], memory_ids=tuple(known))
    again = prepare(
        Reader(), notes, scope=SCOPE, parent="", earlier=earlier, still=dict.fromkeys(known, "Known."),
        preparation=Preparation(guards=9),
    )  # fmt: skip
    left = {e.query[-1].content for e in guards_of(again)}
    assert left and not left & {e.query[-1].content for e in taught}


def test_a_note_that_is_shown_is_newer_than_what_is_known() -> None:
    people = ("Anna", "Marta", "Hugo", "Petra", "Lena", "Jonas")
    facts = [f"{p}'s room is {7 * i + 100}." for i, p in enumerate(people)]
    batch = prepare(Reader(), memories(*facts), scope=SCOPE, parent="", preparation=Preparation(guards=9))
    newer = [e for e in guards_of(batch) if len(e.query) == 2]
    asked = {e.query[-1].content for e in batch.train if e.role == "new"}
    assert {p for p in people if any(p in e.query[1].content for e in newer)} == set(people)
    for e in newer:
        who = next(p for p in people if p in e.query[1].content)
        assert f"{who}'s room is {e.reference}." in e.query[0].content
        assert f"{who}'s room is {e.reference}." not in facts
        assert e.query[-1].content in asked  # never a held-out one
        assert not e.context


def test_what_holds_no_longer_stands_in_no_replayed_example() -> None:
    every = memories(*FACTS)
    earlier = prepare(FakeEngine(), every, scope=SCOPE, parent="", preparation=Preparation(guards=0, in_company=1.0))
    assert FACTS[0] in words_of(earlier)
    still = {m.id: m.text for m in every[1:]}
    new = memories(
        *(f"The {thing} of the harbour is {n}7." for n, thing in enumerate(("depth", "width", "age", "tide")))
    )
    batch = prepare(FakeEngine(), new, scope=SCOPE, parent="", earlier=earlier, still=still, preparation=FEW)
    assert "4417" not in words_of(batch) and every[0].id not in batch.memory_ids
    replayed = [e for e in batch.train if e.role == "replay"]
    assert {i for e in replayed for i in e.memory_ids} == set(still)  # the others are still practised
    assert all(still[e.memory_ids[0]] in e.context for e in replayed)


def test_a_fifth_of_the_lessons_say_how_to_answer_in_words_that_are_never_the_users() -> None:
    every = memories(*FACTS)
    settings = Preparation(guards=400, in_company=0.0, in_style=0.5, near_misses=0, newer=0)
    batch = prepare(FakeEngine(), every, scope=SCOPE, parent="", preparation=settings)
    shown = [e.query[0].content for e in batch.train if e.role == "new" and e.query[0].role == "system"]
    lessons = sum(e.role == "new" for e in batch.train)
    assert 0.3 * lessons < len(shown) < 0.7 * lessons
    assert all(is_answer_style(line.removeprefix("- ")) for text in shown for line in text.split("\n")[1:])
    child = memories(
        *(f"The {thing} of the harbour is {n}7." for n, thing in enumerate(("depth", "width", "age", "tide")))
    )
    still = {m.id: m.text for m in every}
    again = prepare(FakeEngine(), child, scope=SCOPE, parent="", earlier=batch, still=still, preparation=settings)
    replayed = {e.query[0].content for e in again.train if e.role == "replay" and e.query[0].role == "system"}
    assert replayed and replayed <= set(shown)  # a lesson that is practised again stays what it was
