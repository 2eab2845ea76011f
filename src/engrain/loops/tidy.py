"""Tidy: memories that say nearly the same become one, and nothing that any of them said is lost; every step can be undone.

Nothing is deleted: what was merged stays on record and comes back when the merge is undone, or when the source of the other half is forgotten.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import numpy as np

from engrain.errors import Conflict
from engrain.loops.change import delta
from engrain.loops.remember import LONGEST_NOTE, now_of
from engrain.memory.extract import content_words
from engrain.memory.held import Shelf
from engrain.memory.history import standing_deltas
from engrain.memory.merging import lost, overlap, united
from engrain.protocols import Embedder
from engrain.records import Memory, MemoryKind, Scope
from engrain.store import SqlStore

SOURCE = "tidy"
"""Of a text that was made of others: it goes when one of them is forgotten."""


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
    while True:
        seen = store.state(scope=scope)
        kept = shelf.vectors(store, embedder, scope)
        names = [name for name in store.filed(scope=scope, kinds=(kind,)) if kept.row(name) >= 0]
        rows = np.array([kept.row(name) for name in names], dtype=np.int64)
        places = [i for i, name in enumerate(names) if sought is None or name in sought]
        texts = {m.id: m for m in store.akin((), names, scope=scope)}
        apart = _kept_apart(store, [names[i] for i in places], scope)
        pair = _closest(names, places, kept.matrix[rows], texts, apart, settings)
        if pair is None:
            return found
        one, other = (texts[name] for name in sorted(pair, key=names.index))  # of equals the older one stands
        try:
            found.append(_merge(store, one, other, settings, by, seen))
        except Conflict:  # somebody wrote meanwhile: look again
            continue
        if sought is not None and found[-1].into:
            sought.add(found[-1].into)


def _closest(
    names: Sequence[str],
    places: Sequence[int],
    vectors: np.ndarray,
    memories: dict[str, Memory],
    apart: Collection[frozenset[str]],
    settings: Tidying,
) -> tuple[str, str] | None:
    """The two that are most alike of those that nearly repeat each other; None if none do. `vectors` is [len(names), dimension]."""
    best: tuple[float, str, str] | None = None
    for place in places:
        cosine = vectors @ vectors[place]
        cosine[place] = -1.0
        mine = content_words(memories[names[place]].text)
        for near in np.argsort(-cosine, kind="stable")[:10].tolist():
            if cosine[near] <= -1.0 or frozenset((names[place], names[near])) in apart:
                continue
            theirs = content_words(memories[names[near]].text)
            shared = overlap(mine, theirs)
            alike = max(float(cosine[near]), shared)
            if (cosine[near] >= settings.cosine or shared >= settings.words) and (best is None or alike > best[0]):
                best = alike, names[place], names[near]
    return best[1:] if best else None


def _merge(store: SqlStore, one: Memory, other: Memory, settings: Tidying, by: str, seen: tuple[int, int]) -> Merge:
    """Record that one stands for the other, or a third text for both; or that both stay."""
    scope, now = one.scope, now_of(store, one.scope)
    text = united(one.text, other.text, longest=settings.longest)

    record = partial(delta, scope=scope, now=now, by=by)
    if text is None:
        longer = [t for t in (one.text, other.text) if len(t) > settings.longest / 2]
        reason = (
            f"together they would be longer than {settings.longest} characters"
            if longer
            else "merging would lose something"
        )
        store.append_all([record("keep", one.id, other.id, reason=reason)], seen=seen)
        return Merge(one=one.id, other=other.id, into="", reason=reason)
    for stands, gone in ((one, other), (other, one)):
        if text == stands.text:
            store.append_all(
                [record("merge", gone.id, into=stands.id, reason=(reason := "it says nothing more"))], seen=seen
            )
            return Merge(one=one.id, other=other.id, into=stands.id, reason=reason)
    both = replace(
        one, id=Memory(scope=scope, text="", valid_from=now).id, text=text, source=SOURCE, recorded_at=now,
        valid_from=min(one.valid_from, other.valid_from), talk="", proposed=False, supersedes=(), retracts=(), causes=(one.id, other.id),
        attributes=tuple((dict(other.attributes) | dict(one.attributes)).items()),
    )  # fmt: skip
    assert not lost([one.text, other.text], text)
    reason = "they nearly repeat each other; whole sentences of both are kept"
    store.append_all([both, *(record("merge", m.id, into=both.id, reason=reason) for m in (one, other))], seen=seen)
    return Merge(one=one.id, other=other.id, into=both.id, reason=reason)


def _kept_apart(store: SqlStore, ids: Sequence[str], scope: Scope) -> set[frozenset[str]]:
    """Pairs that were compared and kept, or whose merge was undone."""
    deltas = store.deltas(ids, scope=scope)
    standing = {d.id: d for d in standing_deltas(deltas)}
    undone = {frozenset((*d.targets, d.into)) for d in deltas if d.operator == "merge" and d.id not in standing}
    return undone | {frozenset(d.targets) for d in standing.values() if d.operator == "keep"}
