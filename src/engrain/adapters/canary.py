"""Which candidate is on trial, and which requests it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engrain.records import Adapter, Canary, Scope, Verdict, content_hash

if TYPE_CHECKING:
    from engrain.adapters.versions import VersionStore


def on_trial(store: VersionStore, scope: Scope) -> Canary | None:
    """The trial that goes on; None once a verdict ended it, another version went live or its candidate was forgotten."""
    last: Canary | None = None
    for canary in store.select(Canary, scope=scope):
        last = canary
    if last is None or store.live(scope) != last.against:
        return None
    if any(last.id in v.causes for v in store.select(Verdict, scope=scope)):
        return None
    return last if any(a.id == last.candidate for a in store.select(Adapter, scope=scope)) else None


def answers(canary: Canary, conversation: str) -> bool:
    """Whether the candidate answers this conversation; one conversation stays with one version, and nobody can choose which."""
    return int(content_hash(["canary", canary.id, conversation], length=12), 16) < canary.share * 16**12
