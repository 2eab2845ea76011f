"""Vectors without a model: hashed words and letter groups, so that recall works offline at once and finds typos.

A sentence model finds more (`Embedder` is the seam); this one needs numpy only and is the same in every process.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from engrain.memory.lexicon import words

_COMMON = words(
    """a about all also am an and any are as at be been but by can could did do does for from get had has have he her
    him his how i if in into is it its just me my no not of on or our out s she should so some t that the their them
    then there these they this those to too up us was we were what when where which who whom whose why will with would
    you your"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HashedEmbedder:
    """Signed hashing of words and of the 3 to 5 letter groups inside them; counts are damped by a logarithm."""

    dimension: int = 512
    word_weight: float = 1.0
    group_weight: float = 2.0
    """Weight of one word's letter groups together, against the word itself."""
    weight: float = 0.3
    """Chosen on LoCoMo, as `least_cosine`."""
    least_cosine: float = 0.15

    @property
    def name(self) -> str:
        return f"hashed-{self.dimension}-{self.word_weight:g}-{self.group_weight:g}"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [len(texts), dimension]; each row has length 1, or is all zero for a text without words."""
        known: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        result = np.zeros((len(texts), self.dimension), dtype=np.float64)
        for row, text in zip(result, texts, strict=True):
            said = re.findall(r"\w+", text.lower())
            counts = Counter([w for w in said if w not in _COMMON] or said)
            for word in sorted(counts):
                if word not in known:
                    known[word] = self._features(word)
                places, values = known[word]
                np.add.at(row, places, values * (1.0 + np.log(counts[word])))
            length = float(np.sqrt((row * row).sum()))
            if length > 0:
                row /= length
        return result.astype(np.float32)

    def _features(self, word: str) -> tuple[np.ndarray, np.ndarray]:
        groups = list(_groups(word))
        hashes = np.array([zlib.crc32(f.encode()) for f in (word, *groups)], dtype=np.int64)
        weights = np.full(len(hashes), self.group_weight / max(len(groups), 1) ** 0.5)
        weights[0] = self.word_weight
        return hashes % self.dimension, np.where((hashes >> 31) & 1, -weights, weights)


def _groups(word: str) -> Iterator[str]:
    """The letter groups of a word with its borders: tea -> <te, tea, ea>, <tea, tea>, <tea>."""
    bordered = f"<{word}>"
    for size in (3, 4, 5):
        for start in range(len(bordered) - size + 1):
            yield f"#{bordered[start : start + size]}"
