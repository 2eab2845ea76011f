"""sprout's network in plain torch, saved as a stock Hugging Face Llama.

Shapes: B rows, T tokens of a row (padded at its end), D width, H heads, V vocabulary, N tokens that are predicted.
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokens import Row

EMBED = 0.3
"""Standard deviation of the embeddings at first. At the usual 0.02 AdamW rewrites them within ten steps, and what rests on them with
them; the last norm begins small in return, so that the logits begin at a standard deviation of 1."""
QUERIES = 256
"""Tokens that look back in one product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    vocab: int
    layers: int
    width: int
    inner: int
    heads: int
    positions: int = 4096
    theta: float = 10000.0


class Minibatch(NamedTuple):
    """Rows of one length, and which of their tokens are predicted."""

    ids_BT: Tensor
    branch_BT: Tensor
    """0 for what all of a row see; any other number is seen by its own only."""
    position_BT: Tensor
    learn_N: Tensor
    """Indices of the flat tokens whose successor is predicted; padded with the last one, at weight 0."""
    target_N: Tensor
    weight_N: Tensor

    def to(self, device: torch.device) -> Minibatch:
        """The same on another device."""
        return Minibatch(*(t.to(device) for t in self))


def norm(x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight, 1e-5)


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions: [B, H, T, width of a head] turned by the angles of each position, [B, 1, T, half of it]."""
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


def block(
    x: Tensor,
    qkv: Tensor,
    o: Tensor,
    gate_up: Tensor,
    down: Tensor,
    norm1: Tensor,
    norm2: Tensor,
    mask: Tensor,
    cos: Tensor,
    sin: Tensor,
) -> Tensor:
    """One layer of a Llama on [B, T, D]."""
    b, t, d = x.shape
    hd = 2 * cos.shape[-1]
    q, k, v = F.linear(norm(x, norm1), qkv).view(b, t, 3, d // hd, hd).permute(2, 0, 3, 1, 4)
    q, k = turn(q, cos, sin) * hd**-0.5, turn(k, cos, sin)
    fused = F.scaled_dot_product_attention
    y = fused(q, k, v, attn_mask=mask, scale=1.0) if x.is_cuda else looked_back(q, k, v, mask)
    x = x + F.linear(y.transpose(1, 2).reshape(b, t, d), o)
    gate, up = F.linear(norm(x, norm2), gate_up).chunk(2, -1)
    return x + F.linear(F.silu(gate) * up, down)


def looked_back(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Attention as plain products, a quarter of a thousand queries at a time with the keys that are not after them: on a CPU in bf16
    faster than the fused kernel, whose backward pass takes twice as long."""
    t = q.shape[2]
    found: list[Tensor] = []
    for start in range(0, t, QUERIES):
        end = min(t, start + QUERIES)
        scores = torch.matmul(q[:, :, start:end], k[:, :, :end].transpose(-1, -2)) + mask[:, :, start:end, :end]
        found.append(torch.matmul(torch.softmax(scores, -1), v[:, :, :end]))
    return torch.cat(found, 2)


def unseen(branch_BT: Tensor) -> Tensor:
    """What is added to the scores: 0 where a token sees another, far less where it does not; [B, 1, T, T] in bf16.

    Made once for all layers: as a test on the branches within each it took as long as the rest of attention.
    """
    key, own = branch_BT[:, None, None, :], branch_BT[:, None, :, None]
    length = branch_BT.shape[1]
    later = torch.ones(length, length, dtype=torch.bool, device=branch_BT.device).triu(1)
    return (later | ((key != 0) & (key != own))).to(torch.bfloat16) * -30000.0


def nats(x_ND: Tensor, embed_VD: Tensor, target_N: Tensor, weight_N: Tensor) -> Tensor:
    """Weighted sum of the cross entropy."""
    logits = F.linear(x_ND, embed_VD).float()
    return (F.cross_entropy(logits, target_N, reduction="none") * weight_N).sum()


def compile_layers() -> None:
    """Make compiled functions of a layer, one for each shape, and one of the loss, for this process. Needs g++."""
    global block, nats
    if shutil.which("g++"):
        torch._dynamo.config.recompile_limit = 64
        block, nats = torch.compile(block, dynamic=False), torch.compile(nats)


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
    def plant_copying(self, heads: int = 3, sharpness: float = 6.0, match: float = 3.0, output: float = 25.0) -> None:
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

    @torch.no_grad()
    def plant_twins(self, twins: list[tuple[int, int, bool]]) -> None:
        """Begin with tokens that differ only in case much alike, and differing in one direction: (token, twin, all upper case)."""
        directions = torch.randn(2, self.shape.width) * EMBED
        for token, twin, is_upper in twins:
            own = 0.35 * self.embed[twin]
            self.embed[twin] = 0.85 * self.embed[token] + 0.4 * directions[int(is_upper)] + own
        self.embed[:, 0] = 4 * EMBED

    def loss(self, batch: Minibatch) -> Tensor:
        """Weighted sum of the predicted tokens' cross entropy, in nats (divide by the sum of the weights)."""
        dt = torch.bfloat16
        cos, sin = self.cos[batch.position_BT][:, None], self.sin[batch.position_BT][:, None]
        mask = unseen(batch.branch_BT)
        x = F.embedding(batch.ids_BT, self.embed).to(dt)
        for layer in self.layers:
            w = {name: p.to(dt) for name, p in layer.items()}  # type: ignore[operator]
            x = block(x, w["qkv"], w["o"], w["gate_up"], w["down"], w["norm1"], w["norm2"], mask, cos, sin)
        x = norm(x.flatten(0, 1)[batch.learn_N], self.norm.to(dt))
        return nats(x, self.embed.to(dt), batch.target_N, batch.weight_N)

    def load(self, folder: Path) -> None:
        """Take the weights of a folder that `save` wrote. RuntimeError if they are of another shape."""
        from safetensors.torch import load_file

        given = load_file(folder / "model.safetensors")
        state = {"embed": given["model.embed_tokens.weight"], "norm": given["model.norm.weight"]}
        for i in range(len(self.layers)):
            name = f"model.layers.{i}."
            state |= {
                f"layers.{i}.qkv": torch.cat([given[f"{name}self_attn.{x}_proj.weight"] for x in "qkv"]),
                f"layers.{i}.o": given[name + "self_attn.o_proj.weight"],
                f"layers.{i}.gate_up": torch.cat([given[f"{name}mlp.{x}_proj.weight"] for x in ("gate", "up")]),
                f"layers.{i}.down": given[name + "mlp.down_proj.weight"],
                f"layers.{i}.norm1": given[name + "input_layernorm.weight"],
                f"layers.{i}.norm2": given[name + "post_attention_layernorm.weight"],
            }
        self.load_state_dict(state)

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


def collate(
    rows: list[Row], length: int, rng: np.random.Generator, *, rest_weight: float = 0.1, rest_share: float = 0.08
) -> Minibatch:
    """Rows of at most `length` tokens as one minibatch; a share of the tokens that are not answers is learned too, with a small weight."""
    ids, branches, positions = np.zeros((3, len(rows), length), dtype=np.int64)
    weight = np.zeros((len(rows), length), dtype=np.float32)
    for i, (tokens, answer, branch, position) in enumerate(rows):
        n = len(tokens)
        ids[i, :n], branches[i, :n], positions[i, :n] = tokens, branch, position
        rest = (rng.random(n - 1) < rest_share) & np.equal(branch[1:], branch[:-1])
        weight[i, : n - 1] = np.where(answer[1:], 1.0, rest_weight * rest)
    learn = np.flatnonzero(weight)
    learn = np.pad(learn, (0, -len(learn) % 256), mode="edge")
    weight_N = weight.flatten()[learn]
    weight_N[np.count_nonzero(weight) :] = 0
    return Minibatch(
        *(torch.from_numpy(a) for a in (ids, branches, positions, learn, ids.flatten()[learn + 1], weight_N))
    )
