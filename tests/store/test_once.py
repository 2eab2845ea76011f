"""A statement that is compiled once takes its values by name."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import bindparam, select

from engrain.store.database import Database
from engrain.store.once import Once
from engrain.store.schema import head


def test_a_name_that_is_bound_twice_is_our_own_mistake(tmp_path: Path) -> None:
    twice = Once(select(head.c.count).where(head.c.hash == bindparam("of"), head.c.hash != bindparam("of")))
    with (
        closing(Database(tmp_path)) as database,
        database.peek() as connection,
        pytest.raises(AssertionError, match="bound twice"),
    ):
        twice(connection, of="x")
