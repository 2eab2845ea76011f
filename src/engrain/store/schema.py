"""The tables, as queries see them. What creates them on disk is `migrations/`; a test holds the two together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Float,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    and_,
    text,
)

from engrain.records import Scope

T = TypeVar("T")
metadata = MetaData()

# The audit trail: hashes and reasons, append-only.
ledger = Table(
    "ledger",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("event", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("previous", String, nullable=False),
    Column("hash", String, nullable=False),
    Index("ledger_digest", "digest"),
)

# One row: how long the chain is and where it ends, so that cutting off its end shows.
head = Table(
    "head",
    metadata,
    Column("one", Integer, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("hash", String, nullable=False),
)

# Whose record each entry is about. Stays when the content goes: an erased id is still known to be erased.
subjects = Table(
    "subjects",
    metadata,
    Column("seq", Integer, ForeignKey("ledger.seq"), primary_key=True),
    Column("tenant", String, nullable=False),
    Column("user", String, nullable=False),
    Column("id", String, nullable=False),
    Column("kind", String, nullable=False),
    Index("subjects_id", "id", "tenant", "user"),
    Index("subjects_kind", "tenant", "user", "kind", "seq"),
)

# What can be forgotten.
content = Table(
    "content",
    metadata,
    Column("seq", Integer, ForeignKey("subjects.seq"), primary_key=True),
    Column("json", String, nullable=False),
    Column("salt", String, nullable=False),
)

vectors = Table(
    "vectors",
    metadata,
    Column("seq", Integer, ForeignKey("content.seq", ondelete="CASCADE"), primary_key=True),
    Column("name", String, primary_key=True),
    Column("vector", LargeBinary, nullable=False),
)

# Where each memory stands (`memory.filing` says); a row without a state waits to be filed.
standings = Table(
    "standings",
    metadata,
    Column("seq", Integer, ForeignKey("content.seq", ondelete="CASCADE"), primary_key=True),
    Column("tenant", String, nullable=False),
    Column("user", String, nullable=False),
    Column("state", String, nullable=False),
    Column("by", String, nullable=False),
    Column("until", Float),
    Column("confirmations", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("talk", String, nullable=False),
    Column("length", Integer, nullable=False),
    Index("standings_state", "tenant", "user", "state", "kind"),
)

# The last entry of the ledger that wrote or forgot one of a user's memories, and how many there are.
states = Table(
    "states",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("user", String, primary_key=True),
    Column("last", Integer, nullable=False),
    Column("there", Integer, nullable=False),
)

# Whose words there are: the numbers of a scope's own index, so that nobody's ranking depends on anybody else.
lexicons = Table(
    "lexicons",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("user", String, nullable=False),
    Column("notes", Integer, nullable=False),
    Column("length", Integer, nullable=False),
    UniqueConstraint("tenant", "user"),
)

# Which memory has which word, how often, and among how many.
words = Table(
    "words",
    metadata,
    Column("lexicon", Integer, ForeignKey("lexicons.number"), primary_key=True),
    Column("stem", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("length", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# What memories have in common on which their standing depends: the same words or topic (hashed), or the id that one of them names.
topics = Table(
    "topics",
    metadata,
    Column("seq", Integer, ForeignKey("content.seq", ondelete="CASCADE"), primary_key=True),
    Column("key", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("user", String, nullable=False),
    Index("topics_key", "tenant", "user", "key"),
)

# Which deltas name which memory (or, to undo it, which delta).
deltas = Table(
    "deltas",
    metadata,
    Column("seq", Integer, ForeignKey("content.seq", ondelete="CASCADE"), primary_key=True),
    Column("target", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("user", String, nullable=False),
    Index("deltas_target", "tenant", "user", "target"),
)

# Lineage, ids only.
edges = Table(
    "edges",
    metadata,
    Column("n", Integer, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("user", String, nullable=False),
    Column("cause", String, nullable=False),
    Column("effect", String, nullable=False),
    UniqueConstraint("tenant", "user", "cause", "effect"),
    Index("edges_effect", "tenant", "user", "effect"),
)

# Every move of the live pointer; the last one of a scope says what is live.
moves = Table(
    "moves",
    metadata,
    Column("seq", Integer, ForeignKey("ledger.seq"), primary_key=True),
    Column("tenant", String, nullable=False),
    Column("user", String, nullable=False),
    Column("adapter", String, nullable=False),
    Column("previous", String, nullable=False),
    Column("verdict", String, nullable=False),
    Index("moves_scope", "tenant", "user", "seq"),
)

# Where a long job stands, so that it can go on after an interruption.
runs = Table(
    "runs",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("user", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("json", String, nullable=False),
)

# Who may ask: hashes of keys. Never forgotten with a user, for a key is a tenant's.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("rights", String, nullable=False),
    Column("name", String, nullable=False),
    Column("hash", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("revoked_at", Float),
)

_OPEN = text("state IN ('waiting', 'running')")

# Long work that waits for a worker, and how it goes; at most one for each user that is not over.
jobs = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("user", String, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("worker", String, nullable=False),
    Column("stage", String, nullable=False),
    Column("share", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("outcome", String, nullable=False),
    Column("queued_at", Float, nullable=False),
    Column("started_at", Float),
    Column("beat_at", Float),
    Column("ended_at", Float),
    Index("jobs_open", "tenant", "user", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("jobs_state", "state", "queued_at"),
)


def some(values: Iterable[T]) -> Iterator[Sequence[T]]:
    """The values in steps, so many that one query may bind them: well below either database's limit."""
    whole = list(values)
    for at in range(0, len(whole), 500):
        yield whole[at : at + 500]


def owned(table: FromClause, scope: Scope) -> ColumnElement[bool]:
    """The condition that keeps every query inside one scope."""
    return and_(table.c.tenant == scope.tenant, table.c.user == scope.user)
