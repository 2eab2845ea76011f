"""Finding memories by their words in PostgreSQL, with the scores that FTS5 gives in SQLite.

PostgreSQL's own ranking does not know how rare a word is, and recall lives by that. So there is a row for each word of a memory, and BM25 is summed
over the rows of a query's words. What a word is, and which words are one (their stems), FTS5 says here, too: it reads the text in memory, and keeps
nothing of it. So both databases find the same.
"""

from __future__ import annotations

import math
import sqlite3
import threading
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from engrain.records import Scope

TOKENIZE = "tokenize='porter unicode61'"
_LONGEST = 200
"""Characters of a word that count; an index of PostgreSQL takes no more than some 2,700 bytes."""
_LEAST = 1e-6
"""What a word tells that more than half of the memories have. FTS5's own figure, as are 1.2 and 0.75 below."""

T = TypeVar("T", bound=Hashable)
metadata = MetaData()

# How many memories of a scope have words, and how many words these are.
indexes = Table(
    "indexes",
    metadata,
    Column("n", Integer, Identity(always=True), primary_key=True),
    Column("tenant", String, nullable=False),
    Column("user", String, nullable=False),
    Column("documents", Integer, nullable=False),
    Column("words", Integer, nullable=False),
    UniqueConstraint("tenant", "user"),
)

# How often a memory has a word, and how many words it has.
words = Table(
    "words",
    metadata,
    Column("n", Integer, ForeignKey("indexes.n"), primary_key=True),
    Column("word", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("times", Integer, nullable=False),
    Column("length", Integer, nullable=False),
    Index("words_seq", "seq"),
)

_INDEX = """
    WITH mine AS (
        INSERT INTO indexes (tenant, "user", documents, words) VALUES (%(tenant)s, %(user)s, 1, %(length)s)
        ON CONFLICT (tenant, "user") DO UPDATE SET documents = indexes.documents + 1, words = indexes.words + excluded.words
        RETURNING n
    )
    INSERT INTO words (n, word, seq, times, length)
    SELECT n, word, %(seq)s, times, %(length)s FROM mine, unnest(%(words)s::text[], %(times)s::int[]) AS said(word, times)
"""
_UNINDEX = """
    WITH gone AS (DELETE FROM words WHERE seq = ANY(%(seqs)s) RETURNING seq, times)
    UPDATE indexes
    SET documents = documents - (SELECT count(DISTINCT seq) FROM gone), words = words - (SELECT coalesce(sum(times), 0) FROM gone)
    WHERE tenant = %(tenant)s AND "user" = %(user)s
"""
_SIZE = 'SELECT n, documents, words FROM indexes WHERE tenant = %(tenant)s AND "user" = %(user)s'
_COUNT = """
    SELECT word, (SELECT count(*) FROM (SELECT FROM words WHERE n = %(n)s AND words.word = asked.word LIMIT %(limit)s) AS few)
    FROM unnest(%(words)s::text[]) AS asked(word)
"""
# Summed in the order of the query's words: what has the same words must get the same sum to the last bit.
_SEARCH = """
    SELECT subjects.id, best.score FROM (
        SELECT said.seq, sum(
            asked.weight * said.times * 2.2::float8
            / (said.times + 1.2::float8 * (0.25::float8 + 0.75::float8 * said.length / %(usual)s::float8)) ORDER BY asked.place
        ) AS score
        FROM unnest(%(words)s::text[], %(weights)s::float8[]) WITH ORDINALITY AS asked(word, weight, place)
        JOIN words AS said ON said.n = %(n)s AND said.word = asked.word
        GROUP BY said.seq ORDER BY score DESC, said.seq LIMIT %(limit)s
    ) AS best
    JOIN subjects ON subjects.seq = best.seq
    WHERE subjects.tenant = %(tenant)s AND subjects."user" = %(user)s
    ORDER BY best.score DESC, best.seq
"""


def index(connection: Connection, seq: int, text: str, scope: Scope) -> None:
    """Make one memory findable by its words."""
    (said,) = stems([text])
    if counts := Counter(said):
        values = {"seq": seq, "length": len(said), "words": list(counts), "times": list(counts.values())}
        connection.exec_driver_sql(_INDEX, values | _whose(scope))


def unindex(connection: Connection, seqs: Sequence[int], scope: Scope) -> None:
    """Take memories out of the index, and their words out of its figures."""
    connection.exec_driver_sql(_UNINDEX, {"seqs": list(seqs)} | _whose(scope))


def search_text(
    connection: Connection, query: Sequence[str], scope: Scope, limit: int, most: int | None
) -> list[tuple[str, float]]:
    """The best `limit` memories of one scope by BM25 (higher is better, > 0), best first; ties in order of writing.

    Of all words of the query, or of its rarest: so many that not more than `most` are scored (`rarest`)."""
    size = connection.exec_driver_sql(_SIZE, _whose(scope)).one_or_none()
    if size is None or not size.documents:
        return []
    asked = Counter(stem for found in stems(query) for stem in found)

    def counted(limit: int) -> dict[str, int]:
        rows = connection.exec_driver_sql(_COUNT, {"n": size.n, "words": list(asked), "limit": limit})
        return {row[0]: row[1] for row in rows if row[1]}

    there = counted(size.documents if most is None else most + 1)  # a word that more have will hardly be chosen
    if most is not None and there and min(there.values()) > most:
        there = counted(size.documents)
    chosen = list(there) if most is None else rarest(there, most)
    values = {
        "n": size.n, "usual": size.words / size.documents, "limit": limit, "words": chosen,
        "weights": [asked[word] * _rarity(there[word], size.documents) for word in chosen],
    }  # fmt: skip
    rows = connection.exec_driver_sql(_SEARCH, values | _whose(scope))
    return [(row[0], row[1]) for row in rows]


def rarest(counts: Mapping[T, int], most: int) -> list[T]:
    """The words that fewest memories have, as many as may be scored: one that nearly all have costs much and tells nothing."""
    chosen: list[T] = []
    total = 0
    for word in sorted(counts, key=counts.__getitem__):
        total += counts[word]
        if chosen and total > most:
            break
        chosen.append(word)
    return chosen


def _rarity(having: int, documents: int) -> float:
    return max(math.log((documents - having + 0.5) / (having + 0.5)), _LEAST)


def _whose(scope: Scope) -> dict[str, str]:
    return {"tenant": scope.tenant, "user": scope.user}


class _Reader(threading.local):
    """FTS5 in memory, one for each thread."""

    def __init__(self) -> None:
        self.run = sqlite3.connect(":memory:", isolation_level=None).cursor()
        self.run.execute(f"CREATE VIRTUAL TABLE said USING fts5(text, content='', {TOKENIZE})")
        self.run.execute("CREATE VIRTUAL TABLE stems USING fts5vocab(said, instance)")


_reader = _Reader()


def stems(texts: Sequence[str]) -> list[list[str]]:
    """The stems of the words of each text, in order."""
    found: list[list[str]] = [[] for _ in texts]
    run = _reader.run
    run.execute("BEGIN")
    try:
        clean = [(at, text.encode("utf-8", "replace").decode()) for at, text in enumerate(texts)]
        run.executemany("INSERT INTO said(rowid, text) VALUES (?, ?)", clean)
        for at, stem in run.execute("SELECT doc, term FROM stems ORDER BY doc, offset").fetchall():
            found[at].append(stem[:_LONGEST])
    finally:
        run.execute("ROLLBACK")
    return found
