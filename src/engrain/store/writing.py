"""Group commit: records that come while a transaction is being made durable go together into the next one.

Waiting for the disk takes longer than writing a record, and once is enough for all that wait.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager

from sqlalchemy import Connection

from engrain.errors import EngrainError, StoreError
from engrain.records import Record
from engrain.store.audit import Ledger

MOST = 64
"""Requests in one transaction, so that other writers get their turn."""

Append = Callable[[Ledger, Record, str], None]
Waiting = tuple[Sequence[Record], "Future[None]"]


class Writer:
    """One thread that writes for all; it begins with the first request."""

    def __init__(self, write: Callable[[], AbstractContextManager[Connection]], append: Append) -> None:
        """`write` opens a transaction that is on disk when it ends; `append` writes a record in it, or raises why
        not and has written nothing."""
        self._write, self._append = write, append
        self._waiting: deque[Waiting] = deque()
        self._change, self._closed = threading.Condition(), False
        self._thread: threading.Thread | None = None

    def submit(self, records: Sequence[Record]) -> Future[None]:
        """Done when these records are on disk, all of them; fails, with none of them written, as `SqlStore.append_all` would."""
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # whoever stops waiting does not undo it
        with self._change:
            if self._closed:
                raise StoreError("this store is closed; open it again")
            self._waiting.append((records, done))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
                self._thread.start()
            self._change.notify()
        return done

    def close(self) -> None:
        """Write what waits, and end."""
        with self._change:
            self._closed = True
            self._change.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while some := self._next():
            ends: list[tuple[Future[None], Exception | None]] = []
            try:
                with self._write() as connection, Ledger(connection) as end:
                    ends = [(done, self._one(end, records)) for records, done in some]
            except Exception as error:  # the whole transaction came to nothing
                ends = [(done, error) for _, done in some]
            for done, failed in ends:
                if failed is None:
                    done.set_result(None)
                else:
                    done.set_exception(failed)

    def _next(self) -> list[Waiting]:
        """What goes into the next transaction; nothing once this is closed and all is written."""
        with self._change:
            while not self._waiting and not self._closed:
                self._change.wait()
            return [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]

    def _one(self, end: Ledger, records: Sequence[Record]) -> Exception | None:
        """Why these records could not be written, and then none of them was; None if they were."""
        several = len(records) > 1  # what is wrong with a single one is found before anything is written
        cursor, stand = end.connection.connection.cursor(), end.stand()
        if several:
            cursor.execute("SAVEPOINT one")
        try:
            for record in records:
                self._append(end, record, "")
        except EngrainError as error:  # whatever else goes wrong is the database's, and everybody's
            if several:
                cursor.execute("ROLLBACK TO one")
                end.back(stand)
            return error
        if several:
            cursor.execute("RELEASE one")
        return None
