"""Which memories a query calls to mind: full-text and vector search, fused, over what is active now.

The two are fused by their scores, each as a share of its best, and not by ranks, which throw away how sure an arm is. How much the
vectors say is decided for each query: as much as their best stands out from the next ones, beside that of the words. A turn of a
conversation is often understood only from those around it, so a short one also gets a part of its neighbours' scores, and each a part of its
talk's best. (Measured in docs/lab-log.md; text-memory.md 3.3 for what ranks cost.)
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engrain.memory.extract import content_words
from engrain.memory.held import Shelf, Vectors
from engrain.memory.history import STATED, standing_deltas
from engrain.memory.merging import covers
from engrain.protocols import Embedder, MemoryIndex
from engrain.records import Delta, Memory, Scope

_REPEATS = 0.9
"""Cosine from which on two memories may repeat each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallSettings:
    """How recall weighs and cuts."""

    dense_weight: float | None = None
    """Weight of the vectors against 1.0 for the words; None: the embedder's own, by how sure each arm is of this query."""
    short_query: int = 24
    """Words. One vector says the less the more it stands for: of a query twice as long the vectors count half (of 100 tasks of a hundred words and more
    the right skill of seventeen came first in 77 by words alone, in 70 with vectors at full weight)."""
    candidates: int = 100
    """How many word hits are considered."""
    least_share: float = 0.25
    """Hits below this share of the best score are dropped."""
    neighbours: tuple[float, ...] = (0.3, 0.2)
    """Share of the scores of the next turns of the same talk, and of the next but one, that counts for a short turn, too."""
    short: int = 350
    """Characters; a turn twice as long gets a quarter of that, for it says itself what it is about."""
    talk: float = 0.3
    """Share of its talk's three best scores."""
    repeats: float = 0.5
    """What a near repeat of a better one still counts, so that others get its place; 1 leaves it where it is."""
    links: float = 0.4
    """Share of the score of a memory that those linked with it get at least, of the best `limit`; 0 follows no link."""


def recall(
    query: str,
    *,
    index: MemoryIndex,
    embedder: Embedder,
    scope: Scope,
    memories: Sequence[Memory] | None = None,
    kinds: Collection[str] = STATED,
    limit: int = 12,
    settings: RecallSettings = RecallSettings(),
    shelf: Shelf | None = None,
) -> list[tuple[Memory, float]]:
    """The memories that fit the query and their scores (best first; 1 fits as well by words as by meaning); ties: the newest first.

    `memories` are those to choose from, where not all of `kinds` that hold. Vectors come from the index; missing ones
    are made here and kept there. A `shelf` spares reading them again. Empty where nothing is relevant.
    """
    if limit < 1 or not query.strip() or (memories is not None and not memories):
        return []
    shelf = shelf or Shelf()
    kept = shelf.vectors(index, embedder, scope)
    if not len(kept.matrix):
        return []
    vector = shelf.embed(embedder, [query], scope)[0]
    cosine = kept.cosines(vector)
    given = None if memories is None else {m.id: m for m in memories}

    def holding(names: Collection[str]) -> list[str]:
        """Those of them that may be recalled, in the order of recording."""
        if given is not None:
            return [name for name in given if name in names]
        return index.filed(scope=scope, ids=names, kinds=kinds)

    most = settings.candidates + 2 * limit  # what holds no longer may fill the first hits, so look past it
    words = dict(index.search_text(query, scope=scope, limit=most))
    order = _best(cosine, most)
    while True:
        kept.make_exact(cosine, order, vector)
        near = [kept.ids[i] for i in order if cosine[i] >= embedder.least_cosine]
        there = holding({*words, *near})
        if len(there) >= limit or len(order) == len(cosine) or len(near) < len(order):
            break
        order = _best(cosine, 4 * len(order))
    found = [name for name in there if kept.row(name) >= 0]
    if not found:
        return []
    rows = np.array([kept.rows[name] for name in found])
    kept.make_exact(cosine, rows, vector)
    lexical = np.zeros(len(cosine))
    for name, said in words.items():
        if (row := kept.row(name)) >= 0:
            lexical[row] = said
    weight = settings.dense_weight
    if weight is None:
        long = len(query.split()) / settings.short_query
        weight = embedder.weight * surer(lexical[rows], cosine[rows]) / max(1.0, long)
    score = fuse(lexical, cosine, rows, dense_weight=weight)
    around = _around(kept, rows, len(settings.neighbours))
    if len(around):
        found = holding({*found, *(kept.ids[row] for row in around)})
        rows = np.array([kept.rows[name] for name in found])
        kept.make_exact(cosine, rows, vector)
    value = in_talks(score, kept, rows, settings)
    if settings.links:
        best = {found[i]: float(value[i]) for i in np.argsort(-value, kind="stable")[:limit]}
        lifted = along_links(best, index.deltas(list(best), scope=scope), settings.links)
        if lifted:
            more = [name for name in holding(set(lifted) - set(found)) if kept.row(name) >= 0]
            found, value = [*found, *more], np.append(value, np.zeros(len(more)))
            value = np.maximum(value, [lifted.get(name, 0.0) for name in found])
    cut = settings.least_share * float(value.max())
    ranked = sorted(
        (i for i in range(len(found)) if value[i] >= cut),
        key=lambda i: (-round(float(value[i]), 9), -kept.rows[found[i]]),
    )
    best = {found[i]: float(value[i]) for i in ranked[: 2 * limit]}
    read = given if given is not None else {m.id: m for m in index.akin((), best, scope=scope)}
    hits = [(read[name], value) for name, value in best.items() if name in read]
    return (hits if settings.repeats == 1 else _varied(hits, kept, settings.repeats))[:limit]


def _varied(hits: Sequence[tuple[Memory, float]], kept: Vectors, share: float) -> list[tuple[Memory, float]]:
    """The hits, each that nearly repeats a better one at that share of its score: close to it, and each says all that the other says."""
    shown: list[tuple[np.ndarray, set[str], str]] = []
    found: list[tuple[Memory, float]] = []
    for memory, score in hits:
        vector, words, text = kept.matrix[kept.rows[memory.id]], content_words(memory.text), memory.text
        again = any(
            words == w and float(vector @ v) >= _REPEATS and covers(text, t) and covers(t, text) for v, w, t in shown
        )
        shown += [] if again else [(vector, words, text)]
        found.append((memory, score * share if again else score))
    return sorted(found, key=lambda hit: -hit[1])


def _best(scores: np.ndarray, count: int) -> np.ndarray:
    """Places of the greatest scores, the greatest first; [at most `count`]."""
    if count >= len(scores):
        return np.argsort(-scores, kind="stable")
    some = np.argpartition(-scores, count)[:count]
    return np.asarray(some[np.argsort(-scores[some], kind="stable")])


def surer(lexical: np.ndarray, cosine: np.ndarray) -> float:
    """How much more the vectors are to say than they usually do (0.5 … 2.7), from the scores of both arms, [n].

    It is the root of how their margins compare: the share of its best score by which that stands out from the tenth.
    """

    def margin(scores: np.ndarray) -> float:
        first = np.sort(np.maximum(scores, 0.0))[::-1][:10]
        return float((first[0] - (first[9] if len(first) == 10 else 0.0)) / first[0]) if first[0] > 0 else 0.0

    ratio = min(max(margin(cosine) / max(margin(lexical), 0.05), 0.2), 5.0)
    return 1.2 * math.sqrt(ratio)


def fuse(lexical: np.ndarray, cosine: np.ndarray, rows: np.ndarray, *, dense_weight: float) -> np.ndarray:
    """Each arm as a share of its best score among `rows`, then their weighted mean; [n], 0 … 1 in those rows."""
    return (_share(lexical, rows) + dense_weight * _share(cosine, rows)) / (1.0 + dense_weight)


def _share(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    best = float(np.maximum(scores[rows], 0.0).max(initial=0.0)) or 1.0
    return np.asarray(np.clip(scores / best, 0.0, 1.0))


def along_links(scores: Mapping[str, float], deltas: Iterable[Delta], share: float) -> dict[str, float]:
    """What the memories that are linked with these get of their scores, by id; the best of its links counts."""
    got: dict[str, float] = {}
    for delta in standing_deltas(deltas):
        if delta.operator == "link":
            for one, other in (delta.targets, delta.targets[::-1]):
                got[other] = max(got.get(other, 0.0), share * scores.get(one, 0.0))
    return {name: score for name, score in got.items() if score > 0}


def _around(kept: Vectors, rows: np.ndarray, steps: int) -> np.ndarray:
    """The rows within so many steps of these in their talks, these left out."""
    met = set(rows.tolist())
    edge = rows[kept.talks[rows] >= 0]
    found: list[int] = []
    for _ in range(steps):
        beside = np.unique(kept.beside[edge].reshape(-1))
        new = [row for row in beside.tolist() if 0 <= row < len(kept.matrix) and row not in met]
        edge = np.array(new, dtype=np.int64)
        met.update(edge.tolist())
        found += edge.tolist()
    return np.array(found, dtype=np.int64)


def in_talks(score: np.ndarray, kept: Vectors, rows: np.ndarray, settings: RecallSettings) -> np.ndarray:
    """The scores of these rows, with what those around them in their talks add; [len(rows)]."""
    value: np.ndarray = score[rows].astype(np.float64)
    talks = kept.talks[rows]
    if not (talks >= 0).any():
        return value
    short = np.minimum(1.0, settings.short / np.maximum(kept.lengths[rows], 1)) ** 2
    for side in (0, 1):
        at = rows
        for share in settings.neighbours:
            at = np.where(at >= 0, kept.beside[at, side], -1)
            at = np.where(at < len(score), at, -1)
            value += share * short * np.where(at >= 0, score[at], 0.0)
    for talk in set(talks[talks >= 0].tolist()):
        mine = talks == talk
        value[mine] += settings.talk * np.sort(score[rows[mine]])[-3:].mean()
    return value
