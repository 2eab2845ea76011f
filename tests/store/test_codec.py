"""Every record survives the journey through JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engrain.errors import InputError, StoreError
from engrain.records import (
    Adapter,
    Batch,
    Canary,
    Context,
    Delta,
    Evidence,
    Example,
    Feedback,
    Interaction,
    ItemResult,
    Memory,
    Message,
    Receipt,
    Record,
    Sampling,
    Scope,
    Signal,
    Stamp,
    Task,
    Usage,
    Verdict,
)
from engrain.store.codec import KINDS, decode, encode, kind_of, same_content

S = Scope(tenant="acme", user="ada")
HI = Message(role="user", content="hi")
EXAMPLE = Example(query=(HI,), context="note", reference="yes", role="replay", memory_ids=("mem_1",))
RESULT = ItemResult(item="x", group="new", question="q", expected="a", answer="b", right=False, latency_ms=1.5)
RECORDS: list[Record] = [
    Interaction(
        scope=S,
        conversation="c1",
        messages=(HI, Message(role="assistant", content="yes?")),
        context=Context(text="notes", memory_ids=("mem_1", "mem_2"), tokens=7),
        answer="hello",
        stamp=Stamp(base="b", adapter="a", memory="m"),
        sampling=Sampling(temperature=0.7, max_tokens=64, seed=3),
        usage=Usage(input_tokens=3, cached_tokens=1, output_tokens=2, latency_ms=0.25),
        token_ids=(1, 2),
        logprobs=(-0.1, -2.5e-9),
        causes=("int_0",),
    ),
    Feedback(scope=S, interaction="int_1", kind="implicit", score=None, text="no"),
    Feedback(scope=S, interaction="int_1", score=0.5),
    Memory(scope=S, text="a fact", valid_from=1.5, supersedes=("mem_0",), mutable=True),
    Delta(scope=S, operator="merge", targets=("mem_1",), into="mem_2", reason="they say the same"),
    Signal(scope=S, memory="mem_1", route="weights", reason="durable"),
    Batch(
        scope=S, parent="", train=(EXAMPLE,), holdout=(), memory_ids=("mem_1",), settings={"rank": 16, "on": [1, None]}
    ),
    Adapter(id="a" * 64, scope=S, base="b", memory_ids=("mem_1",), scale=0.5),
    Task(scope=S, question="q", answer="a"),
    Evidence(scope=S, adapter="a", suite="s", results=(RESULT, RESULT)),
    Verdict(scope=S, decision="hold", reasons=("too few", "items"), candidate="a"),
    Canary(scope=S, candidate="a", against="b", verdict="ver_1", share=0.5, margin=0.1, alpha=0.05, causes=("ver_1",)),
    Receipt(scope=S, asked="mem_1", removed=("mem_1",), rebuilt=(("a", "b"), ("c", ""))),
]


def test_the_examples_below_cover_every_kind_of_record() -> None:
    assert {kind_of(type(record)) for record in RECORDS} == set(KINDS)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_equal(record: Record) -> None:
    assert decode(encode(record)) == record


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_any_text_comes_back_unchanged_even_unpaired_surrogates(text: str) -> None:
    record = Memory(scope=S, text=text, valid_from=0.0)
    written = encode(record)
    assert written.isascii()
    assert decode(written) == record


def test_a_field_added_later_takes_its_default_in_older_json() -> None:
    memory = Memory(scope=S, text="x", valid_from=0.0)
    form = json.loads(encode(memory))
    del form["record"]["mutable"]
    assert decode(json.dumps(form)) == memory


@pytest.mark.parametrize("change", [{"version": 2}, {"kind": "dream"}])
def test_json_from_a_newer_engrain_is_refused(change: dict[str, object]) -> None:
    form = json.loads(encode(RECORDS[3])) | change
    with pytest.raises(StoreError, match="update engrain"):
        decode(json.dumps(form))


def test_an_unknown_field_is_refused_and_not_dropped() -> None:
    form = json.loads(encode(RECORDS[3]))
    form["record"]["mood"] = "blue"
    with pytest.raises(StoreError, match="mood"):
        decode(json.dumps(form))


@pytest.mark.parametrize("settings", [{"rate": float("nan")}, {"where": object()}, {1: "a", "b": 2}])
def test_what_json_cannot_say_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="this batch cannot be stored as JSON"):
        encode(Batch(scope=S, parent="", train=(), holdout=(), memory_ids=(), settings=settings))


def test_an_empty_id_is_refused() -> None:
    with pytest.raises(InputError, match="empty id"):
        encode(Adapter(id="", scope=S, base="b"))


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(InputError, match="Example is not a record"):
        kind_of(Example)


def test_only_what_is_named_by_its_content_may_differ_in_when_it_was_made() -> None:
    adapter = next(r for r in RECORDS if isinstance(r, Adapter))
    memory = next(r for r in RECORDS if isinstance(r, Memory))
    assert same_content(encode(adapter), encode(replace(adapter, created_at=1.0)))
    assert not same_content(encode(adapter), encode(replace(adapter, scale=0.25, created_at=1.0)))
    assert not same_content(encode(memory), encode(replace(memory, recorded_at=1.0)))
