"""Jensen-Shannon divergence: between forward and reverse KL, and bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from engrain.learning import losses


@dataclass(frozen=True, slots=True, kw_only=True)
class JSD:
    """Generalised Jensen-Shannon divergence; `beta` (inside 0 and 1) is the teacher's share of the mixture."""

    beta: float = 0.5
    top_k: int = 0
    """Compare on the top-k tokens of student and teacher plus a bucket for the rest; 0 for the whole vocabulary."""
    answers: Literal["student", "teacher", "both"] = "student"
    """Whose answers are learned on: the student's own (on-policy) or the teacher's."""

    def loss(self, student_BTV: Tensor, teacher_BTV: Tensor, answer_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Mean divergence over the real tokens, in nats."""
        student_NV, teacher_NV = losses.real_tokens(mask_BT, student_BTV, teacher_BTV)
        if self.top_k:
            student_NV, teacher_NV = losses.on_support(student_NV, teacher_NV, top_k=self.top_k)
        return losses.jsd(student_NV, teacher_NV, beta=self.beta).mean()
