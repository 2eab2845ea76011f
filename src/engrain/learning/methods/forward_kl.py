"""Forward KL: the default, because it writes what the student does not know; on its own answers, its teacher's, or both in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from engrain.learning import losses


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardKL:
    """KL(teacher || student). Fastest to write a new fact; may spread over answers only the teacher tells apart."""

    top_k: int = 0
    """Compare on the top-k tokens of student and teacher plus a bucket for the rest; 0 for the whole vocabulary."""
    answers: Literal["student", "teacher", "both"] = "student"
    """Whose answers are learned on: the student's own (on-policy) or the teacher's."""

    def loss(self, student_BTV: Tensor, teacher_BTV: Tensor, answer_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Mean KL(teacher || student) over the real tokens, in nats."""
        student_NV, teacher_NV = losses.real_tokens(mask_BT, student_BTV, teacher_BTV)
        if self.top_k:
            student_NV, teacher_NV = losses.on_support(student_NV, teacher_NV, top_k=self.top_k)
        return losses.forward_kl(student_NV, teacher_NV).mean()
