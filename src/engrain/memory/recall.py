"""Which memories a query calls to mind: full-text and vector search, fused, over what is active now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engrain.memory.history import active
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
) -> list[tuple[Memory, float]]:
    """The memories that fit the query and their scores (0 … 1, best first); ties: the newest first.

    `memories` are the active ones where the caller has them already; else they are derived from all of the scope.
    Vectors come from the index; missing ones are made here and kept there. Empty where nothing is relevant.
    """
    held = active(list(index.select(Memory, scope=scope))) if memories is None else list(memories)
    if not held or limit < 1 or not query.strip():
        return []
    place = {m.id: i for i, m in enumerate(held)}
    lexical = np.zeros(len(held))
    # Superseded memories may fill the first hits, so look past them.
    for memory_id, bm25 in index.search_text(query, scope=scope, limit=settings.candidates + 2 * limit):
        if memory_id in place:
            lexical[place[memory_id]] = bm25
    cosine = _matrix(held, index=index, embedder=embedder, scope=scope) @ embedder.embed([query])[0]
    relevant = (lexical > 0) | (cosine >= embedder.least_cosine)
    if not relevant.any():
        return []
    weight = embedder.weight if settings.dense_weight is None else settings.dense_weight
    score = fuse(lexical, cosine, dense_weight=weight)
    cut = settings.least_share * float(score[relevant].max())
    chosen = [i for i in range(len(held)) if relevant[i] and score[i] >= cut]
    chosen.sort(key=lambda i: (-round(float(score[i]), 9), -i))
    return [(held[i], float(score[i])) for i in chosen[:limit]]


def fuse(lexical: np.ndarray, cosine: np.ndarray, *, dense_weight: float) -> np.ndarray:
    """Each arm as a share of its best score for this query, then their weighted mean; [n], 0 … 1.

    Not rank fusion: ranks throw away how sure an arm is (text-memory.md 3.3).
    """
    return (_share_of_best(lexical) + dense_weight * _share_of_best(cosine)) / (1.0 + dense_weight)


def _share_of_best(scores: np.ndarray) -> np.ndarray:
    positive = np.maximum(scores, 0.0)
    best = float(positive.max(initial=0.0))
    return np.asarray(positive / (best or 1.0))


def _matrix(held: Sequence[Memory], *, index: MemoryIndex, embedder: Embedder, scope: Scope) -> np.ndarray:
    """Vectors of these memories, [n, dimension]; those not yet in the index are made and kept."""
    ids, kept = index.vectors(embedder.name, scope=scope)
    row = {memory_id: i for i, memory_id in enumerate(ids)}
    missing = [m for m in held if m.id not in row]
    if not missing:
        return kept[[row[m.id] for m in held]]
    made = embedder.embed([m.text for m in missing])
    new: Mapping[str, np.ndarray] = {m.id: vector for m, vector in zip(missing, made, strict=True)}
    index.put_vectors(embedder.name, new, scope=scope)
    return np.stack([new[m.id] if m.id in new else kept[row[m.id]] for m in held])
