"""sprout's network in plain torch, laid out for documents with a shared prefix; saved as a stock Hugging Face Llama.

Shapes: N tokens of a minibatch end to end without padding, B documents, P prefix and S branch positions (padded), D width, H heads.
The linear layers see the N real tokens; only attention is padded, and a branch attends to its prefix and to itself.
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

EMBED = 0.3
"""Standard deviation of the embeddings at first. At the usual 0.02 AdamW rewrites them within ten steps, and what rests on them with
them; the last norm begins small in return, so that the logits begin at a standard deviation of 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    vocab: int = 4096
    layers: int = 6
    width: int = 256
    inner: int = 704
    heads: int = 4
    positions: int = 4096
    theta: float = 10000.0


@dataclass(slots=True)
class Minibatch:
    """Flat tokens and where attention finds them."""

    ids_N: Tensor
    position_N: Tensor
    gather: Tensor
    """[B, P + S] indices into the flat tokens (N for padding)."""
    scatter_N: Tensor
    """[N] index of each token in the flattened [B, P + S]."""
    prefix: int
    mask_BSK: Tensor
    """[B, 1, S, P + S] additive mask of the branch rows, bfloat16."""
    learn: Tensor
    """indices of the flat tokens whose successor is predicted"""
    target: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> Minibatch:
        """The same on another device."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return Minibatch(**{name: v.to(device) if isinstance(v, Tensor) else v for name, v in moved.items()})


class _Permute(torch.autograd.Function):
    """Rows by index, where each source row is used at most once, so that backward is a gather as well."""

    @staticmethod
    def forward(ctx: object, x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.inverse, ctx.rows = inverse, x.shape[0]  # type: ignore[attr-defined]
        return torch.cat((x, x.new_zeros(1, x.shape[1])))[index.flatten()]

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return grad[ctx.inverse], None, None  # type: ignore[attr-defined]


class _Take(torch.autograd.Function):
    """The inverse of _Permute."""

    @staticmethod
    def forward(ctx: object, x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.index = index  # type: ignore[attr-defined]
        return x[inverse]

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return torch.cat((grad, grad.new_zeros(1, grad.shape[1])))[ctx.index.flatten()], None, None  # type: ignore[attr-defined]


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attention by two plain products: on a CPU in bf16 twice as fast as the fused kernel at these sizes (multiples of 32)."""
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-1, -2)).add_(mask)
    return torch.matmul(torch.softmax(scores, -1), v)


def norm(x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight, 1e-5)


def turn(qk: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions: [N, heads, width of a head] turned by the angles of each position, [N, 1, half of it]."""
    first, second = qk.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


def gated(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, -1)
    return F.silu(gate) * up


if shutil.which("g++"):  # each of them becomes one pass over memory; a training step is a tenth shorter
    norm, turn, gated = (torch.compile(f, dynamic=True) for f in (norm, turn, gated))


class Sprout(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        d, f = shape.width, shape.inner
        self.embed = nn.Parameter(torch.randn(shape.vocab, d) * EMBED)
        self.norm = nn.Parameter(torch.full((d,), 1 / (EMBED * math.sqrt(d))))
        self.layers = nn.ModuleList()
        out = 0.02 / math.sqrt(2 * shape.layers)
        for _ in range(shape.layers):
            layer = nn.ParameterDict(
                {
                    "qkv": nn.Parameter(torch.randn(3 * d, d) * 0.02),
                    "o": nn.Parameter(torch.randn(d, d) * out),
                    "gate_up": nn.Parameter(torch.randn(2 * f, d) * 0.02),
                    "down": nn.Parameter(torch.randn(d, f) * out),
                    "norm1": nn.Parameter(torch.ones(d)),
                    "norm2": nn.Parameter(torch.ones(d)),
                }
            )
            self.layers.append(layer)
        half = d // shape.heads // 2
        angle = torch.arange(shape.positions)[:, None] * torch.exp(-torch.arange(half) / half * math.log(shape.theta))
        self.register_buffer("cos", angle.cos().bfloat16(), persistent=False)
        self.register_buffer("sin", angle.sin().bfloat16(), persistent=False)

    @torch.no_grad()
    def plant_copying(self, heads: int = 2, sharpness: float = 6.0, match: float = 3.0, output: float = 25.0) -> None:
        """Set some heads of the first two layers to the circuit that copying needs; training goes on from there.

        Layer 0: the head looks one token back (by position alone: dimension 0 of every embedding is a constant, and the phases of
        query and key differ by one step) and writes what token that was. Layer 1: it finds where the present token stood before, as
        the token before some other, and passes that other on. What is found this way in Olsson et al., 2022 ("In-context learning
        and induction heads"); left to itself it came only after some four million tokens.
        """
        d, hd = self.shape.width, self.shape.width // self.shape.heads
        half = hd // 2
        slow = half // 2
        self.embed[:, 0] = 4 * EMBED
        frequency = torch.exp(-torch.arange(half) / half * math.log(self.shape.theta))
        zero, one = (cast(nn.ParameterDict, layer) for layer in self.layers[:2])
        amplitude = math.sqrt(sharpness * math.sqrt(hd)) / 4
        low = torch.cat((torch.arange(slow, half), torch.arange(half + slow, hd)))
        """Dimensions of a head that position hardly turns: what is matched must go there."""
        basis = torch.linalg.qr(torch.randn(d - 1, d - 1))[0]
        for head in range(heads):
            own = torch.cat((torch.zeros(2 * hd, 1), basis[2 * hd * head : 2 * hd * (head + 1)]), 1)
            told, kept = own[:hd], own[hd:]
            rows = slice(hd * head, hd * (head + 1))
            q, k, v = (zero["qkv"][i * d : (i + 1) * d][rows] for i in range(3))
            q.zero_(), k.zero_()
            for i in range(5):
                q[i, 0], q[half + i, 0] = amplitude * frequency[i].cos(), amplitude * -frequency[i].sin()
                k[i, 0] = amplitude
            v.copy_(told)
            zero["o"][:, rows] = 3 * EMBED * kept.T
            q, k, v = (one["qkv"][i * d : (i + 1) * d][rows] for i in range(3))
            q.zero_(), k.zero_()
            gain = math.sqrt(match * math.sqrt(hd))
            q[low], k[low] = gain * told[: len(low)], gain * kept[: len(low)]
            v.copy_(told)
            one["o"][:, rows] = output * EMBED * told.T

    def loss(self, batch: Minibatch) -> Tensor:
        """Weighted sum of the answer tokens' cross entropy, in nats (divide by the sum of the weights)."""
        s = self.shape
        d, h = s.width, s.heads
        hd = d // h
        b, k = batch.gather.shape
        p = batch.prefix
        dt = torch.bfloat16
        x = F.embedding(batch.ids_N, self.embed).to(dt)
        causal = torch.full((p, p), float("-inf"), dtype=dt, device=x.device).triu_(1)
        cos = self.cos[batch.position_N][:, None]
        sin = self.sin[batch.position_N][:, None]
        for layer in self.layers:
            y = norm(x, layer["norm1"].to(dt))
            qkv = F.linear(y, layer["qkv"].to(dt))
            qk, v = qkv[:, : 2 * d].reshape(-1, 2 * h, hd), qkv[:, 2 * d :]
            qk = turn(qk, cos, sin).reshape(-1, 2 * d)
            rows = _Permute.apply(torch.cat((qk, v), -1), batch.gather, batch.scatter_N)
            q, kk, vv = rows.view(b, k, 3, h, hd).permute(2, 0, 3, 1, 4)
            parts = [attend(q[:, :, :p], kk[:, :, :p], vv[:, :, :p], causal)]
            if k > p:
                parts.append(attend(q[:, :, p:], kk, vv, batch.mask_BSK))
            a = torch.cat(parts, 2).transpose(1, 2).reshape(b * k, d)
            x = x + F.linear(_Take.apply(a, batch.gather, batch.scatter_N), layer["o"].to(dt))
            y = norm(x, layer["norm2"].to(dt))
            x = x + F.linear(gated(F.linear(y, layer["gate_up"].to(dt))), layer["down"].to(dt))
        x = norm(x[batch.learn], self.norm.to(dt))
        logits = F.linear(x, self.embed.to(dt)).float()
        return (F.cross_entropy(logits, batch.target, reduction="none") * batch.weight).sum()

    def save(self, folder: Path) -> None:
        """Write config.json and model.safetensors (bf16) of a stock LlamaForCausalLM."""
        from safetensors.torch import save_file

        s = self.shape
        tensors = {"model.embed_tokens.weight": self.embed, "model.norm.weight": self.norm}
        for i, layer in enumerate(self.layers):
            name = f"model.layers.{i}."
            q, k, v = layer["qkv"].chunk(3)
            gate, up = layer["gate_up"].chunk(2)
            tensors |= {
                name + "self_attn.q_proj.weight": q, name + "self_attn.k_proj.weight": k, name + "self_attn.v_proj.weight": v,
                name + "self_attn.o_proj.weight": layer["o"], name + "mlp.gate_proj.weight": gate, name + "mlp.up_proj.weight": up,
                name + "mlp.down_proj.weight": layer["down"],
                name + "input_layernorm.weight": layer["norm1"], name + "post_attention_layernorm.weight": layer["norm2"],
            }  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {k: v.detach().to("cpu", torch.bfloat16).contiguous() for k, v in tensors.items()},
            folder / "model.safetensors",
            metadata={"format": "pt"},
        )
        config = {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": s.vocab, "hidden_size": s.width,
            "intermediate_size": s.inner, "num_hidden_layers": s.layers, "num_attention_heads": s.heads, "num_key_value_heads": s.heads,
            "head_dim": s.width // s.heads, "hidden_act": "silu", "max_position_embeddings": s.positions, "rms_norm_eps": 1e-5,
            "rope_theta": s.theta, "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False, "dtype": "bfloat16",
            "bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0,
        }  # fmt: skip
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        generation = {"eos_token_id": 1, "pad_token_id": 0, "do_sample": False}
        (folder / "generation_config.json").write_text(json.dumps(generation, indent=1) + "\n")


Encoded = tuple[list[int], list[bool], list[tuple[list[int], list[bool]]]]
"""(prefix tokens, their learn flags, branches as (tokens, learn flags)); a flag says: this token is an answer token."""


def up(n: int, unit: int) -> int:
    """The least multiple of `unit` that is not below n."""
    return -(-n // unit) * unit


def step_up(n: int) -> int:
    """The least size of a coarse ladder (64, 128, 192, 256, 384, 512, 640, 768, 1024, 1280 …) that is not below n."""
    return up(n, 64 if n <= 256 else 128 if n <= 768 else 256)


def collate(
    docs: list[Encoded], rng: np.random.Generator, *, rest_weight: float = 0.1, rest_share: float = 0.15
) -> Minibatch:
    """Documents to one minibatch; a share of the tokens that are not answers is learned too, with a small weight."""
    ids: list[int] = []
    position: list[int] = []
    learn: list[int] = []
    weight: list[float] = []
    # Few distinct shapes: oneDNN builds (and keeps) a kernel for each new one, which costs as much as the product itself.
    p = step_up(max(len(d[0]) for d in docs))
    s = step_up(max(sum(len(t) for t, _ in d[2]) for d in docs))
    missing = -sum(len(d[0]) + sum(len(t) for t, _ in d[2]) for d in docs) % 1024
    docs = docs + [([0] * n, [False] * n, []) for n in (*[p] * (missing // p), missing % p) if n]
    total = sum(len(d[0]) + sum(len(t) for t, _ in d[2]) for d in docs)
    b = up(len(docs), 4)
    gather = np.full((b, p + s), total, dtype=np.int64)
    segment = np.full((b, s), -1, dtype=np.int64)
    lengths = np.zeros(b, dtype=np.int64)

    def mark(start: int, flags: list[bool]) -> None:
        for i in range(len(flags) - 1):
            if flags[i + 1]:
                learn.append(start + i)
                weight.append(1.0)
            elif rest_share and ids[start + i] != 0 and rng.random() < rest_share:
                learn.append(start + i)
                weight.append(rest_weight)

    for row, (prefix, prefix_flags, branches) in enumerate(docs):
        start = len(ids)
        gather[row, : len(prefix)] = np.arange(start, start + len(prefix))
        lengths[row] = len(prefix)
        ids += prefix
        position += range(len(prefix))
        mark(start, prefix_flags)
        at = 0
        for j, (tokens, flags) in enumerate(branches):
            start = len(ids)
            gather[row, p + at : p + at + len(tokens)] = np.arange(start, start + len(tokens))
            segment[row, at : at + len(tokens)] = j
            at += len(tokens)
            ids += tokens
            position += range(len(prefix), len(prefix) + len(tokens))
            mark(start, flags)
    scatter = np.zeros(total, dtype=np.int64)
    flat = gather.reshape(-1)
    real = flat < total
    scatter[flat[real]] = np.nonzero(real)[0]
    allowed = np.zeros((b, s, p + s), dtype=bool)
    allowed[:, :, :p] = np.arange(p)[None, None] < lengths[:, None, None]
    same = (segment[:, :, None] == segment[:, None, :]) & np.tril(np.ones((s, s), dtype=bool))[None]
    allowed[:, :, p:] = same
    allowed[:, :, p:] |= np.eye(s, dtype=bool)[None]  # a padded row sees itself, or its softmax would be NaN
    mask = torch.zeros(b, 1, s, p + s, dtype=torch.bfloat16).masked_fill_(
        ~torch.from_numpy(allowed)[:, None], float("-inf")
    )
    ids_N = torch.tensor(ids)
    at_learn = torch.tensor(learn)
    return Minibatch(
        ids_N,
        torch.tensor(position),
        torch.from_numpy(gather),
        torch.from_numpy(scatter),
        p,
        mask,
        at_learn,
        ids_N[at_learn + 1],
        torch.tensor(weight),
    )
