"""Answers that an upstream makes: what it is asked, and its pieces and their record in the form of one's own answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

from engrain.engines.upstream import UpstreamClient
from engrain.errors import UpstreamFailed
from engrain.gateway.answer import Asked
from engrain.gateway.answering import Answering
from engrain.gateway.wire import ChatRequest
from engrain.prompts import add_context
from engrain.protocols import Completion
from engrain.records import Interaction, Message, ToolCall, new_id

OURS = (
    "model", "user", "safety_identifier", "prompt_cache_key", "metadata", "stream", "stream_options", "n", "seed"
)  # fmt: skip
"""Fields that are set here, or say who asks, which does not leave the box. The `name` of a message does: it is part of what is said."""


class Relayed(Answering):
    """One answer of an upstream on its way; as `server.Answer`, it is recorded whoever listens, as far as it came."""

    def __init__(
        self, upstream: UpstreamClient, body: ChatRequest, asked: Asked, record: Callable[[Asked, Completion, tuple[ToolCall, ...]], Coroutine[Any, Any, Interaction]],
        tasks: set[asyncio.Task[None]],
    ) -> None:  # fmt: skip
        """`record` writes the interaction, durably; `tasks` hold the answers under way."""
        super().__init__(asked, upstream.base)
        self._upstream, self._body, self._record, self._tasks = upstream, body, record, tasks
        self._text: list[str] = []
        self._calls: dict[int, dict[str, str]] = {}
        self._tokens: list[dict[str, Any]] = []
        self._ended, self._usage = "", dict[str, Any]()
        self._keeping: asyncio.Task[Interaction] | None = None

    async def begin(self) -> None:
        """Ask. What is refused is raised here, so that it has its own status."""
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._work(started))
        self._tasks.add(self._task)
        self._task.add_done_callback(self._tasks.discard)
        try:
            await started
        except asyncio.CancelledError:
            self.give_up()
            raise

    def give_up(self) -> None:
        if not self._task.cancelling():
            self._task.cancel()

    def logprobs(self) -> list[dict[str, Any]]:
        """Each token of the answer with its log-probability, where the upstream says."""
        return self._tokens

    async def _work(self, started: asyncio.Future[None]) -> None:
        try:
            if self._body.stream:
                await self._streamed(started)
            else:
                self._whole(await self._upstream.chat(self._asking(stream=False)))
            interaction = await self._kept()
            if not self._body.stream:
                started.set_result(None)
            self._out.put_nowait(interaction)
        except asyncio.CancelledError:  # nobody listens any more
            if self._text or self._keeping is not None:
                await self._kept()
            raise
        except Exception as error:
            if not started.done():
                started.set_exception(error)
            else:
                self._out.put_nowait(error)

    async def _streamed(self, started: asyncio.Future[None]) -> None:
        async with aclosing(self._upstream.stream(self._asking(stream=True))) as chunks:
            async for chunk in chunks:
                if not started.done():
                    started.set_result(None)
                self._usage = chunk.get("usage") or self._usage
                for choice in chunk.get("choices") or ():
                    self._piece(choice)
        if not started.done():
            started.set_result(None)

    def _piece(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta") or {}
        if text := delta.get("content"):
            self._text.append(text)
            self._out.put_nowait(text)
        for call in delta.get("tool_calls") or ():
            self._called(int(call.get("index") or 0), call)
        self._tokens += (choice.get("logprobs") or {}).get("content") or ()
        self._ended = choice.get("finish_reason") or self._ended

    def _whole(self, found: dict[str, Any]) -> None:
        try:
            choice = found["choices"][0]
            message = choice["message"]
            if text := message.get("content"):
                self._text.append(text)
                self._out.put_nowait(text)
            for index, call in enumerate(message.get("tool_calls") or ()):
                self._called(index, call)
        except (LookupError, TypeError, AttributeError) as error:
            raise UpstreamFailed("the upstream's answer holds no message; is it OpenAI-compatible?") from error
        self._tokens = (choice.get("logprobs") or {}).get("content") or []
        self._ended, self._usage = choice.get("finish_reason") or "stop", found.get("usage") or {}

    def _called(self, index: int, call: dict[str, Any]) -> None:
        """A call of a tool, or a further part of one."""
        known = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        function = call.get("function") or {}
        known["id"] = call.get("id") or known["id"]
        known["name"] += function.get("name") or ""
        known["arguments"] += function.get("arguments") or ""

    async def _kept(self) -> Interaction:
        """The answer on record. It is recorded once, however often this is asked for, and whoever gives up waiting."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._record(self.asked, *self._made()))
        return await asyncio.shield(self._keeping)

    def _made(self) -> tuple[Completion, tuple[ToolCall, ...]]:
        text = "".join(self._text)
        calls = tuple(
            ToolCall(id=c["id"] or new_id("call"), name=c["name"], arguments=c["arguments"])
            for _, c in sorted(self._calls.items())
        )
        completion = Completion(
            text=text, token_ids=(), logprobs=tuple(float(t.get("logprob") or 0.0) for t in self._tokens),
            input_tokens=int(self._usage.get("prompt_tokens") or 0), finish_reason=self._ended or "length",
            output_tokens=int(self._usage.get("completion_tokens") or 0),
            cached_tokens=int((self._usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0),
        )  # fmt: skip
        return completion, calls

    def _asking(self, *, stream: bool) -> dict[str, Any]:
        """The body for the upstream: the caller's, with the notes in its system message."""
        said = self._body.model_dump(mode="json", exclude_unset=True, by_alias=True)
        body = {name: value for name, value in said.items() if name not in OURS and value is not None}
        body["model"] = self._upstream.upstream.model if self._body.model == "engrain" else self._body.model
        body["messages"] = shown(body["messages"], self.asked.context.text)
        if self._body.seed is not None:
            body["seed"] = self.asked.seed
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body


def shown(messages: list[dict[str, Any]], context: str) -> list[dict[str, Any]]:
    """The messages with the notes where `prompts.add_context` puts them, whatever else they hold."""
    if not context:
        return messages
    first = messages[0]
    if first.get("role") not in ("system", "developer"):
        return [{"role": "system", "content": context}, *messages]
    content = first.get("content") or ""
    if isinstance(content, list):
        return [first | {"content": [*content, {"type": "text", "text": context}]}, *messages[1:]]
    (merged,) = add_context(context, [Message(role="system", content=content)])
    return [first | {"content": merged.content}, *messages[1:]]
