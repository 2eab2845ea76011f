"""Play: ask as a user would, of two versions beside each other, each with notes or without. Nothing of it is recorded or remembered."""

from __future__ import annotations

from dataclasses import dataclass, replace

from starlette.responses import Response

from engrain import adapters
from engrain.dashboard.desk import Desk
from engrain.dashboard.visit import Visit
from engrain.errors import InputError, NotFound
from engrain.gateway.answer import cut_to_window, latest, prepare
from engrain.protocols import Completion
from engrain.records import Context, Message, Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two: which version, whether it is shown notes, and what it said."""

    name: str
    """`a` or `b`."""
    version: str
    """Adapter hash; "" for the bare base."""
    notes: bool
    context: Context | None = None
    completion: Completion | None = None


def shown(visit: Visit) -> Response:
    """The form; asked with notes by what is live, and without by the same."""
    scope = visit.scope()
    live = visit.desk.store.live(scope)
    sides = [Side(name=name, version=live, notes=name == "a") for name in "ab"]
    return _page(visit, scope, sides, "")


def asked(visit: Visit) -> Response:
    """The same with both answers."""
    scope, question = visit.scope(), visit.given("question").strip()
    if not question:
        raise InputError("the question is empty; ask something")
    known = {v.adapter for v in adapters.versions(visit.desk.store, scope)}
    sides: list[Side] = []
    for name in "ab":
        version, notes = visit.given(name), visit.given(f"{name}_notes") == "on"
        if version not in known:
            raise NotFound(version)
        sides.append(answered(visit.desk, scope, question, Side(name=name, version=version, notes=notes)))
    return _page(visit, scope, sides, question)


def answered(desk: Desk, scope: Scope, question: str, side: Side) -> Side:
    """What that version, or the upstream, says to it, drawn at temperature 0, as the service would have it say."""
    if desk.upstream is not None:
        from engrain.engines.upstream import UpstreamSampler

        asking = [Message(role="user", content=question)]
        ready = prepare(
            desk.store, desk.engine, desk.embedder, asking, scope=scope, memory=side.notes, adapter="", serving=desk.serving
        )  # fmt: skip
        (said,) = UpstreamSampler(desk.upstream).sample([ready.shown])
        return replace(side, context=ready.context, completion=said)
    serving = cut_to_window(desk.engine, desk.serving)
    messages = latest(desk.engine, [Message(role="user", content=question)], serving, memory=side.notes)
    ready = prepare(
        desk.store, desk.engine, desk.embedder, messages, scope=scope, memory=side.notes, adapter=side.version, serving=serving
    )  # fmt: skip
    (completion,) = desk.engine.sample([ready.shown], adapter=ready.version, max_tokens=serving.max_tokens)
    return replace(side, context=ready.context, completion=completion)


def _page(visit: Visit, scope: Scope, sides: list[Side], question: str) -> Response:
    versions = adapters.versions(visit.desk.store, scope)
    numbers = {v.adapter: v.number for v in versions}
    return visit.show(
        "play.html",
        scope=scope,
        versions=versions,
        numbers=numbers,
        sides=sides,
        question=question,
        upstream=visit.desk.upstream,
    )
