"""The one place where records become JSON and JSON becomes records again.

The form carries a version. A field added to a record later needs nothing here: older JSON takes its default.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, cast, get_args, get_origin, get_type_hints

from engrain.errors import InputError, StoreError
from engrain.records import Adapter, Batch, Record

VERSION = 1
KINDS: dict[str, type[Any]] = {kind.__name__.lower(): kind for kind in get_args(Record)}
"""Kind names, which are also the event names of the ledger: `interaction`, `feedback`, `memory` …"""


def kind_of(record_type: type[Any]) -> str:
    """The kind name of a record type; InputError for a type that the store does not keep."""
    name = record_type.__name__.lower()
    if KINDS.get(name) is not record_type:
        raise InputError(f"{record_type.__name__} is not a record that the store keeps; it keeps {', '.join(KINDS)}")
    return name


def encode(record: Record) -> str:
    """Canonical JSON of a record, pure ASCII (so that even unpaired surrogates survive); InputError if it has none."""
    kind = kind_of(type(record))
    try:
        form = {"version": VERSION, "kind": kind, "id": record.id, "record": record}
        written = json.dumps(form, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_fields)
    except (TypeError, ValueError) as error:  # the id of a batch, too, is made of its JSON
        raise InputError(f"this {kind} cannot be stored as JSON: {error}; use plain finite values") from error
    if not record.id:
        raise InputError(f"this {kind} has an empty id; give it one")
    return written


def decode(text: str) -> Record:
    """The record that `encode` wrote; StoreError if a newer engrain wrote it."""
    form: dict[str, Any] = json.loads(text)
    record_type: Any = KINDS.get(form["kind"])
    if form["version"] > VERSION or record_type is None:
        raise StoreError(f"{form['id']} was written by a newer engrain (form {form['version']}); update engrain")
    build = _builder(record_type)
    assert build is not None
    return cast(Record, build(form["record"]))


def same_content(one: str, other: str) -> bool:
    """Whether two encodings say the same. What is named by its hash may differ in when it was made."""
    return _identity(one) == _identity(other)


def named_by_content(record: Record) -> bool:
    """Whether the id is a hash of the content, so that the same id may rightly come into being twice."""
    return isinstance(record, (Batch, Adapter))


def _identity(text: str) -> dict[str, Any]:
    form: dict[str, Any] = json.loads(text)
    if KINDS[form["kind"]] in (Batch, Adapter):
        del form["record"]["created_at"]
    return form


def _fields(value: Any) -> dict[str, Any]:
    """A record, or a part of one, by the names of its fields; TypeError for anything else that JSON does not know."""
    if not is_dataclass(value) or isinstance(value, type):
        raise TypeError(f"{type(value).__name__} has no JSON")
    return {name: getattr(value, name) for name in _names(type(value))}


@cache
def _names(record_type: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(record_type))


@cache
def _builder(annotation: Any) -> Callable[[Any], Any] | None:
    """How a value from JSON becomes what the annotation names, worked out once; None where it is that already."""
    if isinstance(annotation, type) and is_dataclass(annotation):
        hints, known = get_type_hints(annotation), frozenset(_names(annotation))
        made = {name: build for name in known if (build := _builder(hints[name]))}

        def record(value: dict[str, Any]) -> Any:
            if unknown := sorted(value.keys() - known):
                raise StoreError(f"{annotation.__name__} with fields {unknown} is from a newer engrain; update engrain")
            return annotation(**{name: made[name](item) if name in made else item for name, item in value.items()})

        return record
    if get_origin(annotation) is not tuple:
        return None
    inner = get_args(annotation)
    each = [_builder(one) for one in inner if one is not Ellipsis]
    if inner[-1] is not Ellipsis:
        return lambda value: tuple(b(v) if b else v for b, v in zip(each, value, strict=True))
    if (one := each[0]) is None:
        return tuple
    return lambda value: tuple(map(one, value))
