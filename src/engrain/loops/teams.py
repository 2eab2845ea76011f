"""Teams: a memory that several agents of one tenant share, each of which has it in a memory of its own.

A team is a scope of its own (`team:NAME`). What is told to it, corrected, superseded or changed there is copied to each member, under ids that follow from the
original's and the member's, so that copying twice copies once. A copy is an ordinary memory of the member: it is recalled, judged, learned into that
member's weights and forgotten like any other, and no agent ever reads a scope that is not its own. Three visibilities follow: private
(a user's own scope), team (its members), tenant (the team `everyone`, whose members are all of the tenant).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from engrain.errors import InputError, NotFound
from engrain.loops.change import change
from engrain.loops.consolidate import Consolidation
from engrain.loops.forget import DERIVED, forget
from engrain.loops.remember import tell_facts
from engrain.memory import derive
from engrain.memory.held import Shelf
from engrain.memory.history import STATED, History
from engrain.memory.recall import recall
from engrain.protocols import Embedder
from engrain.records import TEAM, Delta, Memory, Receipt, Scope, content_hash
from engrain.store import SqlStore

if TYPE_CHECKING:
    from engrain.engines.local import LocalEngine

EVERYONE = "everyone"
"""The team that all users of a tenant are in."""


def team_scope(tenant: str, name: str) -> Scope:
    """The scope of a team; InputError for a name that is none."""
    if not name or name != "-".join(name.split()) or len(name) > 64 or ":" in name:
        raise InputError(f"{name!r} names no team; take 1 to 64 characters without spaces and colons, such as: harbour")
    return Scope(tenant=tenant, user=TEAM + name)


def join(store: SqlStore, team: Scope, user: str) -> int:
    """Make a user a member; returns how many records of the team they got."""
    if user.startswith(TEAM) or not user.strip():
        raise InputError(f"{user!r} cannot be a member: only a user can, and a team is none")
    store.put_run(f"member {user}", {"user": user}, scope=team)
    return _copy(store, store.history(scope=team), team, replace(team, user=user))


def leave(store: SqlStore, team: Scope, user: str, *, reason: str) -> int:
    """End a membership; the copies of what held are put away, each with the reason. To erase them, forget `source:team:NAME`."""
    if user not in members(store, team):
        raise NotFound(f"{user} is no member of {team.user}; its members: {', '.join(members(store, team)) or 'none'}")
    store.delete_run(f"member {user}", scope=team)
    own = replace(team, user=user)
    held = [
        s.memory.id
        for s in derive(store.history(scope=own)).values()
        if s.state == "active" and s.memory.source == team.user
    ]
    return len(change(store, "archive", *held, scope=own, reason=reason)) if held else 0


def members(store: SqlStore, team: Scope) -> list[str]:
    """Who is a member, by name."""
    if team.user == TEAM + EVERYONE:
        return sorted(p.scope.user for p in store.people(team.tenant) if not p.scope.user.startswith(TEAM))
    return sorted(str(run["user"]) for run in store.runs("member ", scope=team).values())


def tell_team(store: SqlStore, team: Scope, text: str, *, by: str) -> list[Memory]:
    """Tell the team: each fact becomes a memory of the team and of every member. `by`: who told it, kept as the source."""
    told = tell_facts(store, text, scope=team, source=by)
    spread(store, team)
    return told


def share(store: SqlStore, memory: str, team: Scope, *, scope: Scope) -> Memory:
    """Give the team a memory of one's own: a record of the team's, which stays if the own one is forgotten. It says who gave it."""
    own = store.get(memory, scope=scope)
    if not isinstance(own, Memory) or scope.tenant != team.tenant:
        raise InputError(f"{memory} cannot be shared with {team}: give a memory of a user of the same tenant")
    given = replace(own, id=_copied(own.id, team), scope=team, source=scope.user, supersedes=(), retracts=(), causes=())
    store.append(given)
    spread(store, team)
    return given


def spread(store: SqlStore, team: Scope) -> int:
    """Copy what the team has to every member that lacks it; returns how many records were copied."""
    history = store.history(scope=team)
    return sum(_copy(store, history, team, replace(team, user=user)) for user in members(store, team))


def follow(store: SqlStore, scope: Scope) -> None:
    """After something was written: where that scope is a team's, its members get it."""
    if scope.is_team:
        spread(store, scope)


def _copy(store: SqlStore, history: History, team: Scope, member: Scope) -> int:
    there = {r.id for r in store.history(scope=member)}
    copies = [c for r in history if (c := _copy_of(r, team, member)).id not in there]
    failed = store.append_each(copies)
    for error in failed:
        if error is not None and not isinstance(
            error, InputError
        ):  # what a member forgot for themselves stays forgotten
            raise error
    return sum(error is None for error in failed)


def _copy_of(record: Memory | Delta, team: Scope, member: Scope) -> Memory | Delta:
    def mapped(ids: Sequence[str]) -> tuple[str, ...]:
        return tuple(_copied(name, member) for name in ids if name.startswith(("mem_", "dlt_")))

    if isinstance(record, Memory):
        made = (
            (("made by", record.source),) if record.source in DERIVED else ()
        )  # so that it goes with what it was made of
        return replace(
            record, attributes=(*record.attributes, *made), id=_copied(record.id, member), scope=member, source=team.user, supersedes=mapped(record.supersedes),
            retracts=mapped(record.retracts), causes=mapped(record.causes),
        )  # fmt: skip
    return replace(
        record, id=_copied(record.id, member), scope=member, targets=mapped(record.targets), causes=mapped(record.causes),
        into=_copied(record.into, member) if record.into else "",
    )  # fmt: skip


def _copied(name: str, to: Scope) -> str:
    kind, _, _ = name.partition("_")
    return f"{kind}_{content_hash([name, to.tenant, to.user], length=12)}"


def forget_in_team(
    store: SqlStore,
    engine: Callable[[], LocalEngine],
    memory: str,
    team: Scope,
    *,
    home: Path,
    settings: Consolidation | None = None,
    reason: str = "asked by the team",
) -> list[Receipt]:
    """Forget a memory of the team there and with every member, down to their weights; a receipt for each of whom something went. What somebody said by
    themselves in the same words goes, too, as `forget` has it. Stopped in between, the same call goes on."""
    found: list[Receipt] = []
    scopes = [
        *(replace(team, user=user) for user in members(store, team)),
        team,
    ]  # the team last: till then it can be repeated
    for scope in scopes:
        name = memory if scope == team else _copied(memory, scope)
        try:
            found.append(forget(store, engine, name, scope=scope, home=home, settings=settings, reason=reason))
        except NotFound:
            continue
    if not found:
        raise NotFound(f"{memory} is no memory of {team}; engrain memories --user {team.user} lists them")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A memory that one of several agents has."""

    memory: Memory
    score: float
    by: tuple[str, ...]
    """Who has it."""


def ask(
    store: SqlStore, embedder: Embedder, query: str, team: Scope, *, limit: int = 12, shelf: Shelf | None = None
) -> list[Known]:
    """What the team and any of its members knows that fits a query, as `gather` has it."""
    scopes = [team, *(replace(team, user=user) for user in members(store, team))]
    return gather(store, embedder, query, scopes, limit=limit, shelf=shelf)


def gather(
    store: SqlStore,
    embedder: Embedder,
    query: str,
    scopes: Sequence[Scope],
    *,
    limit: int = 12,
    shelf: Shelf | None = None,
) -> list[Known]:
    """What any of several agents of one tenant knows that fits a query, best first, the same words once: for an aggregator that may see them all.

    Each agent's memory is asked by itself, so scores are each one's own, 1 for what fits that memory best in every way."""
    if len({s.tenant for s in scopes}) > 1:
        raise InputError("the agents belong to several tenants; nobody sees more than one")
    found: dict[str, Known] = {}
    for scope in scopes:
        for memory, score in recall(
            query, index=store, embedder=embedder, scope=scope, kinds=STATED, limit=limit, shelf=shelf
        ):
            words = " ".join(memory.text.lower().split())
            before = found.get(words)
            best = before if before is not None and before.score >= score else Known(memory=memory, score=score, by=())
            found[words] = replace(best, by=(*(before.by if before else ()), scope.user))
    return sorted(found.values(), key=lambda known: -known.score)[:limit]
