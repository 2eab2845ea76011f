"""Interactions and feedback under OpenTelemetry's names; words only when asked for."""

from __future__ import annotations

import json
from dataclasses import replace

from engrain.records import Context, Feedback, Interaction, Message, Sampling, Scope, Stamp, Usage
from engrain.telemetry import attributes, evaluation_attributes, semconv

SCOPE = Scope(tenant="acme", user="ada")
INTERACTION = Interaction(
    id="int_1",
    scope=SCOPE,
    conversation="conv_1",
    messages=(Message(role="system", content="be brief"), Message(role="user", content="what is the gate code?")),
    context=Context(text="- the gate code is 4417", memory_ids=("mem_1", "mem_2"), tokens=9),
    answer="4417",
    stamp=Stamp(base="b", adapter="a", memory="m"),
    sampling=Sampling(temperature=0.0, max_tokens=64),
    usage=Usage(input_tokens=21, cached_tokens=16, output_tokens=3, latency_ms=12.5),
    finish_reason="length",
)
FEEDBACK = Feedback(
    id="fb_1", scope=SCOPE, interaction="int_1", kind="explicit", name="correction", score=0.0, text="it is 9"
)


def test_an_interaction_becomes_a_chat_span() -> None:
    assert attributes(INTERACTION) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "engrain",
        "gen_ai.request.model": "b",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.max_tokens": 64,
        "gen_ai.response.model": "a",
        "gen_ai.response.id": "int_1",
        "gen_ai.response.finish_reasons": ("length",),
        "gen_ai.usage.input_tokens": 21,
        "gen_ai.usage.cache_read.input_tokens": 16,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.conversation.id": "conv_1",
        "user.id": "ada",
        "engrain.tenant": "acme",
        "engrain.latency_ms": 12.5,
        "engrain.stamp.base": "b",
        "engrain.stamp.adapter": "a",
        "engrain.stamp.memory": "m",
        "engrain.context.memory_ids": ("mem_1", "mem_2"),
        "engrain.context.tokens": 9,
    }


def test_what_was_said_is_added_only_when_asked_for() -> None:
    silent = json.dumps([attributes(INTERACTION), evaluation_attributes(FEEDBACK)])
    assert "4417" not in silent and "gate" not in silent and "brief" not in silent and "it is 9" not in silent
    said = attributes(INTERACTION, content=True)
    assert json.loads(str(said[semconv.INPUT_MESSAGES])) == [
        {"role": "system", "parts": [{"type": "text", "content": "be brief"}]},
        {"role": "user", "parts": [{"type": "text", "content": "what is the gate code?"}]},
    ]
    assert json.loads(str(said[semconv.OUTPUT_MESSAGES])) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "4417"}], "finish_reason": "length"}
    ]
    assert said[semconv.CONTEXT_TEXT] == "- the gate code is 4417"


def test_an_unknown_conversation_is_absent() -> None:
    assert semconv.CONVERSATION_ID not in attributes(replace(INTERACTION, conversation=""))


def test_feedback_becomes_an_evaluation_result_on_its_interaction() -> None:
    assert evaluation_attributes(FEEDBACK, content=True) == {
        "gen_ai.evaluation.name": "correction",
        "gen_ai.evaluation.score.value": 0.0,
        "gen_ai.evaluation.explanation": "it is 9",
        "gen_ai.response.id": "int_1",
        "engrain.feedback.id": "fb_1",
        "engrain.feedback.kind": "explicit",
        "engrain.tenant": "acme",
        "user.id": "ada",
    }


def test_feedback_without_a_score_has_none() -> None:
    assert semconv.EVALUATION_SCORE not in evaluation_attributes(replace(FEEDBACK, score=None))


def test_every_value_is_one_that_an_exporter_can_send() -> None:
    sent = [*attributes(INTERACTION, content=True).values(), *evaluation_attributes(FEEDBACK, content=True).values()]
    assert all(isinstance(value, (str, int, float, tuple)) for value in sent)
