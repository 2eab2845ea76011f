"""The state of every memory, derived from what was recorded after it and stored nowhere.

So taking a record out of the list gives exactly the history in which it never was. Two times are kept apart:
`valid_from`, when something became true, and the order of recording, when engrain learned of it. Valid time decides
which of two values is newer; a retraction ("that was wrong") acts on what was recorded before it; a delta on the memories that it names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from engrain.errors import ScopeError
from engrain.memory.claims import Claim, claim_of
from engrain.memory.phrases import normalise
from engrain.records import Delta, Memory, MemoryKind

State = Literal["proposed", "active", "merged", "superseded", "archived", "retracted", "retraction"]
History = Sequence[Memory | Delta]
"""All memories of a scope and the changes to them, in the order of recording."""
Words = tuple[str, ...]
STATED: tuple[MemoryKind, ...] = ("fact", "procedure", "preference", "note")
"""The kinds that say what holds."""
LESSONS: tuple[MemoryKind, ...] = ("lesson", "reflection")
"""The kinds of which a playbook is made: what to do, learned from what came of it."""


_SIGNS = re.compile(
    r"(?<![\w-])-+\w[\w.]*"  # -5, -v
    r"|[^\w\s.,;:!?'\"()\[\]*_`\-\u00a1\u00ab\u00b7\u00bb\u00bf\u2013\u2014\u2018-\u201f\u2022\u2026\u3000-\u3003\u3008-\u3011\uff01\uff0c\uff1a\uff1b\uff1f]"
)
"""What `normalise` leaves out and what yet says something: the sign of a number, a flag of a command, a comparison, an emoji."""
UNITED = "tidy"
"""Source of a text that was made of others, its causes, by whole sentences. It stands for all of them or not at all: it goes when one is forgotten, and is
archived when its merge with one is undone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where one memory stands."""

    memory: Memory
    state: State = "active"
    """`proposed`: waits to be accepted; `active`; `merged`: another one (`by`) says it; `superseded`: true until `until`; `archived`: not
    shown any more; `retracted`: was wrong; `retraction`: has no text and only retracts or supersedes others."""
    until: float | None = None
    """Valid time (UTC seconds) at which it stopped being true, for `superseded`; at which the other one began, for `merged`."""
    by: str = ""
    """Id of the memory that supersedes, retracts or says it, or of the delta that archives it."""
    confirmations: int = 0
    """How often the same was said again while it was active."""


@dataclass(slots=True)
class Changes:
    """What the deltas that were not undone say of each memory."""

    accepted: set[str] = field(default_factory=set[str])
    archived: dict[str, str] = field(default_factory=dict[str, str])
    """By which delta."""
    merged: dict[str, str] = field(default_factory=dict[str, str])
    """Into which memory."""


def standing_deltas(deltas: Iterable[Delta], *, undos: bool = False) -> list[Delta]:
    """Those that were not undone, in the order of recording; an undoing that was undone itself undoes nothing. With `undos`, these, too."""
    undone: set[str] = set()
    left: list[Delta] = []
    for delta in reversed(list(deltas)):
        if delta.id in undone:
            continue
        if delta.operator == "undo":
            undone.update(delta.targets)
        if undos or delta.operator != "undo":
            left.append(delta)
    return left[::-1]


def changes(deltas: Iterable[Delta], there: Iterable[Memory]) -> Changes:
    """What the deltas say of the memories that are `there`. What was merged into one that waits to be accepted (again) stands for itself."""
    memories, deltas, found = list(there), list(deltas), Changes()
    known = {m.id for m in memories}
    standing = [d for d in standing_deltas(deltas) if known.issuperset(d.targets)]
    found.accepted.update(t for d in standing if d.operator == "accept" for t in d.targets)
    found.archived |= parted(memories, deltas)
    shown = {m.id for m in memories if not m.proposed or m.id in found.accepted} - found.archived.keys()
    for delta in standing:
        if delta.operator == "archive":
            found.archived |= dict.fromkeys(delta.targets, delta.id)
        elif delta.operator == "merge" and delta.into in shown:
            into = delta.into
            while into in found.merged:
                into = found.merged[into]
            found.merged |= {target: into for target in delta.targets if target != into}
    return found


def parted(memories: Iterable[Memory], deltas: Sequence[Delta]) -> dict[str, str]:
    """The united texts of which the merge of a part was undone, and those that they are part of, each with the delta that undid it."""
    merges = {d.id: d for d in deltas if d.operator == "merge"}
    undone = [(merges[name], d.id) for d in deltas if d.operator == "undo" for name in d.targets if name in merges]
    if not undone:  # nearly always
        return {}
    holding = {(d.targets, d.into) for d in standing_deltas(deltas) if d.operator == "merge"}
    united = {m.id: set(m.causes) for m in memories if UNITED in (m.source, m.attribute("made by"))}
    found = {
        m.into: by for m, by in undone
        if (m.targets, m.into) not in holding and united.get(m.into, set[str]()).issuperset(m.targets)
    }  # fmt: skip
    return found | {
        name: found[c] for name, causes in united.items() for c in causes if c in found
    }  # and what was made of them


def derive(history: History, claims: Mapping[str, Claim | None] | None = None) -> dict[str, Standing]:
    """The standing of each memory, by id; `history` is all that was recorded of one scope's memory, in that order, and `claims`, if they
    are known, what each claims.

    Raises ScopeError if the memories belong to more than one scope.
    """
    memories = [m for m in history if isinstance(m, Memory)]
    scopes = {m.scope for m in memories}
    if len(scopes) > 1:
        raise ScopeError(
            f"memories of {len(scopes)} scopes were given ({', '.join(sorted(map(str, scopes)))}); pass one"
        )
    change = changes((d for d in history if isinstance(d, Delta)), memories)
    by_id = {m.id: m for m in memories}
    claims = {m.id: claim_in(m) for m in memories} if claims is None else claims
    words = {m.id: identity(m, claims[m.id]) for m in memories}
    waiting = {m.id for m in memories if m.proposed and m.id not in change.accepted}
    retracted = _retracted([m for m in memories if m.id not in waiting], words)
    live = [m for m in memories if m.id not in retracted and m.id not in waiting]
    ended, repeats = _timeline(live, claims, words, {*change.archived, *change.merged})

    confirmations: dict[str, int] = {}
    for root in repeats.values():
        confirmations[root] = confirmations.get(root, 0) + 1
    result: dict[str, Standing] = {}
    for m in memories:
        root = repeats.get(m.id, m.id)
        said_again = confirmations.get(m.id, 0)
        if m.id in retracted:
            result[m.id] = Standing(memory=m, state="retracted", by=retracted[m.id])
        elif m.id in waiting:
            state: State = "archived" if m.id in change.archived else "proposed"
            result[m.id] = Standing(memory=m, state=state, by=change.archived.get(m.id, ""))
        elif m.id in change.merged:
            into = by_id[change.merged[m.id]]
            result[m.id] = Standing(memory=m, state="merged", until=max(into.valid_from, m.valid_from), by=into.id)
        elif root in ended:
            by = ended[root]
            until = max(by.valid_from, m.valid_from)
            result[m.id] = Standing(memory=m, state="superseded", until=until, by=by.id, confirmations=said_again)
        elif not m.text.strip():
            result[m.id] = Standing(memory=m, state="retraction")
        elif m.id in change.archived:
            result[m.id] = Standing(memory=m, state="archived", by=change.archived[m.id], confirmations=said_again)
        elif root != m.id:
            result[m.id] = Standing(memory=m, state="merged", until=m.valid_from, by=root)
        else:
            result[m.id] = Standing(memory=m, confirmations=said_again)
    return result


def holding(history: History) -> dict[str, str]:
    """Id and text of each memory that says what holds now, shown or not: the active ones, those that were archived or merged without being
    ended, and earlier ones in the very same words (a value that changed and changed back)."""
    standings = derive(history)

    def stands(s: Standing) -> bool:
        while s.state == "merged":
            s = standings[s.by]
        return s.state in ("active", "archived") and not (s.memory.proposed and s.state == "archived")

    now = {s.memory.text for s in standings.values() if stands(s)}
    return {s.memory.id: s.memory.text for s in standings.values() if s.memory.text in now}


def active(history: History) -> list[Memory]:
    """The memories that hold now and may be shown; in the order of recording."""
    return [s.memory for s in derive(history).values() if s.state == "active"]


def as_of(history: History, *, valid_at: float | None = None, recorded_at: float | None = None) -> list[Memory]:
    """What was true at `valid_at`, as far as engrain knew at `recorded_at` (UTC seconds; None: no limit)."""
    known = [r for r in history if recorded_at is None or r.recorded_at <= recorded_at]
    if valid_at is None:
        return active(known)
    return [
        s.memory
        for s in derive(known).values()
        if s.state in ("active", "superseded", "archived", "merged")
        and s.memory.text.strip()
        and s.memory.valid_from <= valid_at
        and (s.until is None or valid_at < s.until)
    ]


def claim_in(memory: Memory) -> Claim | None:
    """What it states of which thing, so that another value ends it; None for what is no statement of what holds."""
    if memory.kind in ("skill", "block") and memory.attribute("name"):  # its next version takes its place
        return Claim(topic=(memory.kind, memory.attribute("name")), form="version", value=memory.attribute("version"))
    if memory.kind in STATED and memory.key:
        return _keyed(memory, *memory.key)
    return claim_of(memory.text) if memory.kind in STATED else None


def _keyed(memory: Memory, thing: str, attribute: str) -> Claim:
    """The claim of a memory with its key: the one that the plain sentence makes, so that each ends the other; its words are its value where they are
    another sentence."""
    plain, own = claim_of(f"The {attribute} of the {thing} is Xyzzy."), claim_of(memory.text)
    if plain is None:
        return Claim(topic=("key", normalise(thing), normalise(attribute)), form="value", value=normalise(memory.text))
    return (
        own
        if own and own.topic == plain.topic and own.form == plain.form
        else replace(plain, value=normalise(memory.text))
    )


def identity(memory: Memory, claim: Claim | None) -> Words:
    """What two memories share if the later one says the same again. An episode is what happened, and happens once."""
    if memory.kind == "episode":
        return ("episode", memory.id)
    if claim:
        return ("claim", *claim.topic, claim.value, "not" if claim.negated else "")
    signs = _SIGNS.findall(memory.text)
    return ("words", normalise(memory.text), *signs, *(() if memory.kind in STATED else (memory.kind,)))


def _retracted(memories: Sequence[Memory], words: dict[str, Words]) -> dict[str, str]:
    """Which memory retracted which, by id. A retraction that was itself retracted has no effect."""
    position = {m.id: i for i, m in enumerate(memories)}
    same: dict[Words, list[str]] = {}
    for m in memories:
        if m.text.strip():
            same.setdefault(words[m.id], []).append(m.id)
    retracted: dict[str, str] = {}
    for i in range(len(memories) - 1, -1, -1):
        by = memories[i]
        if by.id in retracted:
            continue
        for target in by.retracts:
            if target not in position or target == by.id:
                continue
            retracted.setdefault(target, by.id)
            # What was wrong was wrong each time it had been said before; said again afterwards it counts anew.
            for twin in same.get(words[target], ()):
                if position[twin] < i:
                    retracted.setdefault(twin, by.id)
    return retracted


def _timeline(
    live: Sequence[Memory], claims: Mapping[str, Claim | None], words: dict[str, Words], away: Collection[str]
) -> tuple[dict[str, Memory], dict[str, str]]:
    """Walk through valid time: (what ended which memory, which memory repeats which). What is `away`, archived or merged, still ends others, but
    what says the same does not repeat it: that is news."""
    named: dict[str, Memory] = {}
    ended: dict[str, Memory] = {}
    repeats: dict[str, str] = {}
    holding: dict[Words, Memory] = {}  # what is said now, by its words
    values: dict[Words, list[Memory]] = {}  # the open values of a topic

    def end(old: Memory, by: Memory) -> None:
        ended[old.id] = by
        if holding.get(words[old.id]) is old:
            del holding[words[old.id]]
        claim = claims[old.id]
        if claim and old in values.get(claim.topic, ()):
            values[claim.topic].remove(old)

    by_id = {m.id: m for m in live}
    seen: set[str] = set()
    for m in sorted(live, key=lambda m: m.valid_from):  # stable: equal times keep the order of recording
        for target in m.supersedes:
            named.setdefault(target, m)
            old = by_id.get(repeats.get(target, target))
            if old and old.id in seen and old.id not in ended:
                end(old, m)
        seen.add(m.id)
        if not m.text.strip():
            continue
        if m.id in named and named[m.id].id != m.id:  # by one that became true before it
            ended[m.id] = named[m.id]
            continue
        earlier = holding.get(words[m.id])
        if earlier and m.id not in away:
            repeats[m.id] = earlier.id
            continue
        claim = claims[m.id]
        if claim:
            open_values = values.setdefault(claim.topic, [])
            for old in _excluded(claim, open_values, claims):
                if words[old.id] != words[m.id]:  # one of them is away
                    end(old, m)
            open_values.append(m)
        if m.id not in away:
            holding[words[m.id]] = m
    return ended, repeats


def _excluded(new: Claim, holders: list[Memory], claims: Mapping[str, Claim | None]) -> list[Memory]:
    """The open values of its topic that a new claim ends."""
    pairs = [(m, c) for m in holders if (c := claims[m.id])]
    if new.negated:
        return [m for m, c in pairs if c.value == new.value and not c.negated]
    denials = [m for m, c in pairs if c.negated and c.value == new.value]
    positive = [(m, c) for m, c in pairs if not c.negated]
    same_form = [m for m, c in positive if c.form == new.form != ""]
    if not same_form and new.changed and len(positive) == 1:
        return [positive[0][0], *denials]
    return [*same_form, *denials]
