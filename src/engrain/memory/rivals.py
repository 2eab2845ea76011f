"""Which of the memories that hold speak of the same thing as a new statement, and so may be true no longer.

`claims` decides where words alone tell; this ranks what is left for a model or a person to decide. Two statements of one thing mostly begin
alike: who or what it is about comes first, and what is new about it last. (Measured in benchmarks/recall.py, "Letta, new fact".)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import takewhile

from engrain.memory.held import Shelf
from engrain.memory.history import STATED
from engrain.memory.merging import overlap
from engrain.memory.recall import RecallSettings, recall
from engrain.protocols import Embedder, MemoryIndex
from engrain.records import Memory, Scope

_LOOKED_AT = 50
_BEGINS_ALIKE = 0.25
_SAME_SUBJECT = 0.25


def rivals(
    statement: str,
    *,
    index: MemoryIndex,
    embedder: Embedder,
    scope: Scope,
    kinds: Collection[str] = STATED,
    limit: int = 3,
    shelf: Shelf | None = None,
) -> list[tuple[Memory, float]]:
    """The memories that a new statement most likely replaces, with scores (best first; 1.5 says the very same)."""
    settings = replace(RecallSettings(), least_share=0.0)
    found = recall(
        statement, index=index, embedder=embedder, scope=scope, kinds=kinds, limit=_LOOKED_AT, settings=settings, shelf=shelf
    )  # fmt: skip
    new = _words(statement)
    scored = [(m, score + _BEGINS_ALIKE * begins_alike(new, w) + _SAME_SUBJECT * same_half(new, w))
              for m, score in found if (w := _words(m.text))]  # fmt: skip
    return sorted(scored, key=lambda pair: -pair[1])[:limit]


def begins_alike(one: Sequence[str], other: Sequence[str]) -> float:
    """The words with which both begin, as a share of the shorter; 0 … 1."""
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    return alike / max(1, min(len(one), len(other)))


def same_half(one: Sequence[str], other: Sequence[str]) -> float:
    """How much the words of the first halves have in common (Jaccard); 0 … 1."""
    a, b = (set(words[: len(words) // 2 + 1]) for words in (one, other))
    return overlap(a, b)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
