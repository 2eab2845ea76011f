"""Off-policy distillation: imitate answers that the teacher itself sampled, as fine-tuning would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from engrain.learning import losses


@dataclass(frozen=True, slots=True, kw_only=True)
class OffPolicy:
    """Cross entropy on the teacher's sampled answers: hard labels (Snell et al. 2022, arXiv 2209.15189)."""

    answers: Literal["teacher"] = "teacher"
    """The teacher samples, shown the context; the student imitates without it."""

    def loss(self, student_BTV: Tensor, teacher_BTV: Tensor, answer_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Mean cross entropy over the real tokens, in nats; the teacher's logits are not used."""
        student_NV, answer_N = losses.real_tokens(mask_BT, student_BTV, answer_BT)
        return losses.cross_entropy(student_NV, answer_N).mean()
