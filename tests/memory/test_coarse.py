"""The index for very many vectors: what it finds is what looking at all of them finds, nearly always; and it grows and forgets with the memory."""

from __future__ import annotations

from contextlib import closing
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from engrain.memory import HashedEmbedder, Shelf, coarse, recall
from engrain.memory.coarse import fitted
from engrain.records import Memory, Scope
from engrain.store import SqlStore

ME = Scope()


def spread(count: int, dimension: int, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors whose variance falls over the directions as that of sentences' does, turned at random."""
    turned = np.linalg.qr(np.random.default_rng(7).normal(size=(dimension, dimension)))[0]
    found = rng.normal(size=(count, dimension)) * np.arange(1, dimension + 1) ** -0.5 @ turned
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def test_the_nearest_are_found_and_their_cosines_are_exact() -> None:
    rng = np.random.default_rng(0)
    matrix, queries = spread(40_000, 96, rng), spread(50, 96, rng)
    index = fitted(matrix, 50_000)
    assert index is not None and index.share < 0.1 and index.rows.shape == (50_000, 32)
    assert np.allclose(index.basis.T @ index.basis, np.eye(32), atol=1e-5)
    index = index._replace(rows=index.rows[: len(matrix)])
    found = right = 0
    for query in queries:
        exact, some = matrix @ query, index.cosines(matrix, query)
        best = np.argsort(-exact)[:10]
        got = np.argsort(-some)[:10]
        found += len({*best.tolist()} & {*got.tolist()})
        right += int(np.allclose(some[got], exact[got], atol=1e-6))
    assert found >= 0.98 * 10 * len(queries) and right == len(queries)


def test_vectors_that_differ_in_all_directions_alike_are_all_looked_at() -> None:
    rng = np.random.default_rng(1)
    even = rng.normal(size=(20_000, 384)).astype(np.float32)
    assert fitted(even / np.linalg.norm(even, axis=1, keepdims=True), 20_000) is None


def test_recall_finds_with_it_what_it_finds_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = HashedEmbedder(dimension=96)
    with closing(SqlStore(tmp_path)) as store:

        def tell(first: int, last: int) -> None:
            store.append_all(
                Memory(scope=ME, text=f"The {('pump', 'gate', 'kiln')[n % 3]} of house {n} is {n * 7919 % 1000} years old.", valid_from=float(n))
                for n in range(first, last)
            )  # fmt: skip

        tell(0, 300)
        asked = [f"How old is the {('pump', 'gate', 'kiln')[n % 3]} of house {n}?" for n in range(0, 300, 20)]

        def told(shelf: Shelf) -> list[list[str]]:
            return [
                [m.text for m, _ in recall(q, index=store, embedder=embedder, scope=ME, shelf=shelf, limit=5)]
                for q in asked
            ]

        exact = told(Shelf())
        monkeypatch.setattr(import_module("engrain.memory.held"), "FROM", 200)
        monkeypatch.setattr(coarse, "_LEAST", 40)
        monkeypatch.setattr(coarse, "_FOUND", 0.5)
        shelf = Shelf()
        kept = shelf.vectors(store, embedder, ME)
        assert kept.coarse is not None and kept.coarse.rows.shape == (300, 32)
        assert told(shelf) == exact
        tell(300, 900)  # more than there was room for
        grown = shelf.vectors(store, embedder, ME)
        assert grown.coarse is not None and len(grown.coarse.rows) == 900 and len(kept.coarse.rows) == 300
        assert told(shelf) == told(Shelf())
        gone = next(iter(store.select(Memory, scope=ME)))
        store.erase([gone.id], scope=ME, reason="asked")
        assert gone.text not in {text for texts in told(shelf) for text in texts}
        assert len(shelf.vectors(store, embedder, ME).coarse.rows) == 899  # type: ignore[union-attr]
