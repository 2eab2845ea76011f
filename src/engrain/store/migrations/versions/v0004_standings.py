"""Where each memory stands, and what it has in common with others: kept, so that it need not be derived anew from all of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables; every memory that is there waits to be filed."""
    op.create_table(
        "standings",
        sa.Column("seq", sa.Integer, sa.ForeignKey("content.seq", ondelete="CASCADE"), primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("tenant", "user", "state", "by")),
        sa.Column("until", sa.Float),
        sa.Column("confirmations", sa.Integer, nullable=False),
        sa.Column("style", sa.Boolean, nullable=False),
    )
    op.create_index("standings_state", "standings", ["tenant", "user", "state", "style"])
    op.create_table(
        "topics",
        sa.Column("seq", sa.Integer, sa.ForeignKey("content.seq", ondelete="CASCADE"), primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("tenant", "user")),
    )
    op.create_index("topics_key", "topics", ["tenant", "user", "key"])
    op.create_table(
        "states",
        *(sa.Column(name, sa.String, primary_key=True) for name in ("tenant", "user")),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("last", "there")),
    )
    op.execute(
        'INSERT INTO states (tenant, "user", last, there) '
        'SELECT tenant, "user", max(subjects.seq), count(content.seq) FROM subjects LEFT JOIN content ON content.seq = subjects.seq '
        "WHERE kind = 'memory' GROUP BY tenant, \"user\""
    )
    op.execute(
        'INSERT INTO standings (seq, tenant, "user", state, by, confirmations, style) '
        "SELECT content.seq, tenant, \"user\", '', '', 0, false FROM content JOIN subjects ON subjects.seq = content.seq WHERE kind = 'memory'"
    )
