"""Which memories a query calls to mind: full-text and vector search, fused, over what is active now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from engrain.memory.held import Shelf
from engrain.protocols import Embedder, MemoryIndex
from engrain.records import Memory, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallSettings:
    """How recall weighs and cuts."""

    dense_weight: float | None = None
    """Weight of the vectors against 1.0 for the words; None: the embedder's own."""
    candidates: int = 100
    """How many word hits are considered."""
    least_share: float = 0.25
    """Hits below this share of the best score are dropped."""


def recall(
    query: str,
    *,
    index: MemoryIndex,
    embedder: Embedder,
    scope: Scope,
    memories: Sequence[Memory] | None = None,
    limit: int = 12,
    settings: RecallSettings = RecallSettings(),
    shelf: Shelf | None = None,
) -> list[tuple[Memory, float]]:
    """The memories that fit the query and their scores (0 … 1, best first); ties: the newest first.

    `memories` are those to choose from, where not all that hold and say nothing of how to answer. Vectors come from the index; missing ones
    are made here and kept there. A `shelf` spares reading them again. Empty where nothing is relevant.
    """
    if limit < 1 or not query.strip() or (memories is not None and not memories):
        return []
    kept = (shelf or Shelf()).vectors(index, embedder, scope)
    if not len(kept.matrix):
        return []
    cosine = kept.matrix @ embedder.embed([query])[0]
    given = None if memories is None else {m.id: m for m in memories}

    def holding(names: Collection[str]) -> list[str]:
        """Those of them that may be recalled, in the order of recording."""
        if given is not None:
            return [name for name in given if name in names]
        return index.filed(scope=scope, ids=names, style=False)

    most = settings.candidates + 2 * limit  # what holds no longer may fill the first hits, so look past it
    words = dict(index.search_text(query, scope=scope, limit=most))
    order = _best(cosine, most)
    while True:
        near = [kept.ids[i] for i in order if cosine[i] >= embedder.least_cosine]
        there = holding({*words, *near})
        if len(there) >= limit or len(order) == len(cosine) or len(near) < len(order):
            break
        order = _best(cosine, 4 * len(order))
    found = [name for name in there if name in kept.rows]
    if not found:
        return []
    score = fuse(
        np.array([words.get(n, 0.0) for n in found]), cosine[[kept.rows[n] for n in found]],
        dense_weight=embedder.weight if settings.dense_weight is None else settings.dense_weight,
    )  # fmt: skip
    cut = settings.least_share * float(score.max())
    chosen = sorted((i for i in range(len(found)) if score[i] >= cut), key=lambda i: (-round(float(score[i]), 9), -i))
    best = {found[i]: float(score[i]) for i in chosen[:limit]}
    read = given if given is not None else {m.id: m for m in index.akin((), best, scope=scope)}
    return [(read[name], value) for name, value in best.items() if name in read]


def _best(scores: np.ndarray, count: int) -> np.ndarray:
    """Places of the greatest scores, the greatest first; [at most `count`]."""
    if count >= len(scores):
        return np.argsort(-scores, kind="stable")
    some = np.argpartition(-scores, count)[:count]
    return np.asarray(some[np.argsort(-scores[some], kind="stable")])


def fuse(lexical: np.ndarray, cosine: np.ndarray, *, dense_weight: float) -> np.ndarray:
    """Each arm as a share of its best score for this query, then their weighted mean; [n], 0 … 1.

    Not rank fusion: ranks throw away how sure an arm is (text-memory.md 3.3).
    """
    return (_share_of_best(lexical) + dense_weight * _share_of_best(cosine)) / (1.0 + dense_weight)


def _share_of_best(scores: np.ndarray) -> np.ndarray:
    positive = np.maximum(scores, 0.0)
    best = float(positive.max(initial=0.0))
    return np.asarray(positive / (best or 1.0))
