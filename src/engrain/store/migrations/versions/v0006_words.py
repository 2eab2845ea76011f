"""The words of all memories in one table instead of an FTS5 index for each user, which made ten thousand of them five tables each."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import sqlalchemy as sa
from alembic import op

from engrain.store.stems import stems

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the tables, read the words of every memory again, and drop the indexes that were."""
    op.create_table(
        "lexicons",
        sa.Column("number", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("tenant", "user")),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("notes", "length")),
        sa.UniqueConstraint("tenant", "user"),
    )
    op.create_table(
        "words",
        sa.Column("lexicon", sa.Integer, sa.ForeignKey("lexicons.number"), primary_key=True),
        sa.Column("stem", sa.String, primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("count", "length")),
        sqlite_with_rowid=False,
    )
    run = op.get_bind().exec_driver_sql
    if op.get_bind().dialect.name == "postgresql":  # no engrain kept anything there before this step
        run(
            "ALTER TABLE words ALTER COLUMN stem SET STATISTICS 0"
        )  # its statistics are samples of what was said, and no erasure reaches them
        return
    for (name,) in run(
        "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE words!_%' ESCAPE '!'"
    ).all():
        run(f"DROP TABLE {name}")
    numbers: dict[tuple[str, str], int] = {}
    there = "SELECT s.seq, s.tenant, s.user, c.json FROM subjects s JOIN content c ON c.seq = s.seq WHERE s.kind = 'memory' ORDER BY s.seq"
    for seq, tenant, user, text in run(there):
        found = stems(_searched(json.loads(text)["record"]).encode("utf-8", "replace").decode())
        if not found:
            continue
        if (tenant, user) not in numbers:
            numbers[tenant, user] = len(numbers) + 1
            run("INSERT INTO lexicons VALUES (?, ?, ?, 0, 0)", (numbers[tenant, user], tenant, user))
        number = numbers[tenant, user]
        run("UPDATE lexicons SET notes = notes + 1, length = length + ? WHERE number = ?", (len(found), number))
        rows = [(number, stem, seq, count, len(found)) for stem, count in Counter(found).items()]
        run("INSERT INTO words VALUES (?, ?, ?, ?, ?)", rows)


def _searched(record: dict[str, Any]) -> str:
    """What a memory is found by."""
    about = [
        v for n, v in record.get("attributes", ()) if n in ("keywords", "tags", "context", "SKILL.md") and v.strip()
    ]
    return "\n".join([record["text"], *about]) if record["text"].strip() else record["text"]
