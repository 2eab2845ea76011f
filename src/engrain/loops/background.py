"""Learning in the background: who has told enough and is quiet now is consolidated, one user after another.

The queue is in the database (`store/jobs.py`), the work is `consolidate`: killed at any point, the job goes to the next worker, which
goes on from the last checkpoint, and a promotion happens once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from engrain.adapters import current
from engrain.adapters.canary import on_trial
from engrain.errors import EngrainError, HomeBusy
from engrain.loops.consolidate import Consolidation, Outcome, consolidate, known_at, route, spent_before, unstale
from engrain.loops.follow import abandoned
from engrain.loops.forget import go_on
from engrain.loops.verify import Verifying
from engrain.records import Scope
from engrain.signals.implicit import SILENT_S
from engrain.store import Job, SqlStore

if TYPE_CHECKING:
    from engrain.engines.local import LocalEngine

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """When a user is consolidated without being asked, and how a worker behaves. Times are seconds."""

    train: bool = True
    """False: nobody is consolidated; conversations that end are judged, and verifiers run."""
    least: int = 8
    """Memories that must have become durable since the last run; the gate may need more."""
    idle_s: float = 60.0
    """How long nothing must have been recorded of the user."""
    silent_s: float = SILENT_S
    """How long nothing must have been recorded of the user before conversations count as ended; at least the detector's own."""
    sweep_s: float = 3600.0
    """How often everybody is looked at, for memories become durable by standing, too."""
    poll_s: float = 2.0
    beat_s: float = 5.0
    lease_s: float = 60.0
    """A worker that has been silent for so long has lost its job."""
    attempts: int = 3
    """How often a job is begun before it counts as failed."""


AT_A_LOOK = 64
"""Users who are looked at in one go, so that a worker of many does not keep the first waiting."""


class Stopped(BaseException):
    """Raised within a run whose job is not the worker's any more, or whose worker is to end; no error, like Ctrl-C."""


def due(store: SqlStore, scope: Scope, settings: Consolidation, background: Background, at: float) -> str:
    """Why this user should be consolidated now; "" if there is no reason yet."""
    if on_trial(store, scope):
        return ""
    last = store.last_job(scope)
    since = last.started_at if last is not None and last.started_at is not None else 0.0
    start, old = unstale(store, scope, current(store, scope), at)
    if old and any(m.recorded_at > since for m in known_at(store, scope, at)):
        return f"{len(old)} memories in the live version no longer hold"

    def durable(then: float) -> set[str]:
        return {s.memory for s in route(store, scope, start, then, settings.router) if s.route == "weights"}

    now = durable(at)
    new = now - durable(since)
    spent = [v.decision for v in spent_before(store, scope, at)]
    if len(new) < background.least or len(now) < settings.gate.least_new(len(spent) + 1, spent):
        return ""
    return f"{len(new)} memories have become durable"


class Watch:
    """Notices who has something recorded, and asks for a consolidation once they are quiet and it is due; has their memory put in order (`rest`); later,
    once they are silent, records which of their conversations ended without an answer."""

    def __init__(
        self,
        store: SqlStore,
        settings: Consolidation,
        background: Background,
        rest: Callable[[Scope], object] | None = None,
    ) -> None:
        self._store, self._settings, self._background = store, settings, background
        self._rest = rest or (lambda _: None)
        self._seen = 0
        self._swept = float("-inf")
        self._restless: dict[Scope, float] = {}
        self._talking: dict[Scope, float] = {}

    def look(self) -> list[Job]:
        """The jobs that this look added."""
        now = time.monotonic()
        if now - self._swept > self._background.sweep_s:
            self._swept, self._seen = now, 0  # everybody
        changed, self._seen = self._store.changed_scopes(self._seen)
        self._restless |= dict.fromkeys(changed, now)
        self._talking |= dict.fromkeys(changed, now)
        added: list[Job] = []

        def ask(scope: Scope) -> None:
            train = self._background.train
            reason = due(self._store, scope, self._settings, self._background, time.time()) if train else ""
            if reason:
                added.append(self._store.add_job(scope, reason))
            self._rest(scope)

        _each(self._restless, self._background.idle_s, ask)
        _each(self._talking, self._background.silent_s, lambda scope: abandoned(self._store, scope, time.time()))
        return added


def _each(waiting: dict[Scope, float], still_s: float, do: Callable[[Scope], object]) -> None:
    """Do this for each of whom nothing came for so long, and take them off the list; where it fails, they are the last of it again."""
    now = time.monotonic()
    for scope in [s for s, at in waiting.items() if now - at >= still_s][:AT_A_LOOK]:
        del waiting[scope]
        try:
            do(scope)
        except EngrainError:
            log.warning("%s was not looked at; that comes later", scope, exc_info=True)
            waiting[scope] = now


def work(
    store: SqlStore,
    engine: Callable[[], LocalEngine],
    *,
    home: Path,
    worker: str,
    settings: Consolidation | None = None,
    background: Background | None = None,
    stop: threading.Event | None = None,
    until_empty: bool = False,
    on_end: Callable[[Job, str], None] | None = None,
    verifying: Verifying | None = None,
    rest: Callable[[Scope], object] | None = None,
) -> None:
    """Run one job after another until `stop` is set, or none waits. The model is loaded for the first of them.

    `worker` must be another name for every process. `on_end` is told each job with what became of it. Between jobs, `verifying` has
    verified what was answered, and the memory of who is quiet is put in order by `rest` (loops/sleep.py).
    """
    settings, background, stop = settings or Consolidation(), background or Background(), stop or threading.Event()
    watch = Watch(store, settings, background, rest)

    def tried(what: str, do: Callable[[], T]) -> T | None:
        """What it gives. A busy or full database ends no worker, but for one that is waited for until nothing is left."""
        try:
            return do()
        except EngrainError:
            if until_empty:
                raise
            log.warning("%s failed; it is tried again", what, exc_info=True)
            return None

    while not stop.is_set():
        tried("looking for who is due", watch.look)
        if verifying is not None:
            tried("verifying", partial(verifying.look, stop))
        claim = partial(store.claim_job, worker, lease_s=background.lease_s)
        job = tried("claiming a job", claim) if background.train else None
        if job is None:
            if until_empty:
                return
            stop.wait(background.poll_s)
            continue
        said = run(store, engine, job, home=home, worker=worker, settings=settings, background=background, stop=stop)
        log.info("%s of %s: %s", job.id, job.scope, said)
        if on_end is not None:
            on_end(job, said)


def run(
    store: SqlStore,
    engine: Callable[[], LocalEngine],
    job: Job,
    *,
    home: Path,
    worker: str,
    settings: Consolidation,
    background: Background,
    stop: threading.Event,
) -> str:
    """One claimed job, to its end or to where it is stopped; returns what became of it, as its record says."""
    if job.attempts > background.attempts:
        said = f"begun {background.attempts} times, and its worker died each time; {job.outcome or 'see the log'}"
        store.end_job(job.id, worker, "failed", said)
        return said
    with Heart(store, job, worker, background.beat_s, stop) as heart:
        try:
            ready = engine()
            go_on(store, ready, scope=job.scope, home=home, settings=settings, progress=heart.tick)
            outcome = consolidate(store, ready, scope=job.scope, home=home, settings=settings, progress=heart.tick)
        except Stopped:
            store.put_back_job(job.id, worker)  # unless it is another's now, or cancelled
            stop.wait(background.poll_s)  # whoever had it stopped comes first
            return "stopped; it goes on from its last checkpoint"
        except HomeBusy as busy:
            store.put_back_job(job.id, worker)
            stop.wait(background.poll_s)
            return str(busy)
        except Exception as error:
            log.exception("%s of %s failed", job.id, job.scope)
            said = str(error) if isinstance(error, EngrainError) else f"{type(error).__name__}; see the worker's log"
            store.end_job(job.id, worker, "failed" if job.attempts >= background.attempts else "waiting", said)
            stop.wait(background.poll_s)
            return said
        said = summary(outcome)
        store.end_job(job.id, worker, "done", said)
        return said


def summary(outcome: Outcome) -> str:
    """What a run came to, in a line."""
    return f"{outcome.verdict.decision if outcome.verdict is not None else 'nothing trained'}: {outcome.reason}"


class Heart:
    """Says every `beat_s` that the worker is alive and how far it is; at `tick`, raises Stopped if the job is not its any more."""

    def __init__(self, store: SqlStore, job: Job, worker: str, beat_s: float, stop: threading.Event) -> None:
        self._store, self._job, self._worker, self._beat_s, self._stop = store, job, worker, beat_s, stop
        self._at = ("starting", 0.0)
        self._lost, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heart of {job.id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def tick(self, what: str, share: float) -> None:
        """The progress of the run."""
        self._at = (what, share)
        if self._lost.is_set() or self._stop.is_set():
            raise Stopped

    def _beat(self) -> None:
        while not self._over.wait(self._beat_s):
            try:
                if not self._store.beat_job(self._job.id, self._worker, *self._at):
                    self._lost.set()
                    return
            except EngrainError:  # a busy database: the next beat is soon enough
                log.warning("%s: a sign of life was not recorded", self._job.id, exc_info=True)
