"""A PostgreSQL database in the place of the file: the same tables and the same promises, kept by a server that several machines may use.

One writes at a time here, too: every writer takes the same lock for its transaction, so that the chain of the ledger has one order and no
transaction has to be repeated because another came first.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from engrain.errors import InputError, StoreError
from engrain.records import Record
from engrain.store.database import Database, home_folder

log = logging.getLogger(__name__)

LONGEST = 600
"""Bytes that an id, a cause, a tenant or a user may have: an index of PostgreSQL takes some 2,700, and four of them stand in one."""

_REMEDIES = {
    "08": "the server cannot be reached or lets nobody in; check that it runs, the address with user and password, and that the database is there (createdb)",
    "25006": "the database is read-only (a standby, perhaps); name the primary, or make it writable",
    "3F": "the schema is not there; create it, or correct search_path",
    "40": "another transaction came between; repeat",
    "42501": "the user may not do this here; let it own the database or a schema of its own",
    "53": "the server is short of memory or of connections; wait, or raise max_connections, and repeat",
    "53100": "the disk is full; free space there and repeat",
    "55P03": "another process is writing or reading for too long; wait for it and repeat",
    "57": "the server is starting, stopping or was told to end this; wait for it and repeat",
    "58": "the server's disk failed to read or write; check its health and free space, then repeat",
    "XX": "the database is damaged; restore it from a backup",
}
"""By SQLSTATE, or by its class, the first two characters. A connection that fails, or breaks, has none: 08."""

_SESSION = """
    SELECT set_config('lock_timeout', %s, false), set_config(
        'synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false
    )
"""
_WRITE = "BEGIN; SELECT pg_advisory_xact_lock(1701274738, current_schema()::regnamespace::oid::int)"
"""Read committed: the view of a stricter transaction would be from before the lock was granted."""
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_LOOKING_BACK = """
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND age(backend_xmin) > age(%s::xid)
"""
_ERASED = ("content", "vectors", "words")
"""What an erasure takes, and nothing else deletes from."""
_DERIVED = ("standings", "topics", "deltas", "runs")
"""What was made of it and goes with it; others change it all the time."""


class Postgres(Database):
    """A database of a PostgreSQL server; its tables are made if absent, upgraded if old, refused if from a newer engrain."""

    def __init__(self, home: str | Path, address: str, *, busy_timeout_s: float = 30.0) -> None:
        home_folder(home)
        url = _url(address)
        self._patience_s = busy_timeout_s
        self.name = url.render_as_string(hide_password=True)
        wait = {"connect_timeout": str(max(2, round(busy_timeout_s)))}
        try:
            # hide_parameters and max_overflow as for SQLite; pre_ping: a server that was restarted costs no request.
            self.engine = create_engine(
                url.set(query=wait | dict(url.query)), hide_parameters=True, max_overflow=-1, pool_pre_ping=True,
                connect_args={"client_encoding": "utf8"},
            )  # fmt: skip
        except ModuleNotFoundError as missing:
            raise InputError(f'{missing.name} is not installed; run: pip install "engrain[postgres]"') from missing
        event.listen(self.engine, "connect", _configure(busy_timeout_s))
        event.listen(self.engine, "begin", _begin)
        try:
            self._check()
            self._upgrade()
            self.engine.update_execution_options(pgvector=self._has_pgvector())
        except BaseException:
            self.close()
            raise

    def scrub(self) -> None:
        """Leave no byte of deleted rows in the files of the tables.

        VACUUM alone marks their place as free and leaves the bytes there; VACUUM FULL writes each table anew, which nobody reads or writes meanwhile.
        What PostgreSQL cannot promise: the write-ahead log holds the bytes until its segments are used again (after some checkpoints; `wal_keep_size`
        and replication slots put that off), archived segments, standbys and backups hold them for as long as they are kept, and so does
        a log of statements, if the server writes one.
        """
        until = time.monotonic() + self._patience_s
        with self._translated(), closing(self.engine.raw_connection()) as raw:
            driver: Any = raw.driver_connection
            left: Sequence[str] = (*_ERASED, *_DERIVED)
            while left:
                horizon = driver.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").fetchone()[0]
                while (
                    looking_back := driver.execute(_LOOKING_BACK, (horizon,)).fetchone()
                ) and time.monotonic() < until:
                    time.sleep(0.02)
                if not looking_back:  # nobody waits for the tables behind one who reads for long
                    left = [table for table in left if _rewritten(driver, table) and table in _ERASED]
                if left and time.monotonic() >= until:
                    raise StoreError(
                        f"{self.name}: the records are erased, but another transaction still reads the old rows, so their bytes "
                        "remain; when it has ended, erase the same records again"
                    )

    def _check(self) -> None:
        with self._translated(), self.engine.connect() as connection:
            encoding, durable = connection.exec_driver_sql(
                "SELECT current_setting('server_encoding'), current_setting('fsync')"
            ).one()
        if encoding != "UTF8":
            raise StoreError(f"{self.name} keeps text as {encoding}; make the database with ENCODING 'UTF8'")
        if durable != "on":
            log.warning("%s runs with fsync off: what was acknowledged may be lost with the power", self.name)

    def _has_pgvector(self) -> bool:
        kept = "SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = 'vectors'::regclass AND attname = 'vector'"
        with self.read() as connection:
            return connection.exec_driver_sql(kept).scalar() != "bytea"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        driver: Any = self.engine.dialect.loaded_dbapi
        try:
            yield
        except (DBAPIError, driver.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            # Its first sentence alone, and no chain: what else it says quotes the row.
            said = getattr(getattr(cause, "diag", None), "message_primary", None) or str(cause).partition("\n")[0]
        else:
            return
        state = getattr(cause, "sqlstate", None) or "08"
        remedy = _REMEDIES.get(state) or _REMEDIES.get(state[:2], "see the cause above")
        raise StoreError(f"{self.name}: {said}: {remedy}") from None


def _url(address: str) -> URL:
    try:
        url = make_url(address)
    except ArgumentError as error:
        raise InputError(
            "the database's address cannot be read; write postgresql://user:password@host/database"
        ) from error
    if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise InputError(
            f"{url.drivername} databases are not supported; write postgresql://user:password@host/database"
        )
    return url.set(drivername="postgresql+psycopg")


def _configure(busy_timeout_s: float) -> Callable[[Any, Any], None]:
    """What is said to the server when a connection is new."""
    from psycopg.types.string import StrDumperUnknown

    class Text(StrDumperUnknown):
        def dump(self, obj: str) -> Any:
            if "\0" in obj:  # the fault of one record, and not of all that are written with it
                raise InputError("a name holds the character NUL, which PostgreSQL does not keep; leave it out")
            return super().dump(obj)

    def configure(driver: Any, _record: Any) -> None:
        driver.autocommit = True  # transactions begin where _begin says, not where the driver guesses
        driver.adapters.register_dumper(str, Text)
        driver.execute(_SESSION, (f"{max(1, round(busy_timeout_s * 1000))}",))

    return configure


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    driver: Any = connection.connection.driver_connection
    driver.execute(_WRITE if writes else _READ, prepare=False)


def _rewritten(driver: Any, table: str) -> int:
    """Write a table anew; how many deleted rows had to be written, too, because somebody may still read them."""
    said: list[str] = []

    def listen(notice: Any) -> None:
        said.append(notice.message_detail or "")

    driver.add_notice_handler(listen)
    try:
        driver.execute(f"VACUUM (FULL, VERBOSE) {table}", prepare=False)
    finally:
        driver.remove_notice_handler(listen)
    return sum(int(n) for detail in said for n in re.findall(r"^\d+", detail))


def fits(record: Record) -> None:
    """InputError if one of its names is too long for an index, before anything is written: a failed statement would fail all that wait with it."""
    names = (record.id, record.scope.tenant, record.scope.user, *record.causes)
    for field in ("supersedes", "retracts", "targets"):
        names += getattr(record, field, ())
    for name in names:
        if len(name.encode("utf-8", "surrogatepass")) > LONGEST:
            raise InputError(
                f"{name[:40]}… has more than {LONGEST} bytes; PostgreSQL takes no longer id, cause, tenant or user"
            )
