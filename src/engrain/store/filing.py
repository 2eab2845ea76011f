"""Where each memory stands, and which deltas are about it, kept beside it. What it says is the memory room's; here it is only written, found, and dropped where it may be wrong.

A standing depends on the memories that share a key, on those that they share one with, and so on. When one of them is forgotten, all of these
wait to be filed anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert  # both databases take its ON CONFLICT

from engrain.protocols import Filed
from engrain.records import Delta, Memory, Scope
from engrain.store.once import Once
from engrain.store.schema import content, deltas, owned, some, standings, states, subjects, topics

NAMES = "names:"
"""What a key begins with that is the id of another memory."""

_ROW = insert(states)
_CHANGED = Once(
    _ROW.on_conflict_do_update(
        index_elements=("tenant", "user"),
        set_={"last": _ROW.excluded.last, "there": states.c.there + _ROW.excluded.there},
    )
)
_WAIT = Once(insert(standings))
_STATE = Once(
    select(states.c.last, states.c.there).where(
        states.c.tenant == bindparam("tenant"), states.c.user == bindparam("user")
    )
)


def state(connection: Connection, scope: Scope) -> tuple[int, int]:
    """(the last entry of the ledger about a memory of this scope, how many there are)"""
    last, there = _STATE(connection, tenant=scope.tenant, user=scope.user).fetchone() or (0, 0)
    return last, there


def changed(connection: Connection, seq: int, more: int, scope: Scope) -> None:
    """Entry `seq` of the ledger wrote a memory (`more` is 1), or forgot one (-1), or is about a change to some (0)."""
    _CHANGED(connection, tenant=scope.tenant, user=scope.user, last=seq, there=more)


def wait(connection: Connection, seq: int, memory: Memory) -> None:
    """A memory that was just written is to be filed."""
    changed(connection, seq, 1, memory.scope)
    _WAIT(
        connection, seq=seq, tenant=memory.scope.tenant, user=memory.scope.user, state="", by="", until=None, confirmations=0,
        kind=memory.kind, talk=memory.talk.encode("utf-8", "replace").decode(), length=len(memory.text),
    )  # fmt: skip


def name(connection: Connection, seq: int, delta: Delta) -> None:
    """A delta that was just written concerns these memories, which are to be filed anew if their standing depends on it."""
    connection.execute(
        insert(deltas),
        [
            {"seq": seq, "target": target, "tenant": delta.scope.tenant, "user": delta.scope.user}
            for target in dict.fromkeys(filter(None, (*delta.targets, delta.into)))
        ],
    )
    touch(connection, seq, delta.scope)
    changed(connection, seq, 0, delta.scope)


def touch(connection: Connection, delta: int, scope: Scope) -> bool:
    """File anew what this delta (by its place), or the one that it undoes, is about; False if it is no delta."""
    if connection.execute(select(deltas.c.seq).where(deltas.c.seq == delta).limit(1)).first() is None:
        return False
    met, frontier = set[int](), {delta}
    while frontier:
        met |= frontier
        named = connection.execute(select(deltas.c.target).where(deltas.c.seq.in_(frontier))).scalars().all()
        seqs = set(_seqs_of(connection, named, scope).values())
        connection.execute(update(standings).where(standings.c.seq.in_(seqs)).values(state=""))
        frontier = seqs - met
    return True


def about(connection: Connection, ids: Collection[str], scope: Scope) -> list[str]:
    """JSON of the deltas that name these memories, and of those that undo them, in the order of recording."""
    found: dict[int, str] = {}
    sought = list(ids)
    while sought:
        new: dict[int, str] = {}
        for part in some(sought):
            wanted = (
                select(content.c.seq, content.c.json)
                .join(deltas, deltas.c.seq == content.c.seq)
                .where(owned(deltas, scope), deltas.c.target.in_(part))
            )
            new |= {row.seq: row.json for row in connection.execute(wanted)}
        fresh = new.keys() - found.keys()
        found |= new
        sought = list(_ids_of(connection, fresh).values())
    return [found[seq] for seq in sorted(found)]


def unfiled(connection: Connection, scope: Scope, limit: int) -> list[str]:
    """JSON of some memories that wait, in the order of recording."""
    waiting = select(standings.c.seq).where(owned(standings, scope), standings.c.state == "")
    some_ = waiting.order_by(standings.c.kind, standings.c.seq).limit(limit)  # as the index has them: nothing is sorted
    return list(
        connection.execute(select(content.c.json).where(content.c.seq.in_(some_)).order_by(content.c.seq)).scalars()
    )


def after(connection: Connection, seq: int, scope: Scope) -> list[str]:
    """JSON of the memories written after an entry of the ledger, in that order."""
    later = (
        select(content.c.json)
        .join(subjects, subjects.c.seq == content.c.seq)
        .where(owned(subjects, scope), subjects.c.kind == "memory", subjects.c.seq > seq)
    )
    return list(connection.execute(later.order_by(subjects.c.seq)).scalars())


def akin(connection: Connection, keys: Collection[str], ids: Collection[str], scope: Scope) -> list[str]:
    """JSON of the memories under any of these keys or ids, in the order of recording."""
    seqs = {*_under(connection, keys, scope), *_seqs_of(connection, ids, scope).values()}
    found: dict[int, str] = {}
    for part in some(seqs):
        found |= {r.seq: r.json for r in connection.execute(select(content).where(content.c.seq.in_(part)))}
    return [found[seq] for seq in sorted(found)]


def file(connection: Connection, filed: Sequence[Filed], scope: Scope) -> None:
    """Keep where these stand, in the place of what was kept."""
    seqs = _seqs_of(connection, [f.id for f in filed], scope)
    rows = [
        {"at": seqs[f.id], "state": f.state, "by": f.by, "until": f.until, "confirmations": f.confirmations, "kind": f.kind}
        for f in filed
        if f.id in seqs
    ]  # fmt: skip
    if rows:
        connection.execute(update(standings).where(standings.c.seq == bindparam("at")), rows)
        connection.execute(delete(topics).where(topics.c.seq == bindparam("at")), [{"at": r["at"]} for r in rows])
    keys = [
        {"seq": seqs[f.id], "key": key, "tenant": scope.tenant, "user": scope.user}
        for f in filed
        if f.id in seqs
        for key in dict.fromkeys(f.keys)
    ]
    if keys:
        connection.execute(insert(topics), keys)


def talks(connection: Connection, scope: Scope) -> list[tuple[str, str, int]]:
    """(id, talk, characters) of each memory that is part of a talk, in the order of recording."""
    wanted = (
        select(subjects.c.id, standings.c.talk, standings.c.length)
        .join(subjects, subjects.c.seq == standings.c.seq)
        .where(owned(standings, scope), standings.c.talk != "")
    )
    return [(row.id, row.talk, row.length) for row in connection.execute(wanted.order_by(standings.c.seq))]


def active(
    connection: Connection, scope: Scope, ids: Collection[str] | None, kinds: Collection[str] | None
) -> list[str]:
    """Ids of those that hold, in the order of recording."""
    wanted = select(standings.c.seq).where(standings.c.state == "active")
    if kinds is not None:
        wanted = wanted.where(standings.c.kind.in_(kinds))
    if ids is None:
        names = _ids_of(connection, connection.execute(wanted.where(owned(standings, scope))).scalars())
        return [names[seq] for seq in sorted(names)]
    names = {seq: name for name, seq in _seqs_of(connection, ids, scope).items()}
    # By their places alone: told whose they are, SQLite would look through all of a user's.
    found = [s for part in some(names) for s in connection.execute(wanted.where(standings.c.seq.in_(part))).scalars()]
    return [names[seq] for seq in sorted(found)]


def unfile(connection: Connection, seq: int, scope: Scope) -> bool:
    """Drop where all those stand whose standing may depend on this one, which is about to go; False if it is no memory."""
    if connection.execute(select(standings.c.seq).where(standings.c.seq == seq)).first() is None:
        return False
    met, frontier = {seq}, {seq}
    while frontier:
        keys: set[str] = set()
        for part in some(frontier):
            keys |= set(connection.execute(select(topics.c.key).where(topics.c.seq.in_(part))).scalars())
        keys |= {NAMES + name for name in _ids_of(connection, frontier).values()}
        named = [k.removeprefix(NAMES) for k in keys if k.startswith(NAMES)]
        frontier = {*_under(connection, keys, scope), *_seqs_of(connection, named, scope).values()} - met
        met |= frontier
    for part in some(met - {seq}):
        connection.execute(update(standings).where(standings.c.seq.in_(part)).values(state=""))
    return True


def _seqs_of(connection: Connection, ids: Iterable[str], scope: Scope) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in some(ids):
        mine = select(subjects.c.id, subjects.c.seq).where(owned(subjects, scope), subjects.c.id.in_(part))
        found |= {row.id: row.seq for row in connection.execute(mine)}
    return found


def _under(connection: Connection, keys: Iterable[str], scope: Scope) -> Iterator[int]:
    for part in some(keys):
        yield from connection.execute(
            select(topics.c.seq).where(owned(topics, scope), topics.c.key.in_(part))
        ).scalars()


def _ids_of(connection: Connection, seqs: Iterable[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for part in some(seqs):
        rows = connection.execute(select(subjects.c.seq, subjects.c.id).where(subjects.c.seq.in_(part)))
        found |= {row.seq: row.id for row in rows}
    return found
