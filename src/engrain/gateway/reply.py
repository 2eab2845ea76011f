"""From a request for an answer to its response: made ready, asked for, recorded, and sent in the form of the API that was asked."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from engrain.adapters.versions import let_through, resolve
from engrain.engines.batching import Batcher, OpenTo, Ticket
from engrain.engines.local import LocalEngine
from engrain.engines.upstream import UpstreamClient
from engrain.errors import EngrainError, InputError, NotFound
from engrain.gateway import wire
from engrain.gateway.answer import (
    ATTEMPTS,
    Asked,
    Serving,
    cut_to_window,
    first_tokens,
    interaction_of,
    latest,
    prepare,
)
from engrain.gateway.answering import Answering
from engrain.gateway.growing import Growing
from engrain.gateway.limits import Limits
from engrain.gateway.metrics import Metrics
from engrain.gateway.recording import Recorder
from engrain.gateway.relay import Relayed
from engrain.gateway.tools import split
from engrain.memory import Shelf
from engrain.protocols import Completion, Conversation, Embedder
from engrain.records import Feedback, Interaction, Message, Sampling, Scope, ToolCall, new_id
from engrain.store import SqlStore

if TYPE_CHECKING:
    from engrain.telemetry.tracing import Tracing

log = logging.getLogger(__name__)

Made = TypeVar("Made")

LISTEN_S = 0.25
"""Between two looks whether the caller of an answer in one piece still waits for it."""
LIVE = "engrain"
"""The model name for whatever version is live for the user who asks; `base` is the bare base, a hash or number one version."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """What the routes work with."""

    store: SqlStore
    recorder: Recorder
    engine: LocalEngine
    batcher: Batcher
    upstream: UpstreamClient | None = None
    """What answers instead of the engine, which then only says which notes a message leaves."""
    embedder: Embedder
    serving: Serving
    tenant: str = "local"
    """Whose requests those are that come without a key, which is possible only while there are no keys."""
    after: Callable[[Interaction, bool], None]
    """What is done with a recorded interaction before its answer ends: what it says of the answer before is recorded and, if the second
    argument says so, it becomes memory."""
    on_feedback: Callable[[Scope, wire.FeedbackRequest], list[Feedback]]
    limits: Limits = field(default_factory=Limits)
    metrics: Metrics = field(default_factory=Metrics)
    shelf: Shelf = field(default_factory=Shelf)
    tracing: Tracing | None = None
    """Where spans go; None: nowhere."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    """Answers under way; each goes on to its record whoever listens."""
    preparing: set[object] = field(default_factory=set[object])
    """Requests that are being made ready."""

    @property
    def waiting(self) -> int:
        """Requests that nobody has begun to answer yet; before an upstream, also those that it answers."""
        return len(self.preparing) + (len(self.tasks) if self.upstream else self.batcher.waiting)

    @property
    def base(self) -> str:
        """What answers, without any version: the hash of the engine's base, or the upstream's name."""
        return self.engine.base if self.upstream is None else self.upstream.base

    async def keep(
        self,
        asked: Asked,
        completion: Completion,
        calls: Sequence[ToolCall],
        *,
        telling: Telling | None,
        sampling: Sampling | None = None,
    ) -> Interaction:
        """The answer on disk, counted, and what was said remembered unless it is already. NotFound if something that it was made from is
        forgotten meanwhile."""
        verdict = ""
        if asked.version:
            verdict = await run_in_threadpool(let_through, self.store, asked.scope, asked.version)
        interaction = interaction_of(asked, completion, base=self.base, verdict=verdict, calls=calls, sampling=sampling)
        await self.recorder.append(interaction)
        if self.tracing is not None:
            self.tracing.answered(interaction)
        self.metrics.tokens.labels("read").inc(interaction.usage.input_tokens - interaction.usage.cached_tokens)
        self.metrics.tokens.labels("cached").inc(interaction.usage.cached_tokens)
        self.metrics.tokens.labels("written").inc(interaction.usage.output_tokens)
        self.metrics.notes.inc(interaction.context.tokens)
        if telling is not None and not telling.over and (asked.memory or asked.conversation or len(asked.messages) > 1):
            telling.over = True
            await run_in_threadpool(self.after, interaction, asked.memory)
        return interaction


@dataclass(slots=True)
class Telling:
    """What a user says in one request, which becomes memory with one answer, however many there are and however often it is tried."""

    over: bool = False


def ready(service: Service, body: wire.ChatRequest, scope: Scope, conversation: str, *, memory: bool) -> Asked:
    """The request made ready to answer."""
    messages = [turn.message(i, any_part=service.upstream is not None) for i, turn in enumerate(body.messages)]
    if not any(m.content.strip() for m in messages):
        raise InputError("messages: all are empty; say or ask something")
    tools = [tool.model_dump(mode="json", exclude_unset=True) for tool in body.tools or ()]
    offered = json.dumps(tools, ensure_ascii=False) if tools else ""
    if service.upstream is not None:  # it has its own window and its own ways to draw
        asked = prepare(
            service.store, service.engine, service.embedder, messages, scope=scope, conversation=conversation, memory=memory, adapter="",
            serving=service.serving, seed=body.seed or 0, shelf=service.shelf,
        )  # fmt: skip
        return replace(asked, tools=offered)
    most = body.max_completion_tokens or body.max_tokens
    serving = cut_to_window(service.engine, service.serving, most)
    if body.temperature is not None:
        serving = replace(serving, temperature=body.temperature)
    if body.top_p is not None:
        serving = replace(serving, top_p=body.top_p)
    adapter = None if body.model == LIVE else resolve(service.store, scope, body.model)

    def say(shown: Conversation, version: str) -> str:
        readers = open_to(scope, messages)
        most = first_tokens(service.engine)
        return service.batcher.sample([shown], adapter=version, max_tokens=most, open_to=readers)[0].text

    seed = body.seed if body.seed is not None else 0 if serving.temperature == 0 else secrets.randbits(31)
    asked = prepare(
        service.store, service.engine, service.embedder, latest(service.engine, messages, serving, memory=memory),
        scope=scope, conversation=conversation, memory=memory, adapter=adapter, serving=serving, seed=seed, say=say, shelf=service.shelf,
    )  # fmt: skip
    return replace(asked, tools=offered)


def open_to(scope: Scope, messages: Conversation) -> OpenTo:
    """Who may go on from what is read for this request: its user from all of it, others of the tenant from the application's own words."""
    if messages[0].role != "system":
        return {scope: None}
    return {scope: None, scope.tenant: (messages[0], Message(role="user", content=""))}


async def reply(
    service: Service,
    request: Request,
    body: wire.ChatRequest,
    scope: Scope,
    conversation: str,
    memory: Literal["on", "off"],
    stream: Callable[[str], Events],
    whole: Callable[[Sequence[Answering], Sequence[Interaction]], dict[str, Any]],
) -> Response:
    """The answer to a request, in the form of the API that was asked."""
    telling = Telling()

    async def begun() -> list[Answering]:
        if service.waiting >= service.limits.waiting:
            said = f"{service.limits.waiting} requests wait already; ask again in a moment"
            raise HTTPException(503, said, headers={"retry-after": "1"})
        this = object()
        service.preparing.add(this)
        try:
            prepared = partial(ready, service, body, scope, conversation, memory=memory == "on")
            looks = service.upstream is None or memory == "on"
            asked = await run_in_threadpool(prepared) if looks else prepared()
            more = [replace(asked, id=new_id("int"), seed=asked.seed + i) for i in range(1, body.n or 1)]
            answers = [answering(service, body, one, telling if one is asked else None) for one in (asked, *more)]
            await all_begun(answers)
            return answers
        finally:
            service.preparing.discard(this)

    if body.stream:  # what cannot be answered at all is an error with its own status, not one in the stream
        answers = await begun()
        first = answers[0]
        headers = wire.stamp_headers(first.asked.id, first.stamp) | {"cache-control": "no-store"}
        sent = events(answers, stream(first.asked.id))
        return StreamingResponse(sent, media_type="text/event-stream", headers=headers)

    async def finished() -> tuple[list[Answering], list[Interaction]]:
        answers = await begun()
        made = {place: item async for place, item in together(answers) if isinstance(item, Interaction)}
        return answers, [made[place] for place in sorted(made)]

    for attempt in range(ATTEMPTS):
        try:
            answers, done = await while_listening(request, finished())
            break
        except NotFound:  # what it was made from was forgotten meanwhile
            if attempt == ATTEMPTS - 1:
                raise
    return JSONResponse(whole(answers, done), headers=wire.stamp_headers(done[0].id, done[0].stamp))


async def all_begun(answers: Sequence[Answering]) -> None:
    """Begin all of them, or none: if one is refused or nobody waits any more, the others are given up."""
    begun: list[Answering] = []

    async def begin(answer: Answering) -> None:
        await answer.begin()
        begun.append(answer)

    tasks = [asyncio.create_task(begin(answer)) for answer in answers]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for answer in begun:
            answer.give_up()
        raise


async def while_listening(request: Request, making: Coroutine[Any, Any, Made]) -> Made:
    """What this makes; given up, with whatever it waits for, when the caller hangs up."""
    task = asyncio.create_task(making)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=LISTEN_S)
            if not task.done() and await request.is_disconnected():
                raise HTTPException(499, "the caller hung up")
        return task.result()
    finally:
        task.cancel()


def answering(service: Service, body: wire.ChatRequest, asked: Asked, telling: Telling | None) -> Answering:
    """The answer to this request; without a `telling`, nothing that the user said becomes memory with it."""
    if service.upstream is None:
        return Answer(service, body, asked, telling)

    async def record(asked: Asked, completion: Completion, calls: tuple[ToolCall, ...]) -> Interaction:
        most = body.max_completion_tokens or body.max_tokens
        how = Sampling(temperature=body.temperature, max_tokens=most, seed=body.seed, top_p=body.top_p)
        return await service.keep(asked, completion, calls, telling=telling, sampling=how)

    return Relayed(service.upstream, body, asked, record, service.tasks)


class Events(Protocol):
    """An answer as one API's server-sent events."""

    def begin(self, choice: int) -> list[str]: ...

    def piece(self, text: str, choice: int) -> list[str]: ...

    def end(self, interaction: Interaction, choice: int) -> list[str]: ...

    def over(self, made: Sequence[Interaction]) -> list[str]: ...

    def fail(self, error: dict[str, Any]) -> list[str]: ...


async def together(answers: Sequence[Answering]) -> AsyncIterator[tuple[int, str | Interaction]]:
    """What comes of the answers, each piece with its answer's place. Whoever stops listening gives all of them up."""
    if len(answers) == 1:
        async for piece in answers[0].pieces():
            yield 0, piece
        return
    came: asyncio.Queue[tuple[int, str | Interaction | Exception]] = asyncio.Queue()

    async def read(place: int, answer: Answering) -> None:
        try:
            async for item in answer.pieces():
                came.put_nowait((place, item))
        except Exception as error:
            came.put_nowait((place, error))

    readers = [asyncio.create_task(read(place, answer)) for place, answer in enumerate(answers)]
    left = len(answers)
    try:
        while left:
            place, item = await came.get()
            if isinstance(item, Exception):
                raise item
            left -= isinstance(item, Interaction)
            yield place, item
    finally:
        for reader in readers:
            reader.cancel()


async def events(answers: Sequence[Answering], form: Events) -> AsyncIterator[str]:
    """Server-sent events: the pieces as they come, then how it ended; or what went wrong."""
    made: dict[int, Interaction] = {}
    try:
        for place in range(len(answers)):
            for sent in form.begin(place):
                yield sent
        async for place, item in together(answers):
            if isinstance(item, Interaction):
                made[place] = item
            for sent in form.piece(item, place) if isinstance(item, str) else form.end(item, place):
                yield sent
        for sent in form.over([made[place] for place in sorted(made)]):
            yield sent
    except NotFound:
        said = "what this answer was made from was forgotten meanwhile; ask again"
        for sent in form.fail(wire.error_body(said, "server_error", code="forgotten")):
            yield sent
    except Exception as error:
        if not isinstance(error, EngrainError):
            log.error("a stream failed", exc_info=error)
        for sent in form.fail(wire.error_of(error)[1]):
            yield sent


class Answer(Answering):
    """One that a version here makes."""

    def __init__(self, service: Service, body: wire.ChatRequest, asked: Asked, telling: Telling | None) -> None:
        super().__init__(asked, service.base)
        self._service, self._body, self._telling = service, body, telling
        self._arrived: asyncio.Queue[int | None] = asyncio.Queue()
        self._growing = Growing(self._text_of)

    async def begin(self) -> None:
        """Ask for it. InputError for what does not fit the window, NotFound for a version that is not there."""
        loop, asked, body = asyncio.get_running_loop(), self.asked, self._body
        offered = asked.tools if body.callable and self._service.engine.chat.offers_tools else ""

        def tell(token: int | None) -> None:
            loop.call_soon_threadsafe(self._arrived.put_nowait, token)

        submitting = asyncio.ensure_future(run_in_threadpool(
            self._service.batcher.submit, asked.shown, adapter=asked.version, max_tokens=asked.serving.max_tokens,
            temperature=asked.serving.temperature, seed=asked.seed, top_p=asked.serving.top_p,
            schema=body.schema_text, tools=offered, open_to=open_to(asked.scope, asked.messages), tell=tell,
        ))  # fmt: skip
        try:
            self._ticket = await asyncio.shield(submitting)
        except asyncio.CancelledError:  # its thread goes on
            submitting.add_done_callback(_cancel)
            raise
        task = asyncio.create_task(self._work())
        self._service.tasks.add(task)
        task.add_done_callback(self._service.tasks.discard)

    def give_up(self) -> None:
        self._ticket.cancel()

    def logprobs(self) -> list[dict[str, Any]]:
        """Each token of the answer with its log-probability."""
        ids = [t for t in self._ticket.tokens if t not in self._service.engine.chat.stop_ids]
        texts = [self._service.engine.tokenizer.decode([t]) for t in ids]
        return wire.token_logprobs(self._ticket.done.result(), texts)

    async def _work(self) -> None:
        """Cut the tokens into pieces; then the record, the memory that it leaves, and the last piece."""
        try:
            sent, text, cut = await self._read()
            done: Completion = await asyncio.wrap_future(self._ticket.done)
            calls: tuple[ToolCall, ...] = ()
            if self._body.callable:
                text, calls = split(text, [tool.function.name for tool in self._body.callable])
            ended = "tool_calls" if calls else "stop" if cut else done.finish_reason
            completion = replace(done, text=text, finish_reason=ended)
            interaction = await self._service.keep(self.asked, completion, calls, telling=self._telling)
            if len(text) > sent:
                self._out.put_nowait(text[sent:])
            self._out.put_nowait(interaction)
        except Exception as error:
            self._out.put_nowait(error)

    async def _read(self) -> tuple[int, str, bool]:
        """(characters handed out, the whole text, whether a stop text ended it). What could still become a stop text, or the end of
        a character, is held back; and all of it where it may turn out to be a call of a tool."""
        stops, sent = self._body.stops, 0
        held = max((len(s) for s in stops), default=1) - 1
        while (token := await self._arrived.get()) is not None:
            text = self._growing.with_token(token).lstrip()
            if found := [place for stop in stops if (place := text.find(stop)) >= 0]:
                self._ticket.cancel()
                return sent, text[: min(found)].rstrip(), True
            until = len(text.rstrip("\ufffd").rstrip()) - held
            if until > sent and not self._body.callable:
                self._out.put_nowait(text[sent:until])
                sent = until
        return sent, self._text_of(self._ticket.tokens).strip(), False

    def _text_of(self, tokens: Sequence[int]) -> str:
        text = self._service.engine.tokenizer.decode(list(tokens), skip_special_tokens=True)
        assert isinstance(text, str)
        return text


def _cancel(submitted: asyncio.Future[Ticket]) -> None:
    """Give up what was submitted for nobody."""
    if not submitted.cancelled() and submitted.exception() is None:
        submitted.result().cancel()
