"""What runs the base: one interface over Hugging Face's own forward pass and, for Llama's relatives, our faster one.

Shapes: B sequences, T tokens fed, P tokens already in the cache, V vocabulary.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812 (its name everywhere)
from torch import Tensor, nn

from engrain.engines.lora import SCALE, Pair, Weights

FUSED_FROM = 512
"""Tokens from which torch's fused attention is used: it saves memory. Below, plain attention is faster on a CPU, and
six times so in the backward pass (measured at 40 tokens)."""

ROWS_GRID = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""Sizes that batches are filled up to: each new shape costs a compiled kernel."""


def rounded_rows(rows: int) -> int:
    """The next number of sequences that a batch is filled up to."""
    return next((n for n in ROWS_GRID if n >= rows), rows)


def rounded_length(length: int) -> int:
    """The next number of tokens that a batch is padded to."""
    step = 16 if length <= 128 else 32 if length <= 256 else 64
    return -(-length // step) * step


def moment(x: Tensor, mask: Tensor) -> Tensor:
    """Each sequence's mean of x x^T over its real tokens, summed over sequences, [in, in]: a long one counts no more than a short.

    In float32 whatever the network computes in: rounded to bfloat16 the sum would not be positive definite."""
    real = mask.bool()
    share = (mask / mask.sum(1, keepdim=True).clamp(min=1))[real]
    with torch.autocast(x.device.type, enabled=False):
        seen = x[real].float() * share.sqrt()[:, None]
        return seen.T @ seen


class Cache(Protocol):
    """Keys and values of what a network has read so far."""

    def select(self, rows: Tensor) -> None:
        """Keep only these sequences."""
        ...


class Network(Protocol):
    """A frozen base and any adapter on it. Weights are never changed, only read."""

    layers: dict[str, tuple[int, int]]
    """(out, in) features of each layer that an adapter may change, by Hugging Face's module name."""
    transposed: bool
    """Whether the base stores these layers' weights as [in, out] (GPT-2)."""
    side_by_side: bool
    """Whether several threads may run it at once."""

    def prepare(self, weights: Weights | None, dtype: torch.dtype, *, merge: bool) -> Any:
        """An adapter made ready to run in `dtype`. `merge` adds it into a copy of the base weights: faster for
        training, where one adapter reads many tokens; gradient still flows to its matrices, as they are at this
        moment."""
        ...

    def __call__(
        self,
        adapter: Any,
        ids: Tensor,
        mask: Tensor | None,
        positions: Tensor,
        *,
        keep: int,
        cache: Any = None,
        room: int = 0,
    ) -> tuple[Tensor, Any]:
        """Float32 logits [B, keep, V] of the last `keep` tokens, and the cache.

        `mask` [B, P + T] is 1 for real tokens; None if all are. A cache is made if `room` > 0: how many tokens it will
        hold in all.
        """
        ...

    def moments(self, adapter: Any, ids: Tensor, mask: Tensor, positions: Tensor) -> dict[str, Tensor]:
        """What each layer reads: each sequence's mean of x x^T over its real tokens, summed over sequences, float32 [in, in], by the
        layer's name."""
        ...


class LoraLinear(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A frozen linear layer and, when `pair` is set, one adapter's low-rank term beside it."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.pair: Pair | None = None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.base(x)
        if self.pair is None:
            return y
        a, b = self.pair
        return y + F.linear(F.linear(x, a) * SCALE, b)


class HuggingFace:
    """Any causal model, through its own forward pass. All linear layers but the output head can carry an adapter."""

    side_by_side = False
    """The adapter of the moment hangs on the model's modules."""

    def __init__(self, model: Any) -> None:
        from transformers.pytorch_utils import Conv1D  # GPT-2's linear layer

        self.model = model
        self.layers: dict[str, tuple[int, int]] = {}
        self.transposed = False
        self._modules: dict[str, LoraLinear] = {}
        head = model.get_output_embeddings()
        for name, module in list(model.named_modules()):
            if module is head or not isinstance(module, nn.Linear | Conv1D):
                continue
            if isinstance(module, Conv1D):
                self.transposed, self.layers[name] = True, (module.nf, module.nx)
            else:
                self.layers[name] = module.out_features, module.in_features
            parent, _, leaf = name.rpartition(".")
            self._modules[name] = LoraLinear(module)
            setattr(model.get_submodule(parent), leaf, self._modules[name])

    def prepare(self, weights: Weights | None, dtype: torch.dtype, *, merge: bool) -> Any:
        return weights, dtype

    def __call__(
        self,
        adapter: Any,
        ids: Tensor,
        mask: Tensor | None,
        positions: Tensor,
        *,
        keep: int,
        cache: Any = None,
        room: int = 0,
    ) -> tuple[Tensor, Any]:
        weights, dtype = adapter
        length = ids.shape[1] if mask is None else mask.shape[1]
        wanted = "eager" if length < FUSED_FROM or not self.model._supports_sdpa else "sdpa"
        if self.model.config._attn_implementation != wanted:
            self.model.set_attn_implementation(wanted)
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "logits_to_keep": keep}
        for name, module in self._modules.items():
            module.pair = weights.get(name) if weights else None
        try:
            with torch.autocast(ids.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
                held = None if cache is None else cache.held
                out = self.model(**inputs, past_key_values=held, use_cache=room > 0)
        finally:
            for module in self._modules.values():
                module.pair = None
        return out.logits[:, -keep:].float(), HuggingFaceCache(out.past_key_values) if room else None

    def moments(self, adapter: Any, ids: Tensor, mask: Tensor, positions: Tensor) -> dict[str, Tensor]:
        sums: dict[str, Tensor] = {}

        def watch(name: str, module: LoraLinear) -> Any:
            def reads(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
                if inputs[0].shape[:2] == mask.shape:  # an expert of a mixture sees some tokens only, and out of order
                    sums[name] = moment(inputs[0], mask)

            return module.register_forward_pre_hook(reads)

        hooks = [watch(name, module) for name, module in self._modules.items()]
        try:
            self(adapter, ids, mask, positions, keep=1)
        finally:
            for hook in hooks:
                hook.remove()
        return sums


class HuggingFaceCache:
    """Hugging Face's cache, of whatever kind the model needs (growing, sliding)."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def select(self, rows: Tensor) -> None:
        self.held.batch_select_indices(rows)


def open_network(model: Any) -> Network:
    """The fastest network that computes what `model` computes."""
    from engrain.engines.llama import Llama

    return Llama.of(model) or HuggingFace(model)
