"""OpenAI's Responses API on the wire: text in, text out, in one piece or as typed events.

A response's id is its interaction's, so `previous_response_id` goes on from what is on record. Field names and the order of events:
openai-python 3.57, `types/responses/`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from engrain.errors import InputError
from engrain.gateway.wire import ChatRequest, Part, Text, Turn, stamp_headers
from engrain.records import Interaction, Message


class InputItem(BaseModel):
    """One message of the input; other items (calls, reasoning) are refused by their type."""

    type: str = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: Text | list[Part] | None = None

    def turn(self, place: int) -> Turn:
        """The message as chat completions have it."""
        if self.type != "message" or self.role is None:
            raise InputError(
                f"input.{place} is a {self.type!r} without a text of its own; only messages are understood"
            )
        if not isinstance(self.content, list):
            return Turn(role=self.role, content=self.content)
        kinds = ("input_text", "output_text", "text")
        if other := next((p.type for p in self.content if p.type not in kinds or p.text is None), None):
            raise InputError(f"input.{place}.content holds a part of type {other!r}; only text is understood")
        return Turn(role=self.role, content="\n".join(p.text or "" for p in self.content))


_EXAMPLE: Any = {"model": "engrain", "input": "What is the gate code?", "user": "ada"}


class ResponsesRequest(BaseModel):
    """The body of POST /v1/responses."""

    model_config = ConfigDict(extra="allow", strict=True, json_schema_extra={"examples": [_EXAMPLE]})

    model: str
    input: Text | list[InputItem] = Field(min_length=1)
    instructions: Text | None = None
    previous_response_id: Text | None = None
    stream: bool | None = False
    max_output_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    user: Text | None = Field(default=None, max_length=512)
    safety_identifier: Text | None = Field(default=None, max_length=64)
    metadata: dict[str, Text] | None = None

    def chat(self, earlier: Interaction | None) -> ChatRequest:
        """The same request as a chat completion, after what was said `earlier`; instructions are of this request alone."""
        turns = [Turn(role="system", content=self.instructions)] if self.instructions else []
        if earlier is not None:
            said = [*earlier.messages, Message(role="assistant", content=earlier.answer)]
            turns += [Turn(role=m.role, content=m.content) for m in said if m.role != "system"]
        if isinstance(self.input, str):
            turns.append(Turn(role="user", content=self.input))
        else:
            turns += [item.turn(place) for place, item in enumerate(self.input)]
        return ChatRequest(
            model=self.model, messages=turns, stream=self.stream, max_completion_tokens=self.max_output_tokens,
            temperature=self.temperature, top_p=self.top_p, user=self.user, safety_identifier=self.safety_identifier, metadata=self.metadata,
        )  # fmt: skip


def response_of(interaction: Interaction, body: ResponsesRequest) -> dict[str, Any]:
    """A `response` that has ended."""
    short = interaction.finish_reason == "length"
    usage = interaction.usage
    return _begun(interaction.id, int(interaction.created_at), body) | {
        "status": "incomplete" if short else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if short else None,
        "output": [_message(interaction.id, interaction.answer, "incomplete" if short else "completed")],
        "usage": {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens},
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage.input_tokens + usage.output_tokens,
        },
    }


class ResponseEvents:
    """One response as a stream of typed events; there is never a second choice."""

    def __init__(self, body: ResponsesRequest, name: str, created: int) -> None:
        self._body, self._name, self._created = body, name, created
        self._number = 0

    def begin(self, choice: int) -> list[str]:
        """It is under way, and its one message begins."""
        begun = _begun(self._name, self._created, self._body)
        return [
            self._event("response.created", response=begun),
            self._event("response.in_progress", response=begun),
            self._event("response.output_item.added", output_index=0, item=_message(self._name, None, "in_progress")),
            self._event("response.content_part.added", **self._place(), part=_part("")),
        ]

    def piece(self, text: str, choice: int) -> list[str]:
        """More of the text."""
        return [self._event("response.output_text.delta", **self._place(), delta=text, logprobs=[])]

    def end(self, interaction: Interaction, choice: int) -> list[str]:
        """All of it, how it ended and what it cost."""
        text = interaction.answer
        done = response_of(interaction, self._body)
        last = "response.incomplete" if done["status"] == "incomplete" else "response.completed"
        return [
            self._event("response.output_text.done", **self._place(), text=text, logprobs=[]),
            self._event("response.content_part.done", **self._place(), part=_part(text)),
            self._event("response.output_item.done", output_index=0, item=done["output"][0]),
            self._event(last, response=done, engrain=stamp_headers(interaction.id, interaction.stamp)),
        ]

    def over(self, made: Sequence[Interaction]) -> list[str]:
        """Its last event says that it is over."""
        return []

    def fail(self, error: dict[str, Any]) -> list[str]:
        """It ends with this error."""
        said = error["error"]
        return [self._event("error", message=said["message"], code=said["code"], param=said["param"])]

    def _place(self) -> dict[str, Any]:
        return {"item_id": _item(self._name), "output_index": 0, "content_index": 0}

    def _event(self, kind: str, **fields: Any) -> str:
        data = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


def _begun(name: str, created: int, body: ResponsesRequest) -> dict[str, Any]:
    return {
        "id": name, "object": "response", "created_at": created, "status": "in_progress", "error": None,
        "incomplete_details": None, "instructions": body.instructions, "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {}, "model": body.model, "output": [], "parallel_tool_calls": True,
        "previous_response_id": body.previous_response_id, "temperature": body.temperature, "tool_choice": "auto", "tools": [],
        "top_p": body.top_p, "text": {"format": {"type": "text"}}, "user": body.user, "usage": None,
    }  # fmt: skip


def _message(name: str, text: str | None, status: str) -> dict[str, Any]:
    content = [] if text is None else [_part(text)]
    return {"id": _item(name), "type": "message", "role": "assistant", "status": status, "content": content}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _item(name: str) -> str:
    return f"msg_{name}"
