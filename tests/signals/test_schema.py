"""An answer is one JSON value that the schema allows, or it is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from answers import answered
from hypothesis import given
from hypothesis import strategies as st

from engrain.errors import InputError
from engrain.signals import JsonSchema

PERSON = {
    "type": "object", "required": ["name"], "additionalProperties": False,
    "properties": {"name": {"type": "string", "minLength": 1}, "age": {"type": "integer", "minimum": 0}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ('{"name": "Ada", "age": 36}', 1.0), ('\n {"name": "Zoë 🦆"} ', 1.0), ('{"name": ""}', 0.0), ('{"age": 36}', 0.0), ('{"name": "Ada", "age": -1}', 0.0),
        ('{"name": "Ada", "x": 1}', 0.0), ('Here it is: {"name": "Ada"}', 0.0), ('{"name": "Ada"', 0.0), ("", 0.0), ("null", 0.0),
        ('{"name": "Ada", "name": "Ben"}', 0.0), ('{"name": "Ada", "age": NaN}', 0.0), ("[" * 100_000, 0.0),
    ],
)  # fmt: skip
def test_the_whole_answer_is_held_to_the_schema(answer: str, score: float) -> None:
    assert JsonSchema(name="person", schema=PERSON).verify(answered(answer)).score == score


def test_a_number_that_is_too_long_to_be_read_cannot_be_told() -> None:
    found = JsonSchema(name="any", schema=True).verify(answered("[" + "9" * 5000 + "]"))
    assert found.score is None and "digits" in found.reason


def test_the_reason_says_where_and_what_and_not_the_words() -> None:
    found = JsonSchema(name="person", schema=PERSON).verify(answered('{"name": "Ada", "age": "secret"}'))
    assert found.reason == "$.age: breaks 'type'"


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="the schema of bad is none"):
        JsonSchema(name="bad", schema={"type": "strnig"})


def test_what_a_schema_refers_to_elsewhere_is_never_fetched() -> None:
    check = JsonSchema(name="far", schema={"$ref": "https://example.org/person.json"})
    with pytest.raises(Exception, match="example"):  # `findings` makes it "cannot tell"
        check.verify(answered("{}"))


_json = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=10)  # fmt: skip


@given(_json)
def test_any_value_keeps_to_the_schema_that_allows_all_and_breaks_the_one_that_allows_none(value: Any) -> None:
    text = answered(json.dumps(value))
    assert JsonSchema(name="all", schema=True).verify(text).score == 1.0
    assert JsonSchema(name="none", schema=False).verify(text).score == 0.0
