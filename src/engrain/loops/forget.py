"""Forget: content goes from every record, and the adapters that learned it are rebuilt as if it had never been.

Rebuilding runs each affected consolidation again, in order, on the memories that are left: batches are pure functions of
contents, and training of its batch, so the result is bit for bit the adapter of a history without the record (same machine).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from engrain.adapters.versions import adapter_of, affected, batch_of
from engrain.errors import BatchRefused, EngrainError, HomeBusy, InputError, NotFound, StoreError
from engrain.loops.consolidate import (
    Consolidation,
    Progress,
    advantage,
    batch_for,
    check_rebuilt,
    choose_scale,
    finish,
    fitting,
    keep,
    known_at,
    quiet,
    route,
    tasks,
    too_few,
    train,
)
from engrain.loops.curate import SOURCE as CURATED
from engrain.loops.notes import SOURCE as EVOLVED
from engrain.loops.prepare import Preparation
from engrain.loops.reflect import SOURCE as REFLECTED
from engrain.loops.skills import WRITTEN
from engrain.loops.study import Study
from engrain.loops.traces import Traces, answered, redact, repeats, telling_words
from engrain.memory import holding
from engrain.memory.history import UNITED, parted, standing_deltas
from engrain.records import (
    Adapter,
    Batch,
    Delta,
    Evidence,
    Feedback,
    Interaction,
    Memory,
    Receipt,
    Scope,
    Signal,
    Task,
    content_hash,
)
from engrain.signals import Router
from engrain.store import SqlStore, home_lock

if TYPE_CHECKING:
    from engrain.engines.local import LocalEngine


RUN = "forget"
DERIVED = (UNITED, WRITTEN, REFLECTED, EVOLVED, CURATED)
"""Sources of memories whose text was made of that of their causes."""
BEFORE = {"replay": None, "clear": 1.0, "clear_of_a_group": 0.0}
"""What runs did that did not yet say so."""
GIVE_WAY_S = 120.0
"""How long a job of the background may take to its next step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doomed:
    """What has to go, by kind of record."""

    memories: frozenset[str]
    interactions: frozenset[str]
    """Those of which not even the query stays."""
    items: frozenset[str]
    """Hashes of the evaluation items that the user's tasks among them were."""
    others: tuple[str, ...]
    in_part: frozenset[str]
    """Interactions of which a copy stays."""
    redacted: tuple[Interaction, ...]
    """Copies of interactions that were shown a forgotten note, without the note and without the answer."""


@dataclass(frozen=True, slots=True)
class _Old:
    """An adapter that goes, with what it takes to make it again: its batch goes too."""

    name: str
    parent: str
    at: float
    """When the consolidation was that made it, UTC seconds."""
    was_live: bool
    seed: int
    settings: dict[str, Any]

    @classmethod
    def of(cls, adapter: Adapter, batch: Batch, was_live: bool) -> Self:
        return cls(adapter.id, adapter.parent, batch.created_at, was_live, batch.seed, batch.settings)

    def row(self) -> list[Any]:
        return [self.name, self.parent, self.at, self.was_live, self.seed, self.settings]


def forget(
    store: SqlStore,
    engine: Callable[[], LocalEngine],
    what: str,
    *,
    scope: Scope,
    home: Path,
    settings: Consolidation | None = None,
    reason: str = "asked by the user",
    seen: str = "",
    progress: Progress | None = None,
) -> Receipt:
    """Forget a memory or interaction (by id), a source (`source:FILE` or the folder of several), an exact text (`text:…`) or everything (`user:`).

    The same text told more than once goes as one. NotFound if nothing matches. The content goes first, in one transaction;
    if the process dies while adapters are rebuilt, the live pointer already is at a version that never saw the content, and the
    same call finishes the work. A version that cannot be rebuilt gives way to its parent, and the receipt says so. What is learned
    in the background gives way; HomeBusy if somebody consolidates by hand. `engine` is opened only to rebuild adapters, when the content
    is gone already; whoever keeps one open calls its `clear` afterwards, for it remembers prompts. `seen` is the fingerprint of the preview
    that was agreed to: InputError, and nothing goes, if something else would go by now.
    """
    settings = settings or Consolidation()
    with undisturbed(store, home, progress or quiet):
        finish_forgetting(store, engine, scope=scope, home=home, settings=settings, progress=progress)
        doomed, old, removed = _touched(store, what, scope, settings)
        if seen and _shown(store, scope, doomed, old, removed).fingerprint != seen:
            raise InputError("something else would go by now than what was shown; look again")
        once_live = {m.adapter for m in store.pointer_history(scope)}
        plan = {
            "asked": "text:(hidden)" if what.startswith("text:") else what,
            "reason": reason,
            "live": store.live(scope),
            "removed": removed,
            # a candidate that never answered anybody is not rebuilt
            "old": [_Old.of(a, batch_of(store, scope, a), a.id in once_live).row() for a in old],
            "rebuilt": {},
        }
        store.put_run(RUN, plan, scope=scope, records=doomed.redacted)
        receipt = finish_forgetting(store, engine, scope=scope, home=home, settings=settings, progress=progress)
        assert receipt is not None
        return receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a forgetting would touch as things stand: ids of records, and hashes of adapters."""

    memories: tuple[str, ...]
    interactions: tuple[str, ...]
    """Those that go whole."""
    redacted: tuple[str, ...]
    """Interactions that lose the answer, and what else would tell; the rest of them stays under a new id."""
    others: tuple[str, ...]
    """Feedback, tasks, signals, batches and evidence that go with them."""
    rebuilt: tuple[str, ...]
    """Adapters that were live once: each is learned anew without what is forgotten, oldest first."""
    dropped: tuple[str, ...]
    """Candidates that never were live: they go."""
    live: bool
    """Whether the live version is among them."""

    @property
    def fingerprint(self) -> str:
        """What it shows as a hash, whatever the order of its ids: by it one confirms what one saw."""
        return content_hash({k: sorted(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}, length=32)


def preview(store: SqlStore, what: str, *, scope: Scope, settings: Consolidation | None = None) -> Preview:
    """What `forget` would touch if it were asked now; nothing is changed. NotFound if nothing matches."""
    return _shown(store, scope, *_touched(store, what, scope, settings or Consolidation()))


def _shown(store: SqlStore, scope: Scope, doomed: _Doomed, old: Sequence[Adapter], removed: Sequence[str]) -> Preview:
    once_live = {m.adapter for m in store.pointer_history(scope)}
    lost = {i.id for i in store.select(Interaction, scope=scope)}.intersection(doomed.others)
    names = [a.id for a in old]
    return Preview(
        memories=tuple(i for i in removed if i in doomed.memories),
        interactions=tuple(i for i in removed if i in lost - doomed.in_part),
        redacted=tuple(i for i in removed if i in doomed.in_part),
        others=tuple(i for i in removed if i not in doomed.memories | lost),
        rebuilt=tuple(n for n in names if n in once_live),
        dropped=tuple(n for n in names if n not in once_live),
        live=store.live(scope) in names,
    )


def _touched(
    store: SqlStore, what: str, scope: Scope, settings: Consolidation
) -> tuple[_Doomed, list[Adapter], list[str]]:
    """(what has to go, the adapters that it made, the ids of all records whose content goes)."""
    doomed = _doomed(store, what, scope)
    once_live = {m.adapter for m in store.pointer_history(scope)}
    swayed = {a for a in once_live if a and _swayed(store, scope, a, doomed, settings)}
    old = _taught(store, scope, doomed.memories, doomed.interactions, swayed)
    quoting = _quoting(store, scope, old, doomed.memories | doomed.interactions, doomed.items)
    return doomed, old, list(dict.fromkeys((*doomed.memories, *doomed.others, *quoting)))


@contextmanager
def undisturbed(store: SqlStore, home: Path, tick: Progress) -> Iterator[None]:
    """The home's lock. A job of the background that holds it stops at its next step and goes on from its checkpoint afterwards."""
    until = time.monotonic() + GIVE_WAY_S
    asked = False
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(home_lock(home))
                break
            except HomeBusy:
                asked |= store.interrupt_jobs() > 0
                if not asked or time.monotonic() > until:
                    raise
                tick("waiting for what is learned in the background", 0.0)
                time.sleep(0.05)
        yield


def go_on(
    store: SqlStore,
    engine: LocalEngine,
    *,
    scope: Scope,
    home: Path,
    settings: Consolidation,
    progress: Progress | None = None,
) -> None:
    """Finish a forgetting that was interrupted, if there is one: it comes before anything new is learned."""
    if store.get_run(RUN, scope=scope) is None:
        return
    with home_lock(home):
        finish_forgetting(store, lambda: engine, scope=scope, home=home, settings=settings, progress=progress)
    engine.clear()


def finish_forgetting(
    store: SqlStore,
    engine: Callable[[], LocalEngine],
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
    tick = progress or quiet
    olds = [_Old(*row) for row in plan["old"]]
    parents = {old.name: old.parent for old in olds}
    clean = store.live(scope)
    while clean in parents:
        clean = parents[clean]
    if clean != store.live(scope):
        store.set_live(scope, clean, expected=store.live(scope), event="forget", reason="before rebuilding")
    finish(home, scope)
    rebuilt: dict[str, str] = dict(plan["rebuilt"])
    held = [i for i in (*plan["removed"], *parents) if i not in rebuilt.values() and _exists(store, i, scope)]
    # Also where nothing is held any more: the bytes may have stayed in the file when this was tried before.
    store.erase(held, scope=scope, reason=plan["reason"])
    plan["removed"] += _erase_late(store, scope, plan["removed"], plan["reason"])
    store.put_run(RUN, plan, scope=scope)
    _sweep(store, home / "adapters")
    for number, old in enumerate(olds):
        if old.name in rebuilt:
            continue
        tick("rebuilding", number / len(olds))
        parent = rebuilt.get(old.parent, old.parent)
        then = _settings_of(old.settings, old.seed, settings)
        model = engine() if old.was_live else None  # what cannot be opened now is rebuilt by the next run
        try:
            rebuilt[old.name] = _rebuild(store, model, parent, old.at, scope, home, then, tick) if model else ""
        except EngrainError as error:  # it would fail again, and nothing could be forgotten any more
            rebuilt[old.name] = parent
            plan["reason"] += f"; version {old.name[:12]} gave way to its parent ({type(error).__name__})"
            finish(home, scope)
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
    tasks = {t.id: t for t in store.select(Task, scope=scope)}
    gone_memories: set[str] = set()
    gone_interactions: set[str] = set()
    gone_tasks: list[str] = []
    if what in tasks:
        gone_tasks = [what]
    elif what in memories:
        gone_memories = {m.id for m in memories.values() if _same(m.text, memories[what].text)}
    elif what in interactions:
        gone_interactions = {what}
    elif what.startswith("text:"):
        gone_memories = {m.id for m in memories.values() if _same(m.text, what.removeprefix("text:"))}
    elif what.startswith("source:"):
        name = what.removeprefix("source:")
        within = f"file:{name.removeprefix('file:').rstrip('/')}/"

        def comes_from(source: str) -> bool:
            return source in (name, f"file:{name}") or source.startswith(within)

        gone_memories = {m.id for m in memories.values() if comes_from(m.source)}
        gone_interactions = {i.id for i in interactions.values() if comes_from(i.conversation.rpartition("#")[0])}
    elif what in ("user:", f"user:{scope.user}"):
        gone_memories, gone_interactions, gone_tasks = set(memories), set(interactions), list(tasks)
    if not gone_memories and not gone_interactions and not gone_tasks:
        raise NotFound(
            f"{scope} has nothing that matches {what!r}; give the id of a memory, interaction or task (engrain trace), "
            "source:FILE, text:EXACT TEXT or user:, and say whose it is (--user, --tenant)"
        )
    # What was said is the source of what was remembered from it, and of the same thing where it was said before and after.
    origins = {c for m in gone_memories for c in memories[m].causes if c in interactions}
    gone_interactions |= origins
    gone_memories |= (
        {m.id for m in memories.values() if gone_interactions & set(m.causes)}
        if not what.startswith(("mem_", "text:"))
        else set()
    )
    if what.startswith(("mem_", "text:")):  # what was merged counts as one memory
        gone_memories |= _merged_with(store, gone_memories & set(memories), scope)
    whole = frozenset(gone_interactions)
    while True:  # what was made of what goes, goes as well, and may have been shown, or answered with, itself
        gone_interactions = set(whole)
        # A version that learned the content may have said it with no note shown.
        taught = {a.id for a in _taught(store, scope, gone_memories, ())}
        telling = frozenset(w for m in gone_memories for w in telling_words(memories[m].text))
        traces = Traces.of([memories[m].text for m in gone_memories], [interactions[i] for i in gone_interactions])
        redacted: list[Interaction] = []
        in_part: set[str] = set()
        asked_still: set[str] = set()
        for interaction in interactions.values():
            if interaction.id in gone_interactions:
                continue
            shown = gone_memories & set(interaction.context.memory_ids)
            quoting = traces.positions(interaction)
            said = traces.quotes(interaction.answer)
            if shown or quoting or said or (interaction.stamp.adapter in taught and repeats(interaction, telling)):
                gone_interactions.add(interaction.id)
                traces.answers.update(answered(interaction))  # it may stand in the turns that follow
                redacted.append(redact(interaction, gone_memories, quoting))
                in_part.add(interaction.id)
                if redacted[-1].query == interaction.query:
                    asked_still.add(interaction.id)
        queries = {query for _, query, _ in traces.queries}
        gone_feedback = [
            f.id for f in feedback if f.interaction in gone_interactions or traces.quotes(f.text) or f.text in queries
        ]
        gone = {*gone_memories, *gone_interactions, *gone_feedback}
        made = _made_of(memories.values(), gone) - gone_memories
        if not made:
            break
        gone_memories |= made
    gone_tasks += [
        t.id
        for t in tasks.values()
        if traces.quotes(f"{t.question} {t.answer}") or (telling_words(t.answer) and telling_words(t.answer) <= telling)
    ]
    signals = [s.id for s in store.select(Signal, scope=scope) if s.memory in gone_memories]
    about = {d.id for d in store.deltas(gone_memories, scope=scope)}
    deltas = [
        d.id
        for d in store.select(Delta, scope=scope)
        if d.id in about or gone & set(d.causes) or traces.quotes(d.reason)
    ]
    return _Doomed(
        memories=frozenset(gone_memories),
        interactions=frozenset(gone_interactions - asked_still),
        items=frozenset(tasks[t].example.hash for t in gone_tasks),
        others=(*sorted(gone_interactions), *gone_feedback, *dict.fromkeys(gone_tasks), *signals, *deltas),
        in_part=frozenset(in_part),
        redacted=tuple(redacted),
    )


def _made_of(memories: Iterable[Memory], gone: Collection[str]) -> set[str]:
    """Ids of those whose text was made of any of these records."""
    derived = (
        m for m in memories if m.source in DERIVED or m.attribute("made by") in DERIVED
    )  # the latter: a team's, copied
    return {m.id for m in derived if not set(m.causes).isdisjoint(gone)}


def _merged_with(store: SqlStore, ids: Collection[str], scope: Scope) -> set[str]:
    """Those that these were merged with, one way or the other, and so on: each says what they say, or part of it."""
    met, edge = set(ids), set(ids)
    history = store.history(scope=scope)
    apart = parted((m for m in history if isinstance(m, Memory)), [d for d in history if isinstance(d, Delta)])
    while edge:
        merges = [
            d for d in standing_deltas(store.deltas(edge, scope=scope)) if d.operator == "merge" and d.into not in apart
        ]
        edge = {name for d in merges for name in (*d.targets, d.into)} - met
        met |= edge
    return {m for m in met if _exists(store, m, scope)}


def _erase_late(store: SqlStore, scope: Scope, removed: Sequence[str], reason: str) -> list[str]:
    """Redact what was answered with forgotten notes between the plan and the erasure (from now on the store refuses it);
    returns the ids that went."""
    gone = {i for i in removed if i.startswith("mem_")}
    late = [i for i in store.select(Interaction, scope=scope) if gone & {*i.causes, *i.context.memory_ids}]
    if late:
        store.append_all([redact(i, gone, frozenset()) for i in late])
        store.erase([i.id for i in late], scope=scope, reason=reason)
    went = [i.id for i in late]
    while True:  # what was made of it meanwhile
        known = {*removed, *went}
        made = [*_made_of(store.select(Memory, scope=scope), known)]
        made += [d.id for d in store.select(Delta, scope=scope) if known & {*d.targets, d.into, *d.causes}]
        if not made:
            return went
        store.erase(made, scope=scope, reason=reason)
        went += made


def recorded_adapters(store: SqlStore) -> set[str]:
    """The adapters that the ledger knows of and that were not forgotten, everybody's: it has no scope."""
    owners: dict[str, set[str]] = {}
    for entry in store.ledger():
        # An adapter is named by its content, so several users may have learned the same one; each record has its own digest.
        if entry.event == "adapter":
            owners.setdefault(entry.subject, set()).add(entry.digest)
        # An erasure repeats the digest of the record; a move of the live pointer onto this adapter, made by a forgetting, does not.
        elif entry.event == "forget":
            owners.get(entry.subject, set()).discard(entry.digest)
    return {name for name, digests in owners.items() if digests}


def _sweep(store: SqlStore, adapters: Path) -> None:
    """Remove the adapters that no record leads to: those just erased, and what interrupted runs left. One that another user
    learned too stays. StoreError if a folder cannot be removed: a receipt must not be written over it."""
    known = recorded_adapters(store)
    for folder in adapters.iterdir() if adapters.is_dir() else ():
        if folder.name not in known:
            try:
                shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
            except FileNotFoundError:
                pass
            except OSError as error:
                raise StoreError(
                    f"{folder} cannot be removed ({error.strerror}), and it may hold what is to be forgotten; make it "
                    "writable and run the same command again"
                ) from error


def _same(one: str, other: str) -> bool:
    """Whether two notes have the same words, however they are spaced, written large or ended."""
    return " ".join(one.casefold().split()).rstrip(" .!") == " ".join(other.casefold().split()).rstrip(" .!")


def _swayed(store: SqlStore, scope: Scope, name: str, doomed: _Doomed, today: Consolidation) -> bool:
    """Whether the consolidation that made this version would have been given other memories, or been kept from other
    questions, had what is forgotten never been: it may have confirmed a memory, or superseded one."""
    try:
        adapter = adapter_of(store, scope, name)
    except NotFound:
        return False
    batch = batch_of(store, scope, adapter)
    at, parent = batch.created_at, adapter_of(store, scope, adapter.parent) if adapter.parent else None
    router = _settings_of(batch.settings, batch.seed, today).router
    known = known_at(store, scope, at)
    texts = {m.id: m.text for m in known if isinstance(m, Memory)}
    earlier = parent.memory_ids if parent else ()

    def given(without: Collection[str]) -> tuple[list[str], list[str]]:
        signals = route(store, scope, parent, at, router, without)
        still = holding([m for m in known if m.id not in without])
        wanted = sorted(texts[s.memory] for s in signals if s.route == "weights")
        return wanted, sorted(i for i in earlier if i in still)

    return given(()) != given(doomed.memories) or any(e.hash in doomed.items for e in tasks(store, scope, at))


def _taught(
    store: SqlStore,
    scope: Scope,
    memories: Collection[str],
    interactions: Collection[str],
    swayed: Collection[str] = (),
) -> list[Adapter]:
    """The adapters that were trained on these memories, or on what was asked in these interactions, those that were `swayed` by
    them, and all that were trained on from them, oldest first."""
    batches = {
        b.id
        for b in store.select(Batch, scope=scope)
        if not set(interactions).isdisjoint(i for e in (*b.train, *b.holdout) for i in e.interaction_ids)
    }
    names = {a.id for a in affected(store, scope, memories)} | set(swayed)
    found: list[Adapter] = []
    for adapter in store.select(Adapter, scope=scope):
        if adapter.id in names or adapter.parent in names or adapter.batch in batches:
            names.add(adapter.id)
            found.append(adapter)
    return found


def _quoting(
    store: SqlStore, scope: Scope, old: list[Adapter], gone: frozenset[str], items: frozenset[str]
) -> list[str]:
    """Batches and evidence that hold the content, or that speak of adapters that go. Verdicts hold none and stay: erasing
    one would give the error budget back that its decision spent."""
    names, own = {a.id for a in old}, {a.batch for a in old}
    batches = [
        b
        for b in store.select(Batch, scope=scope)
        if b.id in own
        or b.parent in names
        or gone & {*b.memory_ids, *(i for e in (*b.train, *b.holdout) for i in (*e.memory_ids, *e.interaction_ids))}
    ]
    # An item of another memory, shared with a version that stays, says nothing of this one, and is that version's own.
    items |= {e.hash for b in batches for e in b.holdout if gone & {*e.memory_ids, *e.interaction_ids}}
    evidence = [
        e.id
        for e in store.select(Evidence, scope=scope)
        if e.adapter in names or any(r.item in items for r in e.results)
    ]
    return list(dict.fromkeys([*(b.id for b in batches), *evidence]))


def _settings_of(stored: dict[str, Any], seed: int, today: Consolidation) -> Consolidation:
    """The settings that a batch was made with; today's where it has none on record."""
    if "run" not in stored:
        return today
    run, learning = {**BEFORE, **stored["run"]}, stored["learning"]
    method, plan = dict(learning["method"]), dict(learning["plan"])
    known = {f.name: stored[f.name] for f in fields(Preparation) if f.name in stored}
    preparation = {"in_style": 0.0} | known | {"study": Study(**stored["study"])}  # older batches had no such lessons
    return replace(
        today, preparation=Preparation(**preparation), router=Router(**run.pop("router")), seed=seed,
        rank=learning["rank"], method=method.pop("name"), method_options=method,
        learning_rate=plan.pop("learning_rate"), batch_size=plan.pop("batch_size"), plan=plan, **run,
    )  # fmt: skip


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
    signals = fitting(store, engine, route(store, scope, live, at, settings.router), scope, settings.preparation)
    wanted = [s.memory for s in signals if s.route == "weights"]
    try:
        batch = batch_for(store, engine, scope, wanted, parent, at, settings, tick)
    except BatchRefused:
        return parent
    # What `consolidate` would have kept in text, is kept in text.
    if too_few(store, engine, batch, settings, at) or advantage(engine, batch, scope)[2] < settings.least_advantage:
        return parent
    store.append(batch)
    try:
        student = train(engine, batch, settings, home=home, tick=tick)
    except BatchRefused:  # nothing that the parent does not say already, as in `consolidate`
        return parent
    scale, name = choose_scale(store, engine, student, batch, settings, at, tick)
    adapter = keep(store, engine, name, batch, scale)
    finish(home, scope)
    check_rebuilt(store, engine, batch, adapter, settings)
    return adapter.id
