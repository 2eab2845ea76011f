"""Sleep: a user's memory is put in order while nobody waits. What went wrong is reflected on, what repeats is merged, what belongs together is
linked, what does harm or has faded is put away, and what has proved good is proposed as a skill.

Each step is worked out from a snapshot and written in one transaction, if that snapshot still stands (compare and swap); if somebody told
something meanwhile, the step looks again, and after a few tries leaves it to the next sleep. It works without a model; with one, no more
calls are made than were granted. (Lin et al., "Sleep-time compute", arXiv 2504.13171, whose public code rewrites a block in place.)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from engrain.errors import Conflict, EngrainError
from engrain.loops.change import TRIES, delta
from engrain.loops.notes import connect
from engrain.loops.playbook import prune
from engrain.loops.reflect import SOURCE as REFLECTED
from engrain.loops.reflect import Written, by_rules, reflect, was_good
from engrain.loops.remember import now_of
from engrain.loops.skills import distil
from engrain.loops.tidy import Tidying, tidy
from engrain.memory.filing import of_kinds
from engrain.memory.held import Shelf
from engrain.memory.history import LESSONS
from engrain.memory.laws import LAWS, Law, Use, fading
from engrain.memory.playbook import Playbook
from engrain.protocols import Completion, Conversation, Embedder, Sampler
from engrain.records import Delta, Feedback, Memory, MemoryKind, Scope
from engrain.store import SqlStore

log = logging.getLogger(__name__)

T = TypeVar("T")
SLEPT = "slept"
"""Under this key stands up to which entry of the ledger the last sleep has looked (`seq`), which notes are still to be linked (`link`), and of
which answers a model had nothing to say, when so much had been said of them (`silent`)."""
MOST_SILENT = 256
"""Of these answers, the last ones."""
REPEATING: tuple[MemoryKind, ...] = (*LESSONS, "note")
"""Kinds of which near repeats are merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep:
    """What may be done in one sleep, and how much of it."""

    calls: int = 0
    """Calls of the model at most; 0: by rules alone."""
    reflections: int = 16
    """Answers that were not good that are reflected on, at most, the latest first."""
    notes: int = 64
    """Notes that are linked, at most, the latest first; the others are in the next sleep."""
    floor: float = 0.1
    """Strength below which what may fade is put away."""
    laws: Mapping[MemoryKind, Law] = field(default_factory=lambda: LAWS)
    """How soon each kind fades, and how many of it there may be."""
    tidying: Tidying = field(default_factory=Tidying)
    playbook: Playbook = field(default_factory=Playbook)


@dataclass(slots=True)
class Metered:
    """A sampler whose calls, one a prompt, and tokens are counted."""

    sampler: Sampler
    calls: int = 0
    tokens: int = 0
    """In and out."""

    def sample(self, prompts: Sequence[Conversation], **asked: Any) -> list[Completion]:
        """As the sampler does it."""
        self.calls += len(prompts)  # one that fails was made, too
        found = self.sampler.sample(prompts, **asked)
        self.tokens += sum(c.tokens for c in found)
        return found


@dataclass(slots=True, kw_only=True)
class Slept:
    """What one sleep did, by the ids of what it wrote."""

    reflected: list[str] = field(default_factory=list[str])
    curated: list[str] = field(default_factory=list[str])
    merged: list[str] = field(default_factory=list[str])
    linked: list[str] = field(default_factory=list[str])
    archived: list[str] = field(default_factory=list[str])
    proposed: list[str] = field(default_factory=list[str])
    left: list[str] = field(default_factory=list[str])
    """Steps that were left to the next sleep, for somebody wrote all the while."""
    calls: int = 0
    tokens: int = 0

    def __str__(self) -> str:
        done = [f"{len(ids)} {name}" for name, ids in self.named() if ids]
        said = ", ".join(done) or "nothing to do"
        return f"{said}; {self.calls} calls of a model" if self.calls else said

    def named(self) -> list[tuple[str, list[str]]]:
        """What was done, in the order of doing."""
        return [("reflected on", self.reflected), ("lessons curated", self.curated), ("merged", self.merged), ("linked", self.linked), ("put away", self.archived),
                ("skills proposed", self.proposed)]  # fmt: skip


def sleep(
    store: SqlStore,
    embedder: Embedder,
    count_tokens: Callable[[str], int],
    *,
    scope: Scope,
    settings: Sleep = Sleep(),
    sampler: Sampler | None = None,
    shelf: Shelf | None = None,
) -> Slept:
    """One sleep of one scope. Nothing that it does is final: every step is a record that can be undone, and a skill waits to be accepted."""
    shelf, done = shelf or Shelf(), Slept()
    last, before = store.get_run(SLEPT, scope=scope) or {}, store.state(scope=scope)[0]
    new = store.memories_after(int(last.get("seq", 0)), scope=scope)
    model = Metered(sampler) if sampler is not None and settings.calls else None

    def step(name: str, do: Callable[[], list[T]]) -> list[T]:
        for _ in range(TRIES):
            try:
                return do()
            except Conflict:
                continue
        done.left += [name] if name not in done.left else []
        return []

    silent: dict[str, int] = dict(last.get("silent", {}))
    for failed in unreflected(store, scope, settings.reflections, silent=silent if model is not None else None):
        reachable = model is not None and model.calls < settings.calls and "reflect" not in done.left
        if not reachable and not failed.reasoned:
            continue
        memory = _reflected(store, embedder, failed.id, scope, model if reachable else None, shelf, done)
        done.reflected += [memory.id] if memory is not None else []
        if memory is None and reachable and "reflect" not in done.left:
            silent[failed.id] = failed.said
    fresh = [m.id for m in new if m.kind in REPEATING]
    merges = (
        tidy(store, embedder, scope=scope, kinds=REPEATING, only=fresh, settings=settings.tidying, shelf=shelf)
        if fresh
        else []
    )
    done.merged += [m.into for m in merges if m.into]
    unlinked = {*last.get("link", ()), *fresh, *done.merged}
    notes = [m for m in of_kinds(store, scope, ("note",)) if m.id in unlinked]
    first = max(0, len(notes) - settings.notes)
    later = [m.id for m in notes[:first]]
    for memory in notes[first:]:
        if "link" in done.left:
            later.append(memory.id)
            continue
        done.linked += [d.id for d in step("link", lambda m=memory: connect(store, embedder, m, shelf=shelf))]  # type: ignore[misc]
        later += [memory.id] if "link" in done.left else []
    done.archived += [
        d.id for d in step("prune", lambda: prune(store, count_tokens, scope=scope, settings=settings.playbook))
    ]
    done.archived += [
        d.id for d in step("fade", lambda: fade(store, scope=scope, floor=settings.floor, laws=settings.laws))
    ]
    done.proposed += [
        m.id
        for m in step("distil", lambda: distil(store, embedder, scope=scope, playbook=settings.playbook, shelf=shelf))
    ]
    store.put_run(SLEPT, {"seq": before, "link": later, "silent": dict([*silent.items()][-MOST_SILENT:])}, scope=scope)
    if model is not None:
        done.calls, done.tokens = model.calls, model.tokens
    log.info("%s slept: %s", scope, done)
    return done


def _reflected(
    store: SqlStore,
    embedder: Embedder,
    interaction: str,
    scope: Scope,
    model: Metered | None,
    shelf: Shelf,
    done: Slept,
) -> Memory | None:
    """One reflection, by the model if there is one; where it cannot be reached, this one is left to the next sleep."""
    try:
        critic = by_rules if model is None else Written(model)
        return reflect(store, embedder, interaction, scope=scope, critic=critic, shelf=shelf)
    except EngrainError as error:
        if model is None:
            raise
        log.warning("%s: nothing was reflected on %s: %s", scope, interaction, error)
        done.left += ["reflect"] if "reflect" not in done.left else []
        return None


class Failed(NamedTuple):
    """An answer that was not good, and that nothing was learned from yet."""

    id: str
    said: int
    """How often something was said of it."""
    reasoned: bool
    """Whether somebody said why; else it was only corrected or rated."""


def unreflected(store: SqlStore, scope: Scope, most: int, *, silent: Mapping[str, int] | None = None) -> list[Failed]:
    """The latest answers that were not good, by all that was said of them, and that nothing was learned from yet. Without a model (`silent` None) those
    with a reason, for of the others nothing is to be learned but the correction, which is a memory already; with one, all but those that it had
    nothing to say to, as long as nothing more was said of them."""
    about: dict[str, list[Feedback]] = {}
    for feedback in store.select(Feedback, scope=scope):
        about.setdefault(feedback.interaction, []).append(feedback)
    known = {cause for m in store.select(Memory, scope=scope) if m.source == REFLECTED for cause in m.causes}
    found: list[Failed] = []
    for interaction, said in reversed(about.items()):
        if len(found) == most:
            break
        if interaction in known or was_good(said) is not False or (silent or {}).get(interaction) == len(said):
            continue
        why = any(f.text.strip() and f.name not in ("correction", "rating") for f in said if f.kind != "implicit")
        if why or silent is not None:
            found.append(Failed(interaction, len(said), why))
    return found


def fadable(store: SqlStore, scope: Scope) -> tuple[list[Memory], dict[str, Use]]:
    """The active memories that may fade, and how those that were ever shown were used."""
    there = of_kinds(store, scope, [kind for kind, law in LAWS.items() if law.half_life_days is not None])
    used = store.uses([m.id for m in there], scope=scope)
    return there, {name: Use(shown=n, last=last) for name, (n, last) in used.items()}


def fade(
    store: SqlStore,
    *,
    scope: Scope,
    floor: float = 0.1,
    at: float | None = None,
    by: str = "rules",
    laws: Mapping[MemoryKind, Law] = LAWS,
) -> list[Delta]:
    """Archive what has faded, and of a kind that has too many the weakest; what was taken back by hand is left alone. Conflict, and nothing is
    done, if the memory changed meanwhile."""
    seen = store.state(scope=scope)
    there, uses = fadable(store, scope)
    now = now_of(store, scope)
    gone = fading(there, uses, time.time() if at is None else at, floor=floor, laws=laws)
    before = {d.targets[0] for d in store.deltas(list(gone), scope=scope) if d.operator == "archive"}
    made = [
        delta("archive", name, scope=scope, now=now, reason=reason, by=by)
        for name, reason in gone.items()
        if name not in before
    ]
    store.append_all(made, seen=seen)
    return made
