"""The OpenAI-compatible service: an application changes one `base_url`, and its agent begins to learn.

An answer is recorded, durably, before its last byte is sent. Whatever takes long runs in threads; one `Batcher` decodes for all.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import Match, request_response
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Message as ASGIMessage
from starlette.types import Scope as ASGIScope

from engrain.adapters import current, versions
from engrain.errors import EngrainError, InputError, NotFound
from engrain.gateway import responses, wire
from engrain.gateway.answering import Answering
from engrain.gateway.here import is_here
from engrain.gateway.limits import Bounded, Rates
from engrain.gateway.metrics import Metrics
from engrain.gateway.reply import LIVE, Service, reply
from engrain.records import Interaction, Scope

if TYPE_CHECKING:
    from engrain.telemetry.tracing import Tracing

log = logging.getLogger(__name__)

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

FORGET_S = 1.0
"""Between two looks for what another process forgot."""


def create_app(service: Service) -> FastAPI:
    """The ASGI application; at its end the batcher and the store are closed."""

    async def drop_what_is_forgotten() -> None:
        """What another process forgets (`engrain forget`) goes from this one's memory, too: prompts and adapters."""
        seen = 0
        while True:
            try:
                forgotten, last = await run_in_threadpool(service.store.forgotten_after, seen)
                if forgotten:
                    service.shelf.clear()
                    service.batcher.drop()
                    await run_in_threadpool(service.engine.clear)
                seen = last
            except Exception:  # whatever it is, the next look is soon
                log.exception("what was forgotten elsewhere could not be dropped here")
            await asyncio.sleep(FORGET_S)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as at_end:  # the last one first, each also if another fails
            if service.tracing is not None:
                at_end.push_async_callback(run_in_threadpool, service.tracing.close)
            at_end.callback(service.store.close)
            at_end.callback(service.recorder.close)
            at_end.callback(service.batcher.close)
            if service.upstream is not None:
                await at_end.enter_async_context(service.upstream)
            dropping = asyncio.create_task(drop_what_is_forgotten())
            at_end.push_async_callback(finish, dropping)
            yield

    async def finish(dropping: asyncio.Task[None]) -> None:
        dropping.cancel()
        await asyncio.gather(dropping, *service.tasks, return_exceptions=True)

    app = FastAPI(
        title="engrain", summary="An OpenAI-compatible gateway that learns.", docs_url=None, redoc_url=None,
        lifespan=lifespan, responses=wire.ERRORS,
    )  # fmt: skip

    app.add_middleware(Bounded, body_bytes=service.limits.body_bytes)
    app.add_middleware(Outermost, metrics=service.metrics, tracing=service.tracing)
    rates = Rates(service.limits.requests_per_minute) if service.limits.requests_per_minute else None
    service.metrics.watch("engrain_rows_in_use", "Answers that are being made.", lambda: service.batcher.rows_in_use)
    service.metrics.watch("engrain_requests_waiting", "Requests that wait to be answered.", lambda: service.waiting)
    service.metrics.watch("engrain_adapter_bytes", "Adapters held in memory.", lambda: service.engine.resident_bytes)
    service.metrics.watch(
        "engrain_prefix_bytes",
        "Of what was read, kept for requests that begin alike.",
        lambda: service.batcher.held_bytes,
    )
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

    def tenant_for(right: str) -> Callable[[Request], Awaitable[str]]:
        """A dependency: the tenant of the caller's key, if that allows this."""

        async def tenant(request: Request) -> str:  # one short look at the database is not worth a thread
            scheme, _, secret = request.headers.get("authorization", "").partition(" ")
            key = service.store.key_of(secret.strip()) if scheme.lower() == "bearer" else None
            if key is None and service.store.ever_keyed():
                raise HTTPException(401, "the API key is missing or wrong; give it as: Authorization: Bearer KEY")
            host = request.headers.get("host", "")
            if key is None and not is_here(host):
                raise HTTPException(403, f"{host} is not this machine; make a key first: engrain keys new")
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
        room = service.waiting < service.limits.waiting
        said = {"status": "ok" if writable and room else "not ready", "recording": writable, "room": room}
        return JSONResponse(said, 200 if writable and room else 503)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "base": service.base}

    def answers_at(path: str) -> Callable[[Endpoint], Endpoint]:
        """A decorator: this endpoint answers requests for an answer at this path."""

        def add(endpoint: Endpoint) -> Endpoint:
            app.router.add_api_route(
                path, endpoint, methods=["POST"], response_model=None, responses=wire.ERRORS | {200: wire.ANSWERED},
                route_class_override=direct(tenant_for("serve")),
            )  # fmt: skip
            return endpoint

        return add

    @answers_at("/v1/chat/completions")
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

        return await reply(service, request, body, scope, x_engrain_conversation, x_engrain_memory, stream, whole)

    @answers_at("/v1/responses")
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

        return await reply(service, request, body.chat(earlier), scope, conversation, x_engrain_memory, stream, whole)

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


def direct(tenant: Callable[[Request], Awaitable[str]]) -> type[APIRoute]:
    """A class of routes that are documented as any other and take a request apart themselves: what FastAPI does for each costs more than
    all that is done here for an answer. Their endpoints take `request`, `body`, `tenant` and the three headers of a request for an answer."""

    class Direct(APIRoute):
        def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
            super().__init__(path, endpoint, **options)
            assert self.body_field is not None
            form: type[BaseModel] = self.body_field.field_info.annotation  # type: ignore[assignment]

            async def answer(request: Request) -> Response:
                whose, headers = await tenant(request), request.headers
                if headers.get("x-engrain-memory", "on") not in ("on", "off"):
                    raise _malformed(("x-engrain-memory",), "Input should be 'on' or 'off'")
                kind = headers.get("content-type", "").partition(";")[0].strip().lower()
                if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
                    # What a web page may send without being asked; only JSON it may not.
                    raise _malformed(("content-type",), f"{kind or 'nothing'} is no JSON; send application/json")
                try:
                    body = form.model_validate_json(await request.body())
                except ValidationError as error:
                    raise RequestValidationError(error.errors(include_url=False)) from error
                response: Response = await endpoint(
                    request, body, whose, headers.get("x-engrain-user", ""),
                    in_utf8("x-engrain-conversation", headers.get("x-engrain-conversation", "")), headers.get("x-engrain-memory", "on"),
                )  # fmt: skip
                return response

            self.app = request_response(answer)

    return Direct


def _malformed(place: tuple[str, ...], said: str) -> RequestValidationError:
    return RequestValidationError([{"loc": place, "msg": said}])


def allowed(app: FastAPI, asked: ASGIScope) -> list[str]:
    """The methods that this path has, by whatever route."""

    def has(method: str) -> bool:
        return any(r.matches({**asked, "method": method})[0] is Match.FULL for r in app.routes)

    return [method for method in ("DELETE", "GET", "HEAD", "POST", "PUT") if has(method)]


def in_utf8(name: str, header: str) -> str:
    """What a header says: it is UTF-8 here, which HTTP hands over byte by byte. InputError for one that is not."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError as error:
        raise InputError(f"{name} is not UTF-8; send it so, or leave it out") from error


def scope_of(tenant: str, header: str, *named: str | None) -> Scope:
    """Whose request this is: the header's user, or the first that is named in the body; the key decides the tenant."""
    header = in_utf8("x-engrain-user", header)
    scope = Scope(tenant=tenant, user=next(n.strip() for n in (header, *named, "me") if n and n.strip()))
    if scope.is_team:
        raise InputError(
            f"user {scope.user!r} is a team, and nobody speaks as one; it is told by its members (POST /v1/engrain/teams/NAME/memories)"
        )
    return scope


def asker(tenant: str, header: str, body: wire.ChatRequest | responses.ResponsesRequest) -> Scope:
    """Whose request for an answer this is: the header's user, or the first of the fields that OpenAI has for it."""
    return scope_of(tenant, header, body.safety_identifier, (body.metadata or {}).get("user"), body.user)


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
