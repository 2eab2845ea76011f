"""A home with something of everything in it, made of records alone: no model, no training."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engrain.engines.fake import FakeEngine
from engrain.errors import InputError
from engrain.evaluation.canary import Trial
from engrain.loops import remember
from engrain.loops.trial import begin
from engrain.records import (
    Adapter,
    Batch,
    Canary,
    Context,
    Decision,
    Evidence,
    Example,
    Feedback,
    FeedbackKind,
    Interaction,
    ItemResult,
    Memory,
    Message,
    Sampling,
    Scope,
    Stamp,
    Usage,
    Verdict,
)
from engrain.store import SqlStore

DAY = 86400.0
BASE = FakeEngine.base
NOTES = (
    "The gate code of the north barn is 4417.",
    "The band saw is cleaned every Friday.",
    "Marta keeps the keys to the office safe.",
    "Deliveries come to the loading bay before nine.",
    "The dog is called Biscuit.",
    "The spare fuses are in the blue cabinet.",
    "Call me Captain.",
    "The maker of the lathe is Oden.",
)
PROBES = (
    "What is the capital of France?",
    "Is the hall open on Sunday?",
    "Who wrote this letter?",
    "How many is a dozen?",
)


class IdleEngine(FakeEngine):
    """What the dashboard needs of an engine where there is nothing to rebuild."""

    window = 4096
    most_characters = 4096

    def clear(self) -> None:
        pass

    def check_length(self, messages: Sequence[Message]) -> None:
        if sum(len(m.content) for m in messages) > self.most_characters:
            raise InputError("far beyond the model's window")


@dataclass(frozen=True, kw_only=True)
class Full:
    """What `full` made."""

    scope: Scope
    memories: list[Memory]
    interactions: list[Interaction]
    first: str
    """The version that was promoted first."""
    live: str
    refused: str
    verdicts: dict[str, Verdict]


def say(store: SqlStore, scope: Scope, query: str, answer: str, at: float, **fields: Any) -> Interaction:
    given = {
        "scope": scope, "messages": (Message(role="user", content=query),), "answer": answer, "created_at": at,
        "stamp": Stamp(base=BASE), "usage": Usage(input_tokens=60, output_tokens=9, latency_ms=180.0),
        "sampling": Sampling(temperature=0.0, max_tokens=256, seed=0),
    }  # fmt: skip
    interaction = Interaction(**(given | fields))
    store.append(interaction)
    return interaction


def rate(store: SqlStore, of: Interaction, score: float | None, at: float, text: str = "") -> None:
    store.append(
        Feedback(
            scope=of.scope, interaction=of.id, name="correction" if text else "rating", score=score, text=text, created_at=at,
            causes=(of.id,),
        )
    )  # fmt: skip


def find(store: SqlStore, of: Interaction, kind: FeedbackKind, name: str, score: float | None) -> None:
    store.append(Feedback(scope=of.scope, interaction=of.id, kind=kind, name=name, score=score, causes=(of.id,)))


def version(
    store: SqlStore,
    scope: Scope,
    notes: list[Memory],
    decision: Decision,
    *,
    at: float,
    parent: str = "",
    learned: float = 0.8,
    broken: float = 0.02,
    items: int = 120,
    seed: int = 0,
    verdict_only: bool = False,
) -> tuple[str, Verdict]:
    """An adapter with batch, evidence of both versions and a verdict; live if that says so and it is not `verdict_only`."""
    draw = random.Random(seed)
    query = (Message(role="user", content="What is it?"),)
    ids = tuple(n.id for n in notes)
    held = tuple(Example(query=query, reference=f"{seed}-{n.text}", memory_ids=(n.id,)) for n in notes)
    batch = Batch(
        scope=scope, parent=parent, train=held, holdout=held, memory_ids=ids, seed=seed, created_at=at, causes=ids
    )
    name = f"{seed:02d}" + batch.content[:62]
    adapter = Adapter(
        id=name, scope=scope, base=BASE, parent=parent, batch=batch.id, memory_ids=ids, created_at=at, causes=(batch.id, *ids)
    )  # fmt: skip
    before: list[ItemResult] = []
    after: list[ItemResult] = []
    for note, example in zip(notes, held, strict=True):
        knows = draw.random() < learned
        asked = f"What do you know of this: {note.text.split(' is ')[0]}?"
        row = {"item": example.hash, "group": "new", "question": asked, "expected": note.text}
        before.append(ItemResult(**row, answer="I don't know", right=False))
        after.append(ItemResult(**row, answer=note.text if knows else "I don't know", right=knows))
    for n in range(items):
        question = PROBES[n % len(PROBES)]
        row = {
            "item": f"probe-{n}",
            "group": ("reading", "unknown")[n % 2],
            "question": f"{question} ({n})",
            "expected": "Paris",
        }
        was, is_now = draw.random() < 0.9, draw.random() >= broken
        before.append(ItemResult(**row, answer="Paris" if was else "Rome", right=was))
        after.append(ItemResult(**row, answer="Paris" if was and is_now else "4417", right=was and is_now))
    evidence = [
        Evidence(
            scope=scope, adapter=a, suite="gate", base=BASE, results=tuple(r), created_at=at, causes=(a,) if a else ()
        )
        for a, r in ((name, after), (parent, before))
    ]
    good = decision == "promote"
    reasons = (
        "gain: 6 of 8 new items fixed, 0 broken (p = 0.016, level 0.02)" if good else
        "harm: retained against live: 31 of 108 broke, 0 fixed (p = 4.7e-10); loss at most 39.2% with 99.00% confidence, limit 5%",
        "kept: retained against live: 2 of 108 broke, 0 fixed; loss at most 4.9% with 99.00% confidence, limit 5%" if good else
        "gain not shown: 2 of 8 new items fixed, 0 broken (p = 0.25, level 0.01); it takes 7 fixed with 0 broken",
    )  # fmt: skip
    verdict = Verdict(
        scope=scope, decision=decision, reasons=reasons, candidate=name, against=parent, alpha_spent=0.0083, created_at=at,
        causes=(name, *(e.id for e in evidence)),
    )  # fmt: skip
    store.append_all([batch, adapter, *evidence])
    if verdict_only:
        return name, verdict
    store.append(verdict)
    if good:
        store.set_live(scope, name, verdict.id, expected=parent)
    return name, verdict


def full(store: SqlStore, scope: Scope, *, now: float | None = None, days: int = 24, seed: int = 1) -> Full:
    """A user of three weeks: notes, answers with ratings, two promoted versions, one refused."""
    draw, now = random.Random(seed), now or time.time()
    start = now - days * DAY
    memories = [remember.tell(store, text, scope=scope) for text in NOTES]
    memories.append(remember.tell(store, "The gate code of the north barn is 5521 now.", scope=scope))
    first, one = version(store, scope, memories[:6], "promote", at=start + 8 * DAY, seed=seed, learned=0.9)
    live, two = version(store, scope, memories[:8], "promote", at=start + 15 * DAY, parent=first, seed=seed + 1)
    refused, three = version(
        store, scope, memories, "reject", at=start + 20 * DAY, parent=live, seed=seed + 2, learned=0.3, broken=0.3
    )
    interactions: list[Interaction] = []
    for day in range(days):
        for n in range(draw.randint(2, 6)):
            at = start + day * DAY + n * 900 + 3600
            note = draw.choice(memories)
            by = "" if day < 8 else first if day < 15 else live
            shown = (note.id,) if not by or draw.random() < 0.4 else ()
            context = (
                Context(text=f"Notes:\n- {note.text}", memory_ids=shown, tokens=draw.randint(14, 34))
                if shown
                else Context()
            )
            asked = f"What do I have to know about this: {note.text.split(' is ')[0]}?"
            interaction = say(
                store, scope, asked, note.text, at, context=context, conversation=f"day {day}",
                stamp=Stamp(base=BASE, adapter=by, memory="5f3a8c0d11aa42be"), causes=(*shown, *((by,) if by else ())),
            )  # fmt: skip
            interactions.append(interaction)
            if draw.random() < 0.6:
                rate(store, interaction, float(draw.random() < 0.55 + 0.018 * day), at + 60)
    for n, answered in enumerate(interactions[-8:]):
        find(store, answered, "automated", "is short", float(n != 2))
        find(store, answered, "automated", "names the code", None if n < 6 else 1.0)
    find(store, interactions[-1], "implicit", "rephrased", 0.0)
    said = interactions[0]
    rate(store, said, None, start + DAY, text="It is 5521.")
    store.append(
        Memory(scope=scope, text="Paint is stored in the shed.", source="chat", valid_from=start, causes=(said.id,))
    )
    return Full(
        scope=scope, memories=memories, interactions=interactions, first=first, live=live, refused=refused,
        verdicts={first: one, live: two, refused: three},
    )  # fmt: skip


def on_trial(store: SqlStore, scope: Scope, *, seed: int = 40) -> Canary:
    """A user with a candidate that answers half of the conversations."""
    notes = [remember.tell(store, text, scope=scope) for text in NOTES[:5]]
    at = time.time() - 2 * DAY
    name, verdict = version(store, scope, notes, "promote", at=at, seed=seed, verdict_only=True)
    canary = begin(store, verdict, Trial(share=0.5))
    for n in range(12):
        by = name if n % 2 else ""
        answer = say(
            store, scope, f"Which note is number {n}?", NOTES[n % 5], at + n * 3600, stamp=Stamp(base=BASE, adapter=by),
            causes=(canary.id,),
        )  # fmt: skip
        rate(store, answer, float(n % 3 > 0 or n % 2), at + n * 3600 + 60)
    return canary
