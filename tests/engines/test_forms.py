"""Answers of a given form."""

from __future__ import annotations

import json
from concurrent.futures import wait
from pathlib import Path

import pytest

from engrain.engines.batching import Batcher
from engrain.engines.local import LocalEngine
from engrain.errors import InputError
from engrain.learner import SPROUT
from engrain.records import Message

ASK = [Message(role="user", content="What is the gate code?")]
SCHEMA = json.dumps(
    {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 99}}, "required": ["n"], "additionalProperties": False}
)  # fmt: skip


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> LocalEngine:
    return LocalEngine(SPROUT, adapters_dir=tmp_path_factory.mktemp("adapters"))


def test_answers_of_a_form_and_free_ones_decode_together(engine: LocalEngine) -> None:
    alone = engine.sample([ASK], max_tokens=20)[0]
    with Batcher(engine, rows=8) as batcher:
        formed = [
            batcher.submit(ASK, max_tokens=20, schema=SCHEMA, temperature=t, seed=i)
            for i, t in enumerate((0.0, 1.0, 2.0))
        ]
        free = batcher.submit(ASK, max_tokens=20)
        wait([t.done for t in (*formed, free)])
    for ticket in formed:
        done = ticket.done.result()
        assert done.finish_reason == "stop" and 0 <= json.loads(done.text)["n"] <= 99
        assert all(p > float("-inf") for p in done.logprobs)
    assert free.done.result().token_ids == alone.token_ids


def test_an_answer_that_is_cut_off_is_the_beginning_of_the_form(engine: LocalEngine) -> None:
    with Batcher(engine, rows=1) as batcher:
        done = batcher.submit(ASK, max_tokens=2, schema=SCHEMA).done.result()
    assert done.finish_reason == "length" and done.text.startswith("{")


@pytest.mark.parametrize(
    ("schema", "said"), [("{", "no JSON schema"), ('{"type": "objct"}', "objct"), ('{"type": "string", "minLength": "x"}', "schema")]
)  # fmt: skip
def test_a_schema_that_cannot_be_held_is_refused(engine: LocalEngine, schema: str, said: str, tmp_path: Path) -> None:
    with Batcher(engine, rows=1) as batcher, pytest.raises(InputError, match=said):
        batcher.submit(ASK, schema=schema)
