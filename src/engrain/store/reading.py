"""What a whole tenant looks like: who there is, what was answered and judged, and its part of the ledger.

Each query takes the tenant, and a user where only one is meant. What numbers need is read out of the stored JSON by the database, so
that a look at ten thousand answers does not build ten thousand records.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from engrain.protocols import Judgement
from engrain.records import LedgerEntry, Scope
from engrain.store.fields import field, form_of, with_form
from engrain.store.schema import content, edges, ledger, moves, owned, some, subjects

MOST_USES = 5_000
"""Of some memories together: the last ones tell enough, and a request waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One user of a tenant: how many records of each kind are kept, and when the last one was written."""

    scope: Scope
    kept: Mapping[str, int]
    last_at: float
    """UTC seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """The numbers of one interaction."""

    id: str
    user: str
    at: float
    adapter: str
    shown_tokens: int
    """Tokens of the notes that were shown."""
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One rating or correction."""

    interaction: str
    user: str
    at: float
    name: str
    """`rating` or `correction`."""
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one verifier, or one rule about what a user did next, has found of the last answers."""

    kind: str
    """`automated` or `implicit`."""
    name: str
    """The verifier's, or `accepted`, `rephrased` …"""
    good: int
    """Answers that it scored 0.5 or more."""
    scored: int
    silent: int
    """Answers of which it could not tell."""


def people(connection: Connection, tenant: str, user: str | None) -> list[Person]:
    """Those of this tenant of whom anything was ever recorded, the last active first."""
    rows = connection.execute(
        select(
            subjects.c.user, subjects.c.kind, func.count(content.c.seq).label("kept"), func.max(ledger.c.at).label("at")
        )
        .join(ledger, ledger.c.seq == subjects.c.seq)
        .outerjoin(content, content.c.seq == subjects.c.seq)
        .where(_of(tenant, user))
        .group_by(subjects.c.user, subjects.c.kind)
    ).all()
    kept: dict[str, dict[str, int]] = {}
    last: dict[str, float] = {}
    for row in rows:
        kept.setdefault(row.user, {})[row.kind] = row.kept
        last[row.user] = max(row.at, last.get(row.user, 0.0))
    found = [Person(scope=Scope(tenant=tenant, user=u), kept=kept[u], last_at=last[u]) for u in kept]
    return sorted(found, key=lambda p: (-p.last_at, p.scope.user))


def newest(
    connection: Connection, kind: str, tenant: str, user: str | None, before: int | None, limit: int
) -> list[tuple[int, str]]:
    """(entry of the ledger, JSON) of the last records of a kind, the newest first, from before that entry."""
    wanted = (
        select(content.c.seq, content.c.json)
        .join(subjects, subjects.c.seq == content.c.seq)
        .where(_of(tenant, user), subjects.c.kind == kind)
        .order_by(content.c.seq.desc())
        .limit(limit)
    )
    if before is not None:
        wanted = wanted.where(content.c.seq < before)
    return [(row.seq, row.json) for row in connection.execute(wanted)]


def of_kinds(connection: Connection, kinds: Collection[str], scope: Scope) -> list[str]:
    """JSON of all records of some kinds, in the order of recording."""
    wanted = (
        select(content.c.json)
        .join(subjects, subjects.c.seq == content.c.seq)
        .where(owned(subjects, scope), subjects.c.kind.in_(kinds))
    )
    return list(connection.execute(wanted.order_by(subjects.c.seq)).scalars())


def judgements(connection: Connection, ids: Collection[str], scope: Scope) -> list[Judgement]:
    """What was said of the last answers that these memories were shown for, in the order in which it was said."""
    shown: dict[str, list[str]] = {}
    for part in some(ids):
        uses = select(edges.c.cause, edges.c.effect).where(owned(edges, scope), edges.c.cause.in_(part))
        for use in connection.execute(uses.order_by(edges.c.n.desc()).limit(MOST_USES)):
            shown.setdefault(use.effect, []).append(use.cause)
    said: set[str] = set()
    for part in some(shown):  # in steps: SQLite would begin with all of a user's feedback
        said |= set(
            connection.execute(select(edges.c.effect).where(owned(edges, scope), edges.c.cause.in_(part))).scalars()
        )
    found: list[tuple[int, Judgement]] = []
    for part in some(said):
        rows, form = with_form(connection, subjects.join(content, content.c.seq == subjects.c.seq), content.c.json)
        told = {"interaction": str, "kind": str, "name": str, "score": float}
        wanted = (
            select(
                subjects.c.seq,
                subjects.c.kind.label("record"),
                *(field(connection, form, path, type_).label(path) for path, type_ in told.items()),
            )
            .select_from(rows)
            .where(subjects.c.id.in_(part), owned(subjects, scope))
        )
        for row in connection.execute(wanted):
            for memory in shown.get(row.interaction, ()) if row.record == "feedback" else ():
                judged = Judgement(
                    memory=memory, interaction=row.interaction, kind=row.kind, name=row.name, score=row.score
                )
                found.append((row.seq, judged))
    return [judged for _, judged in sorted(found, key=lambda pair: pair[0])]


def uses(connection: Connection, ids: Collection[str], scope: Scope) -> dict[str, tuple[int, float]]:
    """How often each of these memories was shown for an answer, and when last."""
    found: dict[str, tuple[int, float]] = {}
    for part in some(ids):
        wanted = (
            select(edges.c.cause, func.count().label("times"), func.max(ledger.c.at).label("last"))
            .join(
                subjects,
                and_(subjects.c.id == edges.c.effect, owned(subjects, scope), subjects.c.kind == "interaction"),
            )
            .join(content, content.c.seq == subjects.c.seq)  # a forgotten answer does not count
            .join(ledger, ledger.c.seq == subjects.c.seq)
            .where(owned(edges, scope), edges.c.cause.in_(part))
            .group_by(edges.c.cause)
        )
        found |= {row.cause: (row.times, row.last) for row in connection.execute(wanted)}
    return found


def turns(connection: Connection, scope: Scope, conversation: str | None, before: str | None, within: int) -> list[str]:
    """JSON of those of the user's last `within` interactions that are of a conversation ("" for none), the newest first."""
    last = (
        select(content.c.seq, content.c.json, subjects.c.id)
        .join(subjects, subjects.c.seq == content.c.seq)
        .where(owned(subjects, scope), subjects.c.kind == "interaction")
        .order_by(subjects.c.seq.desc())
        .limit(within)
    )
    if before is not None:
        it = select(func.max(subjects.c.seq)).where(subjects.c.id == before, owned(subjects, scope))
        last = last.where(subjects.c.seq < connection.execute(it).scalar())
    recent = last.subquery()
    wanted = select(recent.c.json).order_by(recent.c.seq.desc())
    if conversation is not None:
        named = field(connection, form_of(connection, recent.c.json), "conversation") == conversation
        wanted = wanted.where(or_(named, recent.c.id == conversation))
    return list(connection.execute(wanted).scalars())


def served(connection: Connection, tenant: str, user: str | None, limit: int) -> list[Served]:
    """The numbers of the last interactions, oldest first."""
    wanted = _last(
        connection, "interaction", tenant, user, limit, at=("created_at", float), adapter=("stamp.adapter", str),
        shown_tokens=("context.tokens", int), input_tokens=("usage.input_tokens", int), output_tokens=("usage.output_tokens", int),
    )  # fmt: skip
    rows = connection.execute(wanted).all()
    return [Served(**row._asdict()) for row in reversed(rows)]


def judged(connection: Connection, tenant: str, user: str | None, limit: int) -> list[Judged]:
    """The last ratings and corrections, oldest first."""
    wanted = _last(
        connection, "feedback", tenant, user, limit, interaction=("interaction", str), at=("created_at", float), name=("name", str),
        score=("score", float),
    )  # fmt: skip
    wanted = wanted.where(wanted.selected_columns.name.in_(("rating", "correction")))
    found = [row._asdict() for row in reversed(connection.execute(wanted).all())]
    return [Judged(**{k: v for k, v in row.items() if k != "id"}) for row in found]


def found(connection: Connection, tenant: str, user: str | None, limit: int) -> list[Found]:
    """What verifiers, and what users did next, say of answers: of each name, over the last `limit` feedback records."""
    last = _last(
        connection, "feedback", tenant, user, limit, kind=("kind", str), name=("name", str), score=("score", float)
    ).subquery()
    scored = func.count(last.c.score)
    rows = connection.execute(
        select(
            last.c.kind, last.c.name, scored.label("scored"), (func.count() - scored).label("silent"),
            func.count(last.c.score).filter(last.c.score >= 0.5).label("good"),
        )
        .where(last.c.kind != "explicit")
        .group_by(last.c.kind, last.c.name)
        .order_by(last.c.kind, last.c.name)
    )  # fmt: skip
    return [Found(**row._asdict()) for row in rows]


def entries(connection: Connection, tenant: str, before: int | None, limit: int) -> list[tuple[LedgerEntry, str]]:
    """(entry, user) of the last entries of the ledger about this tenant's records and pointers, the newest first."""
    first = ledger.alias("first")  # an erasure repeats the digest of the record that went
    whose = func.coalesce(
        select(subjects.c.user).where(subjects.c.seq == ledger.c.seq, subjects.c.tenant == tenant).scalar_subquery(),
        select(moves.c.user).where(moves.c.seq == ledger.c.seq, moves.c.tenant == tenant).scalar_subquery(),
        select(subjects.c.user)
        .join(first, first.c.seq == subjects.c.seq)
        .where(first.c.digest == ledger.c.digest, ledger.c.event == "forget", ledger.c.digest != "")
        .where(subjects.c.tenant == tenant)
        .limit(1)
        .scalar_subquery(),
    ).label("whose")
    wanted = select(ledger, whose).where(whose.is_not(None)).order_by(ledger.c.seq.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(ledger.c.seq < before)
    found: list[tuple[LedgerEntry, str]] = []
    for row in connection.execute(wanted):
        fields = row._asdict()
        user = fields.pop("whose")
        found.append((LedgerEntry(**fields), user))
    return found


def _of(tenant: str, user: str | None) -> ColumnElement[bool]:
    mine = subjects.c.tenant == tenant
    return mine if user is None else and_(mine, subjects.c.user == user)


def _last(
    connection: Connection,
    of: str,
    tenant: str,
    user: str | None,
    limit: int,
    /,
    **fields: tuple[str, type[int | float | str]],
) -> Any:
    """The last records of a kind, and these fields of each: the name of the column, and which field it is."""
    rows, form = with_form(connection, subjects.join(content, content.c.seq == subjects.c.seq), content.c.json)
    columns = [field(connection, form, path, type_).label(name) for name, (path, type_) in fields.items()]
    return (
        select(subjects.c.id, subjects.c.user, *columns)
        .select_from(rows)
        .where(_of(tenant, user), subjects.c.kind == of)
        .order_by(subjects.c.seq.desc())
        .limit(limit)
    )
