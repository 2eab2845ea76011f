"""Jobs: long work that waits for a worker."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table of jobs: at most one that is not over for each user."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.String, primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("tenant", "user", "state", "reason", "worker", "stage")),
        sa.Column("share", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("queued_at", sa.Float, nullable=False),
        *(sa.Column(name, sa.Float) for name in ("started_at", "beat_at", "ended_at")),
    )  # fmt: skip
    still = sa.text("state IN ('waiting', 'running')")
    op.create_index("jobs_open", "jobs", ["tenant", "user"], unique=True, sqlite_where=still, postgresql_where=still)
    op.create_index("jobs_state", "jobs", ["state", "queued_at"])
