"""The ledger in the database: writing an entry, and proving that everything still agrees with it."""

from __future__ import annotations

import json
import time
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Result, Row, Select, and_, bindparam, insert, select, update

from engrain.errors import LedgerBroken
from engrain.records import LedgerEntry, content_hash
from engrain.store import ledger as chain
from engrain.store.codec import KINDS
from engrain.store.fields import gathered
from engrain.store.once import Once
from engrain.store.schema import content, edges, head, ledger, moves, subjects

_HEAD = Once(select(head.c.count, head.c.hash))
_ENTER = Once(insert(ledger))
_MOVE_HEAD = Once(update(head).values(count=bindparam("to_count"), hash=bindparam("to_hash")))
_COLUMNS = tuple(ledger.columns.keys())


class Ledger:
    """The end of the ledger within one transaction that holds the write lock; use it in a `with`, which moves the head at its end."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.count, self._last = _HEAD(connection).fetchone()

    def enter(self, *, event: str, subject: str, digest: str, reason: str) -> int:
        """Write the next entry; returns its seq."""
        reason = reason.encode("utf-8", "backslashreplace").decode()  # a file name in it may not be proper Unicode
        entry = chain.seal(
            seq=self.count + 1, at=time.time(), event=event, subject=subject, digest=digest, reason=reason, previous=self._last
        )  # fmt: skip
        _ENTER(self.connection, **{name: getattr(entry, name) for name in _COLUMNS})
        self.count, self._last = entry.seq, entry.hash
        return entry.seq

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            _MOVE_HEAD(self.connection, to_count=self.count, to_hash=self._last)


def enter(connection: Connection, *, event: str, subject: str, digest: str, reason: str) -> int:
    """Write the next entry of the ledger; returns its seq. The caller holds the write lock."""
    with Ledger(connection) as end:
        return end.enter(event=event, subject=subject, digest=digest, reason=reason)


def entry_of(row: Row[Any]) -> LedgerEntry:
    """A row of the ledger as a record."""
    return LedgerEntry(**row._asdict())


def move_digest(*, tenant: str, user: str, adapter: str, previous: str, verdict: str) -> str:
    """What the ledger holds about one move of the live pointer."""
    return content_hash([tenant, user, adapter, previous, verdict])


def verify(connection: Connection, *, expected: tuple[int, str] | None = None) -> int:
    """Check chain, head, contents, lineage, erasures and pointer moves against each other; returns the number of entries.

    Of what was erased it proves id and kind, not whose it was or what it came from: that stood in the content alone.
    `expected` is a (count, hash) that was noted earlier, outside the database: the chain must still pass through it,
    which catches even somebody who rewrote ledger and head together. Raises LedgerBroken naming the first bad entry.
    """
    seen, last = 0, chain.GENESIS
    with _streamed(connection, select(ledger).order_by(ledger.c.seq)) as rows:
        for entry in chain.checked(map(entry_of, rows)):
            seen, last = entry.seq, entry.hash
            if expected and entry.seq == expected[0] and entry.hash != expected[1]:
                raise LedgerBroken(f"ledger entry {entry.seq} is not the one noted earlier: the ledger was rewritten")
    if expected and seen < expected[0]:
        raise LedgerBroken(f"ledger entry {seen + 1} is missing: {expected[0]} entries were noted earlier")
    kept = connection.execute(select(head.c.count, head.c.hash)).one_or_none()
    if kept is None or tuple(kept) != (seen, last):
        count = kept[0] if kept else 0
        raise LedgerBroken(f"ledger entry {min(seen, count) + 1} is missing or added: head says {count}, found {seen}")
    _check_contents(connection)
    _check_erasures(connection)
    _check_moves(connection)
    return seen


def _streamed(connection: Connection, wanted: Select[Any]) -> Result[Any]:
    """Rows that are never all in memory, as a long ledger's would be; to be used in a `with`."""
    return connection.execute(wanted, execution_options={"yield_per": 1000})


def _check_contents(connection: Connection) -> None:
    """Every content matches its digest, sits under the scope, kind and id that it states, and is linked to its causes only."""
    linked = select(gathered(connection, edges.c.cause)).where(
        edges.c.effect == subjects.c.id, edges.c.tenant == subjects.c.tenant, edges.c.user == subjects.c.user
    )
    twin, kept = subjects.alias("twin"), content.alias("kept")
    erased = select(twin.c.seq).where(
        and_(*(twin.c[name] == subjects.c[name] for name in ("id", "tenant", "user"))),
        ~select(kept.c.seq).where(kept.c.seq == twin.c.seq).exists(),
    )
    joined = select(ledger, subjects, content.c.json, content.c.salt).select_from(
        content.outerjoin(subjects, subjects.c.seq == content.c.seq).outerjoin(ledger, ledger.c.seq == content.c.seq)
    )
    wanted = joined.add_columns(
        content.c.seq.label("at_seq"), linked.scalar_subquery().label("linked"), erased.exists().label("erased")
    ).order_by(content.c.seq)
    with _streamed(connection, wanted) as contents:
        for row in contents:
            if row.digest is None or chain.digest(row.json, row.salt) != row.digest:
                raise LedgerBroken(f"the content of ledger entry {row.at_seq} ({row.subject}) was edited")
            form = json.loads(row.json)
            scope = form["record"]["scope"]
            stated = (scope["tenant"], scope["user"], form["id"], form["kind"], form["id"], form["kind"])
            if stated != (row.tenant, row.user, row.id, row.kind, row.subject, row.event):
                raise LedgerBroken(f"ledger entry {row.at_seq} ({row.subject}) was moved to another scope, kind or id")
            causes, found = set(form["record"].get("causes", ())), set(json.loads(row.linked))
            # Under an id that was erased and came to be again stand the links of both, and what the first came from is not known.
            if wrong := sorted((causes - found) if row.erased else causes ^ found):
                done = "removed" if wrong[0] in causes else "added"
                raise LedgerBroken(f"the link from {wrong[0]} to ledger entry {row.at_seq} ({row.subject}) was {done}")
    known = select(subjects.c.seq).where(
        edges.c.effect == subjects.c.id, edges.c.tenant == subjects.c.tenant, edges.c.user == subjects.c.user
    )
    for edge in connection.execute(select(edges).where(~known.exists()).limit(1)):
        raise LedgerBroken(f"the link from {edge.cause} to {edge.effect} was added: there is no such record")


def _check_erasures(connection: Connection) -> None:
    """Content is absent exactly where the ledger says that it was forgotten, and each record still has its owner."""
    forgotten = ledger.alias("forgotten")
    said = select(forgotten.c.seq).where(
        forgotten.c.event == "forget", forgotten.c.digest == ledger.c.digest, forgotten.c.seq > ledger.c.seq
    )
    rows = (
        select(
            *(ledger.c[name] for name in ("seq", "subject", "event")),
            subjects.c.id,
            subjects.c.kind,
            content.c.seq.label("present"),
            said.exists().label("gone"),
        )
        .outerjoin(content, content.c.seq == ledger.c.seq)
        .outerjoin(subjects, subjects.c.seq == ledger.c.seq)
        .where(ledger.c.event.in_(KINDS))
        .order_by(ledger.c.seq)
    )
    with _streamed(connection, rows) as entries:
        for row in entries:
            if (row.id, row.kind) != (row.subject, row.event):
                raise LedgerBroken(
                    f"whose record ledger entry {row.seq} ({row.subject}) is about was edited or removed"
                )
            if row.present is None and not row.gone:
                raise LedgerBroken(f"the content of ledger entry {row.seq} ({row.subject}) is missing, never forgotten")
            if row.present is not None and row.gone:
                raise LedgerBroken(f"ledger entry {row.seq} ({row.subject}) was forgotten but its content is back")


def _check_moves(connection: Connection) -> None:
    """Every move of the live pointer is the one that the ledger recorded, and none was taken out."""
    columns = ("tenant", "user", "adapter", "previous", "verdict")
    recorded = ledger.alias("recorded")
    erasure = select(recorded.c.seq).where(recorded.c.digest == ledger.c.digest, recorded.c.event.in_(KINDS)).exists()
    moved = ledger.c.event.in_(("promote", "rollback", "forget")) & (ledger.c.digest != "") & ~erasure
    rows = connection.execute(
        select(moves.c.seq.label("seq_of_move"), ledger.c.seq, ledger.c.digest, *(moves.c[name] for name in columns))
        .select_from(ledger.outerjoin(moves, moves.c.seq == ledger.c.seq))
        .where(moved | moves.c.seq.is_not(None))
        .order_by(ledger.c.seq)
    )
    for row in rows:
        if row.seq_of_move is None or move_digest(**{name: getattr(row, name) for name in columns}) != row.digest:
            raise LedgerBroken(f"the pointer move of ledger entry {row.seq} was edited or removed")
