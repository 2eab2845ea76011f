"""A drill on random tokens: copying. There is nothing else to learn from it, and all reading rests on it."""

from __future__ import annotations

import numpy as np

from tokens import Row


def copying(rng: np.random.Generator, words: range) -> Row:
    """Random tokens that come again: in whole, or piece by piece from their first token on.

    On text alone the network had not begun to copy after six million tokens, on drills it does within one.
    """

    def tokens(n: int) -> list[int]:
        return rng.integers(words.start, words.stop, n).tolist()

    if rng.random() < 0.5:
        text = tokens(int(rng.integers(4, 28)))
        return Row.shared(text * 2, [False] * (len(text) + 1) + [True] * (len(text) - 1))
    pieces = [tokens(int(rng.integers(3, 9))) for _ in range(int(rng.integers(2, 9)))]
    ids = [t for piece in pieces for t in piece]
    flags = [False] * len(ids)
    for i in rng.permutation(len(pieces)):
        ids += pieces[i]
        flags += [False] + [True] * (len(pieces[i]) - 1)
    return Row.shared(ids, flags)
