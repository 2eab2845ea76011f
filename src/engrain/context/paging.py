"""What of a conversation stays in a model's window: counted to the token, and never over it.

After MemGPT (Packer et al., arXiv 2310.08560), whose public code decides by an estimate, and overflows where that is wrong. Here everything that is shown
is counted as it is shown, and what does not fit is left out before it is sent: the oldest turns first, whole exchanges at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from engrain.errors import InputError
from engrain.records import Message

Count = Callable[[Sequence[Message]], int]
"""Tokens of a conversation as the model reads it, what its template writes included."""
CUT = " […]"
"""Ends a turn of which the rest did not fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What is shown, and what is not."""

    messages: tuple[Message, ...]
    evicted: tuple[Message, ...]
    """The turns that are left out or cut, the oldest first; whoever pages keeps them where they can be searched."""
    tokens: int
    """Of `messages`, never more than the room that was given."""
    cut: bool = False
    """Whether the last turn itself, or what a tool gave in it, was too long, and its end was cut off."""


def page(messages: Sequence[Message], room: int, count: Count) -> Page:
    """The system messages and the latest turns that fit into `room` tokens, from a user's turn on. InputError where not even the system
    messages and the beginning of the last turn do."""
    system = [m for m in messages if m.role == "system"]
    turns = [m for m in messages if m.role != "system"]
    if not turns:
        raise InputError("there is no turn to answer; give at least one message of the user")
    starts = [i for i, m in enumerate(turns) if m.role == "user"] or [len(turns) - 1]
    first, last = 0, len(starts) - 1  # by halving: more turns are never fewer tokens
    while first < last:
        middle = (first + last) // 2
        if count([*system, *turns[starts[middle] :]]) <= room:
            last = middle
        else:
            first = middle + 1
    begin = starts[first] if count([*system, *turns]) > room else 0
    kept = turns[begin:]
    if (tokens := count([*system, *kept])) <= room:
        return Page(messages=(*system, *kept), evicted=tuple(turns[:begin]), tokens=tokens)
    # Not even the last exchange fits: the oldest calls of tools in it go first, with what they gave, then the end of the newest result, then
    # that of the user's words.
    for at in [i for i, m in enumerate(kept) if i > 1 and m.role == "assistant"]:
        if (tokens := count([*system, kept[0], *kept[at:]])) <= room:
            return Page(messages=(*system, kept[0], *kept[at:]), evicted=(*turns[:begin], *kept[1:at]), tokens=tokens)
    last = max((i for i, m in enumerate(kept) if m.role == "assistant"), default=0)
    if last and kept[-1].role == "tool" and (result := _cut([*system, kept[0], *kept[last:-1]], kept[-1], room, count)):
        fitting = (*system, kept[0], *kept[last:-1], result)
        return Page(
            messages=fitting, evicted=(*turns[:begin], *kept[1:last], kept[-1]), tokens=count(fitting), cut=True
        )
    shown = _cut(system, kept[0], room, count)
    if shown is None:
        raise InputError(
            f"the system message alone leaves no room in {room} tokens; shorten it and the core blocks, or use a larger window"
        )
    cut = shown.content != kept[0].content
    return Page(
        messages=(*system, shown), evicted=(*turns[:begin], *kept[0 if cut else 1 :]), tokens=count([*system, shown]), cut=cut
    )  # fmt: skip


def _cut(before: Sequence[Message], turn: Message, room: int, count: Count) -> Message | None:
    """The longest beginning of a turn that fits, marked as cut; None if nothing of it does."""

    def ended(length: int) -> Message:
        whole = length >= len(turn.content)
        return replace(turn, content=turn.content if whole else turn.content[:length].rstrip() + CUT)

    length = longest(len(turn.content), lambda length: count([*before, ended(length)]) <= room)
    return None if (not length and turn.content) or count([*before, ended(length)]) > room else ended(length)


def longest(most: int, fits: Callable[[int], bool]) -> int:
    """The greatest length up to `most` that fits, by halving: what is longer is never smaller. 0 where none does, whether that fits or not."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
