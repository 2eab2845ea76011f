"""Step 1: everything."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create all tables and the head of the empty ledger."""
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "ledger",
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        *(sa.Column(name, sa.String, nullable=False) for name in ("event", "subject", "digest", "reason")),
        sa.Column("previous", sa.String, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
    )
    op.create_index("ledger_digest", "ledger", ["digest"])
    head = op.create_table(
        "head",
        sa.Column("one", sa.Integer, primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
    )
    op.bulk_insert(head, [{"one": 1, "count": 0, "hash": "0" * 64}])
    op.create_table(
        "subjects",
        sa.Column("seq", sa.Integer, sa.ForeignKey("ledger.seq"), primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("tenant", "user", "id", "kind")),
    )
    op.create_index("subjects_id", "subjects", ["id", "tenant", "user"])
    op.create_index("subjects_kind", "subjects", ["tenant", "user", "kind", "seq"])
    op.create_table(
        "content",
        sa.Column("seq", sa.Integer, sa.ForeignKey("subjects.seq"), primary_key=True),
        sa.Column("json", sa.String, nullable=False),
        sa.Column("salt", sa.String, nullable=False),
    )
    op.create_table(
        "vectors",
        sa.Column("seq", sa.Integer, sa.ForeignKey("content.seq", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("vector", sa.LargeBinary, nullable=False),
    )
    if on_postgresql:
        _for_postgresql()
    op.create_table(
        "edges",
        sa.Column("n", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("tenant", "user", "cause", "effect")),
        sa.UniqueConstraint("tenant", "user", "cause", "effect"),
    )
    op.create_index("edges_effect", "edges", ["tenant", "user", "effect"])
    op.create_table(
        "moves",
        sa.Column("seq", sa.Integer, sa.ForeignKey("ledger.seq"), primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("tenant", "user", "adapter", "previous", "verdict")),
    )
    op.create_index("moves_scope", "moves", ["tenant", "user", "seq"])
    op.create_table(
        "runs",
        *(sa.Column(name, sa.String, primary_key=True) for name in ("tenant", "user", "key")),
        sa.Column("json", sa.String, nullable=False),
    )


def _for_postgresql() -> None:
    """Vectors as pgvector's, where the server has it, and no samples of what was said."""
    # The planner's statistics are samples of the rows, and an erasure does not reach them.
    for table, column in (("content", "json"), ("content", "salt"), ("vectors", "vector")):
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0")
    try:
        with op.get_bind().begin_nested():
            op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except sa.exc.DBAPIError:
        return  # it is not there, or this user may not; vectors are bytes then
    op.execute("ALTER TABLE vectors ALTER COLUMN vector TYPE vector USING NULL")
