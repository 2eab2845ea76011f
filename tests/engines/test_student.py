"""A student starts as its teacher, learns alone, and saves the same bits for the same lessons."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engrain.engines.local import LocalEngine
from engrain.engines.student import LocalStudent
from engrain.errors import FormatError, InputError, TrainingFailed
from engrain.learning import losses
from engrain.records import Message

BARE = [
    (Message(role="user", content="What is the gate code?"),),
    (Message(role="user", content="Where is Biscuit, the dog of Mara?"),),
]
SHOWN = [(Message(role="system", content="Notes:\n- The code is 4417."), *query) for query in BARE]
ANSWERS = [[30, 31, 32], [40, 41, 42, 43, 44]]


def lessons(student: LocalStudent, steps: int = 3) -> None:
    for _ in range(steps):
        logits_BTV, mask_BT = student.logits(BARE, ANSWERS, teacher=False)
        teacher_BTV, _ = student.logits(SHOWN, ANSWERS, teacher=True)
        student_NV, teacher_NV = losses.real_tokens(mask_BT, logits_BTV, teacher_BTV)
        student.step(losses.forward_kl(student_NV, teacher_NV).mean(), learning_rate=1e-2)


def first_adapter(engine: LocalEngine) -> str:
    student = engine.student(rank=4, seed=5, precision="float32")
    lessons(student)
    return student.save()


def test_a_student_starts_exactly_as_its_teacher(any_engine: LocalEngine) -> None:
    for parent in ("", first_adapter(any_engine)):
        student = any_engine.student(parent, rank=8, precision="float32")
        own, mask_BT = student.logits(BARE, ANSWERS, teacher=False)
        teachers, teachers_mask = student.logits(BARE, ANSWERS, teacher=True)
        assert torch.equal(mask_BT, teachers_mask)
        assert torch.allclose(own[mask_BT], teachers[mask_BT], atol=1e-4)
        assert own.requires_grad
        assert not teachers.requires_grad


def test_logits_are_those_of_the_engines_scores(any_engine: LocalEngine) -> None:
    name = first_adapter(any_engine)
    student = any_engine.student(name, precision="float32")
    for teacher, prompts in ((False, BARE), (True, SHOWN)):
        logits_BTV, mask_BT = student.logits(prompts, ANSWERS, teacher=teacher)
        for row, answer, score in zip(
            logits_BTV, ANSWERS, any_engine.score(prompts, ANSWERS, adapter=name), strict=True
        ):
            assert [row.log_softmax(-1)[i, t].item() for i, t in enumerate(answer)] == pytest.approx(score, abs=1e-3)
        assert mask_BT.tolist() == [[True] * 3 + [False] * 2, [True] * 5]


def test_the_student_learns_and_the_teacher_and_base_do_not(engine: LocalEngine) -> None:
    name = first_adapter(engine)
    student = engine.student(name, precision="float32")
    before = engine.score(BARE, ANSWERS), student.logits(SHOWN, ANSWERS, teacher=True)[0]
    teacher_before = engine.score(BARE, ANSWERS, adapter=name)
    lessons(student)
    assert engine.score(BARE, ANSWERS) == before[0]
    assert engine.score(BARE, ANSWERS, adapter=name) == teacher_before
    assert torch.equal(student.logits(SHOWN, ANSWERS, teacher=True)[0], before[1])
    assert engine.score(BARE, ANSWERS, adapter=student.save()) != teacher_before


def test_only_the_students_pairs_receive_gradient_and_it_is_the_true_one(engine: LocalEngine) -> None:
    student = engine.student(first_adapter(engine), precision="float32")

    def loss() -> torch.Tensor:
        logits_BTV, mask_BT = student.logits(BARE, ANSWERS, teacher=False)
        return logits_BTV.log_softmax(-1)[..., 7][mask_BT].mean()

    loss().backward()
    name, (a, b) = sorted(student._pairs.items())[3]
    for parameter in (a, b):
        assert parameter.grad is not None
        index = parameter.grad.abs().flatten().argmax()
        slope = parameter.grad.flatten()[index].item()
        with torch.no_grad():
            values = []
            for shift in (1e-2, -2e-2):
                parameter.view(-1)[index] += shift
                values.append(loss().item())
            parameter.view(-1)[index] += 1e-2
        assert (values[0] - values[1]) / 2e-2 == pytest.approx(slope, rel=0.05), name


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_lessons_save_the_same_bits(llama_folder: Path, tmp_path: Path, precision: str) -> None:
    names: list[str] = []
    for run in range(2):
        engine = LocalEngine(llama_folder, adapters_dir=tmp_path / str(run))
        student = engine.student(rank=4, seed=9, precision=precision)  # type: ignore[arg-type]
        if run:  # earlier work on the engine leaves no trace
            engine.sample(SHOWN, max_tokens=5)
            student.logits(SHOWN[:1], [[1, 2]], teacher=True)
        lessons(student)
        names.append(student.save())
    assert names[0] == names[1]


def test_bfloat16_training_stays_close_to_float32(engine: LocalEngine) -> None:
    rows: list[torch.Tensor] = []
    for precision in ("float32", "bfloat16"):
        logits_BTV, mask_BT = engine.student(seed=1, precision=precision).logits(BARE, ANSWERS, teacher=False)  # type: ignore[arg-type]
        rows.append(logits_BTV[mask_BT])
    assert logits_BTV.dtype == torch.float32
    assert losses.forward_kl(rows[1], rows[0]).mean().item() < 0.02


def test_a_teacher_stays_what_it_was_whatever_the_student_learns(engine: LocalEngine) -> None:
    student = engine.student(rank=4, max_tokens=6)
    before = student.logits(SHOWN, ANSWERS, teacher=True)[0], student.sample(SHOWN, temperature=0, seed=0, teacher=True)
    lessons(student)
    after = student.logits(SHOWN, ANSWERS, teacher=True)[0], student.sample(SHOWN, temperature=0, seed=0, teacher=True)
    assert torch.equal(before[0], after[0])
    assert not after[0].requires_grad
    assert before[1] == after[1]


def test_a_teachers_likeliest_answer_is_always_the_same_and_its_samples_go_by_the_seed(engine: LocalEngine) -> None:
    student = engine.student(max_tokens=6)
    greedy = [student.sample(SHOWN, temperature=0, seed=s, teacher=True) for s in (0, 1)]
    sampled = [student.sample(SHOWN, temperature=1, seed=s, teacher=True) for s in (0, 1, 0)]
    assert greedy[0] == greedy[1]
    assert sampled[0] == sampled[2] != sampled[1]
    assert sampled[0] != greedy[0]


def test_a_scaled_save_lies_between_parent_and_candidate(engine: LocalEngine) -> None:
    name = first_adapter(engine)
    student = engine.student(name, rank=4, precision="float32")
    lessons(student)
    parent, half, whole = (
        engine.weights(n) for n in (student.save(scale=0.0), student.save(scale=0.5), student.save())
    )
    assert student.save(scale=0.0) == name
    assert parent and half and whole
    for layer in parent:
        for p, h, w in zip(parent[layer], half[layer], whole[layer], strict=True):
            assert torch.allclose(h, (p + w) / 2, atol=1e-6)


def test_from_the_base_a_scaled_save_scales_every_learned_weight_change_exactly(engine: LocalEngine) -> None:
    student = engine.student(rank=4, precision="float32")
    lessons(student)
    quarter, whole = engine.weights(student.save(scale=0.25)), engine.weights(student.save())
    assert quarter and whole
    for layer in whole:
        (a, b), (a1, b1) = quarter[layer], whole[layer]
        assert torch.allclose(b @ a, 0.25 * (b1 @ a1), atol=1e-7)


def test_a_wider_student_starts_as_its_narrower_parent(engine: LocalEngine) -> None:
    name = first_adapter(engine)
    student = engine.student(name, rank=9, precision="float32")
    wide = student.save()
    assert wide != name
    assert engine.score(BARE, ANSWERS, adapter=wide)[0] == pytest.approx(
        engine.score(BARE, ANSWERS, adapter=name)[0], abs=1e-4
    )


def test_state_resumes_to_the_same_bits(engine: LocalEngine) -> None:
    whole, half, resumed = (engine.student(rank=4, seed=2) for _ in range(3))
    lessons(whole, steps=4)
    lessons(half, steps=2)
    resumed.load_state(half.state())
    lessons(resumed, steps=2)
    assert resumed.save() == whole.save()


def aimed(engine: LocalEngine, parent: str = "", rank: int = 4) -> LocalStudent:
    student = engine.student(parent, rank=rank, precision="float32")
    student.aim((BARE[:1], ANSWERS[:1]), (BARE[1:], ANSWERS[1:]))
    return student


def test_an_aimed_student_starts_as_its_teacher_and_trains_b_alone(any_engine: LocalEngine) -> None:
    student = aimed(any_engine)
    before, plain = any_engine.weights(student.save()), any_engine.weights(any_engine.student(rank=4).save())
    own, mask_BT = student.logits(BARE, ANSWERS, teacher=False)
    teachers, _ = student.logits(BARE, ANSWERS, teacher=True)
    assert torch.allclose(own[mask_BT], teachers[mask_BT], atol=1e-4)
    lessons(student)
    after = any_engine.weights(student.save())
    assert before and after and plain
    for layer, (a, b) in after.items():
        assert torch.equal(a, before[layer][0])
        assert not torch.equal(a, plain[layer][0])
        assert b.any()


def test_aiming_a_child_leaves_the_parents_directions_and_points_only_the_added_ones(engine: LocalEngine) -> None:
    parent = first_adapter(engine)
    held, wide, same = (engine.weights(v) for v in (parent, *(aimed(engine, parent, rank=r).save() for r in (6, 4))))
    assert held and wide and same
    for layer, (a, b) in held.items():
        assert torch.equal(wide[layer][0][:4], a)
        assert torch.equal(wide[layer][1], torch.nn.functional.pad(b, (0, 2)))
        assert torch.equal(same[layer][0], a)


def test_an_aimed_student_resumes_to_the_same_bits(engine: LocalEngine) -> None:
    whole, half, resumed = (aimed(engine) for _ in range(3))
    lessons(whole, steps=4)
    lessons(half, steps=2)
    resumed.load_state(half.state())
    lessons(resumed, steps=2)
    assert resumed.save() == whole.save()


def test_a_state_of_another_student_is_refused(engine: LocalEngine) -> None:
    for state in (b"junk", engine.student(rank=3).state()):
        with pytest.raises(FormatError, match="not the state"):
            engine.student(rank=4).load_state(state)


def test_a_gradient_that_is_not_finite_fails_and_changes_nothing(engine: LocalEngine) -> None:
    student = engine.student(rank=4)
    before = student.save()
    logits_BTV, _ = student.logits(BARE, ANSWERS, teacher=False)
    with pytest.raises(TrainingFailed, match="gradient norm is"):
        student.step((logits_BTV * float("inf")).mean(), learning_rate=1e-3)
    assert student.save() == before


def test_student_and_teacher_answers_are_those_of_the_engine(engine: LocalEngine) -> None:
    student = engine.student(precision="float32", max_tokens=6)
    own = [list(c.token_ids) for c in engine.sample(BARE, max_tokens=6)]
    assert student.sample(BARE, temperature=0, seed=0) == own
    assert student.sample(BARE, temperature=0, seed=0, teacher=True) == own


@pytest.mark.parametrize(("rank", "scale"), [(0, 1.0), (2, 2.5), (2, -0.1)])
def test_senseless_numbers_are_refused(engine: LocalEngine, rank: int, scale: float) -> None:
    with pytest.raises(InputError, match="give"):
        engine.student(rank=rank).save(scale=scale)
