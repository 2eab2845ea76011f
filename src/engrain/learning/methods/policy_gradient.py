"""Sampled-token policy gradient: the student samples, the teacher scores just what was sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from engrain.learning import losses


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyGradient:
    """The literal on-policy distillation update (Thinking Machines Lab 2025): reverse KL, one token wide."""

    answers: Literal["student"] = "student"
    """On-policy only: on other answers it has no expectation to speak of."""

    def loss(self, student_BTV: Tensor, teacher_BTV: Tensor, answer_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Surrogate whose gradient is the update; its value is no measure of progress."""
        student_NV, teacher_NV, answer_N = losses.real_tokens(mask_BT, student_BTV, teacher_BTV, answer_BT)
        return losses.policy_gradient(student_NV, teacher_NV, answer_N).mean()
