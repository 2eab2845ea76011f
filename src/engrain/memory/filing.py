"""File memories: work out where each stands from those that concern it, and keep that, so that a store of any size answers at once.

`history.derive` says where all memories of a scope stand; it looks at each. But a standing depends only on memories of the same topic or words,
on those that name each other, and on the deltas that name it, so it is enough to derive such a group whenever one of it is new. The result is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence

from engrain.memory.claims import Claim
from engrain.memory.history import STATED, claim_in, derive, identity
from engrain.memory.styles import is_answer_style
from engrain.protocols import Filed, Standings
from engrain.records import Delta, Memory, Scope

_AT_ONCE = 500
"""Memories that are filed in one transaction."""


def file(store: Standings, scope: Scope) -> int:
    """File what waits; returns how many memories did. Another process may file at the same time: whoever comes second begins anew."""
    done = 0
    while waiting := _step(store, scope):
        done += max(0, waiting)
    return done


def of_kinds(store: Standings, scope: Scope, kinds: Collection[str]) -> list[Memory]:
    """The memories of these kinds that hold now, in the order of recording."""
    file(store, scope)
    return store.akin((), store.filed(scope=scope, kinds=kinds), scope=scope)


def _step(store: Standings, scope: Scope) -> int:
    """File some of what waits: how many, 0 if nothing does, -1 if something was recorded or forgotten meanwhile."""
    seen = store.state(scope=scope)
    waiting = store.unfiled(scope=scope, limit=_AT_ONCE)
    if not waiting:
        return 0
    group = {m.id: m for m in waiting}
    keys: dict[str, tuple[str, ...]] = {}
    claims: dict[str, Claim | None] = {}
    new: Sequence[Memory] = waiting
    while new:
        about = store.deltas([m.id for m in new], scope=scope)
        claims |= {m.id: claim_in(m) for m in new}
        own = {m.id: keys_of(m, claims[m.id], about) for m in new}
        keys |= own
        shared = {key for some in own.values() for key in some}
        named = {key.removeprefix("names:") for key in shared if key.startswith("names:")}
        sought = shared | {f"names:{m.id}" for m in new}
        new = [m for m in store.akin(sought, named - group.keys(), scope=scope) if m.id not in group]
        group |= {m.id: m for m in new}
    ordered = store.akin((), group, scope=scope) if len(group) > len(waiting) else waiting  # as they were recorded
    filed = [
        Filed(
            id=s.memory.id, state=s.state, until=s.until, by=s.by, confirmations=s.confirmations,
            kind=shelf_of(s.memory), keys=keys[s.memory.id],
        )
        for s in derive([*ordered, *store.deltas(list(group), scope=scope)], claims).values()
    ]  # fmt: skip
    return len(waiting) if store.file(filed, scope=scope, seen=seen) else -1


def shelf_of(memory: Memory) -> str:
    """Where recall looks for it: its kind, or `style` if it says how to answer."""
    return "style" if memory.kind in STATED and is_answer_style(memory.text) else memory.kind


def keys_of(memory: Memory, claim: Claim | None, deltas: Iterable[Delta] = ()) -> tuple[str, ...]:
    """What its standing depends on: the topic of its `claim`, or its words, hashed; the memories that it names, and those that it was merged
    into by any of the `deltas`."""
    merged = (d.into for d in deltas if d.into and memory.id in d.targets)
    named = tuple(f"names:{target}" for target in (*memory.supersedes, *memory.retracts, *merged))
    if not memory.text.strip():
        return named
    shared = ("topic", *claim.topic) if claim else identity(memory, None)
    return (hashlib.blake2b("\0".join(shared).encode("utf-8", "replace"), digest_size=12).hexdigest(), *named)
