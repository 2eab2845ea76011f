"""The comparison with TRL: the same objective, and time to the same accuracy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import cost  # noqa: E402

MASK = torch.tensor([[True, False, False], [True, True, True]])


def test_the_objective_of_trl_counts_a_short_answer_as_much_as_a_long_one() -> None:
    """KL of a teacher that is sure (to e^-20) against an even student over two tokens is log 2; where they agree it is 0."""
    even, sure = torch.zeros(2), torch.tensor([20.0, 0.0])
    student = even.expand(2, 3, 2).clone().requires_grad_()
    teacher = torch.stack([torch.stack([sure, sure, sure]), torch.stack([even, even, even])])
    loss = cost.AnswerMeanKL().loss(student, teacher, torch.zeros(2, 3, dtype=torch.long), MASK)
    assert loss.item() == pytest.approx(0.6931 / 2, abs=1e-3)  # the mean over tokens would be log 2 / 4
    loss.backward()
    assert student.grad is not None
    assert student.grad[0, 0].abs().sum() > 0
    assert student.grad[0, 1:].abs().sum() == 0  # padding
    assert cost.AnswerMeanKL().loss(student, student.detach(), torch.zeros(2, 3, dtype=torch.long), MASK).item() == 0


def found(*rights: float, seconds: float) -> dict[str, object]:
    return {"curve": [{"right": r, "cpu_s": seconds * i, "wall_s": 2 * seconds * i} for i, r in enumerate(rights, 1)]}


def test_the_ratio_is_taken_at_the_highest_accuracy_that_both_reached() -> None:
    arms = {cost.SAME: found(0.2, 0.9, seconds=1), cost.TRL: found(0.1, 0.3, 0.6, seconds=4)}
    ratio = cost.faster({"base": 0.1, "arms": arms}, cost.SAME)
    assert ratio == {"accuracy": 0.6, "cpu": 6.0, "wall": 6.0}  # 12 s against 2 s


def test_there_is_no_ratio_without_trl_or_where_an_arm_never_rose_above_the_base() -> None:
    arms = {cost.SAME: found(0.2, 0.9, seconds=1), cost.TRL: found(0.1, 0.1, seconds=4)}
    assert cost.faster({"base": 0.1, "arms": arms}, cost.SAME) is None
    assert cost.faster({"base": 0.0, "arms": {cost.SAME: arms[cost.SAME]}}, cost.SAME) is None
