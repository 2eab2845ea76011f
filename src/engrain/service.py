"""`engrain serve`: the gateway and the loops of one home, in one process.

The gateway answers and records; what a recorded interaction leaves behind becomes memory before its answer ends. Needs the extra: pip install "engrain[serve]".
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from engrain.errors import InputError
from engrain.gateway.answer import Serving
from engrain.learner import ANSWER_TOKENS
from engrain.loops import remember
from engrain.memory import HashedEmbedder
from engrain.records import Feedback, Interaction, Scope
from engrain.store import SqlStore

if TYPE_CHECKING:
    from fastapi import FastAPI

    from engrain.engines.local import LocalEngine
    from engrain.gateway.server import Service
    from engrain.gateway.wire import FeedbackRequest

log = logging.getLogger(__name__)


def application(
    home: Path, base: Path, *, tenant: str = "local", rows: int = 32, device: str = "auto"
) -> tuple[FastAPI, Service]:
    """The ASGI application on one home, and what it works with; it closes that at its end."""
    try:
        from engrain.gateway.server import Service, create_app
    except ModuleNotFoundError as missing:
        raise InputError(f'{missing.name} is not installed; run: pip install "engrain[serve]"') from missing
    from engrain.engines.batching import Batcher
    from engrain.engines.local import LocalEngine

    store = SqlStore(home)
    engine = LocalEngine(base, adapters_dir=home / "adapters", device=device)
    service = Service(
        store=store, engine=engine, batcher=Batcher(engine, rows=rows), embedder=HashedEmbedder(),
        serving=Serving(max_tokens=ANSWER_TOKENS), tenant=tenant,
        after=lambda interaction: _remember(store, engine, interaction),
        on_feedback=lambda scope, body: _feedback(store, scope, body),
    )  # fmt: skip
    return create_app(service), service


def serve(
    home: Path,
    base: Path,
    *,
    host: str,
    port: int,
    tenant: str,
    rows: int,
    device: str,
    say: Callable[[str], None] = print,
) -> None:
    """Serve until Ctrl-C or SIGTERM; answers under way are finished first. InputError for an open door without a key."""
    with closing(SqlStore(home)) as store:
        if not _loopback(host) and not any(k.revoked_at is None for k in store.api_keys()):
            raise InputError(f"--host {host} is reachable from outside; make a key first: engrain keys new")
    app, _ = application(home, base, tenant=tenant, rows=rows, device=device)
    import uvicorn

    say(f"engrain answers at http://{f'[{host}]' if ':' in host else host}:{port}/v1 (model: engrain). Ctrl-C ends it.")
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False, server_header=False)


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _remember(store: SqlStore, engine: LocalEngine, interaction: Interaction) -> None:
    if (
        interaction.messages[-1].role != "user"
    ):  # a step of a tool loop: what the user said was remembered with the first
        return
    try:
        remember.from_interaction(store, engine, interaction)
    except Exception:  # the answer is on disk, and the caller gets it
        log.exception("%s: nothing was remembered of what was said", interaction.id)


def _feedback(store: SqlStore, scope: Scope, body: FeedbackRequest) -> list[Feedback]:
    rating = None if body.rating is None else float(body.rating)
    return remember.feedback(
        store,
        body.interaction,
        scope=scope,
        rating=rating,
        comment=body.comment,
        correction=body.correction,
        kind=body.kind,
    )
