"""Losses against numbers worked by hand, and what decides which of them can write a fact."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from engrain.errors import BatchRefused, InputError
from engrain.learning import losses

Loss = Callable[[Tensor, Tensor], Tensor]
DIVERGENCES: dict[str, Loss] = {"forward": losses.forward_kl, "reverse": losses.reverse_kl, "jsd": losses.jsd}


def logits(*probabilities: float) -> Tensor:
    """Any logits of this distribution: shifting them all must change nothing."""
    return torch.tensor([probabilities]).log() + 3.0


def random_pair(seed: int = 0, *, vocabulary: int = 50) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(4, vocabulary, generator=generator) * 3 for _ in range(2))
    return student, teacher


def test_forward_kl_of_two_coins_by_hand() -> None:
    # 3/4 log(3/4 : 1/2) + 1/4 log(1/4 : 1/2) = 3/4 log 3 - log 2
    value = losses.forward_kl(logits(0.5, 0.5), logits(0.75, 0.25))
    assert value.item() == pytest.approx(0.75 * math.log(3) - math.log(2), abs=1e-6)


def test_reverse_kl_of_two_coins_by_hand() -> None:
    # 1/2 log(1/2 : 3/4) + 1/2 log(1/2 : 1/4) = log 2 - 1/2 log 3
    value = losses.reverse_kl(logits(0.5, 0.5), logits(0.75, 0.25))
    assert value.item() == pytest.approx(math.log(2) - 0.5 * math.log(3), abs=1e-6)


def test_jsd_of_two_opposite_certainties_is_log_two() -> None:
    assert losses.jsd(logits(1.0, 1e-12), logits(1e-12, 1.0)).item() == pytest.approx(math.log(2), abs=1e-5)


def test_cross_entropy_of_a_quarter_by_hand() -> None:
    assert losses.cross_entropy(logits(0.75, 0.25), torch.tensor([1])).item() == pytest.approx(math.log(4), abs=1e-6)


def test_policy_gradient_by_hand() -> None:
    # Sampled token: student 1/2, teacher 1/4. Advantage log(1/2) - log(1/4) = log 2; d log softmax / d logit = 1 - 1/2.
    student = logits(0.5, 0.5).requires_grad_()
    losses.policy_gradient(student, logits(0.75, 0.25), torch.tensor([1])).sum().backward()
    assert student.grad is not None
    assert student.grad[0, 1].item() == pytest.approx(math.log(2) * 0.5, abs=1e-6)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_a_divergence_is_zero_only_between_equals_and_never_negative(name: str) -> None:
    student, teacher = random_pair()
    assert DIVERGENCES[name](student, student).abs().max() < 1e-6
    assert DIVERGENCES[name](student, teacher).min() > 0.01


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_teacher_is_a_constant(name: str) -> None:
    student, teacher = random_pair()
    DIVERGENCES[name](student.requires_grad_(), teacher.requires_grad_()).sum().backward()
    assert student.grad is not None
    assert teacher.grad is None


def test_policy_gradient_is_reverse_kl_in_expectation() -> None:
    student, teacher = random_pair(vocabulary=7)
    exact, expected = student.clone().requires_grad_(), student.clone().requires_grad_()
    losses.reverse_kl(exact, teacher).sum().backward()
    probabilities = student.softmax(-1)
    for token in range(7):
        answer = torch.full((4,), token)
        (probabilities[:, token] * losses.policy_gradient(expected, teacher, answer)).sum().backward()
    assert exact.grad is not None
    assert expected.grad is not None
    assert torch.allclose(expected.grad, exact.grad, atol=1e-5)


def fact_gradient(loss: Loss) -> float:
    """|gradient| on the logit of a fact that the teacher is sure of and the student does not know (weights.md, F1)."""
    size, p_student, p_teacher = 1000, 3.3e-6, 0.9994
    student = torch.full((1, size), (1 - p_student) / (size - 1)).double()
    teacher = torch.full((1, size), (1 - p_teacher) / (size - 1)).double()
    student[0, 0], teacher[0, 0] = p_student, p_teacher
    student = student.log().requires_grad_()
    loss(student, teacher.log()).sum().backward()
    assert student.grad is not None
    return abs(student.grad[0, 0].item())


def test_only_forward_kl_pushes_an_unknown_fact() -> None:
    assert fact_gradient(losses.forward_kl) == pytest.approx(0.999, abs=1e-3)
    assert fact_gradient(losses.reverse_kl) == pytest.approx(6.7e-5, rel=0.05)
    assert fact_gradient(losses.jsd) == pytest.approx(2.1e-5, rel=0.1)


def test_a_support_that_includes_the_teachers_top_keeps_the_push() -> None:
    assert fact_gradient(lambda s, t: losses.forward_kl(*losses.on_support(s, t, top_k=100))) == pytest.approx(
        0.999, abs=1e-3
    )


def test_a_full_support_gives_the_full_loss() -> None:
    student, teacher = random_pair()
    for loss in DIVERGENCES.values():
        restricted = loss(*losses.on_support(student, teacher, top_k=50))
        assert torch.allclose(restricted, loss(student, teacher), atol=1e-4)


def test_a_small_support_with_tail_is_close_below_and_gives_nearly_the_same_gradient() -> None:
    student, teacher = random_pair()
    full, small = student.clone().requires_grad_(), student.clone().requires_grad_()
    value = losses.forward_kl(full, teacher)
    restricted = losses.forward_kl(*losses.on_support(small, teacher, top_k=8))
    value.sum().backward()
    restricted.sum().backward()
    assert (restricted <= value + 1e-6).all()  # merging outcomes never adds divergence
    assert full.grad is not None
    assert small.grad is not None
    assert torch.cosine_similarity(full.grad.flatten(), small.grad.flatten(), dim=0) > 0.99


def test_a_support_is_a_distribution() -> None:
    for part in losses.on_support(*random_pair(), top_k=8):
        assert torch.allclose(part.exp().sum(-1), torch.ones(4), atol=1e-5)


def test_jsd_vanishes_at_its_ends_instead_of_becoming_a_kl() -> None:
    student, teacher = random_pair()
    near = losses.jsd(student, teacher, beta=0.001).mean()
    assert near < 0.02 * losses.reverse_kl(student, teacher).mean()
    for beta in (0.0, 1.0):
        with pytest.raises(InputError, match="use forward_kl or reverse_kl"):
            losses.jsd(student, teacher, beta=beta)


def test_padding_does_not_count() -> None:
    student, teacher = random_pair()
    mask_BT = torch.tensor([[True, False], [True, True]])
    rows = losses.real_tokens(mask_BT, student.view(2, 2, 50), teacher.view(2, 2, 50))
    assert torch.equal(rows[0], student[[0, 2, 3]])


def test_a_batch_with_nothing_to_learn_is_refused() -> None:
    with pytest.raises(BatchRefused, match="0 of 6 tokens are learnable"):
        losses.real_tokens(torch.zeros(2, 3, dtype=torch.bool), torch.zeros(2, 3, 5))


def test_shapes_that_disagree_are_refused() -> None:
    with pytest.raises(InputError, match="must share B and T"):
        losses.real_tokens(torch.ones(2, 3), torch.zeros(2, 4, 5))
    with pytest.raises(InputError, match="top_k=0"):
        losses.on_support(*random_pair(), top_k=0)
