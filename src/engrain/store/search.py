"""Finding memories by their words (FTS5, BM25) and keeping their vectors.

Each scope has a word index of its own. In a shared one, how often *others* use a word would weigh in the ranking, and
so one user's records would shape what another is shown and trained on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, insert, select

from engrain.errors import InputError, NotFound
from engrain.records import Scope
from engrain.store import filing
from engrain.store.schema import content, owned, subjects, vectors

_MOST_WORDS = 64
"""Words of a query that are searched for; FTS5 refuses very long expressions, and the first 64 tell enough."""
_SMALL_WORDS = """
    a about an and any are as at be by can could did do does for from had has have how i if in is it its ll m me my of
    on or our please re s shall should t tell that the their them there these they this to us ve was we were what when
    where which who whom whose why will with would you your
"""
_TOKENIZE = "tokenize='porter unicode61'"
_LARGE = 5_000
"""Memories of a scope from which on common words are looked at before they are searched for."""
_MOST_SCORED = 20_000
"""Memories, counted once for each word that they have, that one search scores: some 30 ms."""
_IGNORED = frozenset(_SMALL_WORDS.split())
"""Question words and the small words around them. Dropping them matters more than the tokenizer does
(LoCoMo R@5 48.3 -> 54.9)."""


def words_of(query: str) -> list[str]:
    """The distinct words of a question that are worth searching for, in order."""
    words = dict.fromkeys(word for word in re.findall(r"\w+", query.lower()) if word not in _IGNORED)
    return list(words)[:_MOST_WORDS]


def index(connection: Connection, seq: int, text: str, scope: Scope) -> None:
    """Make one memory findable by its words."""
    name = _index_name(scope)
    connection.exec_driver_sql(f"CREATE VIRTUAL TABLE IF NOT EXISTS {name} USING fts5(text, {_TOKENIZE})")
    clean = text.encode("utf-8", "replace").decode()  # an unpaired surrogate cannot be bound
    connection.exec_driver_sql(f"INSERT INTO {name}(rowid, text) VALUES (?, ?)", (seq, clean))


def unindex(connection: Connection, seqs: Sequence[int], scope: Scope) -> None:
    """Take memories out of the word index, and their words out of its pages."""
    name = _index_name(scope)
    if not _exists(connection, name):
        return
    for seq in seqs:
        connection.exec_driver_sql(f"DELETE FROM {name} WHERE rowid = ?", (seq,))
    # FTS5 only marks words as deleted until it happens to merge; a rebuild drops them now.
    connection.exec_driver_sql(f"INSERT INTO {name}({name}) VALUES ('rebuild')")


def search_text(connection: Connection, query: str, scope: Scope, limit: int) -> list[tuple[str, float]]:
    """The best `limit` memories of one scope by BM25 (higher is better, > 0), best first; ties in order of writing."""
    name, words = _index_name(scope), words_of(query)
    if not words or not _exists(connection, name):
        return []
    if filing.state(connection, scope)[1] > _LARGE:
        words = _telling(connection, name, words)
    expression = " OR ".join(f'"{word}"' for word in words)
    rows = connection.exec_driver_sql(
        f"SELECT subjects.id, -bm25({name}) AS score FROM {name} JOIN subjects ON subjects.seq = {name}.rowid "
        f"WHERE {name} MATCH ? AND subjects.tenant = ? AND subjects.user = ? ORDER BY score DESC, {name}.rowid LIMIT ?",
        (expression, scope.tenant, scope.user, limit),
    )
    return [(str(row[0]), float(row[1])) for row in rows]


def _telling(connection: Connection, name: str, words: Sequence[str]) -> list[str]:
    """The rarest of the words, as many as may be scored: a word that nearly all memories have costs much and tells nothing."""
    run = connection.exec_driver_sql
    run(f"CREATE VIRTUAL TABLE temp.asked USING fts5(text, {_TOKENIZE})")
    run("CREATE VIRTUAL TABLE temp.stems USING fts5vocab(temp, asked, instance)")
    run(f"CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, {name}, row)")
    try:  # what the index calls a word is the tokenizer's affair
        run("INSERT INTO temp.asked(rowid, text) VALUES (?, ?)", list(enumerate(words)))
        stems = run("SELECT doc, term FROM temp.stems").all()
        known = "SELECT doc FROM temp.vocabulary WHERE term = ?"
        counts = [(word, run(known, (stem,)).scalar() or 0) for word, stem in stems]
    finally:
        for table in ("vocabulary", "stems", "asked"):
            run(f"DROP TABLE temp.{table}")
    found: dict[int, int] = {}
    for word, count in counts:
        found[word] = min(count, found.get(word, count))
    chosen: list[str] = []
    total = 0
    for word in sorted((w for w, count in found.items() if count), key=found.__getitem__):
        total += found[word]
        if chosen and total > _MOST_SCORED:
            break
        chosen.append(words[word])
    return chosen or list(words)


def put_vectors(connection: Connection, name: str, new: Mapping[str, Any], scope: Scope) -> None:
    """Keep a float32 vector per memory under an embedder's name, replacing the earlier ones of that name."""
    if not new:
        return
    arrays = {memory: np.asarray(vector, dtype="<f4") for memory, vector in new.items()}
    stored = connection.execute(_of_scope(name, scope).limit(1)).first()
    size = len(stored.vector) // 4 if stored else next(iter(arrays.values())).size
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
        values = {"seq": seq, "name": name, "vector": array.tobytes()}
        connection.execute(insert(vectors).prefix_with("OR REPLACE").values(values))


def get_vectors(connection: Connection, name: str, scope: Scope) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Ids and float32 vectors [len(ids), dimension] of one scope, in order of writing; [0, 0] if there are none."""
    rows = connection.execute(_of_scope(name, scope)).all()
    if not rows:
        return [], np.zeros((0, 0), dtype=np.float32)
    matrix = np.frombuffer(b"".join(row.vector for row in rows), dtype="<f4").reshape(len(rows), -1)
    return [row.id for row in rows], matrix.astype(np.float32, copy=True)


def _of_scope(name: str, scope: Scope) -> Any:
    return (
        select(subjects.c.id, vectors.c.vector)
        .join(vectors, vectors.c.seq == subjects.c.seq)
        .where(owned(subjects, scope), vectors.c.name == name)
        .order_by(subjects.c.seq)
    )


def _index_name(scope: Scope) -> str:
    return "words_" + hashlib.sha256(f"{scope.tenant}\0{scope.user}".encode()).hexdigest()[:20]


def _exists(connection: Connection, name: str) -> bool:
    found = connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
    return found.first() is not None
