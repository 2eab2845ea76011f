"""Rows that decode together, each under an adapter of its own: what continuous batching keeps between two tokens.

Shapes: n rows in use (the first n), in buffers for R; a row holds its first `length` tokens in the first columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (its name everywhere)
from torch import Tensor

from engrain.engines.llama import PARTS, Linear, Llama
from engrain.engines.lora import SCALE, Weights
from engrain.engines.network import rounded_length, rounded_rows


class Mixed:
    """A joined layer under one adapter a row: x W^T + SCALE (x A_i^T) B_i^T, each row's own matrices in one buffer."""

    def __init__(self, joined: Linear, rows: int, rank: int) -> None:
        self._joined, self.weight, self._rank = joined, joined.weight, rank
        self._a = joined.weight.new_zeros(rows, len(joined.names) * rank, joined.weight.shape[1])
        self._b = [joined.weight.new_zeros(rows, part.stop - part.start, rank) for part in joined.rows]

    def __call__(self, x: Tensor, first: int = 0) -> Tensor:
        """For the rows from `first` on, as many as x [n, T, in] has."""
        y = F.linear(x, self.weight, self._joined.bias)
        if not self._rank:
            return y
        rows = slice(first, first + len(x))
        low = torch.bmm(x, self._a[rows].transpose(1, 2)).mul_(SCALE)
        for lowered, part, b in zip(low.split(self._rank, 2), self._joined.rows, self._b, strict=True):
            y[:, :, part] += torch.bmm(lowered, b[rows].transpose(1, 2))
        return y

    def put(self, row: int, weights: Weights | None) -> None:
        """This row's adapter, None for the bare base; a smaller rank is filled up with zeros."""
        for held in (self._a, *self._b):
            held[row].zero_()
        for number, (name, b) in enumerate(zip(self._joined.names, self._b, strict=True)):
            if weights and name in weights:
                low, high = weights[name]
                self._a[row, number * self._rank :][: len(low)] = low
                b[row, :, : high.shape[1]] = high

    def move(self, source: int, target: int) -> None:
        """The adapter of one row becomes that of another."""
        for held in (self._a, *self._b):
            held[target] = held[source]

    def wider(self, rank: int) -> Mixed:
        """The same with room for a larger rank."""
        made = Mixed(self._joined, len(self._a), rank)
        for number, (b, mine) in enumerate(zip(made._b, self._b, strict=True)):
            some = slice(number * self._rank, (number + 1) * self._rank)
            made._a[:, number * rank :][:, : self._rank] = self._a[:, some]
            b[:, :, : self._rank] = mine
        return made


@dataclass(frozen=True, slots=True)
class From:
    """A mixed layer for the rows from `first` on."""

    mixed: Mixed
    first: int

    @property
    def weight(self) -> Tensor:
        return self.mixed.weight

    def __call__(self, x: Tensor) -> Tensor:
        return self.mixed(x, self.first)


class Slots:
    """The keys, values and adapters of the rows in use. For networks of Llama's family."""

    def __init__(self, network: Llama, rows: int) -> None:
        self._network, self._rank, self._room = network, 0, 0
        self.rows = rounded_rows(rows)
        self.lengths: list[int] = []
        """Tokens that each row in use holds."""
        self._mixed = [{p: Mixed(getattr(layer, p), self.rows, 0) for p in PARTS} for layer in network.parts]
        self._held: list[tuple[Tensor, Tensor]] = []

    def join(self, requests: Sequence[tuple[Weights | None, Sequence[int], Tensor | None]]) -> Tensor:
        """New last rows that have read their prompts, each under its adapter, all at once; the logits [n, V] of what comes next, each.

        A request brings what `read_of` gave of the first tokens of its prompt, if anybody has read them; the last it always reads itself.
        IndexError if there are not as many rows left."""
        row = len(self.lengths)
        if not self.takes(len(requests)):
            raise IndexError(f"{row} of {self.rows} rows are in use, too many for {len(requests)} more")
        rank = max((len(a) for weights, _, _ in requests for a, _ in (weights or {}).values()), default=0)
        if rank > self._rank:
            self._mixed = [{p: mixed.wider(rank) for p, mixed in layer.items()} for layer in self._mixed]
            self._rank = rank
        self._make_room(max(len(prompt) for _, prompt, _ in requests))
        rest: list[Sequence[int]] = []
        for place, (weights, prompt, before) in enumerate(requests, start=row):
            for mixed in self._every():
                mixed.put(place, weights)
            known = 0 if before is None else before.shape[-2]
            for layer, held in enumerate(self._held):
                for kind, buffer in enumerate(held):
                    buffer[place].zero_()  # whoever was here before may have left what is no number
                    if before is not None:
                        buffer[place, :, :known] = before[layer, kind]
            self.lengths.append(known)
            rest.append(prompt[known:])
        return self._read(row, rest)

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Each row in use reads its next token; the logits [n, V] of what comes next."""
        return self._read(0, [[token] for token in tokens])

    def read_of(self, row: int, count: int) -> Tensor:
        """The keys and values [layers, 2, heads, count, width] of a row's first tokens, to keep."""
        return torch.stack([torch.stack([buffer[row, :, :count] for buffer in held]) for held in self._held])

    def _read(self, first: int, tokens: Sequence[Sequence[int]]) -> Tensor:
        """The rows from `first` on read these tokens, each in columns of its own from its length on; the logits [n, V] of what comes next."""
        device, most = self._network.device, max(map(len, tokens))
        fed = rounded_length(most) if most > 1 else 1
        ids = torch.tensor([[0] * (fed - len(t)) + list(t) for t in tokens], device=device)
        starts = torch.tensor([self.lengths[first + i] - (fed - len(t)) for i, t in enumerate(tokens)], device=device)
        columns = starts[:, None] + torch.arange(fed, device=device)
        before = torch.tensor([self.lengths[first + i] for i in range(len(tokens))], device=device)[:, None]
        self.lengths[first:] = [self.lengths[first + i] + len(t) for i, t in enumerate(tokens)]
        width = rounded_length(max(self.lengths[first:]) + (fed > 1))
        self._make_room(width)
        # Fillers stand to the left and write where nobody looks: into the last column, which no row has reached.
        written = torch.where(columns < before, width - 1, columns)
        mask = torch.arange(width, device=device) <= columns[..., None]
        cache = _Columns(self._held, first, written, width)
        logits, _ = self._network(self._from(first), ids, mask, columns.clamp(min=0), keep=1, cache=cache)
        return logits[:, 0]

    def leave(self, row: int) -> None:
        """Give a row up; the last one takes its place."""
        last = len(self.lengths) - 1
        if row != last:
            for mixed in self._every():
                mixed.move(last, row)
            for held in self._held:
                for buffer in held:
                    buffer[row, :, : self.lengths[last]] = buffer[last, :, : self.lengths[last]]
            self.lengths[row] = self.lengths[last]
        self.lengths.pop()

    def takes(self, count: int) -> bool:
        """Whether as many may join at once."""
        return len(self.lengths) + rounded_rows(count) <= self.rows

    def clear(self) -> None:
        """Give all rows up."""
        self.lengths = []

    def _every(self) -> list[Mixed]:
        return [mixed for layer in self._mixed for mixed in layer.values()]

    def _from(self, row: int) -> tuple[Any, ...]:
        """The network's layers under the adapters of the rows from this one on."""
        return tuple(
            replace(layer, **{p: From(mixed, row) for p, mixed in mine.items()})
            for layer, mine in zip(self._network.parts, self._mixed, strict=True)
        )

    def _make_room(self, length: int) -> None:
        """Columns for rows of this length, twice as many as before where they do not suffice."""
        if length <= self._room:
            return
        room = rounded_length(max(length, 2 * self._room))
        shape = self.rows, self._network.kv_heads, room, self._network.width
        like = self._network.parts[0].qkv.weight
        made = [(like.new_zeros(shape), like.new_zeros(shape)) for _ in self._network.parts]
        for old, new in zip(self._held, made, strict=False):
            for was, now in zip(old, new, strict=True):
                now[:, :, : self._room] = was
        self._held, self._room = made, room


class _Columns:
    """The buffers of `Slots` as the cache of one reading, in which each row, from `first` on, writes to columns [n, T] of its own. Implements
    `Cache`."""

    left = 0

    def __init__(self, held: list[tuple[Tensor, Tensor]], first: int, columns: Tensor, width: int) -> None:
        self._held, self.room, self.length = held, width, width - columns.shape[1]
        self.filled = rounded_rows(len(columns))
        self._columns = torch.cat([columns, columns[-1:].expand(self.filled - len(columns), -1)])
        self._some = slice(first, first + self.filled)
        self._rows = torch.arange(first, first + self.filled, device=columns.device)[:, None]

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        found = []
        for buffer, new in zip(self._held[layer], (k, v), strict=True):
            buffer[self._rows, :, self._columns] = new.transpose(1, 2)
            found.append(buffer[self._some, :, : self.room])
        return found[0], found[1]

    def select(self, rows: Tensor) -> None:
        raise NotImplementedError("rows leave by Slots.leave")
