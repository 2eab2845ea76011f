"""`engrain serve`: the gateway of one home with its dashboard, and beside it the process that learns.

The gateway answers and records; what a recorded interaction leaves behind becomes memory before its answer ends. What has proved durable is
consolidated by a worker in a process of its own, at the lowest priority. Needs the extra: pip install "engrain[serve]".
"""

from __future__ import annotations

import functools
import gc
import importlib.util
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from engrain.errors import InputError
from engrain.gateway.answer import Serving
from engrain.gateway.here import is_loopback
from engrain.learner import ANSWER_TOKENS, embedder_of
from engrain.loops import follow, remember
from engrain.loops.trial import settle
from engrain.prompts import extract_request
from engrain.records import Feedback, Interaction, Message, Scope
from engrain.store import SqlStore

if TYPE_CHECKING:
    from fastapi import FastAPI

    from engrain.engines.local import LocalEngine
    from engrain.engines.upstream import Upstream
    from engrain.gateway.reply import Service
    from engrain.gateway.wire import FeedbackRequest
    from engrain.protocols import Sampler, Verifier
    from engrain.telemetry.tracing import Tracing

log = logging.getLogger(__name__)

NICE = 19
"""Of the worker: whatever an answer needs of the processor comes first."""
RESTART_S = 5.0
"""Before a worker that died is started anew."""
END_S = 30.0
"""How long a worker may take to stop at its next step, which keeps the checkpoint, before it is killed, which keeps it, too."""


def application(
    home: Path,
    base: Path,
    *,
    tenant: str = "local",
    rows: int = 32,
    device: str = "auto",
    embedder: str = "auto",
    database: str = "",
    per_minute: int = 0,
    skills: int = 0,
    upstream: Upstream | None = None,
    tracing: Tracing | None = None,
) -> tuple[FastAPI, Service]:
    """The ASGI application on one home, and what it works with; it closes that at its end.

    With an `upstream` that answers, and the base, here, only says which notes a message leaves."""
    try:
        from engrain.dashboard import Desk, create, text
        from engrain.dashboard.api import router
        from engrain.gateway.limits import Limits
        from engrain.gateway.recording import Recorder
        from engrain.gateway.reply import Service
        from engrain.gateway.server import create_app
    except ModuleNotFoundError as missing:
        raise InputError(f'{missing.name} is not installed; run: pip install "engrain[serve]"') from missing
    from engrain.engines.batching import Batcher, Opened
    from engrain.engines.local import LocalEngine
    from engrain.engines.upstream import UpstreamClient

    store = SqlStore(home, database=database)
    engine = LocalEngine(base, adapters_dir=home / "adapters", device=device)
    batcher = Batcher(engine, rows=rows)
    reader = Opened(batcher, {"": [Message(role="user", content=extract_request(""))]})
    service = Service(
        store=store, recorder=Recorder(store), engine=engine, batcher=batcher, embedder=embedder_of(embedder, key=_key(embedder, upstream)),
        serving=Serving(max_tokens=ANSWER_TOKENS, skills=skills), tenant=tenant, limits=Limits(requests_per_minute=per_minute), tracing=tracing,
        upstream=UpstreamClient(upstream) if upstream else None,
        after=lambda interaction, remembering: _after(store, reader, interaction, remembering=remembering),
        on_feedback=lambda scope, body: _feedback(store, scope, body),
    )  # fmt: skip
    app = create_app(service)
    desk = Desk(
        store=store, engine=engine, upstream=upstream, home=home, tenant=tenant, embedder=service.embedder, serving=service.serving,
        shelf=service.shelf,
    )  # fmt: skip
    app.mount("/dashboard", create(desk))
    app.include_router(router(desk, app.state.tenant_for))
    app.include_router(text.router(desk, app.state.tenant_for))
    return app, service


def serve(
    home: Path,
    base: Path,
    *,
    host: str,
    port: int,
    tenant: str,
    rows: int,
    device: str,
    embedder: str = "auto",
    database: str = "",
    learn: bool = True,
    canary: float = 0.0,
    per_minute: int = 0,
    skills: int = 0,
    upstream: Upstream | None = None,
    verify: Path | None = None,
    sleep_calls: int = 0,
    drain_s: int = 30,
    log_json: bool = False,
    tracing: Tracing | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Serve until Ctrl-C or SIGTERM; answers under way are finished first, and after `drain_s` nobody is waited for who does not read
    theirs. InputError for an open door without a key.

    With `learn`, a worker consolidates in the background; without, only `engrain work` and `engrain consolidate` do. `canary` is
    the share of the conversations that a candidate answers before it goes live; 0: it goes live by the gate's verdict alone. `verify` is
    a file of verifiers, which the worker runs over each answer; `sleep_calls` how often it may ask what answers, base or upstream, in one sleep of one
    user's memory. An `upstream` answers with weights that nobody here can train: the worker
    then only judges."""
    if verify is not None:
        verifiers_of(verify)  # what is wrong with it is said now, and not by the worker
        if not learn:
            raise InputError("--verify is the worker's; with --no-learn, run: engrain work --verify FILE")
    with closing(SqlStore(home, database=database)) as store:
        refuse_open_door(store, host)
    if upstream and canary:
        raise InputError(f"--canary {canary} tries a trained version, and an upstream has none; leave one of them out")
    app, _ = application(
        home,
        base,
        tenant=tenant,
        rows=rows,
        device=device,
        embedder=embedder,
        database=database,
        per_minute=per_minute,
        skills=skills,
        upstream=upstream,
        tracing=tracing,
    )
    import uvicorn

    at = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    say(f"engrain answers at {at}/v1 (model: engrain), and shows itself at {at}/dashboard/. Ctrl-C ends it.")
    if upstream:
        said = "It records, remembers and takes feedback; weights are learned only by an engine that trains (without --upstream)."
        say(f"{upstream.model} at {upstream.url} answers, and is the only address that is called. {said}")
    beside = Beside(
        home,
        base,
        device,
        canary,
        verify,
        embedder=embedder,
        sleep_calls=sleep_calls,
        upstream=upstream,
        log_json=log_json,
    )
    gc.collect()
    gc.freeze()  # what is loaded by now stays; to look through all of it for garbage again and again stops every answer for 0.3 s
    with beside if learn else nullcontext():
        uvicorn.run(
            app, host=host, port=port, log_level="warning", access_log=False, server_header=False,
            timeout_graceful_shutdown=drain_s, log_config=None,
        )  # fmt: skip


def _key(embedder: str, upstream: Upstream | None) -> str:
    """The upstream's key where the same server makes the vectors; no other is given it."""
    same = upstream is not None and embedder.partition("#")[0].rstrip("/") == upstream.url.rstrip("/")
    return upstream.key if upstream is not None and same else ""


_WORKERS_KEY = "ENGRAIN_WORKERS_UPSTREAM_KEY"


class Beside:
    """A worker process that lasts as long as the block: started anew if it dies, and gone if this process is, however it ends."""

    def __init__(
        self, home: Path, base: Path, device: str, canary: float = 0.0, verify: Path | None = None, *, embedder: str = "auto", sleep_calls: int = 0,
        upstream: Upstream | None = None, log_json: bool = False,
    ) -> None:  # fmt: skip
        self.command = [sys.executable, "-m", "engrain.cli", "work", "--with-parent"]
        self.command += ["--home", str(home), "--base", str(base), "--device", device, "--canary", str(canary)]
        self.command += ["--embedder", embedder]
        self.command += ["--verify", str(verify)] if verify is not None else []
        self.command += ["--sleep-calls", str(sleep_calls)]
        self.environment = dict(os.environ)
        if upstream is not None:  # the key is no argument, for these are seen by everybody on the machine
            self.command += ["--no-train", "--upstream", upstream.url, "--upstream-model", upstream.model]
            self.command += ["--upstream-key", _WORKERS_KEY]
            self.environment[_WORKERS_KEY] = upstream.key
        self.command += ["--log-json"] if log_json else []
        self.process: subprocess.Popen[bytes] | None = None
        """The worker that runs now."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keeps the worker", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._over.is_set():
            # A session of its own: Ctrl-C in the terminal is for the gateway, which ends the worker when it has drained.
            with subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env=self.environment,
            ) as process:
                self.process = process
                while process.poll() is None and not self._over.wait(0.2):
                    pass
                assert process.stdin is not None
                process.stdin.close()  # the worker's sign to stop
                try:
                    process.wait(END_S)
                except subprocess.TimeoutExpired:
                    process.kill()
            if not self._over.is_set():
                log.warning("the worker ended with code %s; another is started", process.returncode)
                self._over.wait(RESTART_S)


def learn(
    home: Path,
    base: Path,
    *,
    device: str = "auto",
    embedder: str = "auto",
    database: str = "",
    once: bool = False,
    canary: float = 0.0,
    with_parent: bool = False,
    verify: Path | None = None,
    train: bool = True,
    sleep_calls: int = 0,
    upstream: Upstream | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Consolidate whoever is due, one after another, until Ctrl-C or (`once`) until nobody is waiting; between them, run the verifiers
    of the file `verify` over what was answered, and put the memory of who is quiet in order. Without `train`, only these, and what conversations
    that ended say. In each sleep of a memory at most `sleep_calls` calls are made of what answers: the base, or the `upstream`.

    `with_parent`: until standard input ends, as it does when the process that started this one is gone."""
    from engrain.engines.local import LocalEngine
    from engrain.evaluation.canary import Trial
    from engrain.loops.background import Background, work
    from engrain.loops.consolidate import Consolidation
    from engrain.loops.sleep import Sleep
    from engrain.loops.verify import Verifying
    from engrain.text import Text

    make = None if verify is None else verifiers_of(verify)
    os.nice(NICE)
    stop = threading.Event()

    def until_alone() -> None:
        while os.read(sys.stdin.fileno(), 4096):  # not through the buffer, whose lock would stop the interpreter's end
            pass
        stop.set()

    if with_parent:
        threading.Thread(target=until_alone, name="parent", daemon=True).start()
    engine = functools.cache(lambda: LocalEngine(base, adapters_dir=home / "adapters", device=device))
    background = Background(idle_s=0.0, silent_s=0.0, train=train) if once else Background(train=train)
    settings = Consolidation(trial=Trial(share=canary) if canary else None)
    finds = embedder_of(embedder)
    with closing(SqlStore(home, database=database)) as store:
        serving = Serving()
        asked: Callable[[], Sampler] | None = None
        if upstream is not None:
            from engrain.engines.upstream import UpstreamSampler

            asked = functools.partial(UpstreamSampler, upstream)

        def rest(scope: Scope) -> None:
            text = Text(store, finds, scope, engine=engine, serving=serving, sampler=asked)
            text.sleep(Sleep(calls=sleep_calls, playbook=serving.playbook))

        verifying = None if make is None else Verifying(store, lambda: make(engine()))
        work(
            store, engine, home=home, worker=f"{os.uname().nodename}:{os.getpid()}", settings=settings, background=background, stop=stop,
            until_empty=once, verifying=verifying, rest=rest, on_end=lambda job, said: say(f"{job.id} of {job.scope.user} ({job.scope.tenant}): {said}"),
        )  # fmt: skip


def refuse_open_door(store: SqlStore, host: str) -> None:
    """InputError for an address that is reachable from outside while there is no key."""
    if not is_loopback(host) and not any(k.revoked_at is None for k in store.api_keys()):
        raise InputError(f"--host {host} is reachable from outside; make a key first: engrain keys new")


def verifiers_of(file: Path) -> Callable[[LocalEngine], Sequence[Verifier]]:
    """The function `verifiers(engine)` of a Python file, which returns the verifiers to run. It is the operator's own code and is run as
    such; InputError if the file cannot be run or has none."""
    spec = importlib.util.spec_from_file_location("engrain_verifiers", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise InputError(f"--verify {file} is no Python file; give one with a function verifiers(engine)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses of it look themselves up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"--verify {file} cannot be run: {type(error).__name__}: {error}") from error
    make = getattr(module, "verifiers", None)
    if not callable(make):
        raise InputError(f"--verify {file} has no function verifiers(engine) that returns a list of verifiers")
    return make  # type: ignore[no-any-return]


def _after(store: SqlStore, sampler: Sampler, interaction: Interaction, *, remembering: bool) -> None:
    if (
        interaction.messages[-1].role != "user"
    ):  # a step of a tool loop: what the user said was remembered with the first
        return
    try:  # the answer is on disk, and the caller gets it
        follow.from_next(store, interaction)
    except Exception:
        log.exception("%s: what it says of the answer before was not recorded", interaction.id)
    if not remembering:
        return
    try:
        remember.from_interaction(store, sampler, interaction)
    except Exception:
        log.exception("%s: nothing was remembered of what was said", interaction.id)


def _feedback(store: SqlStore, scope: Scope, body: FeedbackRequest) -> list[Feedback]:
    if (body.interaction is None) == (body.conversation is None):
        raise InputError("interaction, conversation: give one of them, so that it is known what the feedback is about")
    about = body.interaction or remember.last_answer(store, body.conversation or "", scope=scope)
    rating = None if body.rating is None else float(body.rating)
    given = remember.feedback(
        store,
        about,
        scope=scope,
        rating=rating,
        comment=body.comment,
        correction=body.correction,
        kind=body.kind,
    )
    settle(store, scope)
    return given
