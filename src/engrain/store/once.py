"""Statements of the request path, compiled once: putting one together anew every time costs many times what running it does."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Executable


class Once:
    """A statement whose values are bound by name, each name once; run, it gives the driver's own cursor."""

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._compiled: dict[str, tuple[str, dict[str, Any], bool]] = {}

    def __call__(self, connection: Connection, /, **values: Any) -> Any:
        """Run it with these values."""
        text, own, positional = self._compiled.get(connection.dialect.name) or self._compile(connection)
        bound = own | values  # in the order of the statement
        cursor = connection.connection.cursor()
        cursor.execute(text, list(bound.values()) if positional else bound)
        return cursor

    def _compile(self, connection: Connection) -> tuple[str, dict[str, Any], bool]:
        compiled: Any = self._statement.compile(dialect=connection.dialect)  # type: ignore[attr-defined]
        names = list(compiled.positiontup or compiled.params)
        assert len(set(names)) == len(names), f"a name is bound twice: {names}"
        own = {name: compiled.params[name] for name in names}
        made = str(compiled), own, bool(compiled.positional)
        self._compiled[connection.dialect.name] = made
        return made
