"""The live pointer: which adapter answers for a scope, and every move it ever made.

Moves are only ever added; what is live is where the last one went.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, insert, select

from engrain.errors import InputError
from engrain.records import Scope
from engrain.store import audit
from engrain.store.schema import ledger, moves, owned

MoveEvent = Literal["promote", "rollback", "forget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One move of the live pointer, from `previous` to `adapter` ("" is the bare base), at `at` UTC seconds."""

    seq: int
    at: float
    event: str
    adapter: str
    previous: str
    verdict: str
    reason: str


def live(connection: Connection, scope: Scope) -> str:
    """Hash of the adapter that answers now; "" for the bare base."""
    last = select(moves.c.adapter).where(owned(moves, scope)).order_by(moves.c.seq.desc()).limit(1)
    return connection.execute(last).scalar() or ""


def move(
    connection: Connection,
    scope: Scope,
    adapter: str,
    verdict: str,
    *,
    event: MoveEvent,
    expected: str,
    reason: str,
) -> None:
    """Point at `adapter` if `expected` is live now; InputError if something else has become live meanwhile."""
    current = live(connection, scope)
    if current != expected:
        raise InputError(
            f"the live adapter of {scope} is {current or 'the bare base'}, not {expected or 'the bare base'}: "
            "it moved meanwhile; judge the candidate against the one that is live now"
        )
    values = {
        "tenant": scope.tenant,
        "user": scope.user,
        "adapter": adapter,
        "previous": current,
        "verdict": verdict,
    }
    digest = audit.move_digest(**values)
    seq = audit.enter(connection, event=event, subject=adapter, digest=digest, reason=reason)
    connection.execute(insert(moves).values(seq=seq, **values))


def history(connection: Connection, scope: Scope) -> list[Move]:
    """All moves of one scope, oldest first."""
    columns = (moves.c.seq, moves.c.adapter, moves.c.previous, moves.c.verdict)
    rows = connection.execute(
        select(*columns, ledger.c.at, ledger.c.event, ledger.c.reason)
        .join(ledger, ledger.c.seq == moves.c.seq)
        .where(owned(moves, scope))
        .order_by(moves.c.seq)
    )
    return [Move(**row._asdict()) for row in rows]
