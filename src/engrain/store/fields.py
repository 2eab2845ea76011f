"""What queries read out of stored JSON, in the words of either database.

PostgreSQL reads no JSON in which any string holds a NUL or half a surrogate pair, and people's words may. All of these are written as `\\u…`
(`codec.encode` writes ASCII), so there such escapes are first made plain letters: a word comes out with them, and is put right here.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Float,
    FromClause,
    Integer,
    String,
    cast,
    func,
    literal_column,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator


class _Quoted(TypeDecorator[str]):
    """A word as JSON whose escapes are plain letters."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value).replace(r"\\", r"\u005c").replace(r"\u", r"\\u")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else json.loads(value.replace(r"\\u", r"\u"))


def form_of(connection: Connection, stored: ColumnElement[str]) -> ColumnElement[Any]:
    """A column of JSON as `field` takes it."""
    if connection.dialect.name == "sqlite":
        return stored
    return cast(func.replace(func.replace(stored, r"\\", r"\u005c"), r"\u", r"\\u"), JSONB)


def with_form(connection: Connection, rows: FromClause, stored: Column[str]) -> tuple[FromClause, ColumnElement[Any]]:
    """The rows and the form of a column of theirs, from which several fields are read."""
    if connection.dialect.name == "sqlite":
        return rows, stored
    # With an offset the planner leaves it by itself; it would else read the JSON anew for each field.
    once = select(form_of(connection, stored).label("form")).correlate(stored.table).offset(0).lateral()
    return rows.join(once, true()), once.c.form


def field(
    connection: Connection, form: ColumnElement[Any], path: str, kind: type[int | float | str] = str
) -> ColumnElement[Any]:
    """One field of the record; `path` from there on, such as `stamp.adapter`."""
    if connection.dialect.name == "sqlite":
        return func.json_extract(form, f"$.record.{path}")
    found = func.nullif(cast(func.jsonb_extract_path(form, "record", *path.split(".")), String), "null")
    return type_coerce(found, _Quoted()) if kind is str else cast(found, Integer if kind is int else Float)


def gathered(connection: Connection, column: Column[str]) -> ColumnElement[str]:
    """A JSON array of what the rows of a query have in a column."""
    if connection.dialect.name == "sqlite":
        return func.json_group_array(column)
    return cast(func.coalesce(func.json_agg(column), literal_column("'[]'")), String)
