"""Sentence vectors from an OpenAI-compatible server (`/v1/embeddings`): what is remembered and asked leaves this machine for that address.

Its weights are out of reach, so nobody here notices when the server puts another model under the same name.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any

import numpy as np

from engrain.engines.sentences import Sentences
from engrain.engines.upstream import Upstream, UpstreamClient
from engrain.errors import UpstreamFailed

_TOGETHER = 64
"""Texts of a request."""
_SIDE_BY_SIDE = 4
"""Requests."""


class UpstreamSentences(Sentences):
    """An `Embedder` that asks a server, again where it was busy (`Upstream.retries`); UpstreamFailed where it does not answer.

    `calls` and `tokens` count what was asked, as the server counts it; a further try of the same request is no further call.
    """

    def __init__(self, upstream: Upstream, *, longest: int = 2000) -> None:
        """A text is cut after `longest` characters: many servers refuse what their model cannot read, and one refused text would stop recall."""
        at = hashlib.sha256(upstream.url.rstrip("/").encode()).hexdigest()[:8]
        super().__init__(f"upstream-{upstream.model}-{at}-{longest}")
        self.upstream, self.longest = upstream, longest
        self.calls = self.tokens = 0
        self._client = UpstreamClient(upstream)
        self._opening = threading.Lock()
        self._runner: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None

    def close(self) -> None:
        """Let go of the connections; asked again, they are opened anew."""
        with self._opening:
            if self._runner is not None:
                loop, thread = self._runner
                self._runner = None
                _wait(loop, self._client.__aexit__(None, None, None))
                loop.call_soon_threadsafe(loop.stop)
                thread.join()
                loop.close()

    def _read(self, texts: Sequence[str]) -> np.ndarray:
        return np.asarray(_wait(self._opened(), self._all([text[: self.longest] for text in texts])))

    def _opened(self) -> asyncio.AbstractEventLoop:
        """A loop in a thread of its own, so that connections are kept from one query to the next, whichever thread asks."""
        with self._opening:
            if self._runner is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, name="embeddings", daemon=True)
                thread.start()
                _wait(loop, self._client.__aenter__())
                self._runner = loop, thread
            return self._runner[0]

    async def _all(self, texts: Sequence[str]) -> np.ndarray:
        turns = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def ask(some: Sequence[str]) -> np.ndarray:
            async with turns:
                found = await self._client.embeddings(
                    {"model": self.upstream.model, "input": some, "encoding_format": "float"}
                )
            self.calls += 1
            self.tokens += _tokens(found)
            return _vectors(found, len(some))

        parts = await asyncio.gather(*(ask(some) for some in _steps(texts)))
        if len({part.shape[1] for part in parts}) > 1:
            raise UpstreamFailed("the upstream's vectors have different lengths; is it one model?")
        return np.concatenate(parts)


def _wait(loop: asyncio.AbstractEventLoop, what: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(what, loop).result()


def _steps(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(texts), _TOGETHER):
        yield texts[at : at + _TOGETHER]


def _vectors(found: dict[str, Any], count: int) -> np.ndarray:
    """[count, dimension], in the order in which they were asked for, which is not always that of the answer."""
    try:
        rows = {int(row["index"]): row["embedding"] for row in found["data"]}
        vectors = np.array([rows[i] for i in range(count)], dtype=np.float32)
    except (LookupError, TypeError, ValueError) as error:
        raise UpstreamFailed(f"the upstream's answer holds no {count} vectors; is it OpenAI-compatible?") from error
    if vectors.ndim != 2 or not vectors.shape[1] or len(rows) != count:
        raise UpstreamFailed(f"the upstream's answer holds no {count} vectors; is it OpenAI-compatible?")
    return vectors


def _tokens(found: dict[str, Any]) -> int:
    usage = found.get("usage")
    read = usage.get("prompt_tokens", usage.get("total_tokens")) if isinstance(usage, dict) else 0
    return read if isinstance(read, int) and read > 0 else 0
