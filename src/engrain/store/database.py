"""One SQLite file, opened for durability: transactions, schema upgrades, and SQLite's errors in engrain's words."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError

from engrain.errors import InputError, StoreError
from engrain.store.migrations import SCHEMA, upgrade

_REMEDIES = {
    sqlite3.SQLITE_FULL: "the disk is full; free space there and repeat",
    sqlite3.SQLITE_BUSY: "another process is writing or reading for too long; wait for it and repeat",
    sqlite3.SQLITE_LOCKED: "another process is writing; wait for it and repeat",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a backup",
    sqlite3.SQLITE_NOTADB: "the file is not an engrain database or is damaged; move it away or restore a backup",
    sqlite3.SQLITE_READONLY: "the file is read-only; make it writable",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened; check the folder's permissions",
    sqlite3.SQLITE_PERM: "the file cannot be opened; check the folder's permissions",
    sqlite3.SQLITE_IOERR: "the disk failed to read or write; check its health and free space, then repeat",
}


def home_folder(home: str | Path) -> Path:
    """The folder, made if absent; InputError if it cannot be one."""
    folder = Path(home)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{home} cannot be a home folder ({error.strerror}); name a writable folder") from error
    return folder


class Database:
    """`engrain.db` in a home folder; made if absent, upgraded if old, refused if from a newer engrain."""

    def __init__(self, home: str | Path, *, busy_timeout_s: float = 30.0) -> None:
        self.path = home_folder(home) / "engrain.db"
        self.name = str(self.path)
        with self._translated():
            try:
                # What people say is private: nobody else on the machine may read it. Made, but not opened: closing any descriptor of a file
                # drops every lock that this process has on it, those of another store of the same home, too.
                os.mknod(self.path, stat.S_IFREG | 0o600)
            except FileExistsError:
                pass
            except OSError as error:
                raise StoreError(f"{self.path}: {error.strerror}; check the folder's permissions and space") from error
            # hide_parameters: an error message must never carry what somebody said.
            # max_overflow: as many connections as threads ask at once, for whoever waited for one would wait for another's disk.
            self.engine = create_engine(
                URL.create("sqlite", database=str(self.path)), hide_parameters=True, max_overflow=-1,
                connect_args={"timeout": busy_timeout_s},
            )  # fmt: skip
            event.listen(self.engine, "connect", _configure)
            event.listen(self.engine, "begin", _begin)
        try:
            self._use_wal()
            self._upgrade()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view of the database."""
        with self._translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def peek(self) -> Iterator[Connection]:
        """For one `Once` that only reads: a transaction around a single statement costs several times what it does."""
        with self._translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, alone among all processes; on disk when the block ends, gone without trace if it raises."""
        with self._translated(), self.engine.connect() as plain:
            connection = plain.execution_options(writes=True)
            with connection.begin():
                yield connection

    def scrub(self) -> None:
        """Leave no byte of deleted rows in the files.

        Deleting under `secure_delete` zeroes a row where it lies, but not the copies that SQLite leaves when it moves
        rows between pages (measured: 2 of 20,000 deleted rows survived); only rewriting the file does.
        """
        with self._translated(), closing(self.engine.raw_connection()) as raw:
            cursor = raw.cursor()
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            row = cursor.fetchone()
            if row is None or row[0]:
                raise StoreError(
                    f"{self.path}: the records are erased, but another process still reads the old pages, so their "
                    "bytes remain in the write-ahead log; when it has ended, erase the same records again"
                )

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def _use_wal(self) -> None:
        with self._translated(), closing(self.engine.raw_connection()) as raw:
            cursor = raw.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            row = cursor.fetchone()
        if row is None or row[0] != "wal":
            raise StoreError(f"{self.path}: this file system does not support SQLite's WAL mode; use a local disk")

    def _upgrade(self) -> None:
        with self.read() as connection:
            if _schema(connection) == SCHEMA:
                return
        with self.write() as connection:
            found = _schema(connection)  # again, now that nobody else can be upgrading
            if found > SCHEMA:
                raise StoreError(
                    f"{self.name} was written by a newer engrain (schema {found}, this one knows {SCHEMA}); "
                    "update engrain to open it"
                )
            if found < SCHEMA:
                upgrade(connection)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            remedy = _REMEDIES.get(_code(cause), "see the cause above")
            raise StoreError(f"{self.path}: {cause}: {remedy}") from error


def _code(error: BaseException | None) -> int:
    """SQLite's primary result code, 0 if there is none."""
    return int(getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _schema(connection: Connection) -> str:
    """The step that the database is at, such as `0001`; "" for a new one."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where _begin says, not where the driver guesses
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.execute("PRAGMA temp_store=MEMORY")  # what is asked goes into no file
    cursor.close()


def _begin(connection: Connection) -> None:
    # A writer takes the lock at once: a lock taken at its first write could find the ledger's head already moved on.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
