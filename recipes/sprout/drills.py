"""Drills on random tokens: copying, and looking up one note among others. There is nothing else to learn from them, and all reading
rests on these two."""

from __future__ import annotations

import numpy as np
from tokenizers import Tokenizer

from model import Encoded


def copying(rng: np.random.Generator, words: range) -> Encoded:
    """Random tokens that come again: in whole, or piece by piece from their first token on.

    On text alone the network had not begun to copy after six million tokens, on drills it does within one.
    """

    def tokens(n: int) -> list[int]:
        return rng.integers(words.start, words.stop, n).tolist()

    if rng.random() < 0.5:
        text = tokens(int(rng.integers(4, 28)))
        return text * 2, [False] * (len(text) + 1) + [True] * (len(text) - 1), []
    pieces = [tokens(int(rng.integers(3, 9))) for _ in range(int(rng.integers(2, 9)))]
    ids = [t for piece in pieces for t in piece]
    flags = [False] * len(ids)
    for i in rng.permutation(len(pieces)):
        ids += pieces[i]
        flags += [False] + [True] * (len(pieces[i]) - 1)
    return ids, flags, []


def looking_up(rng: np.random.Generator, words: range, tokenizer: Tokenizer, notes: int, questions: int = 8) -> Encoded:
    """Notes of random tokens; some tokens of one are shown, and what stands before them, after them or first in that note is asked.

    What stands before the words that match is what a network finds last: a note's later tokens must have kept what came first.
    """

    def tokens(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    def below(n: int) -> int:
        return int(rng.integers(n))

    user, assistant, end = (tokenizer.token_to_id(f"<|{name}|>") for name in ("user", "assistant", "end"))
    texts = [rng.integers(words.start, words.stop, int(rng.integers(4, 12))).tolist() for _ in range(notes)]
    openings = rng.integers(words.start, words.stop, 3).tolist()
    for text in texts:
        if rng.random() < 0.5:  # many notes begin alike
            text[0] = openings[below(3)]
    prefix = [
        tokenizer.token_to_id("<|system|>"),
        *tokens(" Notes:"),
        *(t for x in texts for t in tokens("\n-") + x),
        end,
    ]
    branches: list[tuple[list[int], list[bool]]] = []
    for _ in range(questions):
        text = texts[below(notes)]
        size = 1 + below(min(3, len(text) - 2))
        what = ("before", "before", "first", "after")[below(4)]
        at = below(len(text) - size) + (what != "after")
        answer = {"before": text[:at], "first": text[:2], "after": text[at + size :]}[what]
        asked = [user, *tokens(f" {what}"), *text[at : at + size], end, assistant]
        branches.append((asked + answer + [end], [False] * len(asked) + [True] * (len(answer) + 1)))
    return prefix, [False] * len(prefix), branches
