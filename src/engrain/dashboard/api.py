"""The operator's levers over HTTP: what the dashboard's forms and the terminal do, as JSON under /v1/engrain, for a key that allows `admin`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from engrain import adapters
from engrain.adapters.canary import on_trial
from engrain.dashboard.desk import Desk
from engrain.errors import InputError, NotFound
from engrain.gateway.wire import ERRORS
from engrain.loops.forget import preview
from engrain.loops.trial import decide, outcomes, trial_of
from engrain.memory import as_of, derive, holding
from engrain.records import Scope, Verdict

User = Annotated[str, Query(min_length=1, max_length=512, description="Whose.")]

Moment = Annotated[
    float | None,
    Query(ge=0, le=1e11, description="UTC seconds; `at`: what held then, `known`: as far as was known by then."),
]


class Rollback(BaseModel):
    """Where to: a number, a hash or "base"; the version before the live one if it is left out."""

    to: str | None = None


class Decision(BaseModel):
    """How a trial ends."""

    approve: bool
    reason: str = Field(default="", max_length=200)


class Forget(BaseModel):
    """What to forget: an id, `source:FILE`, `text:EXACT TEXT` or `user:`."""

    what: str = Field(min_length=1)
    reason: str = Field(default="asked over the API", max_length=200)


def router(desk: Desk, tenant_for: Callable[[str], Callable[[Request], Awaitable[str]]]) -> APIRouter:
    """The routes, each for the caller's own tenant."""
    api = APIRouter(prefix="/v1/engrain", responses=ERRORS)
    own = Depends(tenant_for("admin"))

    def scoped(user: User, tenant: str = own) -> Scope:
        return Scope(tenant=tenant, user=user)

    whose = Depends(scoped)

    @api.get("/users")
    def users(tenant: str = own) -> dict[str, Any]:
        return listed([asdict(p) for p in desk.store.people(tenant)])

    @api.get("/memories")
    def memories(scope: Scope = whose, at: Moment = None, known: Moment = None) -> dict[str, Any]:
        every = desk.store.history(scope=scope)
        if at is not None or known is not None:  # what held then, as far as it was known by then
            return listed([asdict(m) for m in as_of(every, valid_at=at, recorded_at=known)])
        return listed([asdict(s.memory) | {"state": s.state} for s in derive(every).values()])

    @api.get("/versions")
    def versions(scope: Scope = whose) -> dict[str, Any]:
        now = holding(desk.store.history(scope=scope))
        return listed([asdict(v) for v in adapters.versions(desk.store, scope, now)])

    @api.post("/rollback")
    def rollback(body: Rollback, scope: Scope = whose) -> dict[str, str]:
        return {"live": adapters.rollback(desk.store, scope, body.to)}

    @api.get("/canary")
    def canary(scope: Scope = whose) -> dict[str, Any]:
        trial = on_trial(desk.store, scope)
        if trial is None:
            raise NotFound(f"no version of {scope} is on trial")
        found = outcomes(desk.store, trial)
        return asdict(trial) | {"outcomes": len(found), "shows": trial_of(trial).show(found)}

    @api.post("/canary")
    def end_canary(body: Decision, scope: Scope = whose) -> dict[str, Any]:
        return _verdict(decide(desk.store, scope, approve=body.approve, reason=body.reason))

    @api.get("/jobs")
    def jobs(user: Annotated[str, Query(max_length=512)] = "", tenant: str = own) -> dict[str, Any]:
        whose = Scope(tenant=tenant, user=user) if user else None
        return listed([asdict(j) for j in desk.store.jobs(scope=whose, tenant=tenant)])

    @api.post("/jobs")
    def add_job(scope: Scope = whose) -> dict[str, Any]:
        return asdict(desk.store.add_job(scope, "asked for over the API"))

    @api.delete("/jobs/{job}")
    def cancel_job(job: str, scope: Scope = whose) -> dict[str, Any]:
        return asdict(desk.store.cancel_job(job, scope=scope))

    @api.post("/forget/preview")
    def look(body: Forget, scope: Scope = whose) -> dict[str, Any]:
        return asdict(preview(desk.store, body.what, scope=scope))

    @api.post("/forget", status_code=202)
    def forget(body: Forget, scope: Scope = whose) -> dict[str, Any]:
        preview(desk.store, body.what, scope=scope)  # NotFound now, not in the thread
        if not desk.forget(scope, body.what, body.reason):
            raise InputError("another forgetting of this home is under way; wait until it has ended")
        return forgetting(scope)

    @api.get("/forget")
    def forgetting(scope: Scope = whose) -> dict[str, Any]:
        going = desk.forgetting(scope)
        if going is None:
            raise NotFound(f"nothing of {scope} was forgotten since the service began")
        return asdict(going)

    @api.get("/records/{record}")
    def trace(record: str, scope: Scope = whose) -> dict[str, Any]:
        found = desk.store.get(record, scope=scope)
        walks = {way: desk.store.walk(record, way, scope=scope) for way in ("causes", "effects")}
        return {"kind": type(found).__name__.lower(), "record": asdict(found)} | {
            way: [asdict(n) for n in nodes] for way, nodes in walks.items()
        }

    @api.post("/verify")
    def verify(_: str = own) -> dict[str, Any]:
        return asdict(desk.verify())

    return api


def listed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows as OpenAI's API gives a list."""
    return {"object": "list", "data": rows}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {k: v for k, v in asdict(verdict).items() if k not in ("broke", "fixed")}
