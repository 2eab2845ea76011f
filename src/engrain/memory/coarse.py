"""An index for very many vectors: all of them are looked at in a third of their dimensions, the nearest hundredth in all.

The third is that in which these vectors differ most (their principal components), so little is missed: of MiniLM's vectors of 20,000 English sentences the
ten nearest are among that hundredth in 99.95 %. Other embedders spread more evenly; so it is tried on the vectors themselves, more of them are looked at in
all dimensions where it takes that, and all where even a tenth would miss some. Beside a graph (HNSW) it is made in a second instead of minutes, grows by a product, has
nothing on disk that would have to be forgotten, and needs no further package (docs/decisions/0036).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FROM = 100_000
"""Vectors of one scope from which on it is used."""
_SAMPLE, _TRIED = 20_000, 100
"""Of which the components are made; of them, by how many it is tried."""
_SHARES, _LEAST = (0.01, 0.02, 0.04, 0.1), 1_000
"""Of the vectors, how many are looked at in all their dimensions."""
_FOUND = 0.99
"""Of the ten nearest, that must be among them."""


class Coarse(NamedTuple):
    """All vectors in fewer dimensions."""

    basis: np.ndarray
    """float32 [dimension, fewer], orthonormal."""
    rows: np.ndarray
    """float32 [n, fewer]."""
    share: float
    """Of the vectors, that are looked at in all dimensions."""

    def cosines(self, matrix: np.ndarray, query: np.ndarray) -> np.ndarray:
        """Of `matrix` ([n, dimension]) with the query: exact for the nearest, and near the truth for the others; [n]."""
        found: np.ndarray = self.rows @ (query @ self.basis)
        most = max(_LEAST, int(self.share * len(found)))
        near = np.argpartition(-found, most)[:most] if most < len(found) else np.arange(len(found))
        found[near] = matrix[near] @ query
        return found


def fitted(matrix: np.ndarray, room: int) -> Coarse | None:
    """The index of these vectors ([n, dimension]), with room for so many; None where it would miss more than one in a hundred of the ten nearest."""
    some = matrix[:: max(1, len(matrix) // _SAMPLE)]
    _, directions = np.linalg.eigh(some.T @ some)  # ascending
    basis = np.ascontiguousarray(directions[:, : -(matrix.shape[1] // 3) - 1 : -1], dtype=np.float32)
    share = next((s for s in _SHARES if _found(some, basis, s) >= _FOUND), None)
    if share is None:
        return None
    index = Coarse(basis, np.zeros((room, basis.shape[1]), dtype=np.float32), share)
    index.rows[: len(matrix)] = matrix @ basis
    return index


def _found(vectors: np.ndarray, basis: np.ndarray, share: float) -> float:
    """What share of the ten nearest of some of these vectors are among that share of them that is nearest in fewer dimensions."""
    asked = vectors[:: max(1, len(vectors) // _TRIED)]
    nearest = np.argpartition(-(asked @ vectors.T), min(11, len(vectors) - 1), axis=1)[:, :11]  # and itself
    looked = max(12, int(share * len(vectors)))
    near = np.argpartition(-((asked @ basis) @ (vectors @ basis).T), min(looked, len(vectors) - 1), axis=1)[:, :looked]
    return float(np.mean([len({*a.tolist()} & {*b.tolist()}) / 11 for a, b in zip(nearest, near, strict=True)]))
