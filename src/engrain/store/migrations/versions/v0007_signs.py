"""Every memory is filed anew: those that differ in a sign, a flag or an emoji alone were taken for one that was told twice."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Have all of them wait; each user's next query files theirs."""
    op.execute("UPDATE standings SET state = ''")
