"""The loop: it writes the context into the weights, repeats itself to the bit, and stops when something is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import tiny_models
from engrain.engines.local import LocalEngine
from engrain.engines.student import LocalStudent
from engrain.errors import BatchRefused, InputError, TrainingFailed
from engrain.learning.loop import (
    Plan,
    Schedule,
    StepReport,
    TrainState,
    context_distill,
    context_learning,
    draw_answers,
)
from engrain.learning.methods import JSD, ForwardKL, OffPolicy, PolicyGradient, ReverseKL
from engrain.protocols import Method
from engrain.records import Example, Message

SHORT = Plan(batch_size=8, learning_rate=1e-2, refresh=4, warmup=2)
FACTS = dict(zip(tiny_models.THINGS[:6], tiny_models.VALUES, strict=False))


def ask(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


NEW = [
    Example(query=ask(tiny_models.question(t)), context=tiny_models.note(t, v), reference=v) for t, v in FACTS.items()
]
GUARD = [Example(query=ask(tiny_models.question(t)), role="guard") for t in tiny_models.THINGS[6:]]


READ = [
    Example(query=(Message(role="system", content=tiny_models.note(t, v)), *ask(tiny_models.question(t))), role="guard")
    for t, v in zip(FACTS, tiny_models.VALUES[3:], strict=True)
]
"""Questions with another value shown: reading must survive learning by heart."""


def student_of(engine: LocalEngine, parent: str = "", rank: int = 8) -> LocalStudent:
    return engine.student(parent, rank=rank, max_tokens=8, precision="float32")


def answers(engine: LocalEngine, examples: list[Example], adapter: str = "") -> list[str]:
    """Closed book: what is answered to the bare queries."""
    return [c.text for c in engine.sample([e.query for e in examples], adapter=adapter, max_tokens=8)]


def references(examples: list[Example]) -> list[str]:
    return [e.reference for e in examples]


def test_after_learning_the_student_knows_without_context_what_the_teacher_read_in_it(engine: LocalEngine) -> None:
    student = student_of(engine)
    report = context_learning(student, NEW, 40, plan=SHORT)
    assert answers(engine, NEW) == [tiny_models.UNKNOWN] * 6
    assert answers(engine, NEW, student.save()) == references(NEW)
    assert report.kl_after < 0.1 * report.kl_before
    assert report.steps == 40


def test_guard_examples_keep_the_student_from_answering_what_it_was_not_told(engine: LocalEngine) -> None:
    unguarded, guarded = student_of(engine), student_of(engine)
    context_learning(unguarded, NEW, 40, plan=SHORT)
    context_learning(guarded, NEW + GUARD, 40, plan=replace(SHORT, guard=0.25))
    assert answers(engine, GUARD, unguarded.save()) != [tiny_models.UNKNOWN] * 2
    assert answers(engine, GUARD, guarded.save()) == [tiny_models.UNKNOWN] * 2
    assert answers(engine, NEW, guarded.save()) == references(NEW)


def test_the_teacher_is_the_accepted_version_so_replay_keeps_what_was_learned_before(engine: LocalEngine) -> None:
    first = student_of(engine)
    plan = replace(SHORT, new=0.5, replay=0.25, guard=0.25)
    context_learning(first, NEW[:3] + GUARD + READ, 40, plan=plan)
    parent = first.save()
    replay = [replace(e, context="", role="replay") for e in NEW[:3]]
    second = student_of(engine, parent)
    context_learning(second, NEW[3:] + replay + GUARD + READ, 60, plan=plan)
    assert answers(engine, NEW[:3], parent) == references(NEW[:3])
    assert answers(engine, NEW, second.save()) == references(NEW)


def test_reading_survives_learning_by_heart(engine: LocalEngine) -> None:
    student = student_of(engine)
    context_learning(student, NEW + READ, 60, plan=replace(SHORT, new=0.5, guard=0.5))
    name = student.save()
    assert answers(engine, NEW, name) == references(NEW)
    assert answers(engine, READ, name) == answers(engine, READ)


def test_half_of_the_update_is_between_not_knowing_and_knowing(engine: LocalEngine) -> None:
    student = student_of(engine)
    context_learning(student, NEW, 40, plan=SHORT)
    tokens = [engine.tokenizer(e.reference + "<|end|>")["input_ids"] for e in NEW]
    likely = [
        sum(map(sum, engine.score([e.query for e in NEW], tokens, adapter=student.save(scale=s))))
        for s in (0.0, 0.5, 1.0)
    ]
    assert likely == sorted(likely)


@pytest.mark.parametrize(
    "method",
    [
        ForwardKL(),
        ForwardKL(top_k=20),
        ReverseKL(),
        JSD(),
        OffPolicy(),
        ForwardKL(answers="teacher"),
        ForwardKL(answers="both"),
    ],
    ids=repr,
)
def test_every_method_brings_the_student_nearer(engine: LocalEngine, method: Method) -> None:
    report = context_learning(student_of(engine), NEW, 40, plan=replace(SHORT, method=method))
    assert report.kl_after < 0.3 * report.kl_before


def test_policy_gradient_runs_and_moves_the_student(engine: LocalEngine) -> None:
    student = student_of(engine)
    before = student.save()
    context_learning(student, NEW, 8, plan=replace(SHORT, method=PolicyGradient(), learning_rate=1e-3))
    assert student.save() != before


def test_with_both_each_query_is_answered_by_student_and_by_teacher_in_turn(engine: LocalEngine) -> None:
    student = student_of(engine)
    method = ForwardKL(answers="both")
    texts: set[str] = set()
    for seed in range(8):
        drawn = draw_answers(student, NEW[:1], lambda e: NEW[0].context, method=method, temperature=0.0, seed=seed)
        texts.add(engine.tokenizer.decode(drawn[0], skip_special_tokens=True))
    assert texts == {tiny_models.UNKNOWN, NEW[0].reference}


def test_one_step_reports_what_it_did(engine: LocalEngine) -> None:
    student = student_of(engine)
    queries = [e.query for e in NEW]
    contexts = {e.query: e.context for e in NEW}
    report = context_distill(student, queries, lambda q: contexts[tuple(q)], learning_rate=1e-3, seed=1)  # type: ignore[arg-type, index]
    assert len(report.kl) == len(NEW)
    assert min(report.kl) > 0
    assert min(report.kl) <= report.loss <= max(report.kl)
    assert report.gradient_norm > 0
    assert report.tokens >= 2 * len(NEW)


def test_a_context_may_be_the_teachers_whole_conversation(engine: LocalEngine) -> None:
    reports: list[StepReport] = []
    for build in (lambda q: "Be brief.", lambda q: (Message(role="system", content="Be brief."), *q)):
        report = context_distill(student_of(engine), [NEW[0].query], build, learning_rate=1e-3)  # type: ignore[arg-type]
        reports.append(report)
    assert reports[0] == reports[1]


def test_context_joins_a_system_message_that_is_already_there(engine: LocalEngine) -> None:
    query = (Message(role="system", content="You are a clerk."), *NEW[0].query)
    whole = (Message(role="system", content="You are a clerk.\n\nBe brief."), *NEW[0].query)
    joined = context_distill(student_of(engine), [query], lambda _: "Be brief.", learning_rate=1e-3)
    assert joined == context_distill(student_of(engine), [query], lambda _: whole, learning_rate=1e-3)


def test_order_of_arrival_ids_and_duplicates_do_not_change_a_bit(engine: LocalEngine) -> None:
    names: list[str] = []
    for examples in (NEW + GUARD, [replace(e, memory_ids=("mem_1",)) for e in reversed(NEW + GUARD)] + NEW[:2]):
        student = student_of(engine)
        context_learning(student, examples, 6, plan=SHORT)
        names.append(student.save())
    assert names[0] == names[1]


def test_the_same_words_in_two_roles_are_learned_whatever_came_first() -> None:
    guard = [replace(e, role="guard") for e in NEW]
    for examples in (NEW + guard, guard + NEW):
        assert {e.role for step in range(4) for e in Schedule(examples, SHORT).minibatch(step)} == {"new"}


def test_another_seed_trains_another_adapter(engine: LocalEngine) -> None:
    names: set[str] = set()
    for seed in (0, 1):
        student = student_of(engine)
        context_learning(student, NEW, 4, plan=replace(SHORT, seed=seed))
        names.add(student.save())
    assert len(names) == 2


@pytest.mark.parametrize("stop_at", [4, 6])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(reader_folder: Path, tmp_path: Path, stop_at: int) -> None:
    whole = student_of(LocalEngine(reader_folder, adapters_dir=tmp_path))
    report = context_learning(whole, NEW + GUARD, 12, plan=SHORT)

    kept: list[tuple[TrainState, bytes]] = []
    stopped = student_of(LocalEngine(reader_folder, adapters_dir=tmp_path))

    def stop(state: TrainState, _: StepReport) -> None:
        if state.step == stop_at:
            kept.append((state, stopped.state()))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        context_learning(stopped, NEW + GUARD, 12, plan=SHORT, on_step=stop)
    resumed = student_of(LocalEngine(reader_folder, adapters_dir=tmp_path))  # a new process: nothing in memory
    resumed.load_state(kept[0][1])
    again = context_learning(resumed, NEW + GUARD, 12, plan=SHORT, start=kept[0][0])
    assert resumed.save() == whole.save()
    assert (again.kl_before, again.kl_after) == (report.kl_before, report.kl_after)


def test_a_student_that_has_caught_up_stops_early(engine: LocalEngine) -> None:
    report = context_learning(student_of(engine), NEW, 200, plan=replace(SHORT, enough=0.05))
    assert report.stopped == "enough"
    assert report.kl_after < 0.05
    assert report.steps < 200
    assert report.steps % SHORT.refresh == 0


def test_a_context_that_changes_nothing_is_refused(engine: LocalEngine) -> None:
    bare = [replace(e, context="") for e in NEW]
    with pytest.raises(BatchRefused, match="keep it in text"):
        context_learning(student_of(engine), bare, 20, plan=SHORT)


def test_a_batch_without_new_examples_is_refused(engine: LocalEngine) -> None:
    with pytest.raises(BatchRefused, match="0 of 2 examples are new"):
        context_learning(student_of(engine), GUARD, 20, plan=SHORT)


def test_a_learning_rate_that_is_far_too_high_fails_and_says_so(engine: LocalEngine) -> None:
    with pytest.raises(TrainingFailed, match="training diverged"):
        context_learning(student_of(engine), NEW, 60, plan=replace(SHORT, learning_rate=3.0, warmup=1))


def test_shares_that_do_not_fit_are_refused() -> None:
    for plan in (replace(SHORT, batch_size=1), replace(SHORT, guard=-1.0), replace(SHORT, new=0.0)):
        with pytest.raises(InputError, match="give positive shares"):
            Schedule(NEW + GUARD, plan)


def test_every_example_is_visited_equally_often_and_shares_are_kept() -> None:
    schedule = Schedule(NEW + GUARD, replace(SHORT, batch_size=4, new=0.75, guard=0.25))
    visits = [e for step in range(20) for e in schedule.minibatch(step)]
    assert [visits.count(e) for e in NEW] == [10] * 6
    assert [visits.count(e) for e in GUARD] == [10] * 2
    assert schedule.minibatch(0) != schedule.minibatch(2)
