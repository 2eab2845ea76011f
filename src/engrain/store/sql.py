"""The store: append, get, select, erase; and beside them lineage, recall, the live pointer, runs and the ledger."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert  # both databases take its ON CONFLICT

from engrain.errors import Conflict, EngrainError, InputError, NotFound, ScopeError, StoreError
from engrain.protocols import Filed, Judgement
from engrain.records import Delta, Interaction, LedgerEntry, Memory, Record, Scope
from engrain.store import audit, filing, jobs, keys, lineage, pointer, reading, search
from engrain.store import ledger as chain
from engrain.store.codec import decode, encode, kind_of, named_by_content, same_content
from engrain.store.database import Database
from engrain.store.jobs import Job
from engrain.store.keys import Key
from engrain.store.once import Once
from engrain.store.postgres import Postgres, fits
from engrain.store.schema import content, head, ledger, owned, runs, subjects

_PAGE = 500
"""Rows per read, so that no long read keeps an erasure from clearing the write-ahead log."""

KEY_S = 1.0
"""Seconds for which a key that was looked up is taken for good."""
MOST_KEYS = 4096
PROBE_S = 1.0
"""Seconds for which what `writable` found is taken for good."""
_PROBE = 16_384
"""Characters that it writes: some pages, more than are likely to be free in a database that is full."""

_LATEST = Once(
    select(subjects.c.seq, content.c.json)
    .outerjoin(content, content.c.seq == subjects.c.seq)
    .where(
        subjects.c.tenant == bindparam("tenant"), subjects.c.user == bindparam("user"), subjects.c.id == bindparam("of")
    )
    .order_by(subjects.c.seq.desc())
    .limit(1)
)
_OWN = Once(insert(subjects))
_KEEP = Once(insert(content))
_PUT_RUN = upsert(runs)
_PUT_RUN = _PUT_RUN.on_conflict_do_update(
    index_elements=("tenant", "user", "key"), set_={"json": _PUT_RUN.excluded.json}
)


class Latest(NamedTuple):
    """Where the newest record under an id stands, and what it says: None once erased."""

    seq: int
    json: str | None


class SqlStore:
    """Records in one SQLite file, `engrain.db` in the home folder, or in a PostgreSQL database. Safe for several threads and processes at once.

    Everything takes a scope and sees only that scope; only the ledger, which has no content, is whole.
    Raises StoreError, with the remedy, where the database could not do what was asked; then nothing was written.
    """

    def __init__(self, home: str | Path, *, database: str = "", busy_timeout_s: float = 30.0) -> None:
        """`database` is the address of one, `postgresql://user:password@host/database`; "" is the file in the home folder."""
        self.home = Path(home)
        self._db = (
            Postgres(home, database, busy_timeout_s=busy_timeout_s)
            if database
            else Database(home, busy_timeout_s=busy_timeout_s)
        )
        self._keys: dict[str, tuple[Key, float]] = {}
        """By the hash of the secret: a key when it was looked up."""
        self._ever_keyed = False
        self._probed, self._probing = (False, -PROBE_S), threading.Lock()

    @property
    def name(self) -> str:
        """Where the records are, without a password."""
        return self._db.name

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    # -- keys ------------------------------------------------------------------------------------------------------

    def new_key(self, tenant: str, rights: Sequence[str], *, name: str = "") -> tuple[Key, str]:
        """A new API key, and the secret that is never shown again."""
        with self._db.write() as connection:
            return keys.create(connection, tenant, rights, name)

    def key_of(self, secret: str) -> Key | None:
        """The key that this secret is; None if it opens nothing. One that another process revokes may open for `KEY_S` more."""
        hashed = keys.hash_of(secret)
        known, at = self._keys.get(hashed, (None, -KEY_S))
        if time.monotonic() - at < KEY_S:
            return known
        with self._db.peek() as connection:
            known = keys.find(connection, secret)
        if known is not None:
            if len(self._keys) >= MOST_KEYS:
                self._keys.clear()
            self._keys[hashed] = known, time.monotonic()
        return known

    def api_keys(self) -> list[Key]:
        """Every key that ever was, oldest first."""
        with self._db.read() as connection:
            return keys.listed(connection)

    def ever_keyed(self) -> bool:
        """Whether there ever was a key, good or not: a home that had one is never open again."""
        if not self._ever_keyed:
            self._ever_keyed = bool(self.api_keys())
        return self._ever_keyed

    def revoke_key(self, key: str) -> Key:
        """This key opens nothing from now on; NotFound if it does not anyway."""
        with self._db.write() as connection:
            revoked = keys.revoke(connection, key)
        self._keys.clear()
        return revoked

    def rotate_key(self, key: str) -> tuple[Key, str]:
        """Another key of the same rights in the place of this one, in one step; and its secret."""
        with self._db.write() as connection:
            old = keys.revoke(connection, key)
            made = keys.create(connection, old.tenant, old.rights, old.name)
        self._keys.clear()
        return made

    def writable(self) -> bool:
        """Whether the database takes something as long as a record right now, or took it within the last `PROBE_S`."""
        with self._probing:
            takes, at = self._probed
            if time.monotonic() - at >= PROBE_S:
                takes = self._takes(_PROBE)
                self._probed = takes, time.monotonic()
            return takes

    def _takes(self, length: int) -> bool:
        values = {"tenant": "", "user": "", "key": "probe", "json": "0" * length}
        try:
            with self._db.write() as connection:
                connection.execute(insert(runs).values(values))
                connection.execute(
                    delete(runs).where(*(runs.c[name] == values[name] for name in ("tenant", "user", "key")))
                )
        except StoreError:
            return False
        return True

    # -- records ---------------------------------------------------------------------------------------------------

    def append(self, record: Record, *, reason: str = "") -> None:
        """Write a record; on disk, in the ledger and linked to its causes when this returns.

        The same record again is a no-op; another content under the same id is an InputError.
        """
        self.append_all([record], reason=reason)

    def append_all(self, records: Sequence[Record], *, reason: str = "", seen: tuple[int, int] | None = None) -> None:
        """Write several records in one transaction: all of them or none. With `seen`, what `state` gave before they were worked out:
        Conflict, and nothing is written, if a memory of their scope was recorded, changed or forgotten since."""
        with self._db.write() as connection, audit.Ledger(connection) as end:
            if seen is not None and records and filing.state(connection, records[0].scope) != seen:
                raise Conflict(
                    f"the memory of {records[0].scope} has changed since this was worked out from it; look again"
                )
            for record in records:
                _append(end, record, reason)

    def append_each(self, records: Sequence[Record]) -> list[Exception | None]:
        """Write several records in one transaction, each by itself: None, or why it could not be written, for each.

        Waiting for the disk takes longer than writing a record, and once is enough for all."""
        with self._db.write() as connection, audit.Ledger(connection) as end:
            return [_append_or_none(end, record) for record in records]

    def get(self, record_id: str, *, scope: Scope) -> Record:
        """NotFound if it never was or is erased; ScopeError if it is somebody else's."""
        with self._db.read() as connection:
            return decode(_content(connection, record_id, scope))

    def select(self, kind: type[Any], *, scope: Scope) -> Iterator[Any]:
        """All records of one kind that are there now, in the order they were appended."""
        with self._db.read() as connection:
            last = connection.execute(select(func.max(subjects.c.seq))).scalar() or 0
        wanted = (
            select(content.c.seq, content.c.json)
            .join(subjects, subjects.c.seq == content.c.seq)
            .where(owned(subjects, scope), subjects.c.kind == kind_of(kind), subjects.c.seq <= last)
            .order_by(subjects.c.seq)
            .limit(_PAGE)
        )
        for row in self._paged(wanted, subjects.c.seq):
            yield decode(row.json)

    def state(self, *, scope: Scope) -> tuple[int, int]:
        """(the last entry of the ledger that wrote or forgot a memory of this scope, how many memories there are)"""
        with self._db.peek() as connection:
            return filing.state(connection, scope)

    def memories_after(self, seq: int, *, scope: Scope) -> list[Memory]:
        """The memories that were written after entry `seq` of the ledger, in that order."""
        with self._db.read() as connection:
            return _memories(filing.after(connection, seq, scope))

    def erase(self, record_ids: Sequence[str], *, scope: Scope, reason: str) -> None:
        """Remove content, salts, search words and vectors, down to the bytes in the files; ids, hashes and reason stay.

        All of them or none. What is already erased is left as it is, so an interrupted erasure can simply be repeated.
        """
        with self._db.write() as connection:
            words = False
            for record_id in dict.fromkeys(record_ids):
                row = _latest(connection, record_id, scope)
                if row is None:
                    raise _absent(connection, record_id, scope)
                if row.json is None:
                    continue
                memory = filing.unfile(connection, row.seq, scope)
                delta = not memory and filing.touch(connection, row.seq, scope)
                digest = connection.execute(select(ledger.c.digest).where(ledger.c.seq == row.seq)).scalar_one()
                connection.execute(delete(content).where(content.c.seq == row.seq))
                entry = audit.enter(connection, event="forget", subject=record_id, digest=digest, reason=reason)
                if memory or delta:
                    filing.changed(connection, entry, -int(memory), scope)
                words |= memory
            if words:
                search.unindex(connection, scope)
        self._db.scrub()

    # -- ledger ----------------------------------------------------------------------------------------------------

    def note(self, event: str, subject: str, *, scope: Scope, reason: str = "") -> None:
        """Write a ledger entry for something that has no record of its own."""
        with self._db.write() as connection:
            if _latest(connection, subject, scope) is None and _is_elsewhere(connection, subject):
                raise _absent(connection, subject, scope)
            audit.enter(connection, event=event, subject=subject, digest="", reason=reason)

    def ledger(self) -> Iterator[LedgerEntry]:
        """The whole audit trail, oldest first."""
        for row in self._paged(select(ledger).order_by(ledger.c.seq).limit(_PAGE), ledger.c.seq):
            yield audit.entry_of(row)

    def entries(self, record_id: str, *, scope: Scope) -> list[LedgerEntry]:
        """What the ledger says of one record of this scope: when it was written, when it was forgotten and why."""
        own = (
            select(ledger.c.digest)
            .join(subjects, subjects.c.seq == ledger.c.seq)
            .where(owned(subjects, scope), subjects.c.id == record_id)
        )
        with self._db.read() as connection:
            return [
                audit.entry_of(row)
                for row in connection.execute(select(ledger).where(ledger.c.digest.in_(own)).order_by(ledger.c.seq))
            ]

    def head(self) -> tuple[int, str]:
        """Length of the ledger and hash of its last entry: note it elsewhere, and `verify` can prove more."""
        with self._db.read() as connection:
            count, last = connection.execute(select(head.c.count, head.c.hash)).one()
        return count, last

    def verify(self, *, expected: tuple[int, str] | None = None) -> int:
        """Number of ledger entries, all found right; LedgerBroken names the first bad one. See `audit.verify`."""
        with self._db.read() as connection:
            return audit.verify(connection, expected=expected)

    def forgotten_after(self, seq: int) -> tuple[bool, int]:
        """Whether anything was forgotten after entry `seq` of the ledger, and the last entry that there is now."""
        with self._db.read() as connection:
            last = connection.execute(select(func.max(ledger.c.seq))).scalar() or 0
            since = select(ledger.c.seq).where(ledger.c.seq > seq, ledger.c.seq <= last, ledger.c.event == "forget")
            return connection.execute(since.limit(1)).first() is not None, last

    # -- lineage ---------------------------------------------------------------------------------------------------

    def causes(self, record_id: str, *, scope: Scope) -> list[lineage.Node]:
        """What this record came from, one step up."""
        return self._walk(record_id, "causes", scope, depth=1)

    def effects(self, record_id: str, *, scope: Scope) -> list[lineage.Node]:
        """What came from this record, one step down."""
        return self._walk(record_id, "effects", scope, depth=1)

    def walk(self, record_id: str, direction: lineage.Direction, *, scope: Scope) -> list[lineage.Node]:
        """Everything this record came from (`causes`) or led to (`effects`), nearest first; erased ids stay visible."""
        return self._walk(record_id, direction, scope, depth=None)

    def _walk(
        self, record_id: str, direction: lineage.Direction, scope: Scope, depth: int | None
    ) -> list[lineage.Node]:
        with self._db.read() as connection:
            nodes = lineage.walk(connection, record_id, direction, scope, depth=depth)
            if not nodes and _latest(connection, record_id, scope) is None:
                raise _absent(connection, record_id, scope)
        return nodes

    # -- recall ----------------------------------------------------------------------------------------------------

    def search_text(self, query: str, *, scope: Scope, limit: int = 50) -> list[tuple[str, float]]:
        """(memory id, BM25 score; higher is better) of the memories that share words with `query`, best first."""
        with self._db.read() as connection:
            return search.search_text(connection, query, scope, limit)

    def put_vectors(self, name: str, vectors: Mapping[str, Any], *, scope: Scope) -> None:
        """Keep one float32 vector per memory id, under the embedder's name; an earlier one is replaced."""
        with self._db.write() as connection:
            search.put_vectors(connection, name, vectors, scope)

    def vectors(self, name: str, *, scope: Scope) -> tuple[list[str], np.ndarray[Any, Any]]:
        """Memory ids and their float32 vectors [len(ids), dimension], in order of writing."""
        with self._db.read() as connection:
            return search.get_vectors(connection, name, scope)

    def unfiled(self, *, scope: Scope, limit: int = 500) -> list[Memory]:
        """Memories whose standing is not kept yet, in the order of recording."""
        with self._db.read() as connection:
            return _memories(filing.unfiled(connection, scope, limit))

    def akin(self, keys: Collection[str], ids: Collection[str], *, scope: Scope) -> list[Memory]:
        """The memories filed under any of the keys, and those of the ids that are there, in the order of recording."""
        with self._db.read() as connection:
            return _memories(filing.akin(connection, keys, ids, scope))

    def history(self, *, scope: Scope) -> list[Memory | Delta]:
        """All memories of a scope and the changes to them, in the order of recording."""
        with self._db.read() as connection:
            rows = reading.of_kinds(connection, ("memory", "delta"), scope)
        return [r for text in rows if isinstance(r := decode(text), (Memory, Delta))]

    def deltas(self, ids: Collection[str], *, scope: Scope) -> list[Delta]:
        """The changes to these memories, and the undoing of these changes, in the order of recording."""
        with self._db.read() as connection:
            rows = filing.about(connection, ids, scope)
        return [d for text in rows if isinstance(d := decode(text), Delta)]

    def file(self, filed: Sequence[Filed], *, scope: Scope, seen: tuple[int, int]) -> bool:
        """Keep where these memories stand; False if others were recorded or forgotten since `state` gave `seen`."""
        with self._db.write() as connection:
            if filing.state(connection, scope) != seen:
                return False
            filing.file(connection, filed, scope)
        return True

    def filed(
        self, *, scope: Scope, ids: Collection[str] | None = None, kinds: Collection[str] | None = None
    ) -> list[str]:
        """Ids of the memories that hold, in the order of recording: among `ids` alone; of these kinds alone (`Filed.kind`)."""
        with self._db.read() as connection:
            return filing.active(connection, scope, ids, kinds)

    def talks(self, *, scope: Scope) -> list[tuple[str, str, int]]:
        """(id, talk, characters) of each memory that is part of a talk, in the order of recording."""
        with self._db.read() as connection:
            return filing.talks(connection, scope)

    # -- live pointer ----------------------------------------------------------------------------------------------

    def live(self, scope: Scope) -> str:
        """Hash of the adapter that answers for this scope; "" for the bare base."""
        with self._db.read() as connection:
            return pointer.live(connection, scope)

    def set_live(
        self,
        scope: Scope,
        adapter: str,
        verdict: str = "",
        *,
        expected: str,
        event: pointer.MoveEvent = "promote",
        reason: str = "",
        records: Sequence[Record] = (),
    ) -> None:
        """Move the live pointer and say so in the ledger, in one atomic step, if `expected` is still live.

        A promotion needs the id of the verdict that allows it. Adapter and verdict must be records of this scope, or be among
        `records`, which are written in the same step.
        """
        if event == "promote" and not verdict:
            raise InputError(f"promoting {adapter} needs the id of the verdict that allows it")
        with self._db.write() as connection:
            with audit.Ledger(connection) as end:
                for record in records:
                    _append(end, record, "")
            for record_id in filter(None, (adapter, verdict)):
                _content(connection, record_id, scope)
            pointer.move(connection, scope, adapter, verdict, event=event, expected=expected, reason=reason)

    def pointer_history(self, scope: Scope) -> list[pointer.Move]:
        """Every move of the live pointer, oldest first."""
        with self._db.read() as connection:
            return pointer.history(connection, scope)

    # -- runs ------------------------------------------------------------------------------------------------------

    def put_run(self, key: str, value: Mapping[str, Any], *, scope: Scope, records: Sequence[Record] = ()) -> None:
        """Remember where a long job stands, replacing what was remembered before; `records` are written in the same step."""
        values = {
            "tenant": scope.tenant,
            "user": scope.user,
            "key": key,
            "json": json.dumps(dict(value), allow_nan=False),
        }
        with self._db.write() as connection:
            with audit.Ledger(connection) as end:
                for record in records:
                    _append(end, record, "")
            connection.execute(_PUT_RUN, values)

    def get_run(self, key: str, *, scope: Scope) -> dict[str, Any] | None:
        """Where a job stood; None if there is none of that key."""
        with self._db.read() as connection:
            found = connection.execute(select(runs.c.json).where(owned(runs, scope), runs.c.key == key)).scalar()
        return None if found is None else json.loads(found)

    def runs(self, beginning: str, *, scope: Scope) -> dict[str, dict[str, Any]]:
        """What is remembered under each key that begins so."""
        wanted = select(runs.c.key, runs.c.json).where(
            owned(runs, scope), runs.c.key.startswith(beginning, autoescape=True)
        )
        with self._db.read() as connection:
            return {row.key: json.loads(row.json) for row in connection.execute(wanted.order_by(runs.c.key))}

    def delete_run(self, key: str, *, scope: Scope) -> None:
        """Forget where a job stood; nothing happens if there is none."""
        with self._db.write() as connection:
            connection.execute(delete(runs).where(owned(runs, scope), runs.c.key == key))

    # -- jobs ------------------------------------------------------------------------------------------------------

    def add_job(self, scope: Scope, reason: str) -> Job:
        """Ask for a consolidation of this user; the one that waits or runs already, if there is one."""
        with self._db.write() as connection:
            return jobs.add(connection, scope, reason, time.time())

    def claim_job(self, worker: str, *, lease_s: float) -> Job | None:
        """The next job for this worker; None if none waits, or if another of this home runs."""
        with self._db.write() as connection:
            return jobs.claim(connection, worker, lease_s=lease_s, at=time.time())

    def beat_job(self, job: str, worker: str, stage: str, share: float) -> bool:
        """The worker is alive, and this far; False if the job is not its any more."""
        with self._db.write() as connection:
            return jobs.beat(connection, job, worker, stage, share, time.time())

    def end_job(self, job: str, worker: str, state: jobs.State, outcome: str) -> bool:
        """The job is over, or waits again; False if it was not this worker's any more."""
        with self._db.write() as connection:
            return jobs.end(connection, job, worker, state, outcome, time.time())

    def put_back_job(self, job: str, worker: str) -> bool:
        """The job waits as if this worker had never begun it; False if it was not this worker's any more."""
        with self._db.write() as connection:
            return jobs.put_back(connection, job, worker)

    def interrupt_jobs(self) -> int:
        """Whatever runs waits again, and its worker stops at its next step; returns how many jobs did."""
        with self._db.write() as connection:
            return jobs.interrupt(connection)

    def cancel_job(self, job: str, *, scope: Scope) -> Job:
        """It will not be run, or stops at its next step; NotFound if this user has no such open job."""
        with self._db.write() as connection:
            return jobs.cancel(connection, job, scope, time.time())

    def jobs(self, *, scope: Scope | None = None, tenant: str | None = None, limit: int = 50) -> list[Job]:
        """One user's jobs, one tenant's or everybody's: what runs, what waits, then what is over, the latest first."""
        with self._db.read() as connection:
            return jobs.listed(connection, scope, tenant, limit)

    def count_jobs(self, state: str) -> int:
        """How many jobs are in this state."""
        with self._db.read() as connection:
            return jobs.count(connection, state)

    def last_job(self, scope: Scope) -> Job | None:
        """The user's job that was begun last; None if none ever was."""
        with self._db.read() as connection:
            return jobs.last(connection, scope)

    def changed_scopes(self, after: int) -> tuple[list[Scope], int]:
        """Who had something recorded after entry `after` of the ledger, and the last entry that there is now."""
        with self._db.read() as connection:
            last = connection.execute(select(func.max(subjects.c.seq))).scalar() or 0
            who = select(subjects.c.tenant, subjects.c.user).where(subjects.c.seq > after, subjects.c.seq <= last)
            return [Scope(tenant=t, user=u) for t, u in connection.execute(who.distinct())], last

    # -- a tenant at a glance --------------------------------------------------------------------------------------

    def people(self, tenant: str, user: str | None = None) -> list[reading.Person]:
        """Those of this tenant (or this one, if there is such a user) of whom anything was ever recorded, the last active first."""
        with self._db.read() as connection:
            return reading.people(connection, tenant, user)

    def newest(
        self, kind: type[Any], *, tenant: str, user: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[tuple[int, Any]]:
        """(entry of the ledger, record) of the last records of one kind, the newest first; `before` an entry: the page after it."""
        with self._db.read() as connection:
            rows = reading.newest(connection, kind_of(kind), tenant, user, before, limit)
        return [(seq, decode(text)) for seq, text in rows]

    def latest_turns(
        self, scope: Scope, *, conversation: str | None = None, before: str | None = None, within: int = 64
    ) -> list[Interaction]:
        """The user's last interactions, the newest first: of one conversation (or the one that began it), or recorded before another."""
        with self._db.read() as connection:
            rows = reading.turns(connection, scope, conversation, before, within)
        return [i for text in rows if isinstance(i := decode(text), Interaction)]

    def served(self, *, tenant: str, user: str | None = None, limit: int = 20_000) -> list[reading.Served]:
        """The numbers of the last interactions, oldest first."""
        with self._db.read() as connection:
            return reading.served(connection, tenant, user, limit)

    def judged(self, *, tenant: str, user: str | None = None, limit: int = 20_000) -> list[reading.Judged]:
        """The last ratings and corrections, oldest first."""
        with self._db.read() as connection:
            return reading.judged(connection, tenant, user, limit)

    def found(self, *, tenant: str, user: str | None = None, limit: int = 20_000) -> list[reading.Found]:
        """What each verifier, and what users did next, say of the last answers."""
        with self._db.read() as connection:
            return reading.found(connection, tenant, user, limit)

    def judgements(self, ids: Collection[str], *, scope: Scope) -> list[Judgement]:
        """What was said of the answers that these memories were shown for, in the order in which it was said."""
        with self._db.read() as connection:
            return reading.judgements(connection, ids, scope)

    def uses(self, ids: Collection[str], *, scope: Scope) -> dict[str, tuple[int, float]]:
        """Of each of these memories that was shown for an answer: how often, and when last (UTC seconds)."""
        with self._db.read() as connection:
            return reading.uses(connection, ids, scope)

    def tenant_ledger(
        self, tenant: str, *, before: int | None = None, limit: int = 50
    ) -> list[tuple[LedgerEntry, str]]:
        """(entry, user) of the last ledger entries about this tenant's records and pointers, the newest first."""
        with self._db.read() as connection:
            return reading.entries(connection, tenant, before, limit)

    def _paged(self, query: Any, seq: Any) -> Iterator[Row[Any]]:
        after = 0
        while True:
            with self._db.read() as connection:
                rows = connection.execute(query.where(seq > after)).all()
            yield from rows
            if len(rows) < _PAGE:
                return
            after = rows[-1].seq


def _append(end: audit.Ledger, record: Record, reason: str) -> None:
    """Write one record. Whatever is wrong with it is said before anything is written."""
    text, scope, connection = encode(record), record.scope, end.connection
    if connection.dialect.name == "postgresql":
        fits(record)
    if isinstance(record, Delta) and len(set(record.targets)) != (2 if record.operator in ("link", "keep") else 1):
        raise InputError(
            f"a delta to {record.operator} names {len(record.targets)} records; one each, and two for link and keep"
        )
    earlier = _latest(connection, record.id, scope)
    if earlier is not None and earlier.json is not None:
        if same_content(earlier.json, text):
            return
        raise InputError(
            f"{record.id} is already recorded with other content; a record never changes, append a new one"
        )
    if earlier is not None and not named_by_content(record):
        raise InputError(f"{record.id} was forgotten and stays so; append what is new under a new id")
    for cause in record.causes:
        known = _latest(connection, cause, scope)
        if known is None and _is_elsewhere(connection, cause):
            raise _absent(connection, cause, scope)
        if known is not None and known.json is None:  # what came of it may hold its content
            raise NotFound(f"{record.id} comes from {cause}, which was forgotten meanwhile; make it anew without that")
    kind, salt = kind_of(type(record)), secrets.token_hex(16)
    seq = end.enter(event=kind, subject=record.id, digest=chain.digest(text, salt), reason=reason)
    _OWN(connection, seq=seq, id=record.id, kind=kind, tenant=scope.tenant, user=scope.user)
    _KEEP(connection, seq=seq, json=text, salt=salt)
    lineage.link(connection, record.causes, record.id, scope)
    if isinstance(record, Delta):
        filing.name(connection, seq, record)
    if isinstance(record, Memory):
        filing.wait(connection, seq, record)
        if record.text:
            search.index(connection, seq, record.searched, scope)


def _memories(texts: Sequence[str]) -> list[Memory]:
    return [m for text in texts if isinstance(m := decode(text), Memory)]


def _append_or_none(end: audit.Ledger, record: Record) -> Exception | None:
    """Why this record could not be written, None if it was. Whatever is not the record's own fault is raised, for it is everybody's."""
    try:
        _append(end, record, "")
    except (EngrainError, ValueError, OverflowError) as error:
        return error
    return None


def _latest(connection: Connection, record_id: str, scope: Scope) -> Latest | None:
    """The newest record under this id in this scope."""
    found = _LATEST(connection, of=record_id, tenant=scope.tenant, user=scope.user).fetchone()
    return None if found is None else Latest(*found)


def _content(connection: Connection, record_id: str, scope: Scope) -> str:
    row = _latest(connection, record_id, scope)
    if row is None:
        raise _absent(connection, record_id, scope)
    if row.json is None:
        raise NotFound(f"{record_id} was erased; engrain trace {record_id} says when and why")
    return row.json


def _is_elsewhere(connection: Connection, record_id: str) -> bool:
    return connection.execute(select(subjects.c.seq).where(subjects.c.id == record_id).limit(1)).first() is not None


def _absent(connection: Connection, record_id: str, scope: Scope) -> NotFound | ScopeError:
    if _is_elsewhere(connection, record_id):
        return ScopeError(f"{record_id} is not a record of {scope}; name the one it belongs to (--user, --tenant)")
    return NotFound(f"no record {record_id} in {scope}; check the id, and whose it is (--user, --tenant)")
