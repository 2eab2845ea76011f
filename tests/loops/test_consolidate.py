"""Consolidate: what a run starts from, what it leaves alone, and what it leaves on disk."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engrain.adapters import promote, rollback
from engrain.engines.fake import FakeEngine
from engrain.errors import StoreError, TrainingFailed
from engrain.evaluation import SequentialGate
from engrain.evaluation.statistics import Paired
from engrain.evaluation.suites import last_question
from engrain.loops import consolidate as loop
from engrain.loops.consolidate import Consolidation, consolidate, judge, unstale
from engrain.loops.forget import forget
from engrain.loops.prepare import Preparation
from engrain.loops.remember import tell
from engrain.records import Adapter, Batch, Decision, Evidence, Example, Memory, Message, Scope, Signal, Task, Verdict
from engrain.store import SqlStore

SCOPE = Scope()
NOTES = ("The gate code is 4417.", "The dog is called Biscuit.", "Marta repairs the sails.")
LENIENT = Consolidation(
    gate=SequentialGate(alpha=0.9, patience=1, margin=0.9, budget=0.9, group_margin=0.95, group_budget=0.95),
    gate_items=30,
)


@pytest.fixture
def store(tmp_path: Path) -> SqlStore:
    return SqlStore(tmp_path / "home")


def run(store: SqlStore, engine: Any = None, settings: Consolidation | None = None) -> loop.Outcome:
    return consolidate(store, engine or FakeEngine(), scope=SCOPE, home=store.home, settings=settings)


def learn(
    store: SqlStore, name: str, memories: list[Memory], *, parent: str = "", known: tuple[str, ...] = ()
) -> Adapter:
    """Records of a version that learned these memories and was promoted."""
    ids = tuple(m.id for m in memories)
    holdout = tuple(
        Example(query=(Message(role="user", content=f"Say: {m.text}"),), reference=m.text, memory_ids=(m.id,))
        for m in memories
    )
    batch = Batch(
        scope=SCOPE, parent=parent, train=(), holdout=holdout, memory_ids=ids,
        causes=(*ids, *((parent,) if parent else ())),
    )  # fmt: skip
    adapter = Adapter(id=name, scope=SCOPE, base="b", parent=parent, batch=batch.id, memory_ids=(*known, *ids))
    verdict = Verdict(scope=SCOPE, decision="promote", reasons=("",), candidate=name, against=parent, alpha_spent=0.01)
    store.append_all([batch, adapter, verdict])
    promote(store, SCOPE, verdict)
    return adapter


def learned(store: SqlStore, decision: Decision) -> Consolidation:
    """A home in which what it would learn now was learned already, and judged so; the settings of that."""
    engine = FakeEngine()
    settings = Consolidation(  # a gate that three memories suffice for, and ten unrelated questions do not
        preparation=Preparation(least_memories=1), gate=SequentialGate(alpha=0.9), gate_items=10
    )
    ids = [tell(store, n, scope=SCOPE).id for n in NOTES]
    batch = loop.batch_for(store, engine, SCOPE, ids, "", time.time(), settings)
    adapter = Adapter(id="a" * 32, scope=SCOPE, base=engine.base, batch=batch.id, memory_ids=batch.memory_ids)
    verdict = Verdict(scope=SCOPE, decision=decision, reasons=("no gain",), candidate=adapter.id)
    store.append_all([batch, adapter, verdict])
    if decision == "promote":
        promote(store, SCOPE, verdict)
    return settings


def test_after_a_rollback_the_same_version_is_not_made_again_until_there_is_something_new(store: SqlStore) -> None:
    settings = learned(store, "promote")
    rollback(store, SCOPE)
    outcome = run(store, settings=settings)
    assert outcome.verdict is None
    assert "was live before" in outcome.reason and "engrain rollback aaaaaaaaaaaa" in outcome.reason
    tell(store, "The owner of the kiln is Petra.", scope=SCOPE)
    assert "was live before" not in run(store, settings=settings).reason


@pytest.mark.parametrize("decision", ["hold", "reject"])
def test_what_the_gate_refused_is_not_trained_and_judged_again(store: SqlStore, decision: Decision) -> None:
    settings = learned(store, decision)
    outcome = run(store, settings=settings)
    assert f"the gate said {decision}: no gain" in outcome.reason
    assert len(list(store.select(Verdict, scope=SCOPE))) == 1


def test_with_fewer_memories_than_the_gate_can_tell_from_luck_nothing_is_trained(store: SqlStore) -> None:
    for note in NOTES:
        tell(store, note, scope=SCOPE)
    outcome = run(store, settings=Consolidation(preparation=Preparation(least_memories=1)))
    assert "the gate needs 7" in outcome.reason
    assert {s.route for s in outcome.signals} == {"text"}


def test_a_signal_is_recorded_again_only_when_the_route_changes(store: SqlStore) -> None:
    memories = [tell(store, n, scope=SCOPE) for n in NOTES]
    assert len(run(store).signals) == len(run(store).signals) == 3
    assert [s.memory for s in store.select(Signal, scope=SCOPE)] == [m.id for m in memories]
    last = list(store.select(Signal, scope=SCOPE))[-1]
    assert last.route == "text" and "needs 7" in last.reason
    store.append(Signal(scope=SCOPE, memory=memories[0].id, route="weights", reason="made by a test"))
    run(store)
    assert [s.route for s in store.select(Signal, scope=SCOPE)][3:] == ["weights", "text"]


class Narrow(FakeEngine):
    """A model of a small window; a token is a byte."""

    window = 128 + 7 * 40


def test_a_note_too_long_to_stand_beside_others_in_the_window_stays_in_text(store: SqlStore) -> None:
    short, long = tell(store, NOTES[0], scope=SCOPE), tell(store, "The long way round " * 5, scope=SCOPE)
    signals = {s.memory: s for s in run(store, Narrow()).signals}
    assert "more than" not in signals[short.id].reason
    assert signals[long.id].route == "text" and "more than the 40 that fit" in signals[long.id].reason
    assert loop.longest_note(Narrow(), Preparation()) == 40
    assert loop.longest_note(FakeEngine(), Preparation()) > 10**6


def test_a_run_starts_from_the_last_version_that_never_learned_what_no_longer_holds(store: SqlStore) -> None:
    first = [tell(store, n, scope=SCOPE) for n in NOTES[:2]]
    second = [tell(store, NOTES[2], scope=SCOPE)]
    a = learn(store, "a" * 32, first)
    b = learn(store, "b" * 32, second, parent=a.id, known=a.memory_ids)
    assert unstale(store, SCOPE, b, time.time()) == (b, ())
    wrong = second[0].id
    store.append(Memory(scope=SCOPE, text="", valid_from=time.time(), retracts=(wrong,)))
    assert unstale(store, SCOPE, b, time.time()) == (a, (wrong,))
    outcome = run(store)  # all that is left stands in version a already
    assert "nothing durable is new" in outcome.reason and "holds 1 memories that no longer hold" in outcome.reason
    store.append(Memory(scope=SCOPE, text="", valid_from=time.time(), retracts=(first[0].id,)))
    start, _ = unstale(store, SCOPE, b, time.time())
    assert start is None
    assert [s.memory for s in run(store).signals] == [first[1].id]  # learned again, from the bare base


def test_what_replaces_a_stale_version_is_judged_against_the_version_it_started_from(store: SqlStore) -> None:
    engine = FakeEngine()
    memories = [
        tell(store, f"The colour of boat {i} is {c}.", scope=SCOPE) for i, c in enumerate(("red", "blue", "grey"))
    ]
    stale = learn(store, engine.teach([NOTES[0]]), [tell(store, NOTES[0], scope=SCOPE)])
    holdout = tuple(
        Example(query=(Message(role="user", content=f"Colour of boat {i}?"),), reference=m.text, memory_ids=(m.id,))
        for i, m in enumerate(memories)
    )
    batch = Batch(scope=SCOPE, parent="", train=(), holdout=holdout, memory_ids=())
    fresh = Adapter(id=engine.teach([m.text for m in memories]), scope=SCOPE, base=engine.base, batch=batch.id)
    store.append_all([batch, fresh])
    verdict, _ = judge(store, engine, batch, fresh, None, LENIENT, live=stale.id, tick=lambda _what, _share: None)
    assert verdict.against == stale.id
    assert "judged against the base" in verdict.reasons[-1]
    assert {e.adapter for e in store.select(Evidence, scope=SCOPE)} == {"", fresh.id}
    assert verdict.fixed and all(item.isdigit() for item in (*verdict.broke, *verdict.fixed))
    assert verdict.decision == "promote", verdict.reasons
    assert store.live(SCOPE) == fresh.id


def test_a_verdict_that_says_promote_is_recorded_with_the_move_or_not_at_all(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, memories = FakeEngine(), [tell(store, n, scope=SCOPE) for n in NOTES]
    holdout = tuple(
        Example(query=(Message(role="user", content=f"Say: {m.text}"),), reference=m.text, memory_ids=(m.id,))
        for m in memories
    )
    batch = Batch(scope=SCOPE, parent="", train=(), holdout=holdout, memory_ids=())
    fresh = Adapter(id=engine.teach(NOTES), scope=SCOPE, base=engine.base, batch=batch.id)
    store.append_all([batch, fresh])

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("engrain.store.pointer.move", killed)
        judge(store, engine, batch, fresh, None, LENIENT, live="", tick=lambda _what, _share: None)
    assert store.live(SCOPE) == "" and list(store.select(Verdict, scope=SCOPE)) == []
    verdict, _ = judge(store, engine, batch, fresh, None, LENIENT, live="", tick=lambda _what, _share: None)
    assert store.live(SCOPE) == fresh.id and list(store.select(Verdict, scope=SCOPE)) == [verdict]


def test_a_training_that_fails_leaves_the_notes_in_text_and_no_run_to_go_on_with(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = tuple(tell(store, n, scope=SCOPE).id for n in NOTES)
    batch = Batch(scope=SCOPE, parent="", train=(), holdout=(), memory_ids=ids)
    evidence = Evidence(scope=SCOPE, adapter="", suite="advantage", base="b", results=())
    monkeypatch.setattr(loop, "batch_for", lambda *_: batch)
    monkeypatch.setattr(loop, "too_few", lambda *_: "")
    monkeypatch.setattr(loop, "advantage", lambda *_: (evidence, evidence, 1.0))

    def diverges(*_: Any, home: Path, **__: Any) -> None:
        loop.runs(home, SCOPE).mkdir(parents=True)
        (loop.runs(home, SCOPE) / loop.CHECKPOINT).write_text("{}")
        raise TrainingFailed("the loss is nan; lower the learning rate")

    monkeypatch.setattr(loop, "train", diverges)
    outcome = run(store, settings=LENIENT)
    assert outcome.verdict is None and "lower the learning rate" in outcome.reason
    assert not list(store.home.rglob("consolidate*"))
    last = {s.memory: s.route for s in store.select(Signal, scope=SCOPE)}
    assert last == dict.fromkeys(ids, "text")
    monkeypatch.setattr(loop, "train", None)  # the same is not tried again
    assert "lower the learning rate" in run(store, settings=LENIENT).reason


def test_a_value_that_changed_and_changed_back_is_what_it_was(store: SqlStore) -> None:
    first = [tell(store, n, scope=SCOPE) for n in NOTES]
    a = learn(store, "a" * 32, first)
    tell(store, "The gate code is 5521.", scope=SCOPE)
    assert unstale(store, SCOPE, a, time.time()) == (None, (first[0].id,))
    tell(store, NOTES[0], scope=SCOPE)
    assert unstale(store, SCOPE, a, time.time()) == (a, ())
    assert "nothing durable is new" in run(store).reason


def test_a_memory_that_the_batch_does_not_teach_is_on_record_as_text(store: SqlStore) -> None:
    settings = Consolidation(preparation=Preparation(least_memories=1), gate=SequentialGate(alpha=0.4))  # needs four
    for note in NOTES:
        tell(store, note, scope=SCOPE)
    odd = tell(store, "Zanzibar, quickly; never wobblefish", scope=SCOPE)
    run(store, settings=settings)
    last = {s.memory: s for s in store.select(Signal, scope=SCOPE)}
    assert last[odd.id].route == "text" and "reword it" in last[odd.id].reason


def test_a_run_whose_items_could_show_no_harmlessness_is_not_begun(store: SqlStore) -> None:
    settings = Consolidation(preparation=Preparation(least_memories=1), gate_items=10)
    settings = replace(settings, gate=SequentialGate(alpha=0.9, patience=1))
    for note in NOTES:
        tell(store, note, scope=SCOPE)
    outcome = run(store, settings=settings)
    assert outcome.verdict is None and "engrain eval FILE --keep" in outcome.reason


def test_an_interrupted_run_goes_on_whatever_was_asked_and_told_since(store: SqlStore) -> None:
    from engrain.learning.loop import TrainState

    settings, engine = Consolidation(preparation=Preparation(least_memories=1)), FakeEngine()
    told = [tell(store, n, scope=SCOPE) for n in NOTES]
    batch = loop.batch_for(store, engine, SCOPE, [m.id for m in told], "", time.time(), settings)
    student: Any = Bytes()
    assert loop.unfinished(store, store.home, SCOPE, "", settings) is None
    loop.save_checkpoint(store.home, batch, student, TrainState(step=7))
    assert loop.unfinished(store, store.home, SCOPE, "", settings) is None  # died before the batch was recorded
    store.append(batch)
    tell(store, "The owner of the kiln is Petra.", scope=SCOPE)
    going_on = loop.unfinished(store, store.home, SCOPE, "", settings)
    assert going_on is not None and going_on.id == batch.id
    assert loop.unfinished(store, store.home, SCOPE, "a" * 32, settings) is None
    assert loop.unfinished(store, store.home, SCOPE, "", replace(settings, learning_rate=1e-5)) is None
    assert loop.unfinished(store, store.home, SCOPE, "", replace(settings, seed=1)) is None
    tell(store, "The gate code is 5521.", scope=SCOPE)
    assert loop.unfinished(store, store.home, SCOPE, "", settings) is None


class Scaled(FakeEngine):
    """Saves the more of a false note the larger the share of the update."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__()
        self.adapters_dir = tmp_path / "adapters"
        self.tried: list[float] = []

    def save(self, *, scale: float) -> str:
        self.tried.append(scale)
        questions = [e.query[-1].content for e in loop.probes("scale", 100)]
        name = self.teach([q + " nonsense" for q in questions[: int(20 * scale)]])
        (self.adapters_dir / name).mkdir(parents=True)
        return name


def test_an_update_is_scaled_back_until_it_breaks_no_more_than_the_gate_tolerates(
    store: SqlStore, tmp_path: Path
) -> None:
    engine: Any = Scaled(tmp_path)
    batch = Batch(scope=SCOPE, parent="", train=(), holdout=(), memory_ids=())
    settings = Consolidation(scales=(1.0, 0.5, 0.05), scale_items=100, gate_items=300)
    assert [settings.gate.tolerates(Paired(n=300, broke=b, fixed=0), 1) for b in (5, 6)] == [True, False]
    assert loop.choose_scale(store, engine, engine, batch, settings, time.time())[0] == 0.05
    assert engine.tried == [1.0, 0.5, 0.05]
    lenient = replace(settings, gate=replace(settings.gate, margin=0.5, group_margin=0.9))
    assert loop.choose_scale(store, engine, engine, batch, lenient, time.time())[0] == 1.0


def test_an_update_that_spoils_one_group_is_scaled_back_though_the_whole_bears_it(
    store: SqlStore, tmp_path: Path
) -> None:
    class Spoils(Scaled):
        def save(self, *, scale: float) -> str:
            styled = [e.query[-1].content for e in loop.probes("scale") if loop.probe_group(e) == "style"]
            self.tried.append(scale)
            name = self.teach([q + " nonsense" for q in styled[: int(20 * scale)]])
            (self.adapters_dir / name).mkdir(parents=True)
            return name

    engine: Any = Spoils(tmp_path)
    batch = Batch(scope=SCOPE, parent="", train=(), holdout=(), memory_ids=())
    whole = replace(Consolidation().gate, margin=0.5)
    settings = Consolidation(scales=(1.0, 0.05, 0.01), gate=whole)
    assert loop.choose_scale(store, engine, engine, batch, settings, time.time())[0] == 0.05
    bears = replace(settings, gate=replace(whole, group_margin=0.9))
    shutil.rmtree(engine.adapters_dir)
    assert loop.choose_scale(store, engine, engine, batch, bears, time.time())[0] == 1.0


def replayed(memories: int, each: int) -> tuple[Example, ...]:
    """Questions about memories that an earlier version was taught."""
    return tuple(
        Example(
            query=(Message(role="user", content=f"What is item {m} of list {n}?"),), reference="I don't know",
            role="replay", memory_ids=(f"mem_{m}",),
        )
        for m in range(memories) for n in range(each)
    )  # fmt: skip


def test_an_update_that_loses_what_was_taught_before_is_scaled_back(store: SqlStore, tmp_path: Path) -> None:
    before = replayed(60, 6)

    class Forgets(Scaled):
        def save(self, *, scale: float) -> str:
            self.tried.append(scale)
            name = self.teach([e.query[-1].content + " nonsense" for e in before[: int(6 * 20 * scale)]])
            (self.adapters_dir / name).mkdir(parents=True)
            return name

    engine: Any = Forgets(tmp_path)
    batch = Batch(scope=SCOPE, parent="", train=before, holdout=before[::6], memory_ids=())
    settings = Consolidation(scales=(1.0, 0.5, 0.05), scale_items=100, gate_items=300)
    assert loop.choose_scale(store, engine, engine, batch, settings, time.time())[0] == 0.05
    alone: Any = Forgets(tmp_path / "alone")
    assert loop.choose_scale(store, alone, alone, replace(batch, train=()), settings, time.time())[0] == 1.0


def test_each_memory_that_was_taught_before_is_trained_on_a_quarter_as_often_as_a_new_one() -> None:
    new = tuple(replace(e, role="new", memory_ids=(f"new_{e.memory_ids[0]}",)) for e in replayed(20, 3))

    def learning(settings: Consolidation, earlier: int) -> dict[str, Any]:
        batch = Batch(scope=SCOPE, parent="", train=(*new, *replayed(earlier, 5)), holdout=(), memory_ids=())
        found: dict[str, Any] = loop.kept_settings(settings, batch)["learning"]
        return found

    first, fourth = learning(Consolidation(), 0), learning(Consolidation(), 60)
    assert (first["steps"], fourth["steps"]) == (120, 210)  # 20 and 35 times six
    assert "shares" not in first and first["plan"] == fourth["plan"]
    shares = fourth["shares"]
    assert shares["new"] + shares["replay"] == pytest.approx(first["plan"]["new"])
    assert shares["replay"] / 60 == pytest.approx(shares["new"] / 20 / 4)
    assert learning(Consolidation(replay=None), 60).keys() == first.keys()


def test_a_forgetting_gives_back_nothing_of_the_error_budget(store: SqlStore) -> None:
    secret = tell(store, NOTES[0], scope=SCOPE)
    batch = Batch(scope=SCOPE, parent="", train=(), holdout=(), memory_ids=(secret.id,))
    held = Adapter(id="c" * 32, scope=SCOPE, base="b", batch=batch.id, memory_ids=(secret.id,))
    verdict = Verdict(scope=SCOPE, decision="hold", reasons=("no",), candidate=held.id, alpha_spent=0.01)
    store.append_all([batch, held, verdict])
    forget(store, unopened, secret.id, scope=SCOPE, home=store.home)
    assert list(store.select(Adapter, scope=SCOPE)) == []
    assert list(store.select(Verdict, scope=SCOPE)) == [verdict]


def unopened() -> Any:
    raise AssertionError("no version was live, so there is nothing to rebuild")


def test_a_rebuilt_version_has_what_it_broke_in_the_ledger(store: SqlStore) -> None:
    engine = FakeEngine()
    batch = Batch(scope=SCOPE, parent="", train=(), holdout=(), memory_ids=())
    adapter = Adapter(id=engine.teach(NOTES), scope=SCOPE, base=engine.base, batch=batch.id)
    store.append_all([batch, adapter])
    evidence = loop.check_rebuilt(store, engine, batch, adapter, LENIENT)
    (entry,) = [e for e in store.ledger() if e.subject == evidence.id]
    assert entry.reason.startswith("regressions: 0 of ")
    assert store.verify() > 0


class Bytes:
    """A student, as far as checkpoints know it."""

    loaded = b""

    def state(self) -> bytes:
        return b"weights"

    def load_state(self, data: bytes) -> None:
        self.loaded = data


def test_one_users_run_leaves_anothers_checkpoint_alone_and_a_full_disk_is_said_with_the_remedy(tmp_path: Path) -> None:
    from engrain.learning.loop import TrainState

    student: Any = Bytes()
    ann, bob = (Batch(scope=Scope(user=u), parent="", train=(), holdout=(), memory_ids=()) for u in ("ann", "bob"))
    for batch in (ann, bob):
        loop.save_checkpoint(tmp_path, batch, student, TrainState(step=7))
    loop.finish(tmp_path, bob.scope)
    assert loop.load_checkpoint(tmp_path, bob, student) is None and student.loaded == b""
    state = loop.load_checkpoint(tmp_path, ann, student)
    assert state is not None and state.step == 7 and student.loaded == b"weights"
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "runs").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match=r"checkpoint of step 7 .*free some space"):
        loop.save_checkpoint(blocked, ann, student, TrainState(step=7))


def test_tasks_of_the_users_own_judge_every_candidate_and_are_never_trained_on(store: SqlStore) -> None:
    settings, engine = Consolidation(preparation=Preparation(least_memories=1)), FakeEngine()
    ids = [tell(store, n, scope=SCOPE).id for n in NOTES]

    def trained(at: float) -> set[str]:
        batch = loop.batch_for(store, engine, SCOPE, ids, "", at, settings)
        return {last_question(e) for e in batch.train if e.role == "new" and "4417" in e.reference}

    asked = min(trained(time.time()))
    task = Task(scope=SCOPE, question=asked.lower().rstrip("?"), answer="4417")
    store.append_all([task, replace(task, id="tsk_2")])
    assert asked in trained(task.created_at - 1e-5)  # as it was before the task was there
    assert asked not in trained(time.time())
    for at, judged in ((task.created_at - 1e-5, False), (time.time(), True)):
        batch = loop.batch_for(store, engine, SCOPE, ids, "", at, settings)
        assert (task.example in loop.suite(store, engine, batch, 30)) == judged
    assert loop.group(task.example) == "own"
    assert loop.tasks(store, SCOPE, time.time()) == [task.example]
    store.append(replace(task, id="tsk_3", answer="5521", created_at=time.time()))  # it has changed
    assert [e.reference for e in loop.tasks(store, SCOPE, time.time())] == ["5521"]


def test_a_task_that_is_a_probe_too_is_judged_once_and_never_trained_on(store: SqlStore) -> None:
    settings, engine = Consolidation(preparation=Preparation(least_memories=1)), FakeEngine()
    ids = [tell(store, n, scope=SCOPE).id for n in NOTES]
    guard = next(
        e for e in loop.batch_for(store, engine, SCOPE, ids, "", time.time(), settings).train if e.role == "guard"
    )
    probe = loop.probes("gate", 3)[0]
    for example in (guard, probe):
        store.append(Task(scope=SCOPE, question=last_question(example), answer=example.reference))
    batch = loop.batch_for(store, engine, SCOPE, ids, "", time.time(), settings)
    assert last_question(guard) not in {last_question(e) for e in batch.train}
    hashes = [e.hash for e in loop.suite(store, engine, batch, 30)]
    assert len(hashes) == len(set(hashes))


def test_before_studying_it_is_said_how_many_memories_the_gate_needs(store: SqlStore) -> None:
    tell(store, NOTES[0], scope=SCOPE)

    class Unasked(FakeEngine):
        def sample(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("nothing is studied that could not be promoted")

    engine: Any = Unasked()
    outcome = loop.consolidate(store, engine, scope=SCOPE, home=store.home, settings=Consolidation())
    assert "1 memories are new" in outcome.reason and "needs 7" in outcome.reason
