"""The OpenAI-compatible service: an application changes one `base_url`, and its agent begins to learn.

An answer is recorded, durably, before its last byte is sent. Whatever takes long runs in threads; one `Batcher` decodes for all.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from engrain.adapters import current, versions
from engrain.adapters.versions import resolve
from engrain.engines.batching import Batcher
from engrain.engines.local import LocalEngine
from engrain.errors import EngrainError, InputError
from engrain.gateway import wire
from engrain.gateway.answer import Asked, Serving, cut_to_window, latest, prepare, recorded
from engrain.protocols import Completion, Embedder
from engrain.records import Feedback, Interaction, Memory, Scope, Stamp
from engrain.store import SqlStore

log = logging.getLogger(__name__)

LIVE = "engrain"
"""The model name for whatever version is live for the user who asks; `base` is the bare base, a hash or number one version."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """What the routes work with."""

    store: SqlStore
    engine: LocalEngine
    batcher: Batcher
    embedder: Embedder
    serving: Serving
    tenant: str = "local"
    """Whose requests those are that come without a key, which is possible only while there are no keys."""
    after: Callable[[Interaction], None] | None = None
    """What is done with a recorded interaction before the next request is answered: it becomes memory."""
    on_feedback: Callable[[Scope, wire.FeedbackRequest], list[Feedback]] | None = None


def create_app(service: Service) -> FastAPI:
    """The ASGI application."""
    app = FastAPI(title="engrain", summary="An OpenAI-compatible gateway that learns.", docs_url=None, redoc_url=None)

    @app.middleware("http")
    async def name_the_request(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call(request)
        response.headers.setdefault("x-request-id", f"req_{secrets.token_hex(8)}")
        return response

    @app.exception_handler(EngrainError)
    async def refused(_: Request, error: EngrainError) -> JSONResponse:
        status, body = wire.error_of(error)
        return JSONResponse(body, status)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        param = ".".join(str(p) for p in first["loc"] if p != "body")
        said = f"{param}: {first['msg']}" if param else str(first["msg"])
        return JSONResponse(
            wire.error_body(said, "invalid_request_error", param=param or None, code="invalid_value"), 400
        )

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse(wire.error_body(str(error.detail), "invalid_request_error"), error.status_code)

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        log.error("a request failed", exc_info=error)
        status, body = wire.error_of(error)
        return JSONResponse(body, status)

    def tenant_for(right: str) -> Callable[[str], str]:
        """A dependency: the tenant of the caller's key, if that allows this."""

        def tenant(authorization: Annotated[str, Header()] = "") -> str:
            key = service.store.key_of(authorization.removeprefix("Bearer "))
            if key is None and any(k.revoked_at is None for k in service.store.api_keys()):
                raise HTTPException(401, "the API key is missing or wrong; give it as: Authorization: Bearer KEY")
            if key is not None and right not in key.rights:
                raise HTTPException(403, f"this key does not allow {right!r}; ask for one that does (engrain keys)")
            return service.tenant if key is None else key.tenant

        return tenant

    serves, judges = Depends(tenant_for("serve")), Depends(tenant_for("feedback"))

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok", "base": service.engine.base}

    @app.post("/v1/chat/completions", response_model=None)
    async def chat(
        body: wire.ChatRequest,
        tenant: str = serves,
        x_engrain_user: Annotated[str, Header()] = "",
        x_engrain_conversation: Annotated[str, Header()] = "",
        x_engrain_memory: Annotated[str, Header()] = "on",
    ) -> Response:
        scope = scope_of(tenant, body, x_engrain_user)
        if x_engrain_memory not in ("on", "off"):
            raise InputError(f"x-engrain-memory: {x_engrain_memory!r}; give on or off")
        asked = await run_in_threadpool(
            ready, service, body, scope, x_engrain_conversation, memory=x_engrain_memory == "on"
        )
        answer = Answer(service, body, asked)
        if body.stream:
            await (
                answer.begin()
            )  # what cannot be answered at all is an error with its own status, not one in the stream
            return StreamingResponse(
                answer.events(), media_type="text/event-stream",
                headers=wire.stamp_headers(asked.id, answer.stamp) | {"cache-control": "no-store"},
            )  # fmt: skip
        await answer.begin()
        async for _ in answer.pieces():
            pass
        done = await answer.record()
        tokens = answer.logprobs() if body.logprobs else None
        return JSONResponse(
            wire.completion_of(done, body.model, tokens), headers=wire.stamp_headers(done.id, done.stamp)
        )

    @app.get("/v1/models")
    async def models(tenant: str = serves, user: str = "me") -> dict[str, Any]:
        return await run_in_threadpool(listed, service, Scope(tenant=tenant, user=user or "me"))

    @app.post("/v1/feedback")
    async def feedback(
        body: wire.FeedbackRequest, tenant: str = judges, x_engrain_user: Annotated[str, Header()] = ""
    ) -> dict[str, Any]:
        scope = Scope(tenant=tenant, user=x_engrain_user or "me")
        assert service.on_feedback is not None
        given = await run_in_threadpool(service.on_feedback, scope, body)
        return {"object": "list", "data": [{"id": f.id, "object": "feedback", "name": f.name} for f in given]}

    return app


def scope_of(tenant: str, body: wire.ChatRequest, header: str) -> Scope:
    """Whose request this is: the header, or OpenAI's own fields; the key decides the tenant."""
    named = (header, body.safety_identifier or "", (body.metadata or {}).get("user", ""), body.user or "", "me")
    return Scope(tenant=tenant, user=next(n.strip() for n in named if n.strip()))


def ready(service: Service, body: wire.ChatRequest, scope: Scope, conversation: str, *, memory: bool) -> Asked:
    """The request made ready to answer."""
    messages = [turn.message(i) for i, turn in enumerate(body.messages)]
    if not any(m.content.strip() for m in messages):
        raise InputError("messages: all are empty; say or ask something")
    most = body.max_completion_tokens or body.max_tokens
    serving = cut_to_window(service.engine, service.serving, most)
    if body.temperature is not None:
        serving = replace(serving, temperature=body.temperature)
    adapter = None if body.model == LIVE else resolve(service.store, scope, body.model)
    seed = body.seed if body.seed is not None else 0 if serving.temperature == 0 else secrets.randbits(31)
    return prepare(
        service.store, service.engine, service.embedder, latest(service.engine, messages, serving, memory=memory),
        scope=scope, conversation=conversation, memory=memory, adapter=adapter, serving=serving, seed=seed,
    )  # fmt: skip


def listed(service: Service, scope: Scope) -> dict[str, Any]:
    """The models that may be asked for."""
    live = current(service.store, scope)
    held = versions(service.store, scope, {m.id: m.text for m in service.store.select(Memory, scope=scope)})
    rows = [(LIVE, live.id if live else service.engine.base, live.created_at if live else 0.0)]
    rows += [("base", service.engine.base, 0.0)]
    rows += [(v.adapter, v.adapter, v.created_at) for v in held if v.adapter]
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": int(at), "owned_by": "engrain", "root": root, "parent": service.engine.base}
            for name, root, at in rows
        ],
    }  # fmt: skip


class Answer:
    """One answer on its way: its pieces as they come, then its record."""

    def __init__(self, service: Service, body: wire.ChatRequest, asked: Asked) -> None:
        self._service, self._body, self._asked = service, body, asked
        self._arrived: asyncio.Queue[int | None] = asyncio.Queue()
        self._created = int(time.time())
        self._text, self._cut = "", False
        self.stamp = Stamp(base=service.engine.base, adapter=asked.version, memory=asked.held)

    async def begin(self) -> None:
        """Ask for it. InputError for what does not fit the window, NotFound for a version that is not there."""
        loop, asked = asyncio.get_running_loop(), self._asked

        def tell(token: int | None) -> None:
            loop.call_soon_threadsafe(self._arrived.put_nowait, token)

        self._ticket = await run_in_threadpool(
            self._service.batcher.submit, asked.shown, adapter=asked.version, max_tokens=asked.serving.max_tokens,
            temperature=asked.serving.temperature, seed=asked.seed, tell=tell,
        )  # fmt: skip

    async def pieces(self) -> AsyncIterator[str]:
        """The text as it comes, cut before the first of the stop texts; what could still become one is held back."""
        sent, longest = 0, max((len(s) for s in self._body.stops), default=0)
        try:
            while (await self._arrived.get()) is not None:
                text = self._decoded()
                found = [place for stop in self._body.stops if (place := text.find(stop)) >= 0]
                if found:
                    text, self._cut = text[: min(found)], True
                    self._ticket.cancel()
                    break
                until = max(sent, len(text.rstrip("\ufffd").rstrip()) - max(0, longest - 1))
                if until > sent:
                    yield text[sent:until]
                    sent = until
            else:
                text = self._decoded()
        except BaseException:  # nobody listens any more
            self._ticket.cancel()
            raise
        self._text = text.rstrip()
        if len(self._text) > sent:
            yield self._text[sent:]

    async def record(self) -> Interaction:
        """The interaction, on disk; then it becomes memory."""
        done: Completion = await asyncio.wrap_future(self._ticket.done)
        completion = replace(done, text=self._text, finish_reason="stop" if self._cut else done.finish_reason)
        interaction = await run_in_threadpool(
            recorded, self._service.store, self._service.engine.base, self._asked, completion
        )
        if self._service.after is not None:
            await run_in_threadpool(self._service.after, interaction)
        return interaction

    async def events(self) -> AsyncIterator[str]:
        """Server-sent events: the pieces, how it ended, what it cost, [DONE]."""
        model, name = self._body.model, self._asked.id
        usage = self._body.stream_options is not None and self._body.stream_options.include_usage
        try:
            yield wire.event(wire.chunk(name, self._created, model, {"role": "assistant", "content": ""}))
            async for piece in self.pieces():
                yield wire.event(wire.chunk(name, self._created, model, {"content": piece}))
            done = await self.record()
            last = wire.chunk(name, self._created, model, {}, finish=done.finish_reason)
            yield wire.event(last | {"engrain": wire.stamp_headers(done.id, done.stamp)})
            if usage:
                cost = wire.usage_of(done.usage.input_tokens, done.usage.output_tokens)
                empty = wire.chunk(name, self._created, model, {}) | {"choices": []}
                yield wire.event(empty | {"usage": cost})
            yield wire.event("[DONE]")
        except Exception as error:
            if not isinstance(error, EngrainError):
                log.error("a stream failed", exc_info=error)
            yield wire.event(wire.error_of(error)[1])

    def logprobs(self) -> list[dict[str, Any]]:
        """Each token of the answer with its log-probability."""
        ids = [t for t in self._ticket.tokens if t not in self._service.engine.chat.stop_ids]
        texts = [self._service.engine.tokenizer.decode([t]) for t in ids]
        return wire.token_logprobs(self._ticket.done.result(), texts)

    def _decoded(self) -> str:
        """The text of the tokens so far."""
        text = self._service.engine.tokenizer.decode(self._ticket.tokens, skip_special_tokens=True)
        assert isinstance(text, str)
        return text.lstrip()
