"""Memory is tried over a file; that PostgreSQL gives the same is the store's affair (tests/store)."""

from __future__ import annotations

import pytest


@pytest.fixture
def database() -> str:
    """The file in the home."""
    return ""
