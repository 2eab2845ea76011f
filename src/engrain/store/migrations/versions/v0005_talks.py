"""Of what kind a memory is, and of which talk: kept beside where it stands; all are filed anew. And which deltas name which memory."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """No memory before this was part of a talk."""
    op.drop_index("standings_state", "standings")
    op.drop_column("standings", "style")
    for name in ("kind", "talk"):
        op.add_column("standings", sa.Column(name, sa.String, nullable=False, server_default=""))
    op.add_column("standings", sa.Column("length", sa.Integer, nullable=False, server_default="0"))
    op.create_index("standings_state", "standings", ["tenant", "user", "state", "kind"])
    op.execute("UPDATE standings SET state = ''")
    op.create_table(
        "deltas",
        sa.Column("seq", sa.Integer, sa.ForeignKey("content.seq", ondelete="CASCADE"), primary_key=True),
        sa.Column("target", sa.String, primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("tenant", "user")),
    )
    op.create_index("deltas_target", "deltas", ["tenant", "user", "target"])
