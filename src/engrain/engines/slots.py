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

from engrain.engines.decode import padded
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

    def join(self, requests: Sequence[tuple[Weights | None, Sequence[int]]]) -> Tensor:
        """New last rows that have read their prompts, each under its adapter, all at once; the logits [V] of what comes next, each.

        IndexError if there are not as many rows left."""
        row = len(self.lengths)
        if not self.takes(len(requests)):
            raise IndexError(f"{row} of {self.rows} rows are in use, too many for {len(requests)} more")
        rank = max((len(a) for weights, _ in requests for a, _ in (weights or {}).values()), default=0)
        if rank > self._rank:
            self._mixed = [{p: mixed.wider(rank) for p, mixed in layer.items()} for layer in self._mixed]
            self._rank = rank
        for place, (weights, _) in enumerate(requests, start=row):
            for mixed in self._every():
                mixed.put(place, weights)
        longest = max(len(prompt) for _, prompt in requests)
        ids, mask, positions = padded([prompt for _, prompt in requests], [()] * len(requests), self._network.device)
        logits, read = self._network(self._from(row), ids, mask, positions, keep=1, room=longest)
        self._make_room(longest + 1)
        for held, fresh in zip(self._held, read.keys_and_values(longest), strict=True):
            for buffer, new in zip(held, fresh, strict=True):
                for place, (_, prompt) in enumerate(requests):
                    buffer[row + place].zero_()  # whoever was here before may have left what is no number
                    buffer[row + place, :, : len(prompt)] = new[place, :, longest - len(prompt) :]
        self.lengths += [len(prompt) for _, prompt in requests]
        return logits[:, 0]

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Each row in use reads its next token; the logits [n, V] of what comes next."""
        device = self._network.device
        self._make_room(max(self.lengths) + 1)
        width = rounded_length(max(self.lengths) + 1)
        lengths = torch.tensor(self.lengths, device=device)[:, None]
        ids = torch.tensor(tokens, device=device)[:, None]
        mask = (torch.arange(width, device=device)[None] <= lengths).long()
        cache = _Columns(self._held, lengths[:, 0], width)
        logits, _ = self._network(self._from(0), ids, mask, lengths, keep=1, cache=cache)
        self.lengths = [n + 1 for n in self.lengths]
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
    """The buffers of `Slots` as the cache of one step, in which each row writes to a column of its own. Implements `Cache`."""

    left = 0

    def __init__(self, held: list[tuple[Tensor, Tensor]], columns: Tensor, width: int) -> None:
        self._held, self.room, self.length = held, width, width - 1
        self.filled = rounded_rows(len(columns))
        self._columns = torch.cat([columns, columns[-1:].expand(self.filled - len(columns))])
        self._rows = torch.arange(self.filled, device=columns.device)

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        found = []
        for buffer, new in zip(self._held[layer], (k, v), strict=True):
            buffer[self._rows, :, self._columns] = new[:, :, 0]
            found.append(buffer[: self.filled, :, : self.room])
        return found[0], found[1]

    def select(self, rows: Tensor) -> None:
        raise NotImplementedError("rows leave by Slots.leave")
