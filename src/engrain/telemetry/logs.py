"""Logs, as JSON lines or in words: ids, routes, states and times, never what was said."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TextIO


class JsonLines(logging.Formatter):
    """One JSON object a line: `at` (UTC), `level`, `logger`, `message`, the record's own `fields`, and of an error its type and place.

    The message of an exception is left out: whoever wrote it may have quoted what somebody said.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line: dict[str, Any] = {"at": at, "level": record.levelname.lower(), "logger": record.name}
        line |= {"message": record.getMessage(), **getattr(record, "fields", {})}
        if errors := _errors(record):
            line["error"] = errors
        return json.dumps(line, ensure_ascii=False, default=str)


class Words(logging.Formatter):
    """A line for a person, and below it, of an error, type and place; its message is left out as in `JsonLines`."""

    def format(self, record: logging.LogRecord) -> str:
        """The lines, without the last one's end."""
        at = datetime.fromtimestamp(record.created).isoformat(" ", timespec="seconds")
        lines = [f"{at} {record.levelname} {record.name}: {record.getMessage()}"]
        for error in _errors(record):
            lines += [f"  {error['type']}", *(f"    {place}" for place in error["at"])]
        return "\n".join(lines)


def log_as_json(stream: TextIO | None = None) -> None:
    """From now on this process logs JSON lines (to standard error by default): of engrain what is of use, of others what is wrong."""
    _log(JsonLines(), stream, logging.INFO)


def log_in_words(stream: TextIO | None = None) -> None:
    """From now on this process logs what is wrong, in words (to standard error by default)."""
    _log(Words(), stream, logging.WARNING)


def _log(form: logging.Formatter, stream: TextIO | None, own: int) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(form)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("engrain").setLevel(own)
    logging.captureWarnings(True)


def _errors(record: logging.LogRecord) -> list[dict[str, Any]]:
    """Type and places of the record's error and of those that it came of; none if there is none."""
    error = record.exc_info[1] if record.exc_info else None
    return [] if error is None else [{"type": type(e).__qualname__, "at": _places(e)} for e in _chain(error)]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that it came of."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _places(error: BaseException) -> list[str]:
    return [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
