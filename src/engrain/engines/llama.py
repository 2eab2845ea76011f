"""Our own forward pass for Llama and its relatives (Mistral, Qwen2): the same function as Hugging Face's, several times
faster on a small model, where bookkeeping costs more than arithmetic.

Query, key and value are one product, so are gate and up; keys and values live in one buffer; the last layer computes
only the tokens that are asked for. Tested to be equal to Hugging Face's, and checked once more at every opening.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its name everywhere)
from torch import Tensor

from engrain.engines.lora import SCALE, Weights
from engrain.engines.network import FUSED_FROM, moment, rounded_length, rounded_rows

log = logging.getLogger(__name__)

RELATIVES = ("llama", "mistral", "qwen2")
ROPES = ("default", "linear", "llama3", "yarn")
"""Rotary embeddings whose frequencies do not depend on the length."""


@dataclass(frozen=True, slots=True)
class Linear:
    """Layers that read the same input, joined: weight [sum of out, in], and which rows are whose."""

    names: tuple[str, ...]
    rows: tuple[slice, ...]
    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True, slots=True)
class Adapted:
    """A joined layer under one adapter: merged into `weight`, with the pairs that gradient flows to, or beside it."""

    weight: Tensor
    bias: Tensor | None
    merged: bool
    rows: tuple[slice, ...] = ()
    pairs: tuple[Tensor, ...] = ()
    """A, B, A, B … of the layers in `rows`."""
    a: Tensor | None = None
    b: Tensor | None = None
    """All A stacked, and all B on the diagonal: together one low-rank term."""

    def __call__(self, x: Tensor) -> Tensor:
        if self.merged and self.pairs and torch.is_grad_enabled():
            y: Tensor = _Merged.apply(x, self.weight, self.bias, self.rows, *self.pairs)
            return y
        y = F.linear(x, self.weight, self.bias)
        return y if self.a is None or self.b is None else y + F.linear(F.linear(x, self.a) * SCALE, self.b)


@dataclass(frozen=True, slots=True)
class Watched:
    """A joined layer that adds up what it reads of real tokens (mask [B, T]); fillers stand to the left and below."""

    layer: Adapted
    names: tuple[str, ...]
    mask: Tensor
    sums: dict[str, Tensor]

    @property
    def weight(self) -> Tensor:
        return self.layer.weight

    def __call__(self, x: Tensor) -> Tensor:
        rows, tokens = self.mask.shape
        self.sums.update(dict.fromkeys(self.names, moment(x[:rows, -tokens:], self.mask)))
        return self.layer(x)


@dataclass(frozen=True, slots=True)
class Layer:
    """One transformer layer of linear parts: `Linear` in the base, `Adapted` once an adapter is ready."""

    qkv: Any
    out: Any
    gate_up: Any
    down: Any
    norm1: Tensor
    norm2: Tensor


PARTS = ("qkv", "out", "gate_up", "down")
"""The fields of a `Layer` that are linear, which adapters change."""


class Llama:
    """Implements `Network`."""

    transposed = False
    side_by_side = True

    def __init__(self, model: Any) -> None:
        config = model.config
        self._heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.width = getattr(config, "head_dim", None) or config.hidden_size // self._heads
        self._eps = config.rms_norm_eps
        self._embedding, self._norm = model.model.embed_tokens.weight, model.model.norm.weight
        self._head = model.lm_head.weight
        rotary = model.model.rotary_emb
        self._frequencies, self._rope_scale = rotary.inv_freq.float(), float(rotary.attention_scaling)
        self.vocab: int = self._head.shape[0]
        """How many logits it gives."""
        self.device = self._embedding.device
        self.parts: list[Layer] = []
        self.layers: dict[str, tuple[int, int]] = {}
        for i, layer in enumerate(model.model.layers):
            attention, mlp = f"model.layers.{i}.self_attn.", f"model.layers.{i}.mlp."
            self.parts.append(
                Layer(
                    qkv=self._join(model, attention + "q_proj", attention + "k_proj", attention + "v_proj"),
                    out=self._join(model, attention + "o_proj"),
                    gate_up=self._join(model, mlp + "gate_proj", mlp + "up_proj"),
                    down=self._join(model, mlp + "down_proj"),
                    norm1=layer.input_layernorm.weight,
                    norm2=layer.post_attention_layernorm.weight,
                )
            )

    @classmethod
    def of(cls, model: Any) -> Llama | None:
        """The network of this model, or None if it is no relative or does not come out equal."""
        config = model.config
        if config.model_type not in RELATIVES or config.hidden_act != "silu" or model.lm_head.bias is not None:
            return None
        if any(kind != "full_attention" for kind in getattr(config, "layer_types", None) or ()):
            return None
        if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
            return None
        if model.model.rotary_emb.rope_type not in ROPES:
            return None
        network = cls(model)
        ids = torch.arange(3, 40, device=model.device).remainder(config.vocab_size)[None]
        with torch.inference_mode():
            theirs = model(input_ids=ids, use_cache=False).logits
            positions = torch.arange(ids.shape[1], device=ids.device)[None]
            ours, _ = network(
                network.prepare(None, torch.float32, merge=False), ids, None, positions, keep=ids.shape[1]
            )
        if not torch.allclose(ours, theirs, atol=1e-3, rtol=1e-3):
            log.warning("own forward pass of %s differs from Hugging Face's; using theirs", config.model_type)
            return None
        return network

    def prepare(self, weights: Weights | None, dtype: torch.dtype, *, merge: bool) -> tuple[Layer, ...]:
        def adapt(joined: Linear) -> Adapted:
            return _adapt(joined, weights or {}, dtype, merge)

        return tuple(
            replace(
                layer, qkv=adapt(layer.qkv), out=adapt(layer.out), gate_up=adapt(layer.gate_up), down=adapt(layer.down)
            )
            for layer in self.parts
        )

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
        rows, fed = ids.shape
        ids, positions, seen, wanted = self._filled_up(ids, positions, mask, cache, keep)
        x = F.embedding(ids, self._embedding)
        angles = positions[..., None, None] * self._frequencies
        narrow = adapter[0].qkv.weight.dtype  # of queries and keys; the angles themselves are exact
        rope = (angles.cos() * self._rope_scale).to(narrow), (angles.sin() * self._rope_scale).to(narrow)
        if room and cache is None:
            left = ids.shape[1] - fed
            cache = Buffer(len(adapter), rounded_length(left + room), rows, left)
        past, end = (0, ids.shape[1]) if cache is None else (cache.length, cache.room)
        bias = _bias(ids.shape[1], past, end, seen, x)
        for i, layer in enumerate(adapter):
            last = i == len(adapter) - 1
            x = self._layer(i, layer, x, rope, bias, cache, wanted if last else ids.shape[1])
        if cache is not None:
            cache.length += ids.shape[1]
        return F.linear(_norm(x[:rows, -keep:], self._norm, self._eps), self._head), cache

    def moments(self, adapter: Any, ids: Tensor, mask: Tensor, positions: Tensor) -> dict[str, Tensor]:
        sums: dict[str, Tensor] = {}
        watched = tuple(
            replace(layer, **{p: Watched(getattr(layer, p), getattr(base, p).names, mask, sums) for p in PARTS})
            for layer, base in zip(adapter, self.parts, strict=True)
        )
        self(watched, ids, mask, positions, keep=ids.shape[1])
        return sums

    def _filled_up(
        self, ids: Tensor, positions: Tensor, mask: Tensor | None, cache: Buffer | None, keep: int
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        """Ids, positions and mask filled up to a size from a short list, and the tokens to keep of it: the library of matrix
        products compiles a kernel for each new shape, which costs more than the padding. Tokens are added on the left
        and rows repeated below."""
        rows, fed = ids.shape
        left = rounded_length(fed) - fed if cache is None else 0
        more = (rounded_rows(rows) if cache is None else cache.filled) - rows
        if mask is None:
            mask = ids.new_ones(rows, fed + (0 if cache is None else cache.length - cache.left))
        ids, positions, mask = (F.pad(t, (left, 0)) for t in (ids, positions, mask))
        if cache is not None:
            mask = F.pad(mask, (cache.left, 0))
        if more:
            ids, positions, mask = (torch.cat([t, t[-1:].expand(more, *t.shape[1:])]) for t in (ids, positions, mask))
        return ids, positions, mask, min(ids.shape[1], -(-keep // 4) * 4)

    def _layer(
        self,
        i: int,
        layer: Layer,
        x: Tensor,
        rope: tuple[Tensor, Tensor],
        bias: Tensor,
        cache: Buffer | None,
        keep: int,
    ) -> Tensor:
        """One layer for the last `keep` tokens; all tokens give keys and values."""
        dtype, width, heads, kv_heads = layer.qkv.weight.dtype, self.width, self._heads, self.kv_heads
        batch = x.shape[0]
        y = layer.qkv(_norm(x, layer.norm1, self._eps).to(dtype))
        y = y.view(batch, -1, heads + 2 * kv_heads, width)
        rotated = _Rotated.apply(y[:, :, : heads + kv_heads], *rope).to(dtype)
        q = rotated[:, -keep:, :heads].transpose(1, 2)
        k, v = rotated[:, :, heads:].transpose(1, 2), y[:, :, heads + kv_heads :].transpose(1, 2)
        if cache is not None:
            k, v = cache.extend(i, k, v)
        bias = bias[:, :, -keep:]
        x = x[:, -keep:] + layer.out(_attend(q, k, v, bias).transpose(1, 2).reshape(batch, keep, heads * width))
        return x + layer.down(_Gated.apply(layer.gate_up(_norm(x, layer.norm2, self._eps).to(dtype))))

    def _join(self, model: Any, *names: str) -> Linear:
        modules = [model.get_submodule(name) for name in names]
        rows: list[slice] = []
        for name, module in zip(names, modules, strict=True):
            self.layers[name] = module.out_features, module.in_features
            start = rows[-1].stop if rows else 0
            rows.append(slice(start, start + module.out_features))
        biases = [m.bias if m.bias is not None else torch.zeros_like(m.weight[:, 0]) for m in modules]
        bias = torch.cat(biases) if any(m.bias is not None for m in modules) else None
        return Linear(names, tuple(rows), torch.cat([m.weight for m in modules]), bias)


class Buffer:
    """Keys and values of all layers, [B, heads, room, width] each, filled from the left. Implements `Cache`."""

    def __init__(self, layers: int, room: int, rows: int, left: int) -> None:
        self.length = 0
        self.room = room
        self.left = left
        """Tokens of padding that the caller knows nothing of."""
        self.filled = rounded_rows(rows)
        """Rows held, repeated ones included."""
        self._held: list[tuple[Tensor, Tensor] | None] = [None] * layers

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The whole buffer with these keys and values in it; zeros where nothing is yet."""
        held = self._held[layer]
        if held is None:
            shape = (*k.shape[:2], self.room, k.shape[3])
            held = self._held[layer] = k.new_zeros(shape), v.new_zeros(shape)
        end = self.length + k.shape[2]
        for buffer, value in zip(held, (k, v), strict=True):
            buffer[:, :, self.length : end] = value
        return held

    def select(self, rows: Tensor) -> None:
        self.filled = rounded_rows(len(rows))
        rows = torch.cat([rows, rows[-1:].expand(self.filled - len(rows))])
        self._held = [(held[0][rows], held[1][rows]) for held in self._held if held is not None]


class _Merged(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    """x W'^T with W' = W + SCALE B A already summed: one product forward, and gradients for x, A and B, not for W'."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, rows: tuple[slice, ...], *pairs: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, weight, *pairs)
        ctx.rows = rows
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *pairs = ctx.saved_tensors
        g, flat = gradient.reshape(-1, weight.shape[0]), x.reshape(-1, weight.shape[1])
        grad_x = (g @ weight).view_as(x) if ctx.needs_input_grad[0] else None
        a, ranks = torch.cat(pairs[::2]).to(x.dtype), [m.shape[0] for m in pairs[::2]]
        parts = [g[:, rows] for rows in ctx.rows]
        lowered = (flat @ a.T).split(ranks, 1)
        grad_b = [(part.T @ low).float() * SCALE for part, low in zip(parts, lowered, strict=True)]
        grad_a: Sequence[Tensor | None] = [None] * len(parts)
        if any(ctx.needs_input_grad[4::2]):
            back = torch.cat([part @ b.to(x.dtype) for part, b in zip(parts, pairs[1::2], strict=True)], 1)
            grad_a = ((back.T @ flat).float() * SCALE).split(ranks)
        return grad_x, None, None, None, *(t for pair in zip(grad_a, grad_b, strict=True) for t in pair)


def _adapt(joined: Linear, weights: Weights, dtype: torch.dtype, merge: bool) -> Adapted:
    here = [(rows, *weights[name]) for name, rows in zip(joined.names, joined.rows, strict=True) if name in weights]
    bias = None if joined.bias is None else joined.bias.to(dtype)
    if not here:
        return Adapted(joined.weight.to(dtype), bias, merged=merge)
    if merge:
        with torch.no_grad():
            whole = joined.weight.to(dtype, copy=True)
            for rows, a, b in here:
                whole[rows] = torch.addmm(joined.weight[rows], b, a, alpha=SCALE).to(dtype)
        kept = tuple(rows for rows, _, _ in here)
        return Adapted(whole, bias, merged=True, rows=kept, pairs=tuple(t for _, a, b in here for t in (a, b)))
    diagonal = joined.weight.new_zeros(joined.weight.shape[0], sum(a.shape[0] for _, a, _ in here))
    start = 0
    for rows, a, b in here:
        diagonal[rows, start : start + a.shape[0]] = b
        start += a.shape[0]
    stacked = torch.cat([a for _, a, _ in here])
    return Adapted(joined.weight.to(dtype), bias, merged=False, a=stacked.to(dtype), b=diagonal.to(dtype))


class _Norm(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    """RMS norm whose backward pass is six passes over memory; autograd's own takes twice the time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        scale = x.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        g, normed = gradient * weight, x * scale
        along = (g * normed).mean(-1, keepdim=True)
        return g.sub_(normed.mul_(along)).mul_(scale), None, None


class _Rotated(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    """Each pair of numbers turned by its angle; its gradient is turned back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return _turn(gradient, cos, -sin), None, None


class _Gated(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    """silu(gate) * up of the two halves; autograd would pad the gradient of each half with zeros and add them."""

    @staticmethod
    def forward(ctx: Any, joined: Tensor) -> Tensor:
        ctx.save_for_backward(joined)
        gate, up = joined.chunk(2, -1)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (joined,) = ctx.saved_tensors
        gate, up = joined.chunk(2, -1)
        back = torch.empty_like(joined)
        first, second = back.chunk(2, -1)
        torch.mul(gradient, F.silu(gate), out=second)
        first.copy_(torch.ops.aten.silu_backward(gradient * up, gate))
        return back


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    if torch.is_grad_enabled():
        normed: Tensor = _Norm.apply(x, weight, eps)
        return normed
    return F.rms_norm(x, (x.shape[-1],), weight, eps)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    turned = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    (a, b), (first, second) = x.chunk(2, -1), turned.chunk(2, -1)
    torch.mul(a, cos, out=first).sub_(b * sin)
    torch.mul(b, cos, out=second).add_(a * sin)
    return turned


def _bias(fed: int, past: int, end: int, mask: Tensor, x: Tensor) -> Tensor:
    """What is added to attention scores [B, 1, T, end]: 0 where a token may look, hugely negative elsewhere.

    A mask [B, T, end] says it for each token; one [B, past + T] which tokens are real, and each looks at those before it."""
    if mask.dim() == 3:
        allowed = mask
    else:
        before = torch.ones(fed, past + fed, dtype=torch.bool, device=x.device).tril(past)
        allowed = F.pad(before[None] & mask.bool()[:, None], (0, end - past - fed))
    # Finite, so that a padding token, which may look nowhere, gives numbers and not NaN; nobody looks at it.
    return torch.zeros(allowed.shape, device=x.device).masked_fill_(~allowed, -1e30)[:, None]


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attention [B, heads, T, width]; several query heads may share one key and value head."""
    batch, heads, fed, width = q.shape
    groups = k.shape[1]
    if k.shape[2] >= FUSED_FROM:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype), enable_gqa=groups != heads)
    shape = batch * groups, heads // groups * fed
    spread = bias.to(q.dtype).expand(batch, heads, fed, -1).reshape(*shape, -1)
    k, v = k.flatten(0, 1), v.flatten(0, 1)
    scores = torch.baddbmm(spread, q.reshape(*shape, width), k.transpose(1, 2), alpha=width**-0.5)
    return (scores.softmax(-1) @ v).view(batch, heads, fed, width)
