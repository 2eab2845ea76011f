"""OpenAI's forms: what a request may say, and what an answer, its pieces and an error look like on the wire.

Field names, types and limits: openai-python 3.57, `types/chat/`. Unknown fields are tolerated; wrong ones are refused by name.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from engrain.errors import Conflict, InputError, NotFound, ScopeError, StoreError, UpstreamFailed
from engrain.gateway.tools import Choice, Chosen, Tool, call_schema
from engrain.protocols import Completion
from engrain.records import Interaction, Message, Stamp, ToolCall

log = logging.getLogger(__name__)


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"character {error.start} is half of a pair of surrogates; send whole characters") from error
    return text


Text = Annotated[str, AfterValidator(_whole)]

MOST_STOPS = 16
"""Four times what OpenAI takes; each is looked for after every token."""
LONGEST_STOP = 256
"""Characters."""


def _few(stop: str | list[str] | None) -> str | list[str] | None:
    texts = [stop] if isinstance(stop, str) else stop or []
    if len(texts) > MOST_STOPS or any(len(text) > LONGEST_STOP for text in texts):
        raise ValueError(f"give at most {MOST_STOPS} texts of at most {LONGEST_STOP} characters")
    return stop


class Part(BaseModel):
    """One part of a message's content; only text is understood here, and an upstream may understand more."""

    model_config = ConfigDict(extra="allow")

    type: str
    text: Text | None = None


class CalledFunction(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: Text
    arguments: Text = ""


class Call(BaseModel):
    """A tool that the assistant asked for, earlier in the conversation."""

    model_config = ConfigDict(extra="allow")

    id: Text = ""
    function: CalledFunction


class Turn(BaseModel):
    """One message."""

    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Text | list[Part] | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: Text | None = None

    def message(self, place: int, *, any_part: bool = False) -> Message:
        """The record of it. InputError for content that is no text, but where `any_part` may stand there: the record names its type."""
        if isinstance(self.content, list) and any_part:
            text = "\n".join(f"[{p.type}]" if p.text is None else p.text for p in self.content)
        elif isinstance(self.content, list):
            if other := next((p.type for p in self.content if p.type != "text" or p.text is None), None):
                raise InputError(f"messages.{place}.content holds a part of type {other!r}; only text is understood")
            text = "\n".join(p.text or "" for p in self.content)
        else:
            text = self.content or ""
        role = {"developer": "system", "function": "tool"}.get(self.role, self.role)
        calls = tuple(
            ToolCall(id=c.id, name=c.function.name, arguments=c.function.arguments) for c in self.tool_calls or ()
        )
        return Message(role=role, content=text, tool_calls=calls, tool_call_id=self.tool_call_id or "")  # type: ignore[arg-type]


class StreamOptions(BaseModel):
    """What else a stream tells."""

    include_usage: bool = False


class SchemaOf(BaseModel):
    """A JSON schema with its name."""

    model_config = ConfigDict(extra="allow")

    name: str
    schema_: dict[str, Any] = Field(default_factory=dict, alias="schema")


class AnyText(BaseModel):
    type: Literal["text"]


class AnyObject(BaseModel):
    type: Literal["json_object"]


class BySchema(BaseModel):
    type: Literal["json_schema"]
    json_schema: SchemaOf


Format = Annotated[AnyText | AnyObject | BySchema, Field(discriminator="type")]


_EXAMPLE: Any = {"model": "engrain", "messages": [{"role": "user", "content": "The gate code is 4417."}], "user": "ada"}


class ChatRequest(BaseModel):
    """The body of POST /v1/chat/completions."""

    model_config = ConfigDict(extra="allow", strict=True, json_schema_extra={"examples": [_EXAMPLE]})

    model: str
    messages: list[Turn] = Field(min_length=1, max_length=4096)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    n: int | None = Field(default=1, ge=1, le=16)
    stop: Annotated[str | list[str] | None, AfterValidator(_few)] = None
    seed: int | None = None
    logprobs: bool | None = False
    response_format: Format | None = None
    tools: list[Tool] | None = Field(default=None, max_length=128)
    tool_choice: Choice | None = None
    user: Text | None = Field(default=None, max_length=512)
    safety_identifier: Text | None = Field(default=None, max_length=64)
    metadata: dict[str, Text] | None = None

    @property
    def stops(self) -> list[str]:
        """Texts before which an answer ends."""
        return [s for s in ([self.stop] if isinstance(self.stop, str) else self.stop or []) if s]

    @property
    def callable(self) -> list[Tool]:
        """The tools that may be called."""
        return [] if self.tool_choice == "none" else self.tools or []

    @property
    def schema_text(self) -> str:
        """JSON schema that the answer must follow; "" for none. InputError for a tool that is not there."""
        match self.tool_choice:
            case Chosen(function=chosen):
                if all(t.function.name != chosen.name for t in self.callable):
                    raise InputError(f"tool_choice names {chosen.name!r}, which is none of the tools")
                return call_schema(self.callable, chosen.name)
            case "required":
                if not self.callable:
                    raise InputError("tool_choice is 'required', but there are no tools; give some")
                return call_schema(self.callable)
        match self.response_format:
            case AnyObject():
                return '{"type": "object"}'
            case BySchema(json_schema=wanted):
                return json.dumps(wanted.schema_)
        return ""


class FeedbackRequest(BaseModel):
    """The body of POST /v1/feedback."""

    interaction: Text | None = None
    conversation: Text | None = None
    """Instead of an interaction: the last answer of this conversation is meant."""
    rating: bool | float | None = None
    comment: Text = ""
    correction: Text = ""
    user: Text | None = Field(default=None, max_length=512)
    kind: Literal["explicit", "implicit", "automated"] = "explicit"


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    """The field that it is about."""
    code: str | None


class ErrorResponse(BaseModel):
    """The body of every answer that is an error."""

    error: ErrorDetail


ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorResponse, "description": "The request is wrong; `param` names the field."},
    401: {"model": ErrorResponse, "description": "The key is missing or wrong."},
    403: {"model": ErrorResponse, "description": "The key does not allow this."},
    404: {"model": ErrorResponse, "description": "No such record or version."},
    409: {
        "model": ErrorResponse,
        "description": "What the change was worked out from has changed meanwhile; look again.",
    },
    413: {"model": ErrorResponse, "description": "The request is too long."},
    429: {"model": ErrorResponse, "description": "Too many requests of this key; see Retry-After."},
    502: {"model": ErrorResponse, "description": "The upstream failed or cannot be reached."},
    503: {"model": ErrorResponse, "description": "It could not be recorded, or too many wait already."},
}

_EVENT = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["data"],
}
ANSWERED: dict[str, Any] = {
    "content": {"text/event-stream": {"schema": _EVENT}},
    "links": {
        "feedback": {
            "operationId": "feedback_v1_feedback_post",
            "requestBody": {"interaction": "$response.body#/id", "rating": True},
        },
        "goes on": {
            "operationId": "respond_v1_responses_post",
            "requestBody": {"previous_response_id": "$response.body#/id"},
        },
        "record": {
            "operationId": "trace_v1_engrain_records__record__get",
            "parameters": {"path.record": "$response.body#/id", "query.user": "$request.body#/user"},
        },
    },
}
"""How an answer may also come, and what its id is good for."""


def stamp_headers(interaction: str, stamp: Stamp) -> dict[str, str]:
    """What answered, as headers."""
    return {
        "x-engrain-interaction": interaction,
        "x-engrain-base": stamp.base,
        "x-engrain-adapter": stamp.adapter,
        "x-engrain-memory": stamp.memory,
    }


def completion_of(
    made: Sequence[Interaction], model: str, tokens: Sequence[list[dict[str, Any]]] | None
) -> dict[str, Any]:
    """A `chat.completion`: one choice for each interaction; its id is that of the first."""
    first = made[0]
    return {
        "id": first.id,
        "object": "chat.completion",
        "created": int(first.created_at),
        "model": model,
        "system_fingerprint": first.stamp.adapter[:16] or first.stamp.base[:16],
        "choices": [
            {
                "index": i,
                "message": _said(interaction),
                "finish_reason": interaction.finish_reason,
                "logprobs": None if tokens is None else {"content": tokens[i], "refusal": None},
                "engrain": stamp_headers(interaction.id, interaction.stamp),
            }
            for i, interaction in enumerate(made)
        ],
        "usage": _cost(made),
    }


def _said(interaction: Interaction) -> dict[str, Any]:
    """An answer as a message."""
    message: dict[str, Any] = {"role": "assistant", "content": interaction.answer, "refusal": None}
    if interaction.tool_calls:
        message |= {"content": interaction.answer or None, "tool_calls": _called(interaction.tool_calls)}
    return message


def _called(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    return [{"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}} for c in calls]


def _cost(made: Sequence[Interaction]) -> dict[str, Any]:
    """What several choices cost together: the prompt, which they share, counts once."""
    read, written = made[0].usage, sum(i.usage.output_tokens for i in made)
    return {
        "prompt_tokens": read.input_tokens, "completion_tokens": written, "total_tokens": read.input_tokens + written,
        "prompt_tokens_details": {"cached_tokens": read.cached_tokens},
    }  # fmt: skip


class ChatEvents:
    """Answers as a stream of `chat.completion.chunk`s; `choice` says which of them."""

    def __init__(self, body: ChatRequest, name: str, created: int) -> None:
        self._body, self._name, self._created = body, name, created

    def begin(self, choice: int) -> list[str]:
        """Whose turn it is."""
        return [event(self._chunk({"role": "assistant", "content": ""}, choice))]

    def piece(self, text: str, choice: int) -> list[str]:
        """More of the text."""
        return [event(self._chunk({"content": text}, choice))]

    def end(self, interaction: Interaction, choice: int) -> list[str]:
        """What it asks to have called, how it ended, and what answered."""
        calls = [{"index": i} | call for i, call in enumerate(_called(interaction.tool_calls))]
        events = [event(self._chunk({"tool_calls": calls}, choice))] if calls else []
        last = self._chunk({}, choice, finish=interaction.finish_reason)
        return [*events, event(last | {"engrain": stamp_headers(interaction.id, interaction.stamp)})]

    def over(self, made: Sequence[Interaction]) -> list[str]:
        """What it cost, if that was asked for, and that it is over."""
        events: list[str] = []
        if self._body.stream_options is not None and self._body.stream_options.include_usage:
            events = [event(self._chunk({}, 0) | {"choices": [], "usage": _cost(made)})]
        return [*events, event("[DONE]")]

    def fail(self, error: dict[str, Any]) -> list[str]:
        """It ends with this error."""
        return [event(error)]

    def _chunk(self, delta: dict[str, Any], place: int, finish: str | None = None) -> dict[str, Any]:
        choice = {"index": place, "delta": delta, "finish_reason": finish, "logprobs": None}
        return {
            "id": self._name,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._body.model,
            "choices": [choice],
        }


class EmbeddingsRequest(BaseModel):
    """The body of POST /v1/embeddings."""

    model_config = ConfigDict(extra="allow", strict=True)

    model: str
    input: Text | Annotated[list[Text], Field(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = Field(default=None, ge=1)

    @property
    def texts(self) -> list[str]:
        """What to embed. InputError for an empty text, which has no direction."""
        texts = [self.input] if isinstance(self.input, str) else self.input
        if empty := next((str(i) for i, text in enumerate(texts) if not text.strip()), None):
            raise InputError(f"input.{empty} is empty; give a text")
        return texts


def embeddings_of(vectors: np.ndarray, body: EmbeddingsRequest, name: str, tokens: int) -> dict[str, Any]:
    """A list of `embedding`s, float32 [texts, dimension], as numbers or as base64 of their little-endian bytes."""
    rows = [
        base64.b64encode(row.astype("<f4").tobytes()).decode() if body.encoding_format == "base64" else row.tolist()
        for row in vectors
    ]
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)],
        "model": name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def token_logprobs(completion: Completion, texts: list[str]) -> list[dict[str, Any]]:
    """Log-probability of each token of the answer, nats; the end-of-turn token is left out, as OpenAI does."""
    return [
        {"token": text, "logprob": logprob, "bytes": list(text.encode()), "top_logprobs": []}
        for text, logprob in zip(texts, completion.logprobs, strict=False)
    ]


def event(data: dict[str, Any] | str) -> str:
    """One server-sent event."""
    return f"data: {data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


def error_of(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and body of what went wrong; what was not raised on purpose tells nothing of itself."""
    match error:
        case UpstreamFailed():
            kind = (
                "rate_limit_error"
                if error.status == 429
                else "invalid_request_error"
                if error.status < 500
                else "server_error"
            )
            return error.status, error_body(str(error), kind, code="upstream_failed")
        case NotFound() | ScopeError():  # somebody else's record is not there either
            return 404, error_body("no such record or version", "invalid_request_error", code="not_found")
        case Conflict():
            return 409, error_body(str(error), "invalid_request_error", code="conflict")
        case InputError():
            return 400, error_body(str(error), "invalid_request_error", code="invalid_value")
        case StoreError():
            log.error("not recorded: %s", error)
            return 503, error_body(
                "it could not be recorded, so it was not answered; ask again", "server_error", code="not_recorded"
            )
        case _:
            return 500, error_body("the server failed; its log says why", "server_error", code="internal_error")


def error_body(message: str, kind: str, *, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
