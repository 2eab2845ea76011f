"""Forget: content goes from every record, and the adapters that learned it are rebuilt as if it had never been.

Rebuilding runs each affected consolidation again, in order, on the memories that are left: batches are pure functions of
contents, and training of its batch, so the result is bit for bit the adapter of a history without the record (same machine).
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from engrain.adapters.versions import adapter_of, affected, batch_of
from engrain.errors import BatchRefused, NotFound
from engrain.loops.consolidate import (
    Consolidation,
    Progress,
    batch_for,
    choose_scale,
    evaluate,
    finish,
    keep,
    route,
    suite,
    train,
)
from engrain.records import (
    Adapter,
    Batch,
    Context,
    Evidence,
    Feedback,
    Interaction,
    Memory,
    Message,
    Receipt,
    Scope,
    Signal,
    Verdict,
    new_id,
)
from engrain.store import SqlStore, home_lock

if TYPE_CHECKING:
    from engrain.engines.local import LocalEngine


RUN = "forget"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doomed:
    """What has to go, by kind of record."""

    memories: frozenset[str]
    others: tuple[str, ...]
    redacted: tuple[Interaction, ...]
    """Copies of interactions that were shown a forgotten note, without the note and without the answer."""


def forget(
    store: SqlStore,
    engine: LocalEngine,
    what: str,
    *,
    scope: Scope,
    home: Path,
    settings: Consolidation | None = None,
    reason: str = "asked by the user",
    progress: Progress | None = None,
) -> Receipt:
    """Forget a memory or interaction (by id), a source (`source:FILE`), an exact text (`text:…`) or everything (`user:`).

    NotFound if nothing matches. The content goes first, in one transaction; if the process dies while adapters are rebuilt,
    the live pointer already is at a version that never saw the content, and the same call finishes the work.
    """
    settings = settings or Consolidation()
    with home_lock(home):
        finish_forgetting(store, engine, scope=scope, home=home, settings=settings, progress=progress)
        doomed = _doomed(store, what, scope)
        old = _with_descendants(store, scope, affected(store, scope, doomed.memories))
        once_live = {m.adapter for m in store.pointer_history(scope)}
        removed = (*doomed.memories, *doomed.others, *_quoting(store, scope, old, doomed.memories))
        plan = {
            "asked": "text:(hidden)" if what.startswith("text:") else what,
            "reason": reason,
            "live": store.live(scope),
            "removed": list(dict.fromkeys(removed)),
            # a candidate that never answered anybody is not rebuilt
            "old": [[a.id, a.parent, batch_of(store, scope, a).created_at, a.id in once_live] for a in old],
            "rebuilt": {},
        }
        store.append_all(doomed.redacted)
        store.put_run(RUN, plan, scope=scope)
        receipt = finish_forgetting(store, engine, scope=scope, home=home, settings=settings, progress=progress)
        assert receipt is not None
        return receipt


def finish_forgetting(
    store: SqlStore,
    engine: LocalEngine,
    *,
    scope: Scope,
    home: Path,
    settings: Consolidation,
    progress: Progress | None = None,
) -> Receipt | None:
    """Do what a forgetting has planned and, if the process died, not done yet; None if nothing is open.

    Each step may be done twice. The caller holds the home's lock.
    """
    plan = store.get_run(RUN, scope=scope)
    if plan is None:
        return None
    tick = progress or (lambda _what, _share: None)
    parents = {name: parent for name, parent, _, _ in plan["old"]}
    clean = store.live(scope)
    while clean in parents:
        clean = parents[clean]
    if clean != store.live(scope):
        store.set_live(scope, clean, expected=store.live(scope), event="forget", reason="before rebuilding")
    finish(home)
    held = [i for i in (*plan["removed"], *parents) if _exists(store, i, scope)]
    rebuilt: dict[str, str] = dict(plan["rebuilt"])
    held = [i for i in held if i not in rebuilt.values()]
    if held:
        store.erase(held, scope=scope, reason=plan["reason"])
    engine.clear()
    for name in parents:
        if name not in rebuilt.values():
            shutil.rmtree(home / "adapters" / name, ignore_errors=True)
    _sweep(store, home / "adapters")
    for number, (name, parent, at, was_live) in enumerate(plan["old"]):
        if name in rebuilt:
            continue
        tick("rebuilding", number / len(plan["old"]))
        parent = rebuilt.get(parent, parent)
        rebuilt[name] = _rebuild(store, engine, parent, at, scope, home, settings, tick) if was_live else ""
        store.put_run(RUN, {**plan, "rebuilt": rebuilt}, scope=scope)
    wanted = rebuilt.get(plan["live"], plan["live"])
    if wanted != store.live(scope):
        store.set_live(scope, wanted, expected=store.live(scope), event="forget", reason="rebuilt")
    receipt = Receipt(
        scope=scope, asked=plan["asked"], removed=tuple(plan["removed"]), rebuilt=tuple(rebuilt.items()),
        reason=plan["reason"], causes=tuple(dict.fromkeys(n for n in rebuilt.values() if n)),
    )  # fmt: skip
    store.append(receipt)
    store.delete_run(RUN, scope=scope)
    return receipt


def _exists(store: SqlStore, record_id: str, scope: Scope) -> bool:
    try:
        store.get(record_id, scope=scope)
    except NotFound:
        return False
    return True


def _doomed(store: SqlStore, what: str, scope: Scope) -> _Doomed:
    memories = {m.id: m for m in store.select(Memory, scope=scope)}
    interactions = {i.id: i for i in store.select(Interaction, scope=scope)}
    feedback = list(store.select(Feedback, scope=scope))
    gone_memories: set[str] = set()
    gone_interactions: set[str] = set()
    if what in memories:
        gone_memories = {what}
    elif what in interactions:
        gone_interactions = {what}
    elif what.startswith("text:"):
        gone_memories = {m.id for m in memories.values() if m.text == what.removeprefix("text:").strip()}
    elif what.startswith("source:"):
        name = what.removeprefix("source:")
        sources = {name, f"file:{name}"}
        gone_memories = {m.id for m in memories.values() if m.source in sources}
        gone_interactions = {i.id for i in interactions.values() if i.conversation.partition("#")[0] in sources}
    elif what in ("user:", f"user:{scope.user}"):
        gone_memories, gone_interactions = set(memories), set(interactions)
    if not gone_memories and not gone_interactions:
        raise NotFound(
            f"{scope} has nothing that matches {what!r}; give the id of a memory or interaction (engrain trace), "
            "source:FILE, text:EXACT TEXT or user:"
        )
    # What was said is the source of what was remembered from it, and of the same thing where it was said before and after.
    origins = {c for m in gone_memories for c in memories[m].causes if c in interactions}
    gone_interactions |= origins
    gone_memories |= (
        {m.id for m in memories.values() if gone_interactions & set(m.causes)}
        if not what.startswith(("mem_", "text:"))
        else set()
    )
    words = [interactions[i].query for i in gone_interactions] + [memories[m].text for m in gone_memories]
    # A version that learned the content may have said it with no note shown.
    taught = {a.id for a in _with_descendants(store, scope, affected(store, scope, gone_memories))}
    telling = frozenset(w for m in gone_memories for w in _telling(memories[m].text))
    redacted: list[Interaction] = []
    for interaction in interactions.values():
        if interaction.id in gone_interactions:
            continue
        shown = gone_memories & set(interaction.context.memory_ids)
        quoted = any(w in m.content for m in interaction.messages for w in words if w)
        if shown or quoted or (interaction.stamp.adapter in taught and _repeats(interaction, telling)):
            gone_interactions.add(interaction.id)
            redacted.append(_redacted(interaction, gone_memories, words, memories))
    gone_feedback = [
        f.id for f in feedback if f.interaction in gone_interactions or any(w in f.text for w in words if w)
    ]
    signals = [s.id for s in store.select(Signal, scope=scope) if s.memory in gone_memories]
    return _Doomed(
        memories=frozenset(gone_memories),
        others=(*sorted(gone_interactions), *gone_feedback, *signals),
        redacted=tuple(redacted),
    )


def _redacted(interaction: Interaction, gone: set[str], words: list[str], memories: dict[str, Memory]) -> Interaction:
    """The user's own query without the forgotten note, and without the answer that may repeat it."""
    kept = tuple(i for i in interaction.context.memory_ids if i not in gone)
    messages = tuple(m for m in interaction.messages if not any(w in m.content for w in words if w))
    return replace(
        interaction, id=new_id("int"), context=Context(memory_ids=kept), answer="", token_ids=(), logprobs=(),
        messages=messages or (Message(role="user", content=""),), finish_reason="redacted",
        causes=tuple(c for c in interaction.causes if c not in gone and not _is_adapter(c)),
    )  # fmt: skip


def _repeats(interaction: Interaction, telling: frozenset[str]) -> bool:
    """Whether the answer says more of the content than the question did already."""
    return bool(telling & _telling(interaction.answer) - _telling(interaction.query))


def _telling(text: str) -> set[str]:
    """The words of a text that could give something away: numbers, codes, and words of four letters or more."""
    found = re.findall(r"\w+(?:[.:/@'-]\w+)*", text.casefold())
    return {w for w in found if len(w) > 3 or any(c.isdigit() for c in w)}


def _is_adapter(record_id: str) -> bool:
    return "_" not in record_id


def recorded_adapters(store: SqlStore) -> set[str]:
    """The adapters that the ledger knows of and that were not forgotten, everybody's: it has no scope."""
    found: dict[str, str] = {}
    for entry in store.ledger():
        if entry.event == "adapter":
            found[entry.subject] = entry.digest
        # An erasure repeats the digest of the record; a move of the live pointer onto this adapter, made by a forgetting, does not.
        elif entry.event == "forget" and found.get(entry.subject) == entry.digest:
            del found[entry.subject]
    return set(found)


def _sweep(store: SqlStore, adapters: Path) -> None:
    """Remove what interrupted runs left: it may have learned the content, and no record leads to it."""
    known = recorded_adapters(store)
    for folder in adapters.iterdir() if adapters.is_dir() else ():
        if folder.name not in known:
            shutil.rmtree(folder, ignore_errors=True)


def _with_descendants(store: SqlStore, scope: Scope, old: list[Adapter]) -> list[Adapter]:
    """These adapters and all that were trained on from them, oldest first."""
    names = {a.id for a in old}
    found: list[Adapter] = []
    for adapter in store.select(Adapter, scope=scope):
        if adapter.id in names or adapter.parent in names:
            names.add(adapter.id)
            found.append(adapter)
    return found


def _quoting(store: SqlStore, scope: Scope, old: list[Adapter], gone: frozenset[str]) -> list[str]:
    """Batches, evidence and verdicts that hold the content, or that speak of adapters that go."""
    names = {a.id for a in old}
    batches = [
        b
        for b in store.select(Batch, scope=scope)
        if b.parent in names or any(gone & set(e.memory_ids) for e in (*b.train, *b.holdout))
    ]
    batches += [b for b in store.select(Batch, scope=scope) if b.id in {a.batch for a in old}]
    items = {e.hash for b in batches for e in b.holdout}
    evidence = [
        e.id
        for e in store.select(Evidence, scope=scope)
        if e.adapter in names or any(r.item in items for r in e.results)
    ]
    verdicts = [v.id for v in store.select(Verdict, scope=scope) if v.candidate in names or v.against in names]
    return list(dict.fromkeys([*(b.id for b in batches), *evidence, *verdicts]))


def _rebuild(
    store: SqlStore,
    engine: LocalEngine,
    parent: str,
    at: float,
    scope: Scope,
    home: Path,
    settings: Consolidation,
    tick: Progress,
) -> str:
    """The adapter that the consolidation of the time `at` makes of what is left; its parent where nothing is left to learn."""
    live = adapter_of(store, scope, parent) if parent else None
    wanted = [s.memory for s in route(store, scope, live, at, settings.router) if s.route == "weights"]
    try:
        batch = batch_for(store, engine, scope, wanted, parent, at, settings)
    except BatchRefused:
        return parent
    store.append(batch)
    try:
        student = train(engine, batch, settings, home=home, tick=tick)
    except BatchRefused:  # nothing that the parent does not say already, as in `consolidate`
        return parent
    scale, name = choose_scale(engine, student, batch, scope, settings)
    adapter = keep(store, engine, name, batch, scale)
    finish(home)
    styled = bool(batch.settings["styles"])
    evaluate(store, engine, suite(batch, settings.gate_items), adapter.id, scope, styled=styled)
    return adapter.id
