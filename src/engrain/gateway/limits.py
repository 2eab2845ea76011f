"""How much a caller may send, and how often; and when there are too many already."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a service takes on."""

    body_bytes: int = 4 * 2**20
    """Of one request."""
    requests_per_minute: int = 0
    """Of each key (without keys: of all); saved up for one minute at most. 0: as many as come."""
    waiting: int = 256
    """Requests that may wait for a free row; further ones are refused at once, for they would only time out."""


class Rates:
    """A bucket of requests for each caller, filled evenly."""

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most, self._now = per_minute, now
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, caller: str) -> tuple[int, float]:
        """(requests left, 0.0), or (0, seconds until there is one again) if there is none."""
        with self._lock:
            now = self._now()
            left, at = self._left.get(caller, (float(self._most), now))
            left = min(float(self._most), left + (now - at) * self._most / 60)
            if left < 1:
                self._left[caller] = left, now
                return 0, (1 - left) * 60 / self._most
            self._left[caller] = left - 1, now
            return int(left - 1), 0.0


class Bounded:
    """Refuses a body as soon as it has become too long; what it says of its own length is not believed."""

    def __init__(self, app: ASGIApp, *, body_bytes: int) -> None:
        self._app, self._most = app, body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = 0

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._most:
                raise HTTPException(413, f"the request is longer than {self._most:,} bytes; send less")
            return message

        await self._app(scope, bounded, send)
