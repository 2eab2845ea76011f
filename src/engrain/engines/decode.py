"""Sampling token by token, and logits at the tokens of given answers, in batches that waste little.

Batches are left-padded so that prompt and answer meet in one column, for any length of prompt.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.nn.functional as F  # noqa: N812 (its name everywhere)
from torch import Tensor

from engrain.engines.network import ROWS_GRID, Network, rounded_length, rounded_rows

Ids = Sequence[int]
_A = TypeVar("_A")
_B = TypeVar("_B")

ROWS = 64
"""Most rows decoded together."""
TOKENS = 32_768
"""Most tokens (rows x padded length) in one forward pass, of which two run side by side; bounds memory."""
OVERHEAD = 96
"""What a further forward pass costs, in tokens of one; a batch is split only where that saves more padding."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One decoded answer: its tokens with the stop token if reached, and their log-probabilities in nats."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    stopped: bool


def batches(lengths: Sequence[int], *, rows: int = ROWS, extra: int = 0) -> list[list[int]]:
    """Indices of sequences grouped by length so that all groups together cost least, padding included.

    `extra` is what each row will grow by. Groups keep within `rows` and TOKENS.
    """
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    # best[n]: (cost of the n shortest, rows of their last group)
    best: list[tuple[int, int]] = [(0, 0)]
    for n in range(1, len(order) + 1):
        longest = rounded_length(lengths[order[n - 1]] + extra)
        most = min(n, rows, max(1, TOKENS // longest))
        sizes = {size for size in ROWS_GRID if size < most} | {most}
        best.append(min((best[n - k][0] + rounded_rows(k) * longest + OVERHEAD, k) for k in sizes))
    groups: list[list[int]] = []
    end = len(order)
    while end:
        start = end - best[end][1]
        groups.append(order[start:end])
        end = start
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


def answer_logits(
    network: Network, adapter: Any, prompts: Sequence[Ids], answers: Sequence[Ids], device: str
) -> tuple[Tensor, Tensor]:
    """Next-token logits [B, T, V] at each answer token (the output head runs there only), and the mask [B, T].

    On a CPU two halves are computed side by side, and so are their gradients, straight to the matrices of an adapter that is
    merged. Always two, whatever the cores: two sums are the same in any order.
    """
    width = max(len(a) for a in answers)
    groups = batches([len(p) for p in prompts], rows=-(-len(prompts) // 2) if device == "cpu" else ROWS)
    grad = torch.is_grad_enabled()

    def logits(half: list[list[int]]) -> Tensor:
        with torch.set_grad_enabled(grad):
            return torch.cat([one(group) for group in half])

    def one(group: list[int]) -> Tensor:
        # An answer's last token predicts nothing that is asked for, so it is not fed.
        fed = [answers[i][:-1] for i in group]
        ids, mask, positions = padded([prompts[i] for i in group], fed, device)
        keep = max(len(f) for f in fed) + 1
        out, _ = network(adapter, ids, mask, positions, keep=keep)
        return F.pad(out, (0, 0, 0, width - keep))

    halves = _halves(groups, [len(p) for p in prompts])
    where = torch.tensor([i for half in halves for group in half for i in group]).argsort().to(device)
    parts = _each(logits, halves, network, device)
    if grad and len(parts) > 1:
        joined: Tensor = _Joined.apply(parts[0].new_zeros((), requires_grad=True), parts, network, device)
    else:
        joined = torch.cat(parts)
    lengths = torch.tensor([len(a) for a in answers], device=device)
    return joined[where], torch.arange(width, device=device)[None] < lengths[:, None]


def moments(network: Network, adapter: Any, sequences: Sequence[Ids], device: str) -> dict[str, Tensor]:
    """What each layer reads of these sequences: the mean of x x^T, each counting the same, float32 [in, in], by the layer's name."""

    def one(group: list[int]) -> dict[str, Tensor]:
        with torch.inference_mode():
            return network.moments(adapter, *padded([sequences[i] for i in group], [()] * len(group), device))

    found = _each(one, batches([len(s) for s in sequences]), network, device)
    return {name: torch.stack([some[name] for some in found]).sum(0) / len(sequences) for name in found[0]}


class _Joined(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    """Parts whose gradients are followed back side by side: autograd itself would go through one after the other."""

    @staticmethod
    def forward(ctx: Any, _: Tensor, parts: list[Tensor], network: Network, device: str) -> Tensor:
        ctx.how = parts, network, device
        return torch.cat([part.detach() for part in parts])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, ...]:
        parts, network, device = ctx.how
        shares = gradient.split([len(part) for part in parts])

        def follow(i: int) -> None:
            torch.autograd.backward(parts[i], shares[i])

        _each(follow, range(len(parts)), network, device)
        return None, None, None, None


def _halves(groups: list[list[int]], lengths: Sequence[int]) -> list[list[list[int]]]:
    """The groups in two parts of about the same tokens; one part if there is one group."""
    halves: list[list[list[int]]] = [[], []]
    tokens = [0, 0]
    for group in groups:
        lesser = tokens.index(min(tokens))
        halves[lesser].append(group)
        tokens[lesser] += rounded_rows(len(group)) * rounded_length(max(lengths[i] for i in group))
    return [half for half in halves if half]


def _each(do: Callable[[_A], _B], each: Sequence[_A], network: Network, device: str) -> list[_B]:
    """What `do` makes of each, on a CPU two at a time."""
    workers = min(len(each), 2, os.cpu_count() or 1) if device == "cpu" and network.side_by_side else 1
    if workers < 2:
        return [do(one) for one in each]
    with ThreadPoolExecutor(workers, "engine", torch.set_num_threads, (torch.get_num_threads(),)) as pool:
        return list(pool.map(do, each))


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw answers."""

    stop: frozenset[int]
    max_tokens: int
    temperature: float
    """0 takes the likeliest token."""
    seed: int
    top_p: float = 1.0
    """Tokens are drawn from the fewest likeliest that have this much probability together."""


def sample(network: Network, adapter: Any, prompts: Sequence[Ids], how: Sampling, device: str) -> list[Sampled]:
    """Answers for every prompt, on a CPU two groups side by side. What one prompt gets does not depend on its companions.

    The randomness of a prompt is drawn from (seed, prompt) alone: ask again with another seed for another answer.
    Log-probabilities are the model's own, at temperature 1.
    """
    groups = batches([len(p) for p in prompts], extra=how.max_tokens)

    def decode(group: list[int]) -> list[Sampled]:
        with torch.inference_mode():
            return _decode(network, adapter, [prompts[i] for i in group], how, device)

    decoded = _each(decode, groups, network, device)
    results = {
        i: answer for group, some in zip(groups, decoded, strict=True) for i, answer in zip(group, some, strict=True)
    }
    return [results[i] for i in range(len(prompts))]


def _decode(network: Network, adapter: Any, prompts: list[Ids], how: Sampling, device: str) -> list[Sampled]:
    noise = torch.tensor([uniforms(prompt, how) for prompt in prompts], device=device) if how.temperature > 0 else None
    ids, mask, positions = padded(prompts, [()] * len(prompts), device)
    before = ids.shape[1]
    mask = F.pad(mask, (0, how.max_tokens), value=1)
    cache: Any = None
    alive = list(range(len(prompts)))  # row of the batch -> prompt
    tokens: list[list[int]] = [[] for _ in prompts]
    logprobs: list[list[float]] = [[] for _ in prompts]
    stopped = [False] * len(prompts)
    for step in range(how.max_tokens):
        seen = None if len(prompts) == 1 else mask[:, : before + step]
        logits_BTV, cache = network(adapter, ids, seen, positions, keep=1, cache=cache, room=before + how.max_tokens)
        chosen, chosen_logprobs = choose(
            logits_BTV[:, 0], how.temperature, None if noise is None else noise[alive, step, None]
        )
        going: list[int] = []
        for row, (token, logprob) in enumerate(zip(chosen[:, 0].tolist(), chosen_logprobs[:, 0].tolist(), strict=True)):
            prompt = alive[row]
            if stopped[prompt]:
                continue
            tokens[prompt].append(token)
            logprobs[prompt].append(logprob)
            stopped[prompt] = token in how.stop
            if not stopped[prompt]:
                going.append(row)
        if not going:
            break
        ids, positions = chosen, positions[:, -1:] + 1
        if len(going) <= len(alive) // 2:  # finished rows ride along until dropping them pays
            rows = torch.tensor(going, device=device)
            cache.select(rows)
            ids, mask, positions = ids[rows], mask[rows], positions[rows]
            alive = [alive[row] for row in going]
    return [Sampled(tuple(t), tuple(p), s) for t, p, s in zip(tokens, logprobs, stopped, strict=True)]


def choose(
    logits_BV: Tensor, temperature: float, uniform_B1: Tensor | None, top_p: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The next token [B, 1], the likeliest or the one that a number in [0, 1) picks among the likeliest that have `top_p` of the
    probability together, and its log-probability in nats at temperature 1."""
    if uniform_B1 is None:
        chosen = logits_BV.argmax(-1, keepdim=True)
    else:  # the inverse of the cumulative distribution: one uniform number decides one token
        likely_BV = (logits_BV / temperature).softmax(-1)
        if top_p < 1:
            sorted_BV, order_BV = likely_BV.sort(-1, descending=True)
            beyond_BV = sorted_BV.cumsum(-1) - sorted_BV >= top_p  # what stands before it is enough already
            likely_BV = likely_BV.masked_fill(beyond_BV.gather(1, order_BV.argsort(-1)), 0.0)
        cumulative = likely_BV.cumsum(-1)
        chosen = torch.searchsorted(cumulative, uniform_B1 * cumulative[:, -1:], right=True)
        chosen = chosen.clamp_(max=logits_BV.shape[-1] - 1)
    return chosen, logits_BV.gather(1, chosen) - logits_BV.logsumexp(-1, keepdim=True)


def uniforms(prompt: Ids, how: Sampling) -> list[float]:
    """Numbers in [0, 1) for each token of this prompt's answer."""
    digest = hashlib.sha256(f"{how.seed}/{','.join(map(str, prompt))}".encode()).digest()
    generator = random.Random(digest)
    return [generator.random() for _ in range(how.max_tokens)]
