"""Tidy: memories that say nearly the same become one, and nothing that any of them said is lost; every step can be undone.

Nothing is deleted: what was merged stays on record and comes back when the merge is undone, or when the source of the other half is forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, combinations, product
from typing import NamedTuple

import numpy as np

from engrain.errors import Conflict
from engrain.loops.change import TRIES, delta
from engrain.loops.remember import LONGEST_NOTE, now_of
from engrain.memory.extract import content_words
from engrain.memory.held import Shelf
from engrain.memory.history import UNITED, claim_in, standing_deltas
from engrain.memory.merging import overlap, united
from engrain.protocols import Embedder
from engrain.records import Memory, MemoryKind, Scope
from engrain.store import SqlStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidying:
    """What counts as saying nearly the same."""

    cosine: float = 0.9
    """Closer than this."""
    words: float = 0.85
    """Or so many of their telling words in common (Jaccard), among the nearest ten."""
    longest: int = LONGEST_NOTE
    """Characters of a text that stands for several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Two memories that were compared."""

    one: str
    other: str
    into: str
    """Which stands for both; "" where both were kept, for merging would have lost something."""
    reason: str


def tidy(
    store: SqlStore,
    embedder: Embedder,
    *,
    scope: Scope,
    kinds: Collection[MemoryKind] = ("lesson", "reflection"),
    only: Collection[str] | None = None,
    settings: Tidying = Tidying(),
    shelf: Shelf | None = None,
    by: str = "rules",
) -> list[Merge]:
    """Merge what nearly repeats among the active memories of these kinds (each kind by itself), the closest pair first, until nothing does;
    with `only`, pairs with one of these ids. Pairs that were kept apart before are not compared again."""
    shelf = shelf or Shelf()
    return list(chain.from_iterable(_tidy(store, embedder, scope, kind, only, settings, shelf, by) for kind in kinds))


def add(
    store: SqlStore, embedder: Embedder, memory: Memory, *, settings: Tidying = Tidying(), shelf: Shelf | None = None
) -> list[Merge]:
    """Keep a memory, merged at once with what it nearly repeats."""
    store.append(memory)
    if memory.proposed:
        return []
    return tidy(
        store, embedder, scope=memory.scope, kinds=(memory.kind,), only=(memory.id,), settings=settings, shelf=shelf
    )


def _tidy(
    store: SqlStore,
    embedder: Embedder,
    scope: Scope,
    kind: MemoryKind,
    only: Collection[str] | None,
    settings: Tidying,
    shelf: Shelf,
    by: str,
) -> list[Merge]:
    found: list[Merge] = []
    sought = None if only is None else set(only)
    alike, disturbed = _Alike(settings), 0
    while disturbed < TRIES:
        seen = store.state(scope=scope)
        kept = shelf.vectors(store, embedder, scope)
        there = [name for name in store.filed(scope=scope, kinds=(kind,)) if kept.row(name) >= 0]
        new = store.akin((), alike.look_at(there), scope=scope)
        alike.take(new)
        names = [name for name in there if name not in alike.claims]
        vectors = kept.matrix[np.array([kept.row(name) for name in names], dtype=np.int64)]
        looked = names if sought is None else [name for name in names if name in sought]
        paired = alike.compare(names, looked, vectors, {m.id for m in new})
        pair = alike.closest(paired, _kept_apart(store, alike.whole(paired), scope))
        if pair is None:
            return found
        one, other = (alike.memories[name] for name in sorted(pair, key=names.index))  # of equals the older one stands
        try:
            found.append(_merge(store, one, other, settings, by, seen))
        except Conflict:  # somebody wrote meanwhile: look again
            disturbed += 1
            continue
        disturbed = 0
        if sought is not None and found[-1].into:
            sought.add(found[-1].into)
    log.info("%s: somebody writes all the while; what still repeats itself is left to the next time", scope)
    return found


_NEAREST = 10
"""How many of the nearest a memory is compared with."""


class _Near(NamedTuple):
    """What is nearest to one memory."""

    last: float
    """Cosine of the last of them; what is closer takes its place."""
    ids: frozenset[str]
    pairs: tuple[tuple[float, str], ...]
    """Those that it nearly repeats, and how alike they are."""


class _Alike:
    """The pairs that nearly repeat each other, kept from one merge to the next: only what a merge took away or brought is compared again."""

    def __init__(self, settings: Tidying) -> None:
        self.memories: dict[str, Memory] = {}
        self.claims: set[str] = set()
        """Those that give a thing a value: another value ends them, so that they must stay by themselves."""
        self._settings = settings
        self._words: dict[str, set[str]] = {}
        self._nearest: dict[str, _Near] = {}

    def look_at(self, names: Sequence[str]) -> set[str]:
        """Drop what is not among the names any more, and what was near to it; returns the names that are new."""
        there = set(names)
        gone = self.memories.keys() - there
        for name in gone:
            del self.memories[name], self._words[name]
        self._nearest = {
            name: near for name, near in self._nearest.items() if name not in gone and gone.isdisjoint(near.ids)
        }
        return there - self.memories.keys()

    def take(self, new: Sequence[Memory]) -> None:
        """Memories that were not looked at before."""
        self.memories |= {m.id: m for m in new}
        self.claims |= {m.id for m in new if claim_in(m) is not None}
        self._words |= {m.id: content_words(m.text) for m in new}

    def compare(
        self, names: Sequence[str], looked: Sequence[str], vectors: np.ndarray, new: Collection[str]
    ) -> list[str]:
        """Find what is nearest to each of the `looked`, as far as it is not known or one of the `new` may be nearer; returns those that nearly
        repeat another one. `vectors` is those of the names, float32 [n, dimension]."""
        row = {name: i for i, name in enumerate(names)}
        known = list(self._nearest)
        theirs, last = vectors[[row[name] for name in known]], np.array([self._nearest[name].last for name in known])
        for name in [name for name in names if name in new] if known else ():
            closer = theirs @ vectors[row[name]] > last
            for i in np.flatnonzero(closer).tolist():
                self._nearest.pop(known[i], None)
        for name in looked:
            if name not in self._nearest:
                self._nearest[name] = self._near(name, names, vectors @ vectors[row[name]], row[name])
        return [name for name in looked if self._nearest[name].pairs]

    def _near(self, name: str, names: Sequence[str], cosines: np.ndarray, own: int) -> _Near:
        cosines[own] = -2.0
        best = np.argsort(-cosines, kind="stable")[: min(_NEAREST, len(names) - 1)].tolist()
        pairs: list[tuple[float, str]] = []
        for at in best:
            cosine, shared = float(cosines[at]), overlap(self._words[name], self._words[names[at]])
            if cosine >= self._settings.cosine or shared >= self._settings.words:
                pairs.append((max(cosine, shared), names[at]))
        last = float(cosines[best[-1]]) if len(best) == _NEAREST else -2.0
        return _Near(last, frozenset(names[at] for at in best), tuple(pairs))

    def whole(self, paired: Sequence[str]) -> list[str]:
        """These, those that they repeat, and all that any of them was made of."""
        names = {*paired, *(other for name in paired for _, other in self._nearest[name].pairs)}
        return sorted({part for name in names for part in _parts(self.memories[name])})

    def _are_apart(self, one: str, other: str, apart: Collection[frozenset[str]]) -> bool:
        parts = _parts(self.memories[one]), _parts(self.memories[other])
        return any(frozenset(pair) in apart for pair in product(*parts))

    def closest(self, paired: Sequence[str], apart: Collection[frozenset[str]]) -> tuple[str, str] | None:
        """The two that are most alike, of those with one of the `paired` that are not kept apart; None if none are."""
        best: tuple[float, str, str] | None = None
        for name in paired:
            for alike, other in self._nearest[name].pairs:
                if (best is None or alike > best[0]) and not self._are_apart(name, other, apart):
                    best = alike, name, other
        return best[1:] if best else None


def _merge(store: SqlStore, one: Memory, other: Memory, settings: Tidying, by: str, seen: tuple[int, int]) -> Merge:
    """Record that one stands for the other, or a third text for both; or that both stay."""
    scope, now = one.scope, now_of(store, one.scope)
    text, reason = united(one.text, other.text, longest=settings.longest)
    record = partial(delta, scope=scope, now=now, by=by, reason=reason)
    if not text:
        store.append_all([record("keep", one.id, other.id)], seen=seen)
        return Merge(one=one.id, other=other.id, into="", reason=reason)
    for stands, gone in ((one, other), (other, one)):
        if text == stands.text:
            store.append_all([record("merge", gone.id, into=stands.id)], seen=seen)
            return Merge(one=one.id, other=other.id, into=stands.id, reason=reason)
    both = replace(
        one, id=Memory(scope=scope, text="", valid_from=now).id, text=text, source=UNITED, recorded_at=now,
        valid_from=min(one.valid_from, other.valid_from), talk="", proposed=False, supersedes=(), retracts=(),
        causes=tuple(dict.fromkeys((*_parts(one), *_parts(other)))),
        attributes=tuple((dict(other.attributes) | dict(one.attributes)).items()),
    )  # fmt: skip
    store.append_all([both, *(record("merge", m.id, into=both.id) for m in (one, other))], seen=seen)
    return Merge(one=one.id, other=other.id, into=both.id, reason=reason)


def _parts(memory: Memory) -> tuple[str, ...]:
    """Its id, and those of all that it was made of, if it is a united text."""
    return (memory.id, *(memory.causes if memory.source == UNITED else ()))


def _kept_apart(store: SqlStore, ids: Sequence[str], scope: Scope) -> set[frozenset[str]]:
    """Pairs that were compared and kept, or whose merge was undone, be it into a third text."""
    deltas = store.deltas(ids, scope=scope)
    standing = {d.id: d for d in standing_deltas(deltas)}
    found = {frozenset(d.targets) for d in standing.values() if d.operator == "keep"}
    parted: dict[str, set[str]] = {}
    for d in deltas:
        if d.operator == "merge":
            parted.setdefault(d.into, {d.into}).update(d.targets)
    undone = {d.into for d in deltas if d.operator == "merge" and d.id not in standing}
    return found | {frozenset(pair) for into in undone for pair in combinations(sorted(parted[into]), 2)}
