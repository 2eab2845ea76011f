"""Who is at the dashboard: sessions in memory, each opened with a key and as good as that key.

The cookie holds a random id and never the key. A restart of the service ends them all.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field

from engrain.store.keys import Key

LASTS_S = 8 * 3600.0
MOST = 1000
"""Sessions that are kept; beyond it the oldest ends."""


@dataclass(slots=True, kw_only=True)
class Session:
    """One browser."""

    id: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    """What every form of this session carries, so that no other page can send one."""
    key: str
    """Id of the key that opened it; "" in a home without keys."""
    tenant: str
    until: float = field(default_factory=lambda: time.monotonic() + LASTS_S)
    news: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """(`done` or `refused`, what to say) on the next page."""


class Sessions:
    """All of them. Safe for several threads."""

    def __init__(self) -> None:
        self._all: dict[str, Session] = {}
        self._lock = threading.Lock()

    def open(self, key: Key | None, tenant: str) -> Session:
        """A new session, under an id that nobody knew before."""
        session = Session(key=key.id if key else "", tenant=tenant)
        with self._lock:
            now = time.monotonic()
            self._all = {s.id: s for s in self._all.values() if s.until > now}
            while len(self._all) >= MOST:
                del self._all[next(iter(self._all))]
            self._all[session.id] = session
        return session

    def find(self, name: str) -> Session | None:
        """The session of this id, while it lasts."""
        with self._lock:
            session = self._all.get(name)
        return session if session is not None and session.until > time.monotonic() else None

    def close(self, session: Session) -> None:
        """It is over."""
        with self._lock:
            self._all.pop(session.id, None)
