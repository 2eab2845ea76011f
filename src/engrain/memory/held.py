"""What holds now of a user's memory, derived once and kept until something is recorded or forgotten."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from engrain.memory.history import active, snapshot
from engrain.memory.styles import is_answer_style
from engrain.protocols import MemoryIndex
from engrain.records import Memory, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The active memories, in the order of recording."""

    styles: tuple[Memory, ...] = ()
    """Those that say how to answer."""
    notes: tuple[Memory, ...] = ()
    """All others."""
    snapshot: str = ""
    """`history.snapshot` of them all."""


def held(memories: Sequence[Memory]) -> Held:
    """What holds of all the memories of one scope."""
    now = active(memories)
    styles = {m.id for m in now if is_answer_style(m.text)}
    return Held(
        styles=tuple(m for m in now if m.id in styles),
        notes=tuple(m for m in now if m.id not in styles),
        snapshot=snapshot(now),
    )


class Shelf:
    """Keeps what holds, for the scopes that were asked for last; safe for several threads.

    What the store says of a scope's records decides whether it still stands, so that another process's writing and forgetting count.
    """

    def __init__(self, scopes: int = 1024) -> None:
        self._most = scopes
        self._kept: OrderedDict[Scope, tuple[tuple[int, int], Held]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, index: MemoryIndex, scope: Scope) -> Held:
        """What holds of this scope now."""
        state = index.state(
            Memory, scope=scope
        )  # before the records are read: what comes between is read again next time
        with self._lock:
            known = self._kept.get(scope)
            if known is not None and known[0] == state:
                self._kept.move_to_end(scope)
                return known[1]
        found = held(list(index.select(Memory, scope=scope)))
        with self._lock:
            self._kept[scope] = state, found
            self._kept.move_to_end(scope)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return found

    def clear(self) -> None:
        """Drop all of it, as forgetting needs."""
        with self._lock:
            self._kept.clear()
