"""The queue of consolidations: which users' wait, which one runs, how it goes, and what became of those that are over.

At most one job of a user is not over (a unique index holds that), and one of a home runs at a time. A worker says that it is alive; one
that falls silent loses its job to the next worker, which goes on from the last checkpoint.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, Connection, Row, and_, case, func, insert, select, update

from engrain.errors import NotFound
from engrain.records import Scope
from engrain.store.schema import jobs, owned

State = Literal["waiting", "running", "done", "failed", "cancelled"]
OPEN = ("waiting", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One consolidation that was asked for. Times are UTC seconds, None for what has not happened."""

    id: str
    scope: Scope
    state: State
    reason: str
    """Why it was asked for."""
    worker: str
    """Who runs it, or ran it last."""
    stage: str
    share: float
    """0 … 1 of the stage."""
    attempts: int
    """How often it was begun; more than once where a worker died."""
    outcome: str
    """What became of it: the verdict and its first reason, or the error."""
    queued_at: float
    started_at: float | None
    beat_at: float | None
    ended_at: float | None


def add(connection: Connection, scope: Scope, reason: str, at: float) -> Job:
    """A job that waits; the user's open one if there is one already."""
    still = connection.execute(select(jobs).where(owned(jobs, scope), jobs.c.state.in_(OPEN))).one_or_none()
    if still is not None:
        return _job(still)
    connection.execute(
        insert(jobs).values(
            id=f"job_{secrets.token_hex(6)}", tenant=scope.tenant, user=scope.user, state="waiting", reason=reason,
            worker="", stage="", share=0.0, attempts=0, outcome="", queued_at=at,
        )
    )  # fmt: skip
    return _job(connection.execute(select(jobs).where(owned(jobs, scope), jobs.c.state.in_(OPEN))).one())


def claim(connection: Connection, worker: str, *, lease_s: float, at: float) -> Job | None:
    """The next job for this worker: one whose worker has been silent for `lease_s`, else the oldest that waits; None while another
    one of this home runs."""
    running = connection.execute(select(jobs).where(jobs.c.state == "running")).all()
    lost = [
        row for row in running if abs(at - row.beat_at) > lease_s
    ]  # a clock that was set back loses nobody's job for ever
    if len(lost) < len(running):
        return None
    waiting = select(jobs).where(jobs.c.state == "waiting").order_by(jobs.c.queued_at, jobs.c.id).limit(1)
    row = lost[0] if lost else connection.execute(waiting).one_or_none()
    if row is None:
        return None
    values = {"state": "running", "worker": worker, "attempts": row.attempts + 1, "started_at": at, "beat_at": at}
    connection.execute(update(jobs).where(jobs.c.id == row.id).values(values))
    return _job(connection.execute(select(jobs).where(jobs.c.id == row.id)).one())


def beat(connection: Connection, job: str, worker: str, stage: str, share: float, at: float) -> bool:
    """The worker is alive, and this far. False if the job is not its any more: cancelled, or taken by another."""
    values = {"stage": stage, "share": share, "beat_at": at}
    return bool(connection.execute(update(jobs).where(_held(job, worker)).values(values)).rowcount)


def end(connection: Connection, job: str, worker: str, state: State, outcome: str, at: float) -> bool:
    """It is over, or (`waiting`) is left to be begun again. False if it was not this worker's any more."""
    values = {"state": state, "outcome": outcome, "ended_at": None if state == "waiting" else at}
    return bool(connection.execute(update(jobs).where(_held(job, worker)).values(values)).rowcount)


def put_back(connection: Connection, job: str, worker: str) -> bool:
    """It waits as if this worker had never begun it. False if it was not this worker's any more."""
    values = {"state": "waiting", "attempts": jobs.c.attempts - 1}
    return bool(connection.execute(update(jobs).where(_held(job, worker)).values(values)).rowcount)


def interrupt(connection: Connection) -> int:
    """Whatever runs waits again, as if it had never been begun: its worker stops at its next step. Returns how many did."""
    values = {"state": "waiting", "attempts": jobs.c.attempts - 1}
    return connection.execute(update(jobs).where(jobs.c.state == "running").values(values)).rowcount


def cancel(connection: Connection, job: str, scope: Scope, at: float) -> Job:
    """It will not be run, or stops at its next step and keeps its checkpoint. NotFound if this user has no such open job."""
    wanted = owned(jobs, scope), jobs.c.id == job, jobs.c.state.in_(OPEN)
    if not connection.execute(update(jobs).where(*wanted).values(state="cancelled", ended_at=at)).rowcount:
        raise NotFound(f"{scope} has no job {job} that waits or runs; `engrain jobs` lists them")
    return _job(connection.execute(select(jobs).where(jobs.c.id == job)).one())


def listed(connection: Connection, scope: Scope | None, tenant: str | None, limit: int) -> list[Job]:
    """Those of one user, one tenant or everybody: what runs, what waits, then what is over, the latest first."""
    mine = [owned(jobs, scope)] if scope else [jobs.c.tenant == tenant] if tenant is not None else []
    order = case((jobs.c.state == "running", 0), (jobs.c.state == "waiting", 1), else_=2)
    rows = connection.execute(
        select(jobs).where(*mine).order_by(order, jobs.c.queued_at.desc(), jobs.c.id).limit(limit)
    )
    return [_job(row) for row in rows]


def count(connection: Connection, state: str) -> int:
    """How many are in this state, everybody's."""
    return connection.execute(select(func.count()).where(jobs.c.state == state)).scalar_one()


def last(connection: Connection, scope: Scope) -> Job | None:
    """The user's job that was begun last."""
    newest = select(jobs).where(owned(jobs, scope), jobs.c.started_at.isnot(None)).order_by(jobs.c.started_at.desc())
    row = connection.execute(newest.limit(1)).one_or_none()
    return None if row is None else _job(row)


def _held(job: str, worker: str) -> ColumnElement[bool]:
    """The job runs, and is still this worker's."""
    return and_(jobs.c.id == job, jobs.c.worker == worker, jobs.c.state == "running")


def _job(row: Row[tuple[object, ...]]) -> Job:
    fields = dict(row._mapping)
    return Job(scope=Scope(tenant=fields.pop("tenant"), user=fields.pop("user")), **fields)
