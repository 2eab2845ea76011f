"""What the pages work with, and the one thing that takes longer than a page: forgetting."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from engrain.dashboard.figures import Update
from engrain.dashboard.sessions import Sessions
from engrain.errors import EngrainError
from engrain.gateway.answer import Serving
from engrain.loops.forget import forget
from engrain.memory import HashedEmbedder, Shelf
from engrain.protocols import Embedder, Sampler
from engrain.records import Scope
from engrain.store import SqlStore

if TYPE_CHECKING:
    from engrain.engines.local import LocalEngine
    from engrain.engines.upstream import Upstream

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Forgetting:
    """One forgetting that was confirmed here: how far it is, or how it ended."""

    asked: str
    """An id or a source; never the text itself."""
    state: Literal["running", "done", "failed"] = "running"
    stage: str = "starting"
    share: float = 0.0
    """0 … 1 of the stage."""
    receipt: str = ""
    error: str = ""
    begun_at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What the last verification of the ledger found."""

    at: float
    entries: int = 0
    head: str = ""
    error: str = ""
    """The first entry that is wrong, and how; "" if all are right."""


@dataclass(slots=True, kw_only=True)
class Desk:
    """The home that the dashboard shows."""

    store: SqlStore
    engine: LocalEngine
    """Rebuilds what a forgetting takes apart, and answers where one plays. It is the one that serves, so that it drops at once what it
    remembers of what is forgotten."""
    upstream: Upstream | None = None
    """What answers in its place where one plays."""
    home: Path
    tenant: str = "local"
    """Whose users are shown while the home has no keys."""
    embedder: Embedder = field(default_factory=HashedEmbedder)
    serving: Serving = field(default_factory=Serving)
    """How an answer is made where one plays."""
    shelf: Shelf = field(default_factory=Shelf)
    """What is kept of users' memories; the one of the service that answers, which drops what is forgotten."""
    sessions: Sessions = field(default_factory=Sessions)
    checked: Checked | None = None
    known: dict[str, Update] = field(default_factory=dict[str, Update])
    """The numbers of each verdict that was looked at, by its id."""
    _forgettings: dict[Scope, Forgetting] = field(default_factory=dict[Scope, Forgetting])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sampler(self) -> Sampler:
        """What answers: the upstream where there is one, else the model."""
        if self.upstream is None:
            return self.engine
        from engrain.engines.upstream import UpstreamSampler

        return UpstreamSampler(self.upstream)

    def forgetting(self, scope: Scope) -> Forgetting | None:
        """The user's last one since the service began."""
        return self._forgettings.get(scope)

    def forget(self, scope: Scope, what: str, reason: str, seen: str = "") -> bool:
        """Begin to forget, in a thread of its own; False while another forgetting of this home is under way. `seen` as in `forget`."""
        with self._lock:
            if any(f.state == "running" for f in self._forgettings.values()):
                return False
            going = Forgetting(asked="text:(hidden)" if what.startswith("text:") else what)
            self._forgettings[scope] = going
        threading.Thread(
            target=self._forget, args=(going, scope, what, reason, seen), name="forgets", daemon=True
        ).start()
        return True

    def _forget(self, going: Forgetting, scope: Scope, what: str, reason: str, seen: str) -> None:
        def tick(stage: str, share: float) -> None:
            going.stage, going.share = stage, share

        try:
            done = forget(
                self.store, lambda: self.engine, what, scope=scope, home=self.home, reason=reason, seen=seen, progress=tick
            )  # fmt: skip
        except Exception as error:  # the thread ends here either way; the page says how
            if not isinstance(error, EngrainError):
                log.exception("forgetting for %s failed", scope)
            going.error = str(error) if isinstance(error, EngrainError) else "it failed; the service's log says why"
            going.state = "failed"
        else:
            going.receipt, going.state = done.id, "done"
        finally:
            self.engine.clear()

    def verify(self) -> Checked:
        """Check the whole ledger now."""
        at = time.time()
        try:
            entries = self.store.verify()
        except EngrainError as error:
            self.checked = Checked(at=at, error=str(error))
        else:
            self.checked = Checked(at=at, entries=entries, head=self.store.head()[1])
        return self.checked
