"""The forward passes of the local engine: sampling token by token, and logits at the tokens of given answers.

Hugging Face's `generate` spends most of a small model's time on bookkeeping; this loop does only what is needed.
Batches are left-padded so that prompt and answer meet in one column, for any length of prompt.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Ids = Sequence[int]

ROWS = 128
"""Most rows decoded together."""
TOKENS = 32_768
"""Most tokens (rows x padded length) in one forward pass; bounds memory."""
OVERHEAD = 96
"""What a further forward pass costs, in tokens of one; a batch is split only where that saves more padding."""
EAGER_UP_TO = 512
"""Tokens to which plain attention beats the fused kernel on a CPU, most of all in the backward pass (measured: 6x at 40)."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One decoded answer: its tokens with the stop token if reached, and their log-probabilities in nats."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    stopped: bool


def batches(lengths: Sequence[int], *, rows: int = ROWS, extra: int = 0) -> list[list[int]]:
    """Indices of sequences grouped by length, so that little is wasted on padding.

    `extra` is what each row will grow by. Groups keep within `rows` and TOKENS.
    """
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    groups: list[list[int]] = []
    while order:
        longest = lengths[order[-1]]
        take = 1
        while take < min(len(order), rows, max(1, TOKENS // (longest + extra))):
            # Splitting here would shorten everything below; do it where the shortest half saves a pass's worth.
            saved = (longest - lengths[order[-take - 1]]) * (len(order) - take)
            if saved > OVERHEAD and (longest - lengths[order[-take - 1]]) * 8 > longest:
                break
            take += 1
        groups.append(order[-take:])
        del order[-take:]
    return groups


def padded(prompts: Sequence[Ids], answers: Sequence[Ids], device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids, mask and positions [B, P + T]: prompts end, and answers begin, in column P for every row."""
    before = max(len(p) for p in prompts)
    after = max((len(a) for a in answers), default=0)
    ids = torch.zeros(len(prompts), before + after, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        start, end = before - len(prompt), before + len(answer)
        ids[row, start:end] = torch.tensor([*prompt, *answer], dtype=torch.long)
        mask[row, start:end] = 1
    return ids.to(device), mask.to(device), (mask.cumsum(1) - 1).clamp_(min=0).to(device)


def forward(model: Any, *, length: int, **inputs: Any) -> Any:
    """The model's own forward pass, with the attention that is faster at this `length` (past included)."""
    wanted = "eager" if length <= EAGER_UP_TO else "sdpa"
    if model.config._attn_implementation != wanted and (wanted == "eager" or model._supports_sdpa):
        model.set_attn_implementation(wanted)
    return model(**inputs)


def answer_logits(model: Any, prompts: Sequence[Ids], answers: Sequence[Ids], device: str) -> tuple[Tensor, Tensor]:
    """Next-token logits [B, T, V] at each answer token (the output head runs there only), and the mask [B, T]."""
    width = max(len(a) for a in answers)
    groups = batches([len(p) for p in prompts])
    parts: list[Tensor] = []
    for group in groups:
        # An answer's last token predicts nothing that is asked for, so it is not fed.
        fed = [list(answers[i])[:-1] for i in group]
        ids, mask, positions = padded([prompts[i] for i in group], fed, device)
        keep = max(len(f) for f in fed) + 1
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        logits = forward(model, length=ids.shape[1], **inputs, use_cache=False, logits_to_keep=keep).logits
        parts.append(F.pad(logits[:, -keep:].float(), (0, 0, 0, width - keep)))
    where = torch.tensor([i for group in groups for i in group]).argsort().to(device)
    lengths = torch.tensor([len(a) for a in answers], device=device)
    mask_BT = torch.arange(width, device=device)[None] < lengths[:, None]
    return (parts[0] if len(parts) == 1 else torch.cat(parts))[where], mask_BT


@torch.inference_mode()
def sample(
    model: Any,
    prompts: Sequence[Ids],
    *,
    stop: frozenset[int],
    max_tokens: int,
    temperature: float,
    seed: int,
    device: str,
) -> list[Sampled]:
    """Answers for every prompt. What one prompt gets does not depend on its companions.

    The randomness of a prompt is drawn from (seed, prompt) alone: ask again with another seed for another answer.
    Log-probabilities are the model's own, at temperature 1.
    """
    results: list[Sampled | None] = [None] * len(prompts)
    for group in batches([len(p) for p in prompts], extra=max_tokens):
        noise = torch.tensor([_uniforms(prompts[i], seed, max_tokens) for i in group]) if temperature > 0 else None
        decoded = _decode(model, [prompts[i] for i in group], stop, max_tokens, temperature, noise, device)
        for index, result in zip(group, decoded, strict=True):
            results[index] = result
    return [r for r in results if r is not None]


def _decode(
    model: Any,
    prompts: list[Ids],
    stop: frozenset[int],
    max_tokens: int,
    temperature: float,
    noise: Tensor | None,
    device: str,
) -> list[Sampled]:
    ids, mask, positions = padded(prompts, [()] * len(prompts), device)
    before = ids.shape[1]
    mask = F.pad(mask, (0, max_tokens), value=1)
    position = positions[:, -1:]
    cache: Any = None
    alive = list(range(len(prompts)))  # row of the batch -> prompt
    tokens: list[list[int]] = [[] for _ in prompts]
    logprobs: list[list[float]] = [[] for _ in prompts]
    stopped = [False] * len(prompts)
    for step in range(max_tokens):
        inputs = {"input_ids": ids, "attention_mask": mask[:, : before + step], "position_ids": positions}
        out = forward(model, length=before + step, **inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = out.past_key_values
        logits = out.logits[:, -1].float()
        if noise is None:
            chosen = logits.argmax(-1, keepdim=True)
        else:  # inverse of the cumulative distribution, so that one uniform number decides one token
            cumulative = (logits / temperature).softmax(-1).cumsum(-1)
            target = noise[alive, step, None].to(device) * cumulative[:, -1:]
            chosen = torch.searchsorted(cumulative, target, right=True).clamp_(max=logits.shape[-1] - 1)
        chosen_logprobs = logits.gather(1, chosen) - logits.logsumexp(-1, keepdim=True)
        going: list[int] = []
        for row, (token, logprob) in enumerate(zip(chosen[:, 0].tolist(), chosen_logprobs[:, 0].tolist(), strict=True)):
            prompt = alive[row]
            if stopped[prompt]:
                continue
            tokens[prompt].append(token)
            logprobs[prompt].append(logprob)
            stopped[prompt] = token in stop
            if not stopped[prompt]:
                going.append(row)
        if not going:
            break
        if len(going) <= len(alive) // 2:  # finished rows ride along until dropping them pays
            rows = torch.tensor(going, device=device)
            cache.batch_select_indices(rows)
            chosen, mask, position = chosen[rows], mask[rows], position[rows]
            alive = [alive[row] for row in going]
        ids, position = chosen, position + 1
        positions = position
    return [Sampled(tuple(t), tuple(p), s) for t, p, s in zip(tokens, logprobs, stopped, strict=True)]


def _uniforms(prompt: Ids, seed: int, count: int) -> list[float]:
    digest = hashlib.sha256(f"{seed}/{','.join(map(str, prompt))}".encode()).digest()
    generator = random.Random(digest)
    return [generator.random() for _ in range(count)]
