"""A student: the base under a trainable adapter, beside its teacher, the same version frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes
from torch import Tensor, nn

from engrain.engines import decode, lora
from engrain.errors import FormatError, InputError, TrainingFailed
from engrain.protocols import Answered, Conversation
from engrain.records import Message

if TYPE_CHECKING:
    from engrain.engines.local import LocalEngine, Precision

BETAS = (0.9, 0.99)
"""Adam's memory of gradients and of their squares: runs are short, so the second is shorter than usual."""
EPSILON = 1e-8
CLIP = 1.0
"""Largest gradient norm that is applied as it is; a larger one is scaled down to it."""


class LocalStudent:
    """Trains LoRA pairs on all linear layers with Adam. Implements `protocols.Student`; `LocalEngine.student` opens it.

    It starts as its parent exactly. All trainable numbers lie in one vector, so that an optimiser step is six
    operations and the state is three tensors. The same calls in the same order give the same bits, on one machine
    with one thread.
    """

    def __init__(
        self,
        engine: LocalEngine,
        parent: str,
        *,
        rank: int,
        seed: int,
        max_tokens: int,
        precision: Precision,
    ) -> None:
        if rank < 1:
            raise InputError(f"rank={rank}; give at least 1")
        self._engine, self._max_tokens = engine, max_tokens
        narrow = precision == "bfloat16" or (precision == "auto" and _has_bfloat16(engine.device))
        self._dtype = torch.bfloat16 if narrow else torch.float32
        self._from_base = not parent
        teacher = engine.weights(parent)
        self._rank_before = max((a.shape[0] for a, _ in (teacher or {}).values()), default=0)
        rank = max(rank, self._rank_before)
        fresh = lora.fresh(engine.network.layers, rank, seed, engine.device)
        self._start = lora.widened(teacher, onto=fresh) if teacher else fresh
        self._teacher = engine.network.prepare(teacher, self._dtype, merge=True)
        tensors = [t for pair in self._start.values() for t in pair]
        self._vector = torch.cat([t.flatten() for t in tensors])
        self._gradient, self._mean, self._square = (torch.zeros_like(self._vector) for _ in range(3))
        self.steps = 0
        """Updates that were begun, of all runs."""
        self._pairs: dict[str, lora.Pair] = {}
        self._said: dict[tuple[Message, ...], list[int]] = {}
        views = zip(_views(self._vector, tensors), _views(self._gradient, tensors), strict=True)
        for name in self._start:
            a, b = (_parameter(*next(views)) for _ in range(2))
            self._pairs[name] = a, b

    def sample(
        self, prompts: Sequence[Conversation], *, temperature: float, seed: int, teacher: bool = False
    ) -> list[list[int]]:
        """Answer tokens that the student itself produces as it is now, or that its frozen teacher does.

        The teacher's likeliest answers are kept: it says the same whenever it is asked, and in whatever company."""
        if teacher and temperature == 0:
            if missing := list(dict.fromkeys(key for p in prompts if (key := tuple(p)) not in self._said)):
                self._said.update(zip(missing, self._drawn(missing, temperature, seed, self._teacher), strict=True))
            return [list(self._said[tuple(p)]) for p in prompts]
        return self._drawn(prompts, temperature, seed, self._teacher if teacher else self._ready()) if prompts else []

    def _drawn(self, prompts: Sequence[Conversation], temperature: float, seed: int, version: Any) -> list[list[int]]:
        engine = self._engine
        how = decode.Sampling(engine.chat.stop_ids, self._max_tokens, temperature, seed)
        ids = [engine.encode(prompt, room=self._max_tokens) for prompt in prompts]
        with engine.turns:
            sampled = decode.sample(engine.network, version, ids, how, engine.device)
        return [list(answer.tokens) for answer in sampled]

    def logits(
        self, prompts: Sequence[Conversation], answers: Sequence[Sequence[int]], *, teacher: bool
    ) -> tuple[Tensor, Tensor]:
        """Next-token logits [B, T, V] in float32 at each answer token, and the mask [B, T] of real tokens."""
        engine = self._engine
        ids = [engine.encode(prompt, room=len(answer)) for prompt, answer in zip(prompts, answers, strict=True)]
        version = self._teacher if teacher else self._ready()
        with engine.turns, torch.set_grad_enabled(not teacher and torch.is_grad_enabled()):
            return decode.answer_logits(engine.network, version, ids, answers, engine.device)

    def aim(self, new: Answered, kept: Answered) -> None:
        """Point what the adapter adds to its parent's at what tells `new` prompts and answers from those to be `kept`
        (`lora.aimed`), and train B alone from here on."""
        engine = self._engine

        def reads(prompts: Sequence[Conversation], answers: Sequence[Sequence[int]]) -> dict[str, Tensor]:
            ids = [[*engine.encode(p, room=len(a)), *a] for p, a in zip(prompts, answers, strict=True)]
            with engine.turns:
                return decode.moments(engine.network, self._teacher, ids, engine.device)

        of_new, of_kept = reads(*new), reads(*kept)
        for name, (a, _) in self._pairs.items():
            with torch.no_grad():
                if name in of_new and name in of_kept and self._rank_before < len(a):
                    a[self._rank_before :] = lora.aimed(of_new[name], of_kept[name], len(a) - self._rank_before)
            a.requires_grad_(False)
            self._start[name] = a.detach().clone(), self._start[name][1]

    def step(self, loss: Tensor, *, learning_rate: float) -> float:
        """Backward, clip, Adam; returns the gradient norm before clipping. TrainingFailed on a non-finite one."""
        self._gradient.zero_()
        torch.autograd.backward(loss)
        with torch.no_grad():
            norm = self._gradient.norm()
            if not torch.isfinite(norm):
                raise TrainingFailed(f"gradient norm is {norm.item()} at step {self.steps}; lower the learning rate")
            self._gradient.mul_((CLIP / (norm + 1e-12)).clamp_(max=1.0))
            self.steps += 1
            self._mean.lerp_(self._gradient, 1 - BETAS[0])
            self._square.mul_(BETAS[1]).addcmul_(self._gradient, self._gradient, value=1 - BETAS[1])
            size = (self._square / (1 - BETAS[1] ** self.steps)).sqrt_().add_(EPSILON)
            self._vector.addcdiv_(self._mean, size, value=-learning_rate / (1 - BETAS[0] ** self.steps))
        return float(norm)

    def save(self, *, scale: float = 1.0) -> str:
        """Write the adapter with `scale` (0 to 2) of what was learned; returns its content hash.

        The scaled adapter lies on the straight line in (A, B) from the parent through the trained one. From the bare base
        B alone is scaled, which scales the learned change of every weight exactly.
        """
        if not 0 <= scale <= 2:
            raise InputError(f"scale={scale}; give a share between 0 and 2")
        if not torch.isfinite(self._vector).all():
            raise TrainingFailed("the adapter holds a value that is not finite; lower the learning rate")
        pairs: dict[str, lora.Pair] = {}
        for name, (a, b) in self._pairs.items():
            a0, b0 = self._start[name]
            pairs[name] = (
                a.detach() if self._from_base else _between(a0, a.detach(), scale),
                _between(b0, b.detach(), scale),
            )
        return self._engine.save(pairs)

    def state(self) -> bytes:
        """All that training has changed, as safetensors bytes: with the loop's state, it resumes to the same bit."""
        steps = torch.tensor([self.steps])
        return save_bytes({"vector": self._vector, "mean": self._mean, "square": self._square, "steps": steps})

    def load_state(self, state: bytes) -> None:
        """Continue from `state()` of a student opened with the same parent, rank and seed."""
        try:
            tensors = load_bytes(state)
            vector, mean, square, steps = (tensors[n] for n in ("vector", "mean", "square", "steps"))
            if wrong := {tuple(t.shape) for t in (vector, mean, square)} - {tuple(self._vector.shape)}:
                raise FormatError(f"not the state of this student (its shapes are {wrong}); start the run again")
            with torch.no_grad():  # all of it or nothing
                self._vector.copy_(vector)
                self._mean.copy_(mean)
                self._square.copy_(square)
            self.steps = int(steps)
        except (SafetensorError, KeyError, RuntimeError) as error:
            raise FormatError(f"not the state of this student ({error}); start the run again") from error

    def _ready(self) -> Any:
        return self._engine.network.prepare(self._pairs, self._dtype, merge=True)


def _between(start: Tensor, end: Tensor, share: float) -> Tensor:
    return end if share == 1 else start + share * (end - start)


def _views(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    return [part.view_as(t) for part, t in zip(vector.split([t.numel() for t in like]), like, strict=True)]


def _parameter(value: Tensor, gradient: Tensor) -> Tensor:
    """A leaf that shares memory with its slices of the weight and gradient vectors."""
    parameter = nn.Parameter(value)
    parameter.grad = gradient
    return parameter


def _has_bfloat16(device: str) -> bool:
    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return torch.device(device).type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
