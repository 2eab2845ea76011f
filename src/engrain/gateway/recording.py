"""Group commit: records that come while others are made durable go together into the next transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from engrain.records import Record
from engrain.store import SqlStore

MOST = 64
"""Requests in one transaction, so that other processes that write get their turn."""


class Recorder:
    """Writes for all requests of one event loop, in a thread of its own, one transaction at a time."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._waiting: list[tuple[Record, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "recorder")

    async def append(self, record: Record) -> None:
        """As `SqlStore.append`: on disk when this returns. Whoever stops waiting does not undo it."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((record, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await done

    def close(self) -> None:
        """Let the thread go; nothing may be under way."""
        self._thread.shutdown()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                some, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                failed: Sequence[Exception | None]
                try:
                    failed = await loop.run_in_executor(self._thread, self._store.append_each, [r for r, _ in some])
                except Exception as error:  # the whole transaction came to nothing
                    failed = [error] * len(some)
                for (_, done), why in zip(some, failed, strict=True):
                    if done.done():  # nobody waits any more
                        continue
                    if why is None:
                        done.set_result(None)
                    else:
                        done.set_exception(why)
        finally:
            self._writing = None
