"""A verifier that holds answers to a JSON schema. Needs the extra: pip install "engrain[verify]"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from engrain.errors import InputError
from engrain.protocols import Finding
from engrain.records import Interaction


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonSchema:
    """Whether an answer, all of it, is one JSON value that the schema allows. Draft 2020-12, or the draft that `$schema` names.

    Strict JSON: no NaN, no key twice, no words around it. A `$ref` to elsewhere is never fetched, and `format` is not checked.
    """

    name: str
    schema: Mapping[str, Any] | bool
    _validator: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            import jsonschema
            from referencing import Registry
        except ModuleNotFoundError as missing:
            raise InputError(f'{missing.name} is not installed; run: pip install "engrain[verify]"') from missing
        kind = jsonschema.validators.validator_for(self.schema, default=jsonschema.Draft202012Validator)
        try:
            kind.check_schema(self.schema)
        except jsonschema.SchemaError as error:
            raise InputError(f"the schema of {self.name} is none: {error.message}") from error
        object.__setattr__(self, "_validator", kind(self.schema, registry=Registry()))

    def verify(self, interaction: Interaction) -> Finding:
        try:
            value = json.loads(interaction.answer, parse_constant=_refuse, object_pairs_hook=_once)
        except (json.JSONDecodeError, RecursionError):
            return Finding(score=0.0, reason="not JSON")
        except ValueError:  # Python reads no number of more than 4,300 digits
            return Finding(score=None, reason="cannot tell: a number of too many digits")
        try:
            wrong = next(self._validator.iter_errors(value), None)
        except RecursionError:
            return Finding(score=None, reason="cannot tell: nested too deeply")
        if wrong is None:
            return Finding(score=1.0, reason="the schema allows it")
        return Finding(score=0.0, reason=f"{wrong.json_path}: breaks {wrong.validator!r}")


def _refuse(constant: str) -> NoReturn:
    raise json.JSONDecodeError(f"{constant} is not JSON", "", 0)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise json.JSONDecodeError("a key stands twice", "", 0)
    return found
