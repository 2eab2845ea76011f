"""Versions of one scope: which adapter is live, which came before, and what each one holds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from engrain.adapters.canary import on_trial
from engrain.errors import InputError, NotFound
from engrain.records import Adapter, Batch, Evidence, ItemResult, Receipt, Scope, Verdict


class VersionStore(Protocol):
    """What this room needs of the store."""

    def live(self, scope: Scope) -> str: ...

    def set_live(
        self,
        scope: Scope,
        adapter: str,
        verdict: str = "",
        *,
        expected: str,
        event: Literal["promote", "rollback", "forget"] = "promote",
        reason: str = "",
        records: Sequence[Any] = (),
    ) -> None: ...

    def pointer_history(self, scope: Scope) -> Sequence[Any]: ...

    def get(self, record_id: str, *, scope: Scope) -> Any: ...

    def effects(self, record_id: str, *, scope: Scope) -> Sequence[Any]: ...

    def select(self, kind: type[Any], *, scope: Scope) -> Iterator[Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One adapter of a scope with the verdict on it. Number 0 is the bare base."""

    number: int
    adapter: str
    parent: str = ""
    created_at: float = 0.0
    memories: int = 0
    """How many memories it was trained on, its ancestors' included."""
    stale: int = 0
    """How many of them no longer hold: text overrides them until the next consolidation."""
    decision: str = ""
    """`promote`, `hold`, `reject`, `on trial` (a canary), or `rebuilt` after a forgetting; "" where a run ended before there was a verdict."""
    reasons: tuple[str, ...] = ()
    live: bool = False


def current(store: VersionStore, scope: Scope) -> Adapter | None:
    """The live adapter's record; None for the bare base."""
    adapter = store.live(scope)
    return None if not adapter else adapter_of(store, scope, adapter)


def versions(store: VersionStore, scope: Scope, active: Collection[str] | None = None) -> list[Version]:
    """Every version of this scope that still exists, oldest first, the bare base as number 0. Which memories still hold
    (`active`) tells which versions are stale."""
    live = store.live(scope)
    verdicts: dict[str, Verdict] = {v.candidate: v for v in store.select(Verdict, scope=scope)}
    decisions: dict[str, str] = dict.fromkeys(_rebuilt(store, scope), "rebuilt")
    decisions |= {name: verdict.decision for name, verdict in verdicts.items()}
    if canary := on_trial(store, scope):
        decisions[canary.candidate] = "on trial"
    found = [Version(number=0, adapter="", live=live == "")]
    for number, adapter in enumerate(store.select(Adapter, scope=scope), start=1):
        verdict = verdicts.get(adapter.id)
        found.append(
            Version(
                number=number,
                adapter=adapter.id,
                parent=adapter.parent,
                created_at=adapter.created_at,
                memories=len(adapter.memory_ids),
                stale=0 if active is None else len(stale(adapter, active)),
                decision=decisions.get(adapter.id, ""),
                reasons=verdict.reasons if verdict is not None else (),
                live=adapter.id == live,
            )
        )
    return found


def promote(store: VersionStore, scope: Scope, verdict: Verdict) -> None:
    """Record the verdict and make its candidate live, in one atomic step; refused if another version has become live meanwhile."""
    if verdict.decision != "promote":
        raise InputError(
            f"verdict {verdict.id} says {verdict.decision}; only a verdict that says promote moves the pointer"
        )
    store.set_live(
        scope,
        verdict.candidate,
        verdict.id,
        expected=verdict.against,
        event="promote",
        reason=verdict.id,
        records=[verdict],
    )


def rollback(store: VersionStore, scope: Scope, to: str | None = None) -> str:
    """Move the pointer back to `to` (adapter hash, its beginning, or "" for the bare base), by default to the version that
    was live before the live one was promoted; returns what is live now. The weights are reloaded as they were written, so
    answers are the same bits."""
    live = store.live(scope)
    if to is None:
        if not live:
            raise InputError("nothing to roll back: the bare base is live")
        target = _before(store, scope, live)
    else:
        target = resolve(store, scope, to)
    if target == live:
        raise InputError(f"{target or 'the bare base'} is live already")
    # Going back is no way round the gate: what it held or rejected, or has not judged, never was live.
    if target and target not in _rebuilt(store, scope) | {m.adapter for m in store.pointer_history(scope)}:
        decision = next((v.decision for v in versions(store, scope) if v.adapter == target), "")
        raise InputError(
            f"version {target[:12]} never was let through (verdict: {decision or 'none'}); roll back to one that was live"
        )
    store.set_live(scope, target, expected=live, event="rollback", reason=f"from {live[:12] or 'the bare base'}")
    return target


def _before(store: VersionStore, scope: Scope, name: str) -> str:
    """What was live when this version was promoted, or what took its place; for a rebuilt one, its parent."""
    promoted = (v for v in store.select(Verdict, scope=scope) if v.candidate == name and v.decision == "promote")
    verdict: Verdict | None = next(promoted, None)
    if verdict is None:
        return adapter_of(store, scope, name).parent
    found = verdict.against
    for receipt in store.select(Receipt, scope=scope):
        found = dict(receipt.rebuilt).get(found, found)
    return found


def _rebuilt(store: VersionStore, scope: Scope) -> set[str]:
    """The adapters that took the place of others when something was forgotten."""
    return {new for receipt in store.select(Receipt, scope=scope) for _, new in receipt.rebuilt if new}


def resolve(store: VersionStore, scope: Scope, name: str) -> str:
    """The adapter hash that `name` means: a hash, its beginning, a version number, or "0", "base" and "" for the base."""
    if name in ("", "base", "0"):
        return ""
    every = versions(store, scope)
    if name.isdigit() and len(name) < 5:
        if int(name) < len(every):
            return every[int(name)].adapter
        raise NotFound(f"version {name} of {scope} does not exist; there are {len(every) - 1} (engrain versions)")
    matches = [v.adapter for v in every if v.adapter.startswith(name)]
    if len(matches) != 1:
        raise NotFound(
            f"{name!r} names {len(matches)} versions of {scope}; give one of those that `engrain versions` lists"
        )
    return matches[0]


def closed_book(store: VersionStore, scope: Scope, adapter: Adapter) -> dict[str, ItemResult]:
    """How this version answered the held-out questions on what it was taught, with nothing shown, by the item's hash."""
    results: dict[str, ItemResult] = {}
    for node in store.effects(adapter.id, scope=scope):  # its own evidence, not everybody's: each answer comes by here
        if node.kind == "evidence" and node.state == "kept":
            evidence: Evidence = store.get(node.id, scope=scope)
            results.update({r.item: r for r in evidence.results if r.group in ("new", "replay")})
    return results


def in_weights(store: VersionStore, scope: Scope, adapter: Adapter | None) -> frozenset[str]:
    """Ids of the memories that this version was shown to answer from its weights alone: every holdout item right."""
    if adapter is None or not adapter.batch:
        return frozenset()
    results = closed_book(store, scope, adapter)
    good: dict[str, bool] = {}
    for item in batch_of(store, scope, adapter).holdout:
        for memory in item.memory_ids:
            good[memory] = good.get(memory, True) and item.hash in results and results[item.hash].right
    return frozenset(m for m, ok in good.items() if ok)


def affected(store: VersionStore, scope: Scope, removed: Collection[str]) -> list[Adapter]:
    """Every adapter of this scope that was trained on one of these memories, oldest first."""
    return [a for a in store.select(Adapter, scope=scope) if not set(removed).isdisjoint(a.memory_ids)]


def stale(adapter: Adapter | None, active: Collection[str]) -> tuple[str, ...]:
    """Ids of memories that this version holds and that no longer hold: changed, retracted or forgotten."""
    return () if adapter is None else tuple(m for m in adapter.memory_ids if m not in active)


def let_through(store: VersionStore, scope: Scope, adapter: str) -> str:
    """Id of the verdict by which this version went live; "" for the bare base, and for one that no verdict promoted."""
    return next((m.verdict for m in reversed(store.pointer_history(scope)) if m.adapter == adapter and m.verdict), "")


def adapter_of(store: VersionStore, scope: Scope, name: str) -> Adapter:
    """The record of an adapter; NotFound if it never was, or was forgotten."""
    record = store.get(name, scope=scope)
    assert isinstance(record, Adapter)
    return record


def batch_of(store: VersionStore, scope: Scope, adapter: Adapter) -> Batch:
    """The prepared batch that an adapter was trained on."""
    record = store.get(adapter.batch, scope=scope)
    assert isinstance(record, Batch)
    return record
