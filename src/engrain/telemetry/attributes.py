"""Interactions and feedback as flat OpenTelemetry attributes. Pure functions; words are left out unless asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable

from engrain.records import Feedback, Interaction, Scope
from engrain.telemetry import semconv

Value = str | int | float | tuple[str, ...]


def attributes(interaction: Interaction, *, content: bool = False) -> dict[str, Value]:
    """One interaction as the attributes of a `chat` span.

    What is unknown is absent, not empty, but for the stamp: there "" says that no adapter or no memory took part.
    With `content`, what was said and shown is added too; messages are JSON in the conventions' form of roles and parts.
    """
    found: dict[str, Value] = {
        semconv.OPERATION_NAME: "chat",
        semconv.PROVIDER_NAME: "engrain",
        semconv.REQUEST_MODEL: interaction.stamp.base,
        semconv.RESPONSE_MODEL: interaction.stamp.adapter or interaction.stamp.base,
        semconv.RESPONSE_ID: interaction.id,
        semconv.RESPONSE_FINISH_REASONS: (interaction.finish_reason,),
        semconv.USAGE_INPUT_TOKENS: interaction.usage.input_tokens,
        semconv.USAGE_CACHED_TOKENS: interaction.usage.cached_tokens,
        semconv.USAGE_OUTPUT_TOKENS: interaction.usage.output_tokens,
        semconv.LATENCY_MS: interaction.usage.latency_ms,
        semconv.BASE: interaction.stamp.base,
        semconv.ADAPTER: interaction.stamp.adapter,
        semconv.MEMORY_SNAPSHOT: interaction.stamp.memory,
        semconv.MEMORY_IDS: interaction.context.memory_ids,
        semconv.CONTEXT_TOKENS: interaction.context.tokens,
        **_owner(interaction.scope),
    }
    requested = {
        semconv.REQUEST_TEMPERATURE: interaction.sampling.temperature,
        semconv.REQUEST_MAX_TOKENS: interaction.sampling.max_tokens,
        semconv.REQUEST_SEED: interaction.sampling.seed,
    }
    found |= {name: value for name, value in requested.items() if value is not None}
    if interaction.conversation:
        found[semconv.CONVERSATION_ID] = interaction.conversation
    if content:
        answer = _message("assistant", interaction.answer) | {"finish_reason": interaction.finish_reason}
        found[semconv.INPUT_MESSAGES] = _json(_message(turn.role, turn.content) for turn in interaction.messages)
        found[semconv.OUTPUT_MESSAGES] = _json([answer])
        found[semconv.CONTEXT_TEXT] = interaction.context.text
    return found


def evaluation_attributes(feedback: Feedback, *, content: bool = False) -> dict[str, Value]:
    """One feedback as the attributes of a `gen_ai.evaluation.result` event on the interaction that it judges.

    The text of a comment or correction is what somebody said, so it comes only with `content`.
    """
    found: dict[str, Value] = {
        semconv.EVALUATION_NAME: feedback.name,
        semconv.RESPONSE_ID: feedback.interaction,
        semconv.FEEDBACK_ID: feedback.id,
        semconv.FEEDBACK_KIND: feedback.kind,
        **_owner(feedback.scope),
    }
    if feedback.score is not None:
        found[semconv.EVALUATION_SCORE] = feedback.score
    if content and feedback.text:
        found[semconv.EVALUATION_EXPLANATION] = feedback.text
    return found


def _owner(scope: Scope) -> dict[str, Value]:
    return {semconv.TENANT: scope.tenant, semconv.USER_ID: scope.user}


def _message(role: str, text: str) -> dict[str, object]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _json(messages: Iterable[dict[str, object]]) -> str:
    return json.dumps(list(messages), ensure_ascii=False)
