"""What it means for a student to be close to its teacher: the losses of distillation, as pure functions.

Shapes: B sequences, T answer tokens, V vocabulary, K a smaller support; a leading N stands for any shape.
Every loss takes logits (or log-probabilities: normalising twice changes nothing), gives nats per token, and lets
gradient flow into the student only. Logits must be finite.

Which one writes a new fact? If the student gives a token probability p, the gradient of reverse KL and of JSD on that
logit is O(p), so what the student never says it hardly learns; forward KL pushes with p_teacher - p at once
(tests/learning/test_losses.py holds the numbers).
"""

from __future__ import annotations

import torch
from torch import Tensor

from engrain.errors import BatchRefused, InputError

ABSENT = -1e9
"""Log-probability of what is not there: its exponential is exactly 0, and 0 times it is 0, not NaN."""


def real_tokens(mask_BT: Tensor, *tensors: Tensor) -> list[Tensor]:
    """The entries [N, ...] of each [B, T, ...] tensor at the N real tokens; BatchRefused if there are none."""
    for tensor in tensors:
        if tensor.shape[:2] != mask_BT.shape:
            raise InputError(
                f"mask is {tuple(mask_BT.shape)} but a tensor is {tuple(tensor.shape)}; they must share B and T"
            )
    mask_BT = mask_BT.bool()
    if not mask_BT.any():
        raise BatchRefused(
            f"0 of {mask_BT.numel()} tokens are learnable; check that the answers are not empty and the mask"
        )
    return [tensor[mask_BT] for tensor in tensors]


def forward_kl(student_NV: Tensor, teacher_NV: Tensor) -> Tensor:
    """KL(teacher || student) [N] >= 0: covers whatever the teacher would say (Hinton et al. 2015, arXiv 1503.02531)."""
    s, t = _log(student_NV), _log(teacher_NV.detach())
    return (t.exp() * (t - s)).sum(-1)


def reverse_kl(student_NV: Tensor, teacher_NV: Tensor) -> Tensor:
    """KL(student || teacher) [N] >= 0: re-weights what the student already says (Gu et al. 2023, arXiv 2306.08543)."""
    s, t = _log(student_NV), _log(teacher_NV.detach())
    return (s.exp() * (s - t)).sum(-1)


def jsd(student_NV: Tensor, teacher_NV: Tensor, *, beta: float = 0.5) -> Tensor:
    """Generalised Jensen-Shannon divergence [N], from 0 to log 2 (Agarwal et al. 2023, arXiv 2306.13649).

    beta KL(teacher || m) + (1 - beta) KL(student || m) with m = beta teacher + (1 - beta) student, 0 < beta < 1.
    The ends are refused: there it vanishes instead of becoming a KL, so a sweep over beta would compare learning rates.
    """
    if not 0 < beta < 1:
        raise InputError(
            f"beta={beta}; give a value inside 0 and 1, or use forward_kl or reverse_kl, which are not its limits"
        )
    s, t = _log(student_NV), _log(teacher_NV.detach())
    weight = torch.tensor(beta, dtype=s.dtype, device=s.device)
    m = torch.logaddexp(t + weight.log(), s + (1 - weight).log())
    return beta * (t.exp() * (t - m)).sum(-1) + (1 - beta) * (s.exp() * (s - m)).sum(-1)


def policy_gradient(student_NV: Tensor, teacher_NV: Tensor, answer_N: Tensor) -> Tensor:
    """Surrogate [N] whose gradient on the student's own samples is, in expectation, that of reverse KL.

    (log student(y) - log teacher(y)), held constant, times log student(y): the student samples, the teacher scores the
    sampled token only (Thinking Machines Lab 2025). Its value means nothing; only its gradient does.
    """
    s = _log(student_NV).gather(-1, answer_N[..., None])[..., 0]
    t = _log(teacher_NV.detach()).gather(-1, answer_N[..., None])[..., 0]
    return (s - t).detach() * s


def cross_entropy(student_NV: Tensor, answer_N: Tensor) -> Tensor:
    """-log student(y) [N] >= 0 of given answer tokens, such as the teacher's own."""
    return -_log(student_NV).gather(-1, answer_N[..., None])[..., 0]


def on_support(student_NV: Tensor, teacher_NV: Tensor, *, top_k: int) -> tuple[Tensor, Tensor]:
    """Both distributions as log-probabilities [N, K] on both top-k and one bucket for all the rest.

    K = 2 top_k + 1; a token in both top-k counts once. The teacher's share is what matters: a support of the student's
    own top-k leaves out every fact that it does not know yet. Sums to 1 as the full distributions do.
    """
    if not 0 < top_k <= student_NV.shape[-1]:
        raise InputError(f"top_k={top_k}; give 1 to the vocabulary size {student_NV.shape[-1]}")
    s, t = _log(student_NV), _log(teacher_NV.detach())
    theirs, own = t.topk(top_k).indices, s.detach().topk(top_k).indices
    twice = (own[..., :, None] == theirs[..., None, :]).any(-1)
    index, repeated = torch.cat([theirs, own], -1), torch.cat([torch.zeros_like(twice), twice], -1)

    def restrict(full: Tensor) -> Tensor:
        kept = full.gather(-1, index).masked_fill(repeated, ABSENT)
        # What the support leaves over; the floor keeps log finite, and its gradient zero, when nothing is left.
        rest = (1 - kept.exp().sum(-1, keepdim=True)).clamp(min=1e-9).log()
        return torch.cat([kept, rest], -1)

    return restrict(s), restrict(t)


def _log(logits: Tensor) -> Tensor:
    return logits.log_softmax(-1)
