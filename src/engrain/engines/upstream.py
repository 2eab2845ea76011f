"""Any OpenAI-compatible server as what answers: asked again where it was busy, given up where nobody listens any more.

Only the address that the operator gave is ever called. Its weights are out of reach, so nothing is learned into them; recording, memory and
feedback do not need them.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from engrain.errors import InputError, NotFound, UpstreamFailed
from engrain.protocols import Completion, Conversation

AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})
"""Statuses after which the same request may be sent again: nothing of an answer had come."""
SIDE_BY_SIDE = 4
"""Requests that a sampler sends at once."""
LONGEST_LINE = 8 * 2**20
"""Bytes of one server-sent event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """Where answers come from."""

    url: str
    """With its `/v1`, as clients give it."""
    model: str
    """What is asked for where a request names `engrain`."""
    key: str = ""
    retries: int = 2
    wait_s: float = 0.5
    """Before the first further try, twice as long before each next; or what the server says in Retry-After, up to `most_wait_s`."""
    most_wait_s: float = 10.0
    connect_s: float = 5.0
    silent_s: float = 120.0
    """How long the server may say nothing."""
    connections: int = 256

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.username
            or parts.query
            or parts.fragment
        ):
            raise InputError(
                f"upstream {self.url!r} is no address; give one such as https://host/v1, without a key in it"
            )
        if not self.model:
            raise InputError("the upstream's model is not named; give --upstream-model")


class UpstreamClient:
    """A client of one upstream. Use it in an `async with`."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self._url = upstream.url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    @property
    def base(self) -> str:
        """What a stamp names as the base: the model's name, for its weights are not known."""
        return f"upstream:{self.upstream.model}"

    async def __aenter__(self) -> Self:
        up = self.upstream
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=up.connections),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=up.connect_s, sock_read=up.silent_s),
            headers={"authorization": f"Bearer {up.key}"} if up.key else {},
            read_bufsize=LONGEST_LINE,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def models(self) -> list[dict[str, Any]]:
        """The models that it names."""
        async with self._asked("GET", "/models", None) as response:
            found = await _json(response)
        return [m for m in found.get("data") or () if isinstance(m, dict) and isinstance(m.get("id"), str)]

    async def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        """A whole chat completion. UpstreamFailed for what it refuses, and where it cannot be reached."""
        async with self._asked("POST", "/chat/completions", body) as response:
            return await _json(response)

    async def embeddings(self, body: dict[str, Any]) -> dict[str, Any]:
        """The vectors of some texts. UpstreamFailed as `chat`."""
        async with self._asked("POST", "/embeddings", body) as response:
            return await _json(response)

    async def stream(self, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """The chunks of a streamed chat completion. UpstreamFailed also where it breaks off: no further try is made then."""
        async with self._asked("POST", "/chat/completions", body) as response:
            try:
                async for line in response.content:
                    if not line.startswith(b"data:"):
                        continue
                    data = line[5:].strip()
                    if data == b"[DONE]":
                        return
                    chunk = json.loads(data)
                    if not isinstance(chunk, dict):
                        raise ValueError("an event is no object")
                    if error := chunk.get("error"):
                        raise UpstreamFailed(f"the upstream broke off: {_said(error)}")
                    yield chunk
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                raise UpstreamFailed(f"the upstream broke off ({type(error).__name__})") from error
        raise UpstreamFailed("the upstream broke off before its stream had ended")

    @asynccontextmanager
    async def _asked(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a request, sent again while that may help."""
        assert self._session is not None, "use it in an async with"
        up = self.upstream
        for attempt in range(up.retries + 1):
            wait = up.wait_s * 2**attempt * random.uniform(0.75, 1.25)
            last = attempt == up.retries
            try:
                response = await self._session.request(method, self._url + path, json=body, allow_redirects=False)
            except (aiohttp.ClientError, TimeoutError) as error:
                if last:
                    raise UpstreamFailed(
                        f"the upstream {self._url} cannot be reached ({type(error).__name__}); is it running?"
                    ) from error
            else:
                async with response:
                    if response.status < 300:
                        yield response
                        return
                    if last or response.status not in AGAIN:
                        raise await _refused(response)
                    wait = max(wait, min(_seconds(response.headers.get("retry-after")), up.most_wait_s))
            await asyncio.sleep(wait)


@dataclass(frozen=True, slots=True)
class UpstreamSampler:
    """An upstream as what answers prompts, a few at once; it has no adapters."""

    upstream: Upstream

    def sample(
        self,
        prompts: Sequence[Conversation],
        *,
        adapter: str = "",
        max_tokens: int = 0,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Completion]:
        """What it answers to each; blocks, on connections of its own. `max_tokens` 0 leaves the length to it. UpstreamFailed as
        `UpstreamClient.chat`, and for an answer that holds no text; NotFound for an adapter."""
        if adapter:
            raise NotFound(
                f"the upstream {self.upstream.model} has no adapter {adapter[:12]}; only the local model has"
            )
        limit = {"max_tokens": max_tokens} if max_tokens else {}
        room = asyncio.Semaphore(SIDE_BY_SIDE)

        async def ask(client: UpstreamClient, shown: Conversation) -> Completion:
            messages = [{"role": m.role, "content": m.content} for m in shown]
            body = {"model": self.upstream.model, "messages": messages, "temperature": temperature, **limit}
            async with room:
                begun = time.perf_counter()
                return _completion(await client.chat(body), (time.perf_counter() - begun) * 1000)

        async def all_of_them() -> list[Completion]:
            async with UpstreamClient(self.upstream) as client:
                return await asyncio.gather(*(ask(client, shown) for shown in prompts))

        return asyncio.run(all_of_them())


def _completion(found: dict[str, Any], latency_ms: float) -> Completion:
    try:
        choice, usage = found["choices"][0], found.get("usage") or {}
        text = choice["message"].get("content") or ""
        if isinstance(text, str):
            return Completion(
                text=text, token_ids=(), logprobs=(), input_tokens=int(usage.get("prompt_tokens") or 0),
                finish_reason=choice.get("finish_reason") or "stop", output_tokens=int(usage.get("completion_tokens") or 0),
                latency_ms=latency_ms,
            )  # fmt: skip
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise UpstreamFailed("the upstream's answer holds no message; is it OpenAI-compatible?") from error
    raise UpstreamFailed(f"the upstream's answer is no text but a {type(text).__name__}; is it OpenAI-compatible?")


async def _json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        found = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise UpstreamFailed(f"the upstream's answer cannot be read ({type(error).__name__})") from error
    if not isinstance(found, dict):
        raise UpstreamFailed("the upstream's answer is no JSON object; is it OpenAI-compatible?")
    return found


async def _refused(response: aiohttp.ClientResponse) -> UpstreamFailed:
    """What it says of a request that it does not answer; a key that it does not take is the operator's affair, not the caller's."""
    if response.status in (401, 403):
        return UpstreamFailed("the upstream refuses engrain's key; the operator must give another")
    try:
        said = _said((await response.json(content_type=None))["error"])
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
        said = "it gives no reason"
    status = response.status if 400 <= response.status < 500 else 502
    return UpstreamFailed(f"the upstream answers {response.status}: {said}", status=status)


def _said(error: Any) -> str:
    return str(error.get("message") if isinstance(error, dict) else error)[:1000]


def _seconds(header: str | None) -> float:
    try:
        return max(0.0, float(header or 0))
    except ValueError:
        return 0.0
