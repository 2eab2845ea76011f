"""The OpenAI-compatible service: an application changes one `base_url`, and its agent begins to learn.

An answer is recorded, durably, before its last byte is sent. Whatever takes long runs in threads; one `Batcher` decodes for all.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeVar

from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Message as ASGIMessage
from starlette.types import Scope as ASGIScope

from engrain.adapters import current, versions
from engrain.adapters.versions import resolve
from engrain.engines.batching import Batcher
from engrain.engines.local import LocalEngine
from engrain.engines.upstream import UpstreamClient
from engrain.errors import EngrainError, InputError, NotFound, StoreError
from engrain.gateway import responses, wire
from engrain.gateway.answer import ATTEMPTS, Asked, Serving, cut_to_window, first_tokens, latest, prepare, recorded
from engrain.gateway.answering import Answering
from engrain.gateway.limits import Bounded, Limits, Rates
from engrain.gateway.metrics import Metrics
from engrain.gateway.relay import Relayed
from engrain.gateway.tools import split
from engrain.memory import Shelf
from engrain.protocols import Completion, Conversation, Embedder
from engrain.records import Feedback, Interaction, Sampling, Scope, ToolCall, new_id
from engrain.store import SqlStore

if TYPE_CHECKING:
    from engrain.telemetry.tracing import Tracing

log = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "::1", "localhost")
Made = TypeVar("Made")

LISTEN_S = 0.25
"""Between two looks whether the caller of an answer in one piece still waits for it."""
FORGET_S = 1.0
"""Between two looks for what another process forgot."""
LIVE = "engrain"
"""The model name for whatever version is live for the user who asks; `base` is the bare base, a hash or number one version."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """What the routes work with."""

    store: SqlStore
    engine: LocalEngine
    batcher: Batcher
    upstream: UpstreamClient | None = None
    """What answers instead of the engine, which then only says which notes a message leaves."""
    embedder: Embedder
    serving: Serving
    tenant: str = "local"
    """Whose requests those are that come without a key, which is possible only while there are no keys."""
    after: Callable[[Interaction], None]
    """What is done with a recorded interaction before its answer ends: it becomes memory."""
    on_feedback: Callable[[Scope, wire.FeedbackRequest], list[Feedback]]
    limits: Limits = field(default_factory=Limits)
    metrics: Metrics = field(default_factory=Metrics)
    shelf: Shelf = field(default_factory=Shelf)
    tracing: Tracing | None = None
    """Where spans go; None: nowhere."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    """Answers under way; each goes on to its record whoever listens."""

    @property
    def base(self) -> str:
        """What answers, without any version: the hash of the engine's base, or the upstream's name."""
        return self.engine.base if self.upstream is None else self.upstream.base

    def keep(
        self,
        asked: Asked,
        completion: Completion,
        calls: Sequence[ToolCall],
        *,
        first: bool,
        sampling: Sampling | None = None,
    ) -> Interaction:
        """The answer on disk, counted, and (the `first` to its request alone) what was said remembered. Blocks."""
        interaction = recorded(self.store, self.base, asked, completion, calls, sampling=sampling)
        if self.tracing is not None:
            self.tracing.answered(interaction)
        self.metrics.tokens.labels("read").inc(interaction.usage.input_tokens)
        self.metrics.tokens.labels("written").inc(interaction.usage.output_tokens)
        self.metrics.notes.inc(interaction.context.tokens)
        if first:
            self.after(interaction)
        return interaction


def create_app(service: Service) -> FastAPI:
    """The ASGI application; at its end the batcher and the store are closed."""

    async def drop_what_is_forgotten() -> None:
        """What another process forgets (`engrain forget`) goes from this one's memory, too: prompts and adapters."""
        _, seen = await run_in_threadpool(service.store.forgotten_after, 0)
        while True:
            await asyncio.sleep(FORGET_S)
            try:
                forgotten, seen = await run_in_threadpool(service.store.forgotten_after, seen)
            except StoreError:  # busy, or full: the next look is soon
                continue
            if forgotten:
                service.shelf.clear()
                await run_in_threadpool(service.engine.clear)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        dropping = asyncio.create_task(drop_what_is_forgotten())
        async with AsyncExitStack() as stack:
            if service.upstream is not None:
                await stack.enter_async_context(service.upstream)
            yield
            dropping.cancel()
            await asyncio.gather(*service.tasks, return_exceptions=True)
        service.batcher.close()
        service.store.close()
        if service.tracing is not None:
            await run_in_threadpool(service.tracing.close)

    app = FastAPI(
        title="engrain", summary="An OpenAI-compatible gateway that learns.", docs_url=None, redoc_url=None,
        lifespan=lifespan, responses=wire.ERRORS,
    )  # fmt: skip

    app.add_middleware(Bounded, body_bytes=service.limits.body_bytes)
    app.add_middleware(Outermost, metrics=service.metrics, tracing=service.tracing)
    rates = Rates(service.limits.requests_per_minute) if service.limits.requests_per_minute else None
    service.metrics.watch("engrain_rows_in_use", "Answers that are being made.", lambda: service.batcher.rows_in_use)
    service.metrics.watch("engrain_rows_waiting", "Requests that wait for a row.", lambda: service.batcher.waiting)
    service.metrics.watch("engrain_adapter_bytes", "Adapters held in memory.", lambda: service.engine.resident_bytes)
    for state in ("waiting", "running"):
        service.metrics.watch(f"engrain_jobs_{state}", f"Consolidations {state}.", partial(_jobs, service, state))

    @app.exception_handler(EngrainError)
    async def refused(_: Request, error: EngrainError) -> JSONResponse:
        status, body = wire.error_of(error)
        return JSONResponse(body, status)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        param = ".".join(str(p) for p in first["loc"] if p != "body")
        said = f"{param}: {first['msg']}" if param else str(first["msg"])
        body = wire.error_body(said, "invalid_request_error", param=param or None, code="invalid_value")
        return JSONResponse(body, 400)

    @app.exception_handler(HTTPException)
    async def http(asked: Request, error: HTTPException) -> JSONResponse:
        kind = {429: "rate_limit_error", 503: "server_error"}.get(error.status_code, "invalid_request_error")
        code = {413: "request_too_large", 429: "rate_limit_exceeded", 503: "overloaded"}.get(error.status_code)
        body = wire.error_body(str(error.detail), kind, code=code)
        headers = dict(error.headers or {})
        if error.status_code == 405:  # starlette names the methods of one route of those that have this path
            headers["allow"] = ", ".join(allowed(app, asked.scope))
        return JSONResponse(body, error.status_code, headers=headers)

    def tenant_for(right: str) -> Callable[[Request], str]:
        """A dependency: the tenant of the caller's key, if that allows this."""

        def tenant(request: Request) -> str:
            scheme, _, secret = request.headers.get("authorization", "").partition(" ")
            key = service.store.key_of(secret.strip()) if scheme.lower() == "bearer" else None
            if key is None and service.store.api_keys():  # a home that ever had one is never open again
                raise HTTPException(401, "the API key is missing or wrong; give it as: Authorization: Bearer KEY")
            if (
                key is None and request.url.hostname not in LOOPBACK
            ):  # a name that a web page had rebound to this machine
                raise HTTPException(
                    403, f"{request.url.hostname} is not this machine; make a key first: engrain keys new"
                )
            if key is not None and right not in key.rights:
                raise HTTPException(403, f"this key does not allow {right!r}; ask for one that does")
            if rates is not None:
                _, wait_s = rates.take("" if key is None else key.id)
                if wait_s:
                    said = f"more than {service.limits.requests_per_minute} requests a minute; wait {wait_s:.1f} s"
                    raise HTTPException(429, said, headers={"retry-after": str(math.ceil(wait_s))})
            return service.tenant if key is None else key.tenant

        return tenant

    app.state.tenant_for = tenant_for  # for what is mounted beside
    serves, judges, steers = (Depends(tenant_for(right)) for right in ("serve", "feedback", "admin"))

    @app.get("/metrics", dependencies=[steers], response_class=PlainTextResponse)
    async def metrics() -> Response:
        text = await run_in_threadpool(service.metrics.text)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/ready")
    async def ready_() -> JSONResponse:
        """Whether it can answer now: the database takes what is recorded, and there is room to wait."""
        writable = await run_in_threadpool(service.store.writable)
        room = service.batcher.waiting < service.limits.waiting
        said = {"status": "ok" if writable and room else "not ready", "recording": writable, "room": room}
        return JSONResponse(said, 200 if writable and room else 503)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "base": service.base}

    @app.post("/v1/chat/completions", response_model=None, responses={200: wire.ANSWERED})
    async def chat(
        request: Request,
        body: wire.ChatRequest,
        tenant: str = serves,
        x_engrain_user: Annotated[str, Header()] = "",
        x_engrain_conversation: Annotated[str, Header()] = "",
        x_engrain_memory: Annotated[Literal["on", "off"], Header()] = "on",
    ) -> Response:
        scope = asker(tenant, x_engrain_user, body)

        def stream(name: str) -> wire.ChatEvents:
            return wire.ChatEvents(body, name, int(time.time()))

        def whole(answers: Sequence[Answering], done: Sequence[Interaction]) -> dict[str, Any]:
            return wire.completion_of(done, body.model, [a.logprobs() for a in answers] if body.logprobs else None)

        return await reply(request, body, scope, x_engrain_conversation, x_engrain_memory, stream, whole)

    @app.post("/v1/responses", response_model=None, responses={200: wire.ANSWERED})
    async def respond(
        request: Request,
        body: responses.ResponsesRequest,
        tenant: str = serves,
        x_engrain_user: Annotated[str, Header()] = "",
        x_engrain_conversation: Annotated[str, Header()] = "",
        x_engrain_memory: Annotated[Literal["on", "off"], Header()] = "on",
    ) -> Response:
        scope = asker(tenant, x_engrain_user, body)
        earlier: Interaction | None = None
        if body.previous_response_id:
            found = await run_in_threadpool(service.store.get, body.previous_response_id, scope=scope)
            if not isinstance(found, Interaction):
                raise NotFound(body.previous_response_id)
            earlier = found
        conversation = x_engrain_conversation or (earlier.conversation or earlier.id if earlier else "")

        def stream(name: str) -> responses.ResponseEvents:
            return responses.ResponseEvents(body, name, int(time.time()))

        def whole(_: Sequence[Answering], done: Sequence[Interaction]) -> dict[str, Any]:
            return responses.response_of(done[0], body)

        return await reply(request, body.chat(earlier), scope, conversation, x_engrain_memory, stream, whole)

    async def reply(
        request: Request,
        body: wire.ChatRequest,
        scope: Scope,
        conversation: str,
        memory: Literal["on", "off"],
        stream: Callable[[str], Events],
        whole: Callable[[Sequence[Answering], Sequence[Interaction]], dict[str, Any]],
    ) -> Response:
        """The answer to a request, in the form of the API that was asked."""

        async def begun() -> list[Answering]:
            if (len(service.tasks) if service.upstream else service.batcher.waiting) >= service.limits.waiting:
                said = f"{service.limits.waiting} requests wait already; ask again in a moment"
                raise HTTPException(503, said, headers={"retry-after": "1"})
            asked = await run_in_threadpool(ready, service, body, scope, conversation, memory=memory == "on")
            more = [replace(asked, id=new_id("int"), seed=asked.seed + i) for i in range(1, body.n or 1)]
            answers = [answering(service, body, one, first=one is asked) for one in (asked, *more)]
            await asyncio.gather(*(answer.begin() for answer in answers))
            return answers

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

    @app.post("/v1/embeddings")
    async def embeddings(body: wire.EmbeddingsRequest, tenant: str = serves) -> dict[str, Any]:
        """The vectors that recall works with: whatever model is named, the answer names the embedder that made them."""
        texts = body.texts
        vectors = await run_in_threadpool(service.embedder.embed, texts)
        if body.dimensions not in (None, vectors.shape[1]):
            raise InputError(f"dimensions={body.dimensions}; {service.embedder.name} makes {vectors.shape[1]}")
        tokens = await run_in_threadpool(lambda: sum(map(service.engine.count_tokens, texts)))
        return wire.embeddings_of(vectors, body, service.embedder.name, tokens)

    async def known(scope: Scope) -> list[dict[str, Any]]:
        if service.upstream is None:
            return await run_in_threadpool(listed, service, scope)
        ours = {
            "id": LIVE,
            "object": "model",
            "created": 0,
            "owned_by": "engrain",
            "root": service.upstream.upstream.model,
        }
        return [ours, *await service.upstream.models()]

    @app.get("/v1/models")
    async def models(
        tenant: str = serves, user: str = "", x_engrain_user: Annotated[str, Header()] = ""
    ) -> dict[str, Any]:
        rows = await known(scope_of(tenant, x_engrain_user, user))
        return {"object": "list", "data": rows}

    @app.get("/v1/models/{name}")
    async def model(
        name: str, tenant: str = serves, user: str = "", x_engrain_user: Annotated[str, Header()] = ""
    ) -> dict[str, Any]:
        rows = await known(scope_of(tenant, x_engrain_user, user))
        if found := next((row for row in rows if row["id"] == name), None):
            return found
        raise NotFound(name)

    @app.post("/v1/feedback")
    async def feedback(
        body: wire.FeedbackRequest, tenant: str = judges, x_engrain_user: Annotated[str, Header()] = ""
    ) -> dict[str, Any]:
        scope = scope_of(tenant, x_engrain_user, body.user)
        given = await run_in_threadpool(service.on_feedback, scope, body)
        if service.tracing is not None:
            service.tracing.judged(given)
        return {"object": "list", "data": [{"id": f.id, "object": "feedback", "name": f.name} for f in given]}

    document = app.openapi

    def described() -> dict[str, Any]:
        """The OpenAPI document, without FastAPI's own error, which never is sent."""
        found = document()
        for path in found["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        return found

    app.openapi = described  # type: ignore[method-assign]
    return app


def allowed(app: FastAPI, asked: ASGIScope) -> list[str]:
    """The methods that this path has, by whatever route."""

    def has(method: str) -> bool:
        return any(r.matches({**asked, "method": method})[0] is Match.FULL for r in app.routes)

    return [method for method in ("DELETE", "GET", "HEAD", "POST") if has(method)]


def scope_of(tenant: str, header: str, *named: str | None) -> Scope:
    """Whose request this is: the header's user, or the first that is named in the body; the key decides the tenant.

    A header is UTF-8 here, which HTTP hands over byte by byte. InputError for one that is not."""
    try:
        header = header.encode("latin-1").decode()
    except UnicodeError as error:
        raise InputError("x-engrain-user is not UTF-8; name the user in the body") from error
    return Scope(tenant=tenant, user=next(n.strip() for n in (header, *named, "me") if n and n.strip()))


def asker(tenant: str, header: str, body: wire.ChatRequest | responses.ResponsesRequest) -> Scope:
    """Whose request for an answer this is: the header's user, or the first of the fields that OpenAI has for it."""
    return scope_of(tenant, header, body.safety_identifier, (body.metadata or {}).get("user"), body.user)


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
        ticket = service.batcher.submit(shown, adapter=version, max_tokens=first_tokens(service.engine))
        return ticket.done.result().text

    seed = body.seed if body.seed is not None else 0 if serving.temperature == 0 else secrets.randbits(31)
    asked = prepare(
        service.store, service.engine, service.embedder, latest(service.engine, messages, serving, memory=memory),
        scope=scope, conversation=conversation, memory=memory, adapter=adapter, serving=serving, seed=seed, say=say, shelf=service.shelf,
    )  # fmt: skip
    return replace(asked, tools=offered)


def listed(service: Service, scope: Scope) -> list[dict[str, Any]]:
    """The models that may be asked for."""
    live = current(service.store, scope)
    rows = [(LIVE, live.id if live else service.engine.base, live.created_at if live else 0.0)]
    rows += [("base", service.engine.base, 0.0)]
    rows += [(v.adapter, v.adapter, v.created_at) for v in versions(service.store, scope, {}) if v.adapter]
    return [
        {"id": name, "object": "model", "created": int(at), "owned_by": "engrain", "root": root, "parent": service.engine.base}
        for name, root, at in rows
    ]  # fmt: skip


def _jobs(service: Service, state: str) -> float:
    return float(service.store.count_jobs(state))


class Outermost:
    """Names every response, logs and traces it, and answers in OpenAI's form for what nobody caught."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, tracing: Tracing | None = None) -> None:
        self._app, self._metrics, self._tracing = app, metrics, tracing

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, started, tracing = False, time.perf_counter(), self._tracing
        said: dict[str, Any] = {"request": f"req_{secrets.token_hex(8)}", "method": scope["method"], "status": None}

        async def named(message: ASGIMessage) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                route = getattr(scope.get("route"), "path", "other")  # a path that nobody serves could be anything
                status, headers = message["status"], MutableHeaders(scope=message)
                self._metrics.requests.labels(route, str(status)).inc()
                self._metrics.seconds.labels(route).observe(time.perf_counter() - started)
                headers["x-request-id"] = said["request"]
                said.update(
                    route=route, status=status, first_ms=_ms(started), interaction=headers.get("x-engrain-interaction")
                )
                if responded is not None:
                    responded(route, status)
            await send(message)

        with nullcontext() if tracing is None else tracing.request(scope["method"], scope["headers"]) as responded:
            try:
                await self._app(scope, receive, named)
            except Exception as error:
                if begun:
                    raise
                log.error("%s failed", said["request"], exc_info=error)
                status, body = wire.error_of(error)
                await JSONResponse(body, status)(scope, receive, named)
            finally:
                log.info("request", extra={"fields": said | {"ms": _ms(started)}})


def _ms(since: float) -> float:
    return round((time.perf_counter() - since) * 1000, 1)


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


def answering(service: Service, body: wire.ChatRequest, asked: Asked, *, first: bool) -> Answering:
    """The answer to this request; what the user said becomes memory with the first answer to it alone."""
    if service.upstream is None:
        return Answer(service, body, asked, first=first)

    def record(asked: Asked, completion: Completion, calls: tuple[ToolCall, ...]) -> Interaction:
        most = body.max_completion_tokens or body.max_tokens
        how = Sampling(temperature=body.temperature, max_tokens=most, seed=body.seed, top_p=body.top_p)
        return service.keep(asked, completion, calls, first=first, sampling=how)

    return Relayed(service.upstream, body, asked, record, service.tasks)


class Events(Protocol):
    """An answer as one API's server-sent events."""

    def begin(self, choice: int) -> list[str]: ...

    def piece(self, text: str, choice: int) -> list[str]: ...

    def end(self, interaction: Interaction, choice: int) -> list[str]: ...

    def over(self, made: Sequence[Interaction]) -> list[str]: ...

    def fail(self, error: dict[str, Any]) -> list[str]: ...


async def together(answers: Sequence[Answering]) -> AsyncIterator[tuple[int, str | Interaction]]:
    """What comes of several answers, each piece with its answer's place. Whoever stops listening gives all of them up."""
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

    def __init__(self, service: Service, body: wire.ChatRequest, asked: Asked, *, first: bool) -> None:
        super().__init__(asked, service.base)
        self._service, self._body, self._first = service, body, first
        self._arrived: asyncio.Queue[int | None] = asyncio.Queue()

    async def begin(self) -> None:
        """Ask for it. InputError for what does not fit the window, NotFound for a version that is not there."""
        loop, asked, body = asyncio.get_running_loop(), self.asked, self._body
        offered = asked.tools if body.callable and self._service.engine.chat.offers_tools else ""

        def tell(token: int | None) -> None:
            loop.call_soon_threadsafe(self._arrived.put_nowait, token)

        self._ticket = await run_in_threadpool(
            self._service.batcher.submit, asked.shown, adapter=asked.version, max_tokens=asked.serving.max_tokens,
            temperature=asked.serving.temperature, seed=asked.seed, top_p=asked.serving.top_p,
            schema=body.schema_text, tools=offered, tell=tell,
        )  # fmt: skip
        task = asyncio.create_task(self._work())
        self._service.tasks.add(task)
        task.add_done_callback(self._service.tasks.discard)

    def _give_up(self) -> None:
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
            keep = partial(self._service.keep, self.asked, completion, calls, first=self._first)
            interaction = await run_in_threadpool(keep)
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
        while (await self._arrived.get()) is not None:
            text = self._decoded()
            if found := [place for stop in stops if (place := text.find(stop)) >= 0]:
                self._ticket.cancel()
                return sent, text[: min(found)].rstrip(), True
            until = len(text.rstrip("\ufffd").rstrip()) - held
            if until > sent and not self._body.callable:
                self._out.put_nowait(text[sent:until])
                sent = until
        return sent, self._decoded().rstrip(), False

    def _decoded(self) -> str:
        """The text of the tokens so far."""
        text = self._service.engine.tokenizer.decode(list(self._ticket.tokens), skip_special_tokens=True)
        assert isinstance(text, str)
        return text.lstrip()
