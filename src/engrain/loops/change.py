"""Change memories that are there: archive, merge, accept, link, tag, or undo one of these; each a record with a reason, none in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import get_args

from engrain.errors import InputError
from engrain.loops.remember import now_of
from engrain.memory.history import Standing, claim_in, derive, standing_deltas
from engrain.memory.merging import contradict, lost
from engrain.records import Delta, Memory, Operator, Scope
from engrain.store import SqlStore

_FROM = {
    "accept": ("proposed",),
    "archive": ("active", "merged", "proposed"),
    "merge": ("active",),
    "link": ("active",),
    "keep": ("active",),
    "tag": ("active", "archived", "merged", "superseded"),
}
TAGS = ("helpful", "harmful", "neutral")
TRIES = 3
"""How often something is worked out anew because somebody wrote meanwhile."""


def delta(
    operator: Operator,
    *targets: str,
    scope: Scope,
    now: float,
    reason: str,
    into: str = "",
    value: str = "",
    by: str = "rules",
    causes: Sequence[str] = (),
) -> Delta:
    """The record of one change, which comes from all that it names; it is not written yet."""
    return Delta(
        scope=scope, recorded_at=now, operator=operator, targets=targets, into=into, value=value, reason=reason, by=by,
        causes=tuple(dict.fromkeys((*targets, *filter(None, (into,)), *causes))),
    )  # fmt: skip


def change(
    store: SqlStore,
    operator: Operator,
    *targets: str,
    scope: Scope,
    reason: str,
    into: str = "",
    value: str = "",
    by: str = "user",
    causes: Sequence[str] = (),
) -> list[Delta]:
    """Record that these memories change, one delta each (`link` and `keep`: one for the two of them); `undo` takes the ids of deltas.

    With an archived memory go those that say the same and were recorded before it. Two that are linked or kept apart already are not again. NotFound for
    what is not there, InputError with the remedy for what cannot be changed so.
    """
    if operator not in get_args(Operator):
        raise InputError(f"{operator!r} is no change; there are {', '.join(get_args(Operator))}")
    if not targets:
        raise InputError(f"nothing to {operator} was named; give the ids of memories (engrain memories)")
    if not reason.strip():
        raise InputError(f"{operator} {', '.join(targets)}: give a reason; it is what the history will tell")
    if operator == "tag" and value not in TAGS:
        raise InputError(f"a memory is tagged {', '.join(TAGS)}, not {value!r}")
    if (operator == "merge") != bool(into):
        raise InputError("a merge, and nothing else, names the memory that stands for the others (into)")
    made = partial(delta, scope=scope, now=now_of(store, scope), reason=reason, value=value, by=by, causes=causes)
    if operator == "undo":
        found = [made("undo", _undone(store, name, scope)) for name in targets]
    else:
        found = _changing(store, operator, targets, into, scope, made)
    store.append_all(found)
    return found


def accepting(memory: Memory, standings: Mapping[str, Standing], made: Callable[..., Delta]) -> list[Delta]:
    """What it takes to accept a memory: a lesson or note that was proposed in the place of others takes them in, with what came of showing them."""
    olds = memory.supersedes if memory.kind in ("lesson", "reflection", "note") else ()
    active = [old for old in olds if old in standings and standings[old].state == "active"]
    return [made("accept", memory.id), *(made("merge", old, into=memory.id) for old in active)]


def _undone(store: SqlStore, name: str, scope: Scope) -> str:
    undone = store.get(name, scope=scope)
    if not isinstance(undone, Delta):
        raise InputError(f"{name} is a {type(undone).__name__.lower()}; what is undone is a change (dlt_…)")
    if name not in {d.id for d in standing_deltas(store.deltas(undone.targets, scope=scope), undos=True)}:
        raise InputError(f"{name} does not stand any more: it was undone already")
    return name


def _changing(
    store: SqlStore, operator: Operator, targets: Sequence[str], into: str, scope: Scope, made: Callable[..., Delta]
) -> list[Delta]:
    for name in (*targets, *filter(None, (into,))):
        if not isinstance(there := store.get(name, scope=scope), Memory):
            raise InputError(f"{name} is a {type(there).__name__.lower()}; give the id of a memory (mem_…)")
    standings = derive(store.history(scope=scope))
    if into in targets or (operator in ("link", "keep") and len(set(targets)) != 2):
        raise InputError(f"{operator} {', '.join(targets)}: name two different memories")
    before = standing_deltas(store.deltas(targets, scope=scope))
    for name in targets:
        state = standings[name].state
        if state not in _FROM[operator]:
            raise InputError(
                f"{name} is {state}, and only what is {' or '.join(_FROM[operator])} can be changed so ({operator})"
            )
    if into and standings[into].state != "active":
        raise InputError(f"{into} is {standings[into].state}; merge into one that is active")
    if opposed := [
        name for name in targets if into and contradict(standings[name].memory.text, standings[into].memory.text)
    ]:
        raise InputError(
            f"{into} says the opposite of {', '.join(opposed)}; archive what is wrong, or correct it (engrain correct)"
        )
    valued = [(name, c) for name in targets if into and (c := claim_in(standings[name].memory)) is not None]
    if other := [name for name, claim in valued if claim != claim_in(standings[into].memory)]:
        raise InputError(
            f"{', '.join(other)} gives a thing a value, which another value is to end; {into} does not give the same, so leave them apart"
        )
    if into and (missing := lost([standings[name].memory.text for name in targets], standings[into].memory.text)):
        raise InputError(
            f"{into} does not say {', '.join(missing)}; curate a text that says both (engrain lessons curate), or archive what is not to be kept"
        )
    if operator in ("link", "keep"):
        same = any(d.operator == operator and set(d.targets) == set(targets) for d in before)
        return [] if same else [made(operator, *targets)]
    if operator == "accept":
        return [d for name in dict.fromkeys(targets) for d in accepting(standings[name].memory, standings, made)]
    twins = {
        s.memory.id: None
        for s in standings.values()
        if operator == "archive" and s.state == "merged" and s.by in targets
    }
    return [made(operator, name, into=into) for name in dict.fromkeys((*targets, *twins))]
