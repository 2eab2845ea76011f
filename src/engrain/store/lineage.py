"""What came from what: one step or all the way, up to the causes or down to the effects. Ids only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects.postgresql import insert  # both databases take its ON CONFLICT

from engrain.records import Scope
from engrain.store.once import Once
from engrain.store.schema import content, edges, owned, some, subjects

Direction = Literal["causes", "effects"]
_LINK = Once(
    insert(edges)
    .values({name: bindparam(f"its_{name}") for name in ("tenant", "user", "cause", "effect")})  # n is the database's
    .on_conflict_do_nothing()
    .inline()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One record met on a walk."""

    id: str
    kind: str
    """`interaction`, `memory` …; "" for an id that was never a record here (a file, for instance)."""
    state: Literal["kept", "erased", "unknown"]
    depth: int
    """Steps from where the walk began."""


def link(connection: Connection, causes: Sequence[str], effect: str, scope: Scope) -> None:
    """Note that `effect` came from each of `causes`."""
    for cause in dict.fromkeys(causes):
        _LINK(connection, its_tenant=scope.tenant, its_user=scope.user, its_cause=cause, its_effect=effect)


def walk(
    connection: Connection, record_id: str, direction: Direction, scope: Scope, *, depth: int | None
) -> list[Node]:
    """Every record reachable from `record_id` in one scope, nearest first, each once, the start left out.

    `depth` is the greatest number of steps; None goes all the way.
    """
    here, there = (edges.c.effect, edges.c.cause) if direction == "causes" else (edges.c.cause, edges.c.effect)
    met: dict[str, int] = {record_id: 0}
    frontier, steps = [record_id], 0
    while frontier and (depth is None or steps < depth):
        steps += 1
        following: list[str] = []
        for part in some(frontier):
            near = select(there).where(owned(edges, scope), here.in_(part)).order_by(edges.c.n)
            for found in connection.execute(near).scalars():
                if found not in met:
                    met[found] = steps
                    following.append(found)
        frontier = following
    del met[record_id]
    return _described(connection, met, scope)


def _described(connection: Connection, met: dict[str, int], scope: Scope) -> list[Node]:
    known: dict[str, tuple[str, bool]] = {}
    for part in some(met):
        rows = connection.execute(
            select(subjects.c.id, subjects.c.kind, content.c.seq.is_not(None).label("kept"))
            .outerjoin(content, content.c.seq == subjects.c.seq)
            .where(owned(subjects, scope), subjects.c.id.in_(part))
            .order_by(subjects.c.seq)
        )
        known |= {row.id: (row.kind, row.kept) for row in rows}
    nodes: list[Node] = []
    for record_id, steps in met.items():
        kind, kept = known.get(record_id, ("", False))
        state: Literal["kept", "erased", "unknown"] = "kept" if kept else "erased" if kind else "unknown"
        nodes.append(Node(id=record_id, kind=kind, state=state, depth=steps))
    return nodes
