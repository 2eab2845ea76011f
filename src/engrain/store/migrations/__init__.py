"""How the database file came to be: one numbered step per file in `versions/`. Opening a home applies missing ones."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Connection

SCHEMA = "0007"
"""The newest step that this engrain knows."""

_alembic_is_global = threading.Lock()


def upgrade(connection: Connection) -> None:
    """Apply the missing steps inside the caller's transaction, so that they happen entirely or not at all."""
    from alembic import command  # imported here: only a new or an old database pays for it
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    with _alembic_is_global:
        command.upgrade(config, "head")
