"""Every method keeps the Method protocol: one finite number over the real tokens, with gradient for the student."""

from __future__ import annotations

import pytest
import torch

from engrain.errors import BatchRefused
from engrain.learning import losses
from engrain.learning.methods import JSD, ForwardKL, OffPolicy, PolicyGradient, ReverseKL
from engrain.protocols import Method

METHODS: list[Method] = [
    ForwardKL(),
    ForwardKL(top_k=5),
    ReverseKL(),
    ReverseKL(top_k=5),
    JSD(beta=0.3),
    JSD(top_k=5),
    PolicyGradient(),
    OffPolicy(),
]


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student_BTV, teacher_BTV = (torch.randn(2, 3, 20, generator=generator) for _ in range(2))
    return (
        student_BTV,
        teacher_BTV,
        torch.tensor([[1, 2, 3], [4, 0, 0]]),
        torch.tensor([[True, True, True], [True, False, False]]),
    )


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_the_loss_is_one_number_that_padding_does_not_touch(method: Method) -> None:
    student_BTV, teacher_BTV, answer_BT, mask_BT = batch()
    student_BTV.requires_grad_()
    loss = method.loss(student_BTV, teacher_BTV, answer_BT, mask_BT)
    loss.backward()
    assert loss.shape == ()
    assert student_BTV.grad is not None
    assert (student_BTV.grad[~mask_BT] == 0).all()
    assert (student_BTV.grad[mask_BT] != 0).any()
    other = teacher_BTV.masked_fill(~mask_BT[..., None], 99.0)
    assert method.loss(student_BTV, other, answer_BT, mask_BT) == loss


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_an_empty_batch_is_refused(method: Method) -> None:
    student_BTV, teacher_BTV, answer_BT, mask_BT = batch()
    with pytest.raises(BatchRefused):
        method.loss(student_BTV, teacher_BTV, answer_BT, mask_BT & False)


def test_the_mean_is_over_tokens_and_not_over_answers() -> None:
    student_BTV, teacher_BTV, answer_BT, mask_BT = batch()
    by_hand = losses.forward_kl(student_BTV[mask_BT], teacher_BTV[mask_BT]).sum() / 4
    assert ForwardKL().loss(student_BTV, teacher_BTV, answer_BT, mask_BT).item() == pytest.approx(
        by_hand.item(), abs=1e-6
    )


def test_each_method_says_whose_answers_it_learns_on() -> None:
    assert [m.answers for m in METHODS] == ["student"] * 7 + ["teacher"]
