"""What was read before is not read again: keys and values of earlier requests, from which a later one that begins alike goes on.

Each is kept under a name, and found under that name and that adapter alone: whoever shares a name can tell by the time of an answer
what others of that name have asked, and nobody else can.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

WORTH = 16
"""Tokens from which it pays to go on from what was read before."""
FOR_EACH = 8
"""Beginnings that are kept at most under one name and adapter."""
IDLE_S = 300.0
"""Seconds after which a beginning goes that nothing went on from."""


@dataclass(slots=True, eq=False)
class Beginning:
    """Tokens that an adapter has read, and what it made of them: keys and values [layers, 2, heads, tokens, width]."""

    tokens: tuple[int, ...]
    read: Tensor
    used: float


def alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    most = min(len(one), len(other))
    return next((i for i in range(most) if one[i] != other[i]), most)


class Prefixes:
    """Beginnings within a byte budget, the longest unused out first. For one thread."""

    def __init__(self, most_bytes: int = 128 * 2**20, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most_bytes, clock
        self._held: OrderedDict[tuple[str, Hashable], list[Beginning]] = OrderedDict()
        """By adapter and name, the last used at the end, and so within each."""
        self.bytes = 0
        """Held now."""

    def find(self, adapter: str, names: Iterable[Hashable], tokens: Sequence[int]) -> Tensor | None:
        """What was read, under one of these names, of as many of the first tokens as possible but the last; None if that is too little."""
        most, found = WORTH - 1, None
        for name in names:
            for one in self._held.get((adapter, name), ()):
                if (n := min(alike(one.tokens, tokens), len(tokens) - 1)) > most:
                    most, found = n, (name, one)
        if found is None:
            return None
        name, one = found
        one.used = self._clock()
        self._held.move_to_end((adapter, name))
        self._held[adapter, name].sort(key=lambda one: one.used)
        return one.read[..., :most, :]

    def keep(self, adapter: str, name: Hashable, tokens: Sequence[int], read: Callable[[int], Tensor]) -> None:
        """Keep `read(n)`, what the adapter made of these n tokens, unless all but a few of them are held already."""
        held = self._held.setdefault((adapter, name), [])
        if max((alike(one.tokens, tokens) for one in held), default=0) + WORTH > len(tokens):
            return
        for one in [one for one in held if alike(one.tokens, tokens) == len(one.tokens)]:  # this one goes further
            self._remove(held, one)
        if len(held) == FOR_EACH:
            self._remove(held, held[0])
        made = Beginning(tuple(tokens), read(len(tokens)), self._clock())
        held.append(made)
        self.bytes += made.read.nbytes
        self._held.move_to_end((adapter, name))
        while self.bytes > self._most:
            oldest = next(iter(self._held.values()))
            self._remove(oldest, oldest[0])
            self._tidy()

    def drop_idle(self) -> None:
        """Let go of what nothing went on from for a while."""
        before = self._clock() - IDLE_S
        for held in self._held.values():
            for one in [one for one in held if one.used < before]:
                self._remove(held, one)
        self._tidy()

    def clear(self) -> None:
        """Let go of everything."""
        self._held.clear()
        self.bytes = 0

    def _remove(self, held: list[Beginning], one: Beginning) -> None:
        held.remove(one)
        self.bytes -= one.read.nbytes

    def _tidy(self) -> None:
        for key in [key for key, held in self._held.items() if not held]:
            del self._held[key]
