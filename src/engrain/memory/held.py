"""What a process keeps of its users' memories, so that a request need not read them all: the vectors, and how each wants to be answered."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from engrain.memory.coarse import FROM, Coarse, fitted
from engrain.memory.filing import file, shelf_of
from engrain.memory.history import LESSONS, STATED, History, active
from engrain.protocols import Embedder, MemoryIndex
from engrain.records import Memory, Scope, content_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What holds of a user's memory."""

    styles: tuple[Memory, ...] = ()
    """The memories that say how to answer, in the order of recording."""
    blocks: tuple[Memory, ...] = ()
    """The core blocks, in the order of recording."""
    lessons: tuple[Memory, ...] = ()
    """The playbook: lessons and reflections, in the order of recording."""
    notes: tuple[Memory, ...] | None = None
    """All others; None: whichever the store has."""
    snapshot: str = ""
    """Which state of the memory this is: the last entry of the ledger that changed it; "" where there is none."""


def held(memories: History) -> Held:
    """What holds, if these were all the memories of the scope."""
    now = [(m, shelf_of(m)) for m in active(memories)]
    return Held(
        styles=tuple(m for m, shelf in now if shelf == "style"), blocks=tuple(m for m, shelf in now if shelf == "block"), lessons=tuple(m for m, shelf in now if shelf in LESSONS),
        notes=tuple(m for m, shelf in now if shelf in STATED)
    )  # fmt: skip


class Vectors(NamedTuple):
    """The vectors of all memories of a scope, those that hold no longer among them."""

    ids: Sequence[str]
    """At least as many as there are rows: more may have come since."""
    rows: Mapping[str, int]
    """Which row is a memory's."""
    matrix: np.ndarray
    """float32 [n, dimension]."""
    talks: np.ndarray
    """int32 [n]: which talk it is part of, from 0; -1 for none."""
    lengths: np.ndarray
    """int32 [n]: characters; 0 outside of talks."""
    beside: np.ndarray
    """int32 [n, 2]: the rows before and after it in its talk; -1 for none, n or more for one that came since."""
    coarse: Coarse | None = None
    """Where there are very many."""

    def cosines(self, query: np.ndarray) -> np.ndarray:
        """Of all of them with a query's vector, float32 [n]; of very many, exact for the nearest ones."""
        return self.matrix @ query if self.coarse is None else self.coarse.cosines(self.matrix, query)

    def make_exact(self, cosines: np.ndarray, rows: np.ndarray, query: np.ndarray) -> None:
        """Put the exact ones in the place of those rows."""
        if self.coarse is not None:
            cosines[rows] = self.matrix[rows] @ query

    def row(self, name: str) -> int:
        """Which row is a memory's; -1 for one that has none, or came since."""
        row = self.rows.get(name, -1)
        return row if row < len(self.matrix) else -1


_EMBEDDED_AT_ONCE = 256
"""Texts; what was embedded before a process dies need not be embedded again."""
_SAID_LATELY = 64
"""Texts of a scope whose vectors are kept beside those of its memories: what is asked is looked up more than once, and often told next."""


class _Kept:
    """The vectors of one scope as they grow. Rows are only ever added, so that whoever reads goes on reading what was there."""

    def __init__(self, name: str) -> None:
        self.name, self.lock = name, threading.Lock()
        self._said: OrderedDict[str, np.ndarray] = OrderedDict()
        self._saying = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._state = (0, 0)
        self._ids: list[str] = []
        self._rows: dict[str, int] = {}
        self._room = np.zeros((0, 0), dtype=np.float32)
        self._places = np.zeros((0, 4), dtype=np.int32)  # talk, length, row before, row after
        self._coarse: Coarse | None = None
        self._fitted = False
        self._talks: dict[str, tuple[int, int]] = {}  # its number, and its last row
        self._said = OrderedDict()  # another one: what is on its way into the old one is gone with it

    @property
    def bytes(self) -> int:
        coarse = self._coarse.rows.nbytes if self._coarse else 0
        return int(self._room.nbytes + self._places.nbytes + coarse + len(self._said) * self._room[:1].nbytes)

    def embed(self, embedder: Embedder, texts: Sequence[str]) -> np.ndarray:
        """float32 [len(texts), dimension]; the same text is embedded once, by the hash of its words, as long as it is among the last ones."""
        said, keys = self._said, [content_hash(text) for text in texts]
        with self._saying:
            known = {key: said[key] for key in keys if key in said}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            known |= zip(missing, embedder.embed(list(missing.values())), strict=True)
        with self._saying:
            for key in keys:
                said[key] = known[key]
                said.move_to_end(key)
            while len(said) > _SAID_LATELY:
                said.popitem(last=False)
        return np.stack([known[key] for key in keys])

    def now(self, index: MemoryIndex, embedder: Embedder, scope: Scope) -> Vectors:
        """All of them, and what is new is filed; what the store has none of yet is made and kept there."""
        with self.lock:
            state = index.state(scope=scope)
            if state != self._state:
                file(index, scope)
                new = index.memories_after(self._state[0], scope=scope) if self._ids else []
                if not self._ids or state[1] - self._state[1] != len(new):  # nothing read yet, or something forgotten
                    self._forget()
                    ids, vectors = index.vectors(embedder.name, scope=scope)
                    self._add(ids, vectors, {name: (talk, size) for name, talk, size in index.talks(scope=scope)})
                    new = index.memories_after(0, scope=scope) if len(self._ids) < state[1] else []
                missing = [m for m in new if m.id not in self._rows]
                for at in range(0, len(missing), _EMBEDDED_AT_ONCE):
                    some = missing[at : at + _EMBEDDED_AT_ONCE]
                    made = self.embed(embedder, [m.searched for m in some])
                    index.put_vectors(embedder.name, {m.id: v for m, v in zip(some, made, strict=True)}, scope=scope)
                    self._add([m.id for m in some], made, {m.id: (m.talk, len(m.text)) for m in some if m.talk})
                self._state = state
            count = len(self._ids)
            places = self._places[:count]
            coarse = self._coarse and self._coarse._replace(rows=self._coarse.rows[:count])
            return Vectors(self._ids, self._rows, self._room[:count], places[:, 0], places[:, 1], places[:, 2:], coarse)

    def _add(self, ids: Sequence[str], vectors: np.ndarray, parts: Mapping[str, tuple[str, int]]) -> None:
        """More of them, in the order of recording; room is made for as many again, so that each is copied a few times at most."""
        count, more = len(self._ids), len(ids)
        if not more:
            return
        if count + more > len(self._room):
            size = max(64, 2 * (count + more))
            room, places = np.zeros((size, vectors.shape[1]), dtype=np.float32), np.zeros((size, 4), dtype=np.int32)
            if count:
                room[:count], places[:count] = self._room[:count], self._places[:count]
            self._room, self._places, self._coarse, self._fitted = room, places, None, False
        self._room[count : count + more] = vectors
        if self._coarse is not None:
            self._coarse.rows[count : count + more] = vectors @ self._coarse.basis
        elif count + more >= FROM and not self._fitted:  # with each doubling anew
            self._coarse, self._fitted = fitted(self._room[: count + more], len(self._room)), True
        self._places[count : count + more] = (-1, 0, -1, -1)
        for row, name in enumerate(ids, start=count):
            if name in parts:
                talk, length = parts[name]
                number, last = self._talks.get(talk, (len(self._talks), -1))
                self._places[row] = (number, length, last, -1)
                if last >= 0:
                    self._places[last, 3] = row
                self._talks[talk] = number, row
        self._rows |= {name: count + i for i, name in enumerate(ids)}
        self._ids += ids


class Shelf:
    """Keeps what was read for the scopes that were asked for last; safe for several threads.

    The store says whether it still stands, so that another process's writing and forgetting count.
    """

    def __init__(self, scopes: int = 1024, vector_bytes: int = 1 << 30) -> None:
        self._most, self._room = scopes, vector_bytes
        self._held: OrderedDict[Scope, tuple[tuple[int, int], Held]] = OrderedDict()
        self._vectors: OrderedDict[Scope, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, index: MemoryIndex, scope: Scope) -> Held:
        """What holds of this scope now; its notes are left in the store."""
        state = index.state(scope=scope)  # before anything is read: what comes between is read again next time
        with self._lock:
            known = self._held.get(scope)
            if known is not None and known[0] == state:
                self._held.move_to_end(scope)
                return known[1]
        file(index, scope)
        wanted = index.filed(scope=scope, kinds=("style", "block", *LESSONS))
        kept = [(m, shelf_of(m)) for m in (index.akin((), wanted, scope=scope) if wanted else ())]
        found = Held(
            styles=tuple(m for m, shelf in kept if shelf == "style"),
            blocks=tuple(m for m, shelf in kept if shelf == "block"),
            lessons=tuple(m for m, shelf in kept if shelf in LESSONS),
            snapshot=str(state[0]) if state[1] else "",
        )
        with self._lock:
            self._held[scope] = state, found
            self._held.move_to_end(scope)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
        return found

    def vectors(self, index: MemoryIndex, embedder: Embedder, scope: Scope) -> Vectors:
        """The vectors of this scope, each made at most once."""
        return self._kept(embedder, scope).now(index, embedder, scope)

    def embed(self, embedder: Embedder, texts: Sequence[str], scope: Scope) -> np.ndarray:
        """Their vectors, float32 [len(texts), dimension]; those of this user's last texts are not made again.

        No user has anything of another's: how long it takes would tell what that one said (docs/decisions/0024)."""
        return self._kept(embedder, scope).embed(embedder, texts)

    def _kept(self, embedder: Embedder, scope: Scope) -> _Kept:
        with self._lock:
            kept = self._vectors.get(scope)
            if kept is None or kept.name != embedder.name:
                kept = self._vectors[scope] = _Kept(embedder.name)
            self._vectors.move_to_end(scope)
            while len(self._vectors) > 1 and sum(v.bytes for v in self._vectors.values()) > self._room:
                self._vectors.popitem(last=False)
        return kept

    def clear(self) -> None:
        """Drop all of it, as forgetting needs."""
        with self._lock:
            self._held.clear()
            self._vectors.clear()
