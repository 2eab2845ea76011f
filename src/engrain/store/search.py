"""Finding memories by their words (FTS5, BM25; in PostgreSQL `words.py`) and keeping their vectors.

Each scope has a word index of its own. In a shared one, how often *others* use a word would weigh in the ranking, and
so one user's records would shape what another is shown and trained on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, LargeBinary, func, select, text
from sqlalchemy.dialects.postgresql import insert  # both databases take its ON CONFLICT

from engrain.errors import InputError, NotFound
from engrain.records import Scope
from engrain.store import filing, words
from engrain.store.schema import content, owned, subjects, vectors

_MOST_WORDS = 64
"""Words of a query that are searched for; FTS5 refuses very long expressions, and the first 64 tell enough."""
_SMALL_WORDS = """
    a about an and any are as at be by can could did do does for from had has have how i if in is it its ll m me my of
    on or our please re s shall should t tell that the their them there these they this to us ve was we were what when
    where which who whom whose why will with would you your
"""
_LARGE = 5_000
"""Memories of a scope from which on common words are looked at before they are searched for."""
_MOST_SCORED = 20_000
"""Memories, counted once for each word that they have, that one search scores: some 30 ms."""
_IGNORED = frozenset(_SMALL_WORDS.split())
"""Question words and the small words around them. Dropping them matters more than the tokenizer does
(LoCoMo R@5 48.3 -> 54.9)."""


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
    if connection.dialect.name == "postgresql":
        words.index(connection, seq, text, scope)
        return
    name = _index_name(scope)
    connection.exec_driver_sql(f"CREATE VIRTUAL TABLE IF NOT EXISTS {name} USING fts5(text, {words.TOKENIZE})")
    clean = text.encode("utf-8", "replace").decode()  # an unpaired surrogate cannot be bound
    connection.exec_driver_sql(f"INSERT INTO {name}(rowid, text) VALUES (?, ?)", (seq, clean))


def unindex(connection: Connection, seqs: Sequence[int], scope: Scope) -> None:
    """Take memories out of the word index, and their words out of its pages."""
    if connection.dialect.name == "postgresql":
        words.unindex(connection, seqs, scope)
        return
    name = _index_name(scope)
    if not _exists(connection, name):
        return
    for seq in seqs:
        connection.exec_driver_sql(f"DELETE FROM {name} WHERE rowid = ?", (seq,))
    # FTS5 only marks words as deleted until it happens to merge; a rebuild drops them now.
    connection.exec_driver_sql(f"INSERT INTO {name}({name}) VALUES ('rebuild')")


def search_text(connection: Connection, query: str, scope: Scope, limit: int) -> list[tuple[str, float]]:
    """The best `limit` memories of one scope by BM25 (higher is better, > 0), best first; ties in order of writing."""
    name, asked = _index_name(scope), words_of(query)
    if not asked:
        return []
    large = filing.state(connection, scope)[1] > _LARGE
    if connection.dialect.name == "postgresql":
        return words.search_text(connection, asked, scope, limit, _MOST_SCORED if large else None)
    if not _exists(connection, name):
        return []
    if large:
        asked = _telling(connection, name, asked)
    expression = " OR ".join(f'"{word}"' for word in asked)
    rows = connection.exec_driver_sql(
        f"SELECT subjects.id, -bm25({name}) AS score FROM {name} JOIN subjects ON subjects.seq = {name}.rowid "
        f"WHERE {name} MATCH ? AND subjects.tenant = ? AND subjects.user = ? ORDER BY score DESC, {name}.rowid LIMIT ?",
        (expression, scope.tenant, scope.user, limit),
    )
    return [(str(row[0]), float(row[1])) for row in rows]


def _telling(connection: Connection, name: str, asked: Sequence[str]) -> list[str]:
    """The rarest of the words, as many as may be scored."""
    run = connection.exec_driver_sql
    run(f"CREATE VIRTUAL TABLE temp.asked USING fts5(text, {words.TOKENIZE})")
    run("CREATE VIRTUAL TABLE temp.stems USING fts5vocab(temp, asked, instance)")
    run(f"CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, {name}, row)")
    try:  # what the index calls a word is the tokenizer's affair
        run("INSERT INTO temp.asked(rowid, text) VALUES (?, ?)", list(enumerate(asked)))
        stems = run("SELECT doc, term FROM temp.stems").all()
        known = "SELECT doc FROM temp.vocabulary WHERE term = ?"
        counts = [(word, run(known, (stem,)).scalar() or 0) for word, stem in stems]
    finally:
        for table in ("vocabulary", "stems", "asked"):
            run(f"DROP TABLE temp.{table}")
    found: dict[int, int] = {}
    for word, count in counts:
        found[word] = min(count, found.get(word, count))
    chosen = words.rarest({word: count for word, count in found.items() if count}, _MOST_SCORED)
    return [asked[word] for word in chosen] or list(asked)


def put_vectors(connection: Connection, name: str, new: Mapping[str, Any], scope: Scope) -> None:
    """Keep a float32 vector per memory under an embedder's name, replacing the earlier ones of that name."""
    if not new:
        return
    arrays = {memory: np.asarray(vector, dtype="<f4") for memory, vector in new.items()}
    stored = connection.execute(_of_scope(connection, name, scope).limit(1)).first()
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
        .where(owned(subjects, scope), vectors.c.name == name)
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


def _index_name(scope: Scope) -> str:
    return "words_" + hashlib.sha256(f"{scope.tenant}\0{scope.user}".encode()).hexdigest()[:20]


def _exists(connection: Connection, name: str) -> bool:
    found = connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
    return found.first() is not None
