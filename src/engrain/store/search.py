"""Finding memories by their words (BM25) and keeping their vectors.

The words of all scopes are in one table, but each scope counts only its own (`lexicons`). In shared counts, how often *others* use a word
would weigh in the ranking, and so one user's records would shape what another is shown and trained on.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from sqlalchemy import Connection, LargeBinary, bindparam, delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert  # both databases take its ON CONFLICT

from engrain.errors import InputError, NotFound
from engrain.records import Scope
from engrain.store.once import Once
from engrain.store.schema import content, lexicons, owned, some, subjects, vectors, words
from engrain.store.stems import stems

_MOST_WORDS = 256
"""Words of a query that are searched for; a task may have many, and its first ones are seldom the telling ones."""
_SMALL_WORDS = """
    a about an and any are as at be by can could did do does for from had has have how i if in is it its ll m me my of
    on or our please re s shall should t tell that the their them there these they this to us ve was we were what when
    where which who whom whose why will with would you your
"""
_MOST_SCORED = 8_000
"""Memories, counted once for each word that they have, that one search scores."""
_IGNORED = frozenset(_SMALL_WORDS.split())
"""Question words and the small words around them. Dropping them matters more than the tokenizer does
(LoCoMo R@5 48.3 -> 54.9)."""
_K1, _B = 1.2, 0.75
"""BM25's: how soon a word that is repeated stops counting, and how much a long text is held against itself."""

_GROWN = insert(lexicons).values({name: bindparam(f"its_{name}") for name in ("tenant", "user", "notes", "length")})
_GROW = Once(
    _GROWN.on_conflict_do_update(  # the number is the database's
        index_elements=("tenant", "user"),
        set_={"notes": lexicons.c.notes + 1, "length": lexicons.c.length + _GROWN.excluded.length},
    ).inline()
)
_LEXICON = Once(
    select(lexicons.c.number, lexicons.c.notes, lexicons.c.length).where(
        lexicons.c.tenant == bindparam("tenant"), lexicons.c.user == bindparam("user")
    )
)
_COUNTED = Once(
    select(func.count()).select_from(
        select(words.c.seq)
        .where(words.c.lexicon == bindparam("of"), words.c.stem == bindparam("word"))
        .limit(bindparam("most"))
        .subquery()
    )
)
_HAVING = Once(
    select(words.c.seq, words.c.count, words.c.length)
    .where(words.c.lexicon == bindparam("of"), words.c.stem == bindparam("word"))
    .order_by(words.c.seq.desc())
    .limit(bindparam("most"))
)


_PUT = insert(vectors)
_PUT = _PUT.on_conflict_do_update(index_elements=("seq", "name"), set_={"vector": _PUT.excluded.vector})
_PUT_PGVECTOR = text(
    "INSERT INTO vectors (seq, name, vector) VALUES (:seq, :name, CAST(CAST(:vector AS text) AS vector)) "
    "ON CONFLICT (seq, name) DO UPDATE SET vector = excluded.vector"
)


def words_of(query: str) -> list[str]:
    """The distinct words of a question that are worth searching for, in order."""
    words = dict.fromkeys(word for word in re.findall(r"\w+", query.lower()) if word not in _IGNORED)
    return list(words)[:_MOST_WORDS]


def index(connection: Connection, seq: int, text: str, scope: Scope) -> None:
    """Make one memory findable by its words."""
    found = stems(text.encode("utf-8", "replace").decode())  # an unpaired surrogate cannot be bound
    if not found:
        return
    _GROW(connection, its_tenant=scope.tenant, its_user=scope.user, its_notes=1, its_length=len(found))
    number, _, _ = _LEXICON(connection, tenant=scope.tenant, user=scope.user).fetchone()
    connection.execute(
        insert(words),
        [
            {"lexicon": number, "stem": stem, "seq": seq, "count": count, "length": len(found)}
            for stem, count in Counter(found).items()
        ],
    )


def unindex(connection: Connection, scope: Scope) -> None:
    """Take the words of memories that are not there any more out of the index: whatever once made them, none is left."""
    row = _LEXICON(connection, tenant=scope.tenant, user=scope.user).fetchone()
    if row is None:
        return
    gone = ~exists().where(content.c.seq == words.c.seq)
    went = connection.execute(
        delete(words).where(words.c.lexicon == row[0], gone).returning(words.c.seq, words.c.length)
    )
    lengths = {r.seq: r.length for r in went}
    connection.execute(
        update(lexicons)
        .where(lexicons.c.number == row[0])
        .values(notes=lexicons.c.notes - len(lengths), length=lexicons.c.length - sum(lengths.values()))
    )


def search_text(connection: Connection, query: str, scope: Scope, limit: int) -> list[tuple[str, float]]:
    """The best `limit` memories of one scope by BM25 (higher is better, > 0), best first; ties in order of writing.

    Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework"; the same scores as SQLite's FTS5 gives.
    """
    asked = [stem for word in words_of(query) for stem in stems(word)]
    row = _LEXICON(connection, tenant=scope.tenant, user=scope.user).fetchone() if asked else None
    if row is None:
        return []
    number, notes, length = row
    seqs: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    for stem, count in _telling(connection, number, Counter(asked)):
        having = _HAVING(connection, of=number, word=stem, most=_MOST_SCORED).fetchall()
        own, often, long = np.fromiter(chain.from_iterable(having), np.int64, 3 * len(having)).reshape(-1, 3).T
        rare = max(math.log((notes - count + 0.5) / (count + 0.5)), 1e-6) * asked.count(stem)
        seqs.append(own)
        scores.append(rare * often * (_K1 + 1) / (often + _K1 * (1 - _B + _B * long * notes / length)))
    if not seqs:
        return []
    found, places = np.unique(np.concatenate(seqs), return_inverse=True)
    total = np.bincount(places, np.concatenate(scores))
    best = np.argsort(-total, kind="stable")[:limit]
    names = _ids_of(connection, found[best].tolist(), scope)
    return [(names[seq], score) for seq, score in zip(found[best].tolist(), total[best].tolist(), strict=True)]


def _telling(connection: Connection, number: int, asked: Counter[str]) -> list[tuple[str, int]]:
    """The rarest of the words and how many memories have each, as many as may be scored: a word that nearly all have costs much and tells
    nothing. In the order of asking, so that the same words add up to the same."""
    counts: dict[str, int] = {}
    for stem in asked:
        (counts[stem],) = _COUNTED(connection, of=number, word=stem, most=_MOST_SCORED + 1).fetchone()
    chosen: list[str] = []
    total = 0
    for stem in sorted((s for s, count in counts.items() if count), key=counts.__getitem__):
        total += counts[stem]
        if chosen and total > _MOST_SCORED:
            break
        chosen.append(stem)
    if chosen and counts[chosen[0]] > _MOST_SCORED:  # nothing tells more: its newest are scored
        (counts[chosen[0]],) = _COUNTED(connection, of=number, word=chosen[0], most=1 << 40).fetchone()
    return [(stem, counts[stem]) for stem in asked if stem in chosen]


def put_vectors(connection: Connection, name: str, new: Mapping[str, Any], scope: Scope) -> None:
    """Keep a float32 vector per memory under an embedder's name, replacing the earlier ones of that name."""
    if not new:
        return
    arrays = {memory: np.asarray(vector, dtype="<f4") for memory, vector in new.items()}
    stored = connection.execute(_of_scope(connection, name, scope).order_by(None).limit(1)).first()
    size = _array(connection, [stored.vector]).size if stored else next(iter(arrays.values())).size
    for memory, array in arrays.items():
        if array.ndim != 1 or array.size != size or not size:
            raise InputError(f"the vector of {memory} has shape {array.shape}; {name} vectors have shape ({size},)")
        seq = connection.execute(
            select(content.c.seq)
            .join(subjects, subjects.c.seq == content.c.seq)
            .where(owned(subjects, scope), subjects.c.id == memory)
        ).scalar()
        if seq is None:
            raise NotFound(f"no memory {memory} in {scope} to keep a vector for; append it first")
        if _pgvector(connection):
            if not np.isfinite(array).all():
                raise InputError(f"the vector of {memory} has numbers that are not finite; pgvector keeps none")
            connection.execute(_PUT_PGVECTOR, {"seq": seq, "name": name, "vector": str(array.tolist())})
        else:
            connection.execute(_PUT, {"seq": seq, "name": name, "vector": array.tobytes()})


def get_vectors(connection: Connection, name: str, scope: Scope) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Ids and float32 vectors [len(ids), dimension] of one scope, in order of writing; [0, 0] if there are none."""
    rows = connection.execute(_of_scope(connection, name, scope)).all()
    if not rows:
        return [], np.zeros((0, 0), dtype=np.float32)
    return [row.id for row in rows], _array(connection, [row.vector for row in rows])


def _of_scope(connection: Connection, name: str, scope: Scope) -> Any:
    kept = func.vector_send(vectors.c.vector, type_=LargeBinary) if _pgvector(connection) else vectors.c.vector
    return (
        select(subjects.c.id, kept.label("vector"))
        .join(vectors, vectors.c.seq == subjects.c.seq)
        .where(owned(subjects, scope), subjects.c.kind == "memory", vectors.c.name == name)
        .order_by(subjects.c.seq)
    )


def _array(connection: Connection, rows: Sequence[bytes]) -> np.ndarray[Any, Any]:
    """float32 [rows, dimension] of rows of bytes; pgvector's begin with their dimension, in 4 bytes, and have the other order."""
    if _pgvector(connection):
        whole = np.frombuffer(b"".join(rows), dtype=">f4").reshape(len(rows), -1)[:, 1:]
    else:
        whole = np.frombuffer(b"".join(rows), dtype="<f4").reshape(len(rows), -1)
    return whole.astype(np.float32, copy=True)


def _pgvector(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("pgvector"))


def _ids_of(connection: Connection, seqs: Sequence[int], scope: Scope) -> dict[int, str]:
    found: dict[int, str] = {}
    for part in some(seqs):  # by their places alone: told whose they are, SQLite would look through all of a user's
        theirs = select(subjects.c.seq, subjects.c.id, subjects.c.tenant, subjects.c.user).where(
            subjects.c.seq.in_(part)
        )
        found |= {r.seq: r.id for r in connection.execute(theirs) if (r.tenant, r.user) == (scope.tenant, scope.user)}
    return found
