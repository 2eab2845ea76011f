"""Consolidate: durable memory becomes a candidate adapter, evidence, a verdict, and at most one move of the live pointer.

    route -> prepare -> teacher's advantage -> learn -> choose a scale -> evaluate -> verdict -> promote

Killed at any point, the old version stays live and the run goes on from its last checkpoint: candidates are files that nobody
points at, and promotion is one transaction.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engrain.adapters import current, promote
from engrain.adapters.canary import on_trial
from engrain.adapters.versions import adapter_of, batch_of, stale
from engrain.errors import BatchRefused, EngrainError, NotFound, ScopeError, StoreError, TrainingFailed
from engrain.evaluation import SequentialGate, check_holdout, run_suite
from engrain.evaluation.canary import Trial
from engrain.evaluation.gates import pair, regression_rate
from engrain.evaluation.probes import probe_group, probes
from engrain.evaluation.statistics import Paired
from engrain.evaluation.suites import group_of, last_question
from engrain.loops.prepare import Preparation, prepare
from engrain.loops.study import ANSWER_TOKENS
from engrain.loops.trial import begin
from engrain.memory import derive, holding, is_answer_style
from engrain.protocols import Engine
from engrain.records import (
    Adapter,
    Batch,
    Delta,
    Evidence,
    Example,
    Interaction,
    ItemResult,
    Memory,
    Scope,
    Signal,
    Task,
    Verdict,
    content_hash,
    new_id,
)
from engrain.signals import Router
from engrain.store import SqlStore, home_lock

if TYPE_CHECKING:
    from engrain.engines.local import LocalEngine
    from engrain.engines.student import LocalStudent
    from engrain.learning.loop import TrainState

log = logging.getLogger(__name__)

Progress = Callable[[str, float], None]
"""Called with what is going on and the share done (0 … 1) of that stage."""


def quiet(what: str, share: float) -> None:
    """The progress that nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consolidation:
    """How one run of the slow loop goes. Its learning settings enter the batch, and so the adapter's name."""

    router: Router = field(default_factory=Router)
    preparation: Preparation = field(default_factory=Preparation)
    gate: SequentialGate = field(default_factory=SequentialGate)
    steps_per_memory: float = 6.0
    least_steps: int = 100
    most_steps: int = 900
    learning_rate: float = 4e-3
    batch_size: int = 36
    rank: int = 32
    method: str = "forward_kl"
    """The objective: a name of engrain.learning.methods.METHODS; docs/methods.md says which one is good for what."""
    method_options: Mapping[str, Any] = field(default_factory=lambda: {"answers": "both"})
    plan: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Other fields of learning.loop.Plan than the defaults, by name: shares of new, replay and guard, temperature, refresh …"""
    replay: float | None = 0.25
    """How often each memory that was learned before is trained on, against once for a new one; the shares of new and replay follow from that.
    None: they are those of `plan`."""
    seed: int = 0
    least_advantage: float = 0.10
    """The teacher, shown the notes, must beat the bare version on held-out questions by this much; else all stays in text."""
    scales: Sequence[float] = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)
    """Shares of the update that are tried, on other items than the gate's, before it is judged (beyond 1: docs/decisions/0010)."""
    scale_items: int = 1_200
    """Unrelated items that the share of the update is chosen by, at most."""
    clear: float = 2.0
    """Standard errors by which the chosen share is to stay clear of what the gate refuses, in all these items together."""
    clear_of_a_group: float = 0.5
    """The same in those of one group."""
    gate_items: int = 1_200
    """Unrelated items that a candidate is judged by, at most."""
    checkpoint_every: int = 50
    trial: Trial | None = None
    """How a candidate that the gate lets through is tried on real requests before it goes live; None: it goes live at once."""

    def steps(self, new: int, earlier: int = 0) -> int:
        """How long to train on so many new memories, with replay of so many earlier ones."""
        wanted = self.steps_per_memory * (new + (self.replay or 0.0) * earlier)
        return int(min(self.most_steps, max(self.least_steps, wanted)))


ASKED_OF_EACH = 4
"""Questions about each memory of an earlier consolidation that the share of an update is chosen by, as many as a note has held out on average."""
FAILED = "training failed"
"""Under this key stands the last batch whose training came to nothing, and why."""
RUN_SETTINGS = (
    "router", "steps_per_memory", "least_steps", "most_steps", "least_advantage", "scales", "scale_items", "gate_items", "replay", "clear", "clear_of_a_group",
)  # fmt: skip
"""What a batch keeps of these beside its preparation and its learning, so that `forget` can run it again as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one run did."""

    signals: tuple[Signal, ...]
    verdict: Verdict | None
    """None where nothing was trained: see `reason`."""
    reason: str
    adapter: str = ""
    batch: str = ""
    before: Evidence | None = None
    in_context: Evidence | None = None
    after: Evidence | None = None
    seconds: float = 0.0
    scale: float = 1.0


def consolidate(
    store: SqlStore,
    engine: LocalEngine,
    *,
    scope: Scope,
    home: Path,
    settings: Consolidation | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """One run of the slow loop for one scope. HomeBusy if another process runs one on this home.

    Nothing goes live without a verdict. Ctrl-C keeps the live version and the checkpoint; the same call goes on from there.
    Where the live version holds what no longer holds, the run starts from its last ancestor that does not
    (docs/decisions/0007).
    """
    settings = settings or Consolidation()
    tick = progress or quiet
    started = time.perf_counter()
    with home_lock(home):
        at = time.time()
        live = current(store, scope)
        start, old = unstale(store, scope, live, at)
        base = start.id if start else ""
        signals = fitting(store, engine, route(store, scope, start, at, settings.router), scope, settings.preparation)
        wanted = [s.memory for s in signals if s.route == "weights"]

        def stop(reason: str) -> Outcome:
            nonlocal signals
            signals = [
                replace(s, id=new_id("sig"), route="text", reason=reason) if s.route == "weights" else s
                for s in signals  # under new ids: some may be on record already
            ]
            store.append_all(changed(store, scope, signals))
            if live is not None and old:
                reason += (
                    f"; version {live.id[:12]} holds {len(old)} memories that no longer hold, and text overrides them"
                )
            log.info("no consolidation for %s: %s", scope, reason)
            return Outcome(signals=tuple(signals), verdict=None, reason=reason, seconds=time.perf_counter() - started)

        if canary := on_trial(store, scope):
            return stop(
                f"version {canary.candidate[:12]} is on trial; when that has ended (engrain canary), what is new is learned"
            )
        if not wanted:
            return stop("nothing durable is new: every memory is in the weights already, or stays in text")
        if said := too_few_new(store, scope, len(wanted), settings, at):
            return stop(said)
        tick("studying", 0.0)
        try:
            batch = unfinished(store, home, scope, base, settings) or batch_for(
                store, engine, scope, wanted, base, at, settings, tick
            )
        except BatchRefused as error:
            return stop(str(error))
        signals = [unlearnable(s) if s.memory not in batch.memory_ids else s for s in signals]
        if said := judged(store, scope, batch, live.id if live else "") or too_few(store, engine, batch, settings, at):
            finish(home, scope)  # of a run that was stopped just before its end
            return stop(said)
        before, in_context, gained = advantage(engine, batch, scope)
        if gained < settings.least_advantage:
            return stop(
                f"the teacher's advantage is {gained:+.0%} on {len(before.results)} held-out questions, less than "
                f"{settings.least_advantage:.0%}: showing the notes hardly helps, so they stay in text"
            )
        store.append_all(changed(store, scope, signals))
        store.append(batch)
        try:
            student = train(engine, batch, settings, home=home, tick=tick)
            scale, name = choose_scale(store, engine, student, batch, settings, at, tick)
        except (BatchRefused, TrainingFailed) as error:
            finish(home, scope)
            store.put_run(FAILED, {"content": batch.content, "reason": str(error)}, scope=scope)
            return stop(str(error))
        adapter = keep(store, engine, name, batch, scale)
        verdict, after = judge(store, engine, batch, adapter, start, settings, live=live.id if live else "", tick=tick)
        finish(home, scope)
        return Outcome(
            signals=tuple(signals), verdict=verdict, reason=verdict.reasons[0], adapter=adapter.id, batch=batch.id,
            before=before, in_context=in_context, after=after, seconds=time.perf_counter() - started, scale=scale,
        )  # fmt: skip


# -- the stages, each of which `forget` calls again ----------------------------------------------------------------------


def route(
    store: SqlStore, scope: Scope, live: Adapter | None, at: float, router: Router, without: Collection[str] = ()
) -> list[Signal]:
    """Where each active memory that the live version was not trained on belongs, and why; as if those `without` never were."""
    history = [r for r in known_at(store, scope, at) if r.id not in without]
    learned = {m.text for m in history if isinstance(m, Memory) and live and m.id in live.memory_ids}
    active = [
        (s.memory, s.confirmations)
        for s in derive(history).values()
        if s.state == "active" and s.memory.kind != "episode"  # one each for every turn would tell nobody anything
    ]
    return router.route(
        active,
        scope=scope,
        at=at,
        known={m.id for m, _ in active if m.text in learned},
        styles={m.id for m, _ in active if is_answer_style(m.text)},
    )


def unstale(store: SqlStore, scope: Scope, live: Adapter | None, at: float) -> tuple[Adapter | None, tuple[str, ...]]:
    """The version to learn from (None for the bare base), and the memories that the live one holds and that no longer hold.

    Weights cannot take back one memory. So where some no longer hold, this is the newest ancestor that never learned them.
    """
    now = holding(known_at(store, scope, at))
    start, old = live, stale(live, now)
    while start is not None and stale(start, now):
        start = adapter_of(store, scope, start.parent) if start.parent else None
    return start, old


def fitting(
    store: SqlStore, engine: Engine, signals: Sequence[Signal], scope: Scope, preparation: Preparation
) -> list[Signal]:
    """The signals, those of notes that the model could not read among others turned to text."""
    limit = longest_note(engine, preparation)
    texts = {m.id: m.text for m in store.select(Memory, scope=scope)}

    def fit(signal: Signal) -> Signal:
        if signal.route == "text" or (tokens := engine.count_tokens(texts[signal.memory])) <= limit:
            return signal
        reason = f"{tokens} tokens, more than the {limit} that fit the model's window beside other notes; split it"
        return replace(signal, route="text", reason=reason)

    return [fit(s) for s in signals]


def unlearnable(signal: Signal) -> Signal:
    """The signal of a memory that the batch does not teach, turned to text."""
    if signal.route == "text":
        return signal
    reason = "the model does not answer enough questions about it from the note alone; reword it in plain sentences"
    return replace(signal, route="text", reason=reason)


def longest_note(engine: Engine, preparation: Preparation) -> int:
    """Tokens that one note may have if it, its distractors, the question and its near misses are to fit the window."""
    window = int(getattr(engine, "window", 1 << 30))  # an engine without one reads everything
    return max(0, window - 128) // (preparation.distractors + 3)


def changed(store: SqlStore, scope: Scope, signals: Sequence[Signal]) -> list[Signal]:
    """The signals that say something new: the memory's first, or another route than the last one recorded."""
    last = {s.memory: s.route for s in store.select(Signal, scope=scope)}
    return [s for s in signals if last.get(s.memory) != s.route]


def judged(store: SqlStore, scope: Scope, batch: Batch, live: str) -> str:
    """What became of the version that learned the very same, if there is one; "" if not. To train and judge it again would
    give the same weights, and spend more of the error budget on them."""
    same = {b.id for b in store.select(Batch, scope=scope) if b.content == batch.content}
    if (failed := store.get_run(FAILED, scope=scope)) and failed["content"] == batch.content:
        return f"{failed['reason']} (the same was tried before, and would end the same way)"
    made = {a.id for a in store.select(Adapter, scope=scope) if a.batch in same} - {live}
    if once := made & {m.adapter for m in store.pointer_history(scope)}:
        name = min(once)[:12]
        return (
            f"version {name} learned exactly this and was live before; learning it again would make it again. "
            f"`engrain rollback {name}` brings it back; tell something new to learn otherwise"
        )
    last = next((v for v in reversed(list(store.select(Verdict, scope=scope))) if v.candidate in made), None)
    if last is None:
        return ""
    told = f"version {last.candidate[:12]} learned exactly this, and the gate said {last.decision}: {last.reasons[0]}"
    return f"{told}; it would say so again. Tell something new, and consolidate again"


def too_few(store: SqlStore, engine: Engine, batch: Batch, settings: Consolidation, at: float) -> str:
    """Why this batch could not be promoted whatever came of it; "" if it could."""
    new = {e.memory_ids[0] for e in batch.holdout if e.role == "new" and e.memory_ids}
    if said := too_few_new(store, batch.scope, len(new), settings, at):
        return said
    spent = [v.decision for v in spent_before(store, batch.scope, at)]
    kept = len(retained(store, engine, batch, settings))
    if kept < (needed := settings.gate.least_retained(len(spent) + 1, spent)):
        return (
            f"{kept} questions tell whether something else is lost; after {len(spent)} decisions on them the gate needs "
            f"{needed}. What is new stays in text; add questions of your own (engrain eval FILE --keep), and consolidate again"
        )
    return ""


def too_few_new(store: SqlStore, scope: Scope, new: int, settings: Consolidation, at: float) -> str:
    """Why so many new memories cannot show a gain; "" if they can."""
    spent = [v.decision for v in spent_before(store, scope, at)]
    if new >= (needed := settings.gate.least_new(len(spent) + 1, spent)):
        return ""
    return (
        f"{new} memories are new and can be asked about; at decision {len(spent) + 1} the gate needs {needed} to tell a gain from "
        "luck. They stay in text; tell more, and consolidate again"
    )


def spent_before(store: SqlStore, scope: Scope, at: float) -> list[Verdict]:
    """The verdicts until this time that spent some of the error budget, in order."""
    return [v for v in store.select(Verdict, scope=scope) if v.alpha_spent > 0 and v.created_at <= at]


def known_at(store: SqlStore, scope: Scope, at: float) -> list[Memory | Delta]:
    """The memories, and the changes to them, that had been recorded at that time, in order."""
    return [r for r in store.history(scope=scope) if r.recorded_at <= at]


def batch_for(
    store: SqlStore,
    engine: Engine,
    scope: Scope,
    wanted: Sequence[str],
    parent: str,
    at: float,
    settings: Consolidation,
    tick: Progress = quiet,
) -> Batch:
    """The batch that teaches the wanted memories to `parent`, with replay of what that version was taught and still holds.

    Only what was on record at the time `at` enters, so that the same call makes the same batch whenever it is made.
    """
    from engrain.learning.methods import method_named

    method_named(
        settings.method, **settings.method_options
    )  # a wrong name is an error now, and not after the preparation
    history = known_at(store, scope, at)
    memories, still = {m.id: m for m in history if isinstance(m, Memory)}, holding(history)
    earlier = batch_of(store, scope, adapter_of(store, scope, parent)) if parent else None
    limit = longest_note(engine, settings.preparation)
    new = [memories[i] for i in wanted if i in still and engine.count_tokens(still[i]) <= limit]
    batch = prepare(
        engine, new, scope=scope, parent=parent, earlier=earlier, still=still, asked=queries(store, scope, new, at),
        apart=[last_question(e) for e in tasks(store, scope, at)], preparation=settings.preparation, seed=settings.seed,
        on_share=lambda share: tick("studying", share),
    )  # fmt: skip
    return replace(batch, settings={**batch.settings, **kept_settings(settings, batch)}, created_at=at)


def kept_settings(settings: Consolidation, batch: Batch) -> dict[str, Any]:
    """What a batch keeps of the settings beside its preparation, so that it can be learned again as it was."""
    new, earlier = (len({i for e in batch.train if e.role == role for i in e.memory_ids}) for role in ("new", "replay"))
    method = {"name": settings.method, **settings.method_options}
    plan = plan_fields(settings)
    learning = {"steps": settings.steps(new, earlier), "rank": settings.rank, "method": method, "plan": plan}
    if settings.replay is not None and earlier:
        again = settings.replay * earlier
        learning["shares"] = {"new": plan["new"] * new / (new + again), "replay": plan["new"] * again / (new + again)}
    return {"learning": learning, "run": {name: asdict(settings)[name] for name in RUN_SETTINGS}}


def unfinished(store: SqlStore, home: Path, scope: Scope, parent: str, settings: Consolidation) -> Batch | None:
    """The batch of a run that was interrupted, if all that it teaches still holds and it was made from this version with these
    settings; what was told since then waits for the next run."""
    try:
        batch = store.get(json.loads((runs(home, scope) / CHECKPOINT).read_text())["batch"], scope=scope)
    except (OSError, ValueError, KeyError, TypeError, NotFound, ScopeError):
        return None
    now = holding(store.history(scope=scope))
    if not isinstance(batch, Batch) or batch.parent != parent or not set(batch.memory_ids) <= set(now):
        return None
    as_now = {**batch.settings, **asdict(settings.preparation), **kept_settings(settings, batch)}
    same = content_hash([as_now, settings.seed]) == content_hash([batch.settings, batch.seed])
    return batch if same else None


def plan_fields(settings: Consolidation) -> dict[str, Any]:
    """Every number of the training plan, defaults included: a later release may change those, and must still rebuild this."""
    from engrain.learning.loop import Plan

    plan = Plan(learning_rate=settings.learning_rate, batch_size=settings.batch_size, **settings.plan)
    return {f.name: getattr(plan, f.name) for f in fields(Plan) if f.name not in ("method", "seed")}


def queries(store: SqlStore, scope: Scope, memories: Sequence[Memory], at: float) -> dict[str, dict[str, list[str]]]:
    """The user's own past queries for which each of these memories was shown, by the memory's text, and where they were asked."""
    texts = {m.id: m.text for m in memories}
    found: dict[str, dict[str, list[str]]] = {}
    for interaction in store.select(Interaction, scope=scope):
        if interaction.created_at > at or not interaction.query.strip():  # a redacted one may have lost its query
            continue
        query = " ".join(interaction.query.split())
        for memory in interaction.context.memory_ids:
            if memory in texts:
                found.setdefault(texts[memory], {}).setdefault(query, []).append(interaction.id)
    return found


def advantage(engine: Engine, batch: Batch, scope: Scope) -> tuple[Evidence, Evidence, float]:
    """The parent's answers to the new held-out questions, without and with the notes, and how much more are right with them."""
    items = [e for e in batch.holdout if e.role == "new"]
    before = run_suite(engine, items, batch.parent, scope, "advantage")
    in_context = run_suite(engine, items, batch.parent, scope, "advantage", with_context=True)
    return before, in_context, rate(in_context) - rate(before)


def train(engine: LocalEngine, batch: Batch, settings: Consolidation, *, home: Path, tick: Progress) -> LocalStudent:
    """The student after its lessons; goes on from the checkpoint of an interrupted run of the same batch."""
    from engrain.learning.loop import Plan, StepReport, TrainState, context_learning
    from engrain.learning.methods import method_named

    learning = batch.settings["learning"]
    steps = int(learning["steps"])
    numbers = {**learning["plan"], **learning.get("shares", {})}
    plan = Plan(method=method_named(**learning["method"]), seed=batch.seed, **numbers)
    student = engine.student(
        batch.parent, rank=int(learning["rank"]), seed=batch.seed, max_tokens=longest_answer(engine, batch)
    )
    last = load_checkpoint(home, batch, student) or TrainState()
    if not last.step:
        save_checkpoint(home, batch, student, last)  # what was studied is not studied again

    def on_step(state: TrainState, _: StepReport) -> None:
        nonlocal last
        last = state
        tick("learning", state.step / steps)
        if state.step % settings.checkpoint_every == 0:
            save_checkpoint(home, batch, student, state)

    try:
        context_learning(student, batch.train, steps, plan=plan, on_step=on_step, start=last if last.step else None)
    except KeyboardInterrupt:
        if student.steps == last.step:  # it was not stopped within an update
            save_checkpoint(home, batch, student, last)
            log.info("stopped after step %d of batch %s; the same command goes on from there", last.step, batch.id)
        raise
    return student


def longest_answer(engine: Engine, batch: Batch) -> int:
    """Tokens that an answer may have while it is learned on: a student that goes on for longer than any reference only stammers."""
    return min(ANSWER_TOKENS, 8 + max(engine.count_tokens(e.reference) for e in batch.train))


def choose_scale(
    store: SqlStore,
    engine: LocalEngine,
    student: LocalStudent,
    batch: Batch,
    settings: Consolidation,
    at: float,
    tick: Progress = quiet,
) -> tuple[float, str]:
    """The largest share of the update that does no more harm to unrelated items (not the gate's), and to what was taught before, than the gate
    will tolerate, and the adapter that it makes; other shares leave no file. The whole is tried first; then, as less breaks less, the span between what
    breaks too much and what does not is halved. The smallest is taken unasked: what the gate then says is another matter."""
    if len(settings.scales) == 1:
        return settings.scales[0], student.save(scale=settings.scales[0])
    spent = [v.decision for v in spent_before(store, batch.scope, at)]
    judging = Counter({_draw(e): group(e) for e in retained(store, engine, batch, settings)}.values())
    items = [*probes("scale", settings.scale_items, engine=engine), *_learned_before(batch)]
    draws = {e.hash: _draw(e) for e in items}

    def answered(version: str, done: int) -> dict[str, ItemResult]:
        rounds = 2 + (len(settings.scales) - 2).bit_length()
        found = run_suite(
            engine, items, version, batch.scope, "scale", group=group,
            on_share=lambda share: tick("choosing the scale", (done + share) / rounds),
        )  # fmt: skip
        return {r.item: r for r in found.results}

    def passes(after: Mapping[str, ItemResult], name: str) -> bool:
        """Whether the gate would bear what the items of one group, or of all (""), show, if as many as it has showed it, and some standard errors
        more: its own items are another draw, the largest share that passes was looked for, and a little less of an update is better than none."""
        seen = pair(before, after, [i for i, r in before.items() if name in ("", r.group)], draws)
        count = judging[name] if name else judging.total()
        share = count / max(1, seen.n)
        more = (settings.clear_of_a_group if name else settings.clear) * math.sqrt(seen.broke + seen.fixed)
        worse, fixed = math.ceil((seen.broke + more) * share), int(seen.fixed * share)
        likely = Paired(n=count, broke=worse, fixed=fixed)
        return settings.gate.tolerates(likely, len(spent) + 1, spent, of_a_group=bool(name))

    before = answered(batch.parent, 0)
    there = {p.name for p in engine.adapters_dir.glob("*")}
    tried: dict[int, str] = {}

    def bears(place: int) -> bool:
        tried[place] = student.save(scale=settings.scales[place])
        after = answered(tried[place], len(tried))
        seen = pair(before, after, list(before), draws)
        share = 100 * settings.scales[place]
        log.info("%.0f %% of the update breaks %d and fixes %d of %d items", share, seen.broke, seen.fixed, seen.n)
        return all(passes(after, g) for g in ("", *{r.group for r in before.values()}))

    refused, taken = -1, len(settings.scales) - 1
    place = 0
    while taken - refused > 1:
        if bears(place):
            taken = place
        else:
            refused = place
        place = (refused + taken) // 2
    name = tried[taken] if taken in tried else student.save(scale=settings.scales[taken])
    for other in {*tried.values()} - there - {name}:
        shutil.rmtree(engine.adapters_dir / other)
    return settings.scales[taken], name


def _learned_before(batch: Batch) -> list[Example]:
    """Some questions about each memory that was taught before, of those that are replayed: what is held out of that, the gate judges by."""
    of: dict[str, list[Example]] = {}
    for example in batch.train:  # in the order of their hashes
        if example.role == "replay":
            of.setdefault(_draw(example), []).append(example)
    return [e for some in of.values() for e in some[:ASKED_OF_EACH]]


def _draw(example: Example) -> str:
    """What counts as one draw of the statistics: the questions about one memory together, any other by itself."""
    return example.memory_ids[0] if example.memory_ids else example.hash


def keep(store: SqlStore, engine: Engine, name: str, batch: Batch, scale: float) -> Adapter:
    """Record an adapter that was just written; one that is on record already (a run that died before its verdict) stays as it is."""
    for known in store.select(Adapter, scope=batch.scope):
        if known.id == name:
            assert isinstance(known, Adapter)
            return known
    adapter = Adapter(
        id=name, scope=batch.scope, base=engine.base, parent=batch.parent, batch=batch.id, memory_ids=batch.memory_ids,
        scale=scale, causes=(batch.id, *batch.memory_ids, *((batch.parent,) if batch.parent else ())),
    )  # fmt: skip
    store.append(adapter)
    return adapter


def judge(
    store: SqlStore,
    engine: Engine,
    batch: Batch,
    adapter: Adapter,
    start: Adapter | None,
    settings: Consolidation,
    *,
    live: str,
    tick: Progress,
) -> tuple[Verdict, Evidence]:
    """Evidence for candidate, the version it started from and origin on the same items, and the verdict; all recorded.

    `start` is the live version but where that one is stale: what it knows of the past is no standard then.
    """
    scope = batch.scope
    items = suite(store, engine, batch, settings.gate_items)
    judged_by = [e for e in items if probe_group(e) is None]
    check_holdout([e for e in batch.train if probe_group(e) is None], judged_by)
    versions = list(dict.fromkeys((adapter.id, batch.parent, "")))

    def answers_of(version: str) -> Evidence:
        done = versions.index(version)
        return evaluate(
            store, engine, items, version, scope,
            on_share=lambda share: tick("evaluating", (done + share) / len(versions)),
        )  # fmt: skip

    after, before = answers_of(adapter.id), answers_of(batch.parent)
    origin = before if start is None else answers_of("")
    spent = spent_before(store, scope, time.time())
    verdict = settings.gate.decide(
        scope=scope, index=len(spent) + 1, history=[v.decision for v in spent], candidate=after, live=before, origin=origin,
        clusters={e.hash: _draw(e) for e in items},
    )  # fmt: skip
    verdict = replace(verdict, against=live, causes=tuple(dict.fromkeys((adapter.id, *verdict.causes))))
    if live != batch.parent:
        told = (
            f"the live version {live[:12]} is stale: learned from and judged against {batch.parent[:12] or 'the base'}"
        )
        verdict = replace(verdict, reasons=(*verdict.reasons, told))
    if verdict.decision == "promote" and settings.trial is not None:
        begin(store, verdict, settings.trial)
    elif verdict.decision == "promote":
        promote(store, scope, verdict)
    else:
        store.append(verdict)
    tick("evaluating", 1.0)
    return verdict, after


def suite(store: SqlStore, engine: Engine, batch: Batch, limit: int) -> list[Example]:
    """What a candidate is judged by: what is new and what was taught before (held out both), the user's own tasks, and
    unrelated probes."""
    unrelated = probes("gate", limit, engine=engine)
    held = {e.hash for e in (*batch.holdout, *unrelated)}
    own = [e for e in tasks(store, batch.scope, batch.created_at) if e.hash not in held]
    return [*batch.holdout, *own, *unrelated]


def retained(store: SqlStore, engine: Engine, batch: Batch, settings: Consolidation) -> list[Example]:
    """The items of that suite that judge harm: all but what is new."""
    return [e for e in suite(store, engine, batch, settings.gate_items) if group(e) != "new"]


def tasks(store: SqlStore, scope: Scope, at: float) -> list[Example]:
    """The user's own evaluation set as it stood then; of one question, the answer that was kept last."""
    return list({t.question: t.example for t in store.select(Task, scope=scope) if t.created_at <= at}.values())


def group(example: Example) -> str:
    """`reading`, `unknown` or `style` for a probe, `new` or `replay` for what was learned, `own` for a task of the user's."""
    return probe_group(example) or ("own" if example.role == "guard" else group_of(example))


def evaluate(
    store: SqlStore,
    engine: Engine,
    items: Sequence[Example],
    adapter: str,
    scope: Scope,
    *,
    over: Evidence | None = None,
    on_share: Callable[[float], None] | None = None,
) -> Evidence:
    """One version's answers to these items, recorded. Answers that it gave earlier are taken from the records: the same
    weights give the same greedy answers. With `over`, the ledger says what got worse since that evidence."""
    known: dict[str, ItemResult] = {}
    for old in store.select(Evidence, scope=scope):
        if (old.adapter, old.base, old.suite) == (adapter, engine.base, "gate"):
            known.update({r.item: r for r in old.results})
    missing = [e for e in items if e.hash not in known]
    fresh = run_suite(engine, missing, adapter, scope, "gate", group=group, on_share=on_share)
    answered = known | {r.item: r for r in fresh.results}
    results = tuple(replace(answered[e.hash], group=group(e)) for e in items)
    evidence = Evidence(
        scope=scope,
        adapter=adapter,
        suite="gate",
        base=engine.base,
        results=results,
        causes=(adapter,) if adapter else (),
    )
    reason = ""
    if over is not None:
        broke, n, low, high = regression_rate(over, evidence)
        reason = f"regressions: {broke} of {n} that were right are wrong now (95% interval {low:.1%} to {high:.1%})"
    store.append(evidence, reason=reason)
    return evidence


def check_rebuilt(store: SqlStore, engine: Engine, batch: Batch, adapter: Adapter, settings: Consolidation) -> Evidence:
    """Evidence for a version that a forgetting rebuilt, with what it broke since its parent in the ledger.

    It goes live without a verdict, for the version that it replaces must not stay: docs/decisions/0007.
    """
    items = suite(store, engine, batch, settings.gate_items)
    before = evaluate(store, engine, items, batch.parent, batch.scope)
    return evaluate(store, engine, items, adapter.id, batch.scope, over=before)


def rate(evidence: Evidence) -> float:
    """Share of right answers."""
    return sum(r.right for r in evidence.results) / max(1, len(evidence.results))


def stale_memories(store: SqlStore, scope: Scope) -> tuple[str, ...]:
    """Ids that the live version was trained on and that no longer hold; memory overrides them until the next run."""
    return stale(current(store, scope), holding(store.history(scope=scope)))


# -- checkpoints of a run -----------------------------------------------------------------------------------------------


CHECKPOINT = "consolidate.json"


def runs(home: Path, scope: Scope) -> Path:
    """Where the checkpoints of one user's runs lie, so that nobody's run, and nobody's forgetting, ends another's."""
    return home / "runs" / content_hash([scope.tenant, scope.user], length=16)


def save_checkpoint(home: Path, batch: Batch, student: LocalStudent, state: TrainState) -> None:
    """Keep what an interrupted run needs; the two files are replaced one after the other and name their step.

    StoreError, with the remedy, where the disk does not take it; the checkpoint before stays.
    """
    folder = runs(home, batch.scope)
    weights, text = folder / "consolidate.safetensors.new", folder / "consolidate.json.new"
    final = folder / f"consolidate-{state.step}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        weights.write_bytes(student.state())
        text.write_text(json.dumps({"batch": batch.id, **asdict(state)}))
        weights.replace(final)
        text.replace(folder / CHECKPOINT)
        for old in folder.glob("consolidate-*.safetensors"):
            if old != final:
                old.unlink(missing_ok=True)
    except OSError as error:
        for half in (weights, text):
            with contextlib.suppress(OSError):
                half.unlink(missing_ok=True)
        raise StoreError(
            f"the checkpoint of step {state.step} was not written to {folder} ({error.strerror or error}); free some space "
            "or make the folder writable; the live version stays, and the same command goes on from the last checkpoint"
        ) from error


def load_checkpoint(home: Path, batch: Batch, student: LocalStudent) -> TrainState | None:
    """Where an interrupted run of this very batch stood, loaded into the student; None to start afresh."""
    from engrain.learning.loop import TrainState

    folder = runs(home, batch.scope)
    try:
        state = json.loads((folder / CHECKPOINT).read_text())
        weights = (folder / f"consolidate-{state['step']}.safetensors").read_bytes()
    except (OSError, ValueError, KeyError):
        return None
    if state.pop("batch", None) != batch.id:
        return None
    try:
        answers = {name: tuple(tokens) for name, tokens in state["answers"].items()}
        start = TrainState(step=int(state["step"]), answers=answers, kl=tuple(state["kl"]))
        student.load_state(weights)
    except (EngrainError, KeyError, TypeError, ValueError, AttributeError):  # cut off by a crash: it begins again
        log.warning("the checkpoint in %s is damaged; the run begins again", folder)
        return None
    return start


def finish(home: Path, scope: Scope) -> None:
    """The run is over: its checkpoint goes."""
    for file in runs(home, scope).glob("consolidate*"):
        file.unlink(missing_ok=True)
