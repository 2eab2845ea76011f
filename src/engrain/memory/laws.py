"""What holds for each kind of memory: what ends it, and whether time and disuse let it fade.

Nothing fades that says what is true or how to behave: facts, rules, preferences and skills stand until another value, a correction or a
person ends them. What was only experience, a note, a lesson, a reflection, a turn of a talk, may be put away when it is neither used nor
confirmed for long; it stays on record, and comes back by one undo.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engrain.records import Memory, MemoryKind

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """What holds for one kind."""

    ends_by: str
    """What takes its place or ends it."""
    half_life_days: float | None = None
    """Days without use after which it is half as strong; None: it does not fade."""
    most: int | None = None
    """Active ones of a scope at most, where they may fade; None: as many as there are."""


LAWS: Mapping[MemoryKind, Law] = {
    "fact": Law(ends_by="another value of the same thing, or a correction"),
    "procedure": Law(ends_by="another rule for the same case, or a correction"),
    "preference": Law(ends_by="another one about the same thing, or a correction"),
    "skill": Law(ends_by="its next version"),
    "block": Law(ends_by="its next version"),
    "note": Law(ends_by="a correction; evolved, by its next version", half_life_days=180.0, most=20_000),
    "lesson": Law(ends_by="being merged, or by what came of showing it", half_life_days=180.0, most=5_000),
    "reflection": Law(ends_by="being merged, or by what came of showing it", half_life_days=60.0, most=2_000),
    "episode": Law(ends_by="nothing: it happened", half_life_days=365.0, most=200_000),
}
"""Of the kinds in the words of agents' memories: `fact` is state (keyed by what it speaks of, one value at a time), `procedure` and `preference` are
invariants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What is known of how a memory was used."""

    shown: int = 0
    last: float = 0.0
    """When it was shown last, UTC seconds; 0 for never."""
    confirmed: int = 0
    """How often the same was said again."""


def strength(memory: Memory, use: Use, at: float, law: Law | None = None) -> float:
    """From 1 (fresh) to 0: halved for each half-life since it was last recorded or shown; each doubling of its uses doubles the half-life. 1 for a
    kind that does not fade. (Ebbinghaus' curve with spacing, as MemoryBank has it, arXiv 2305.10250, but in days of disuse and by kind.)"""
    life = (law or LAWS[memory.kind]).half_life_days
    if life is None:
        return 1.0
    idle_days = max(0.0, at - max(memory.recorded_at, use.last)) / DAY_S
    return float(0.5 ** (idle_days / (life * (1.0 + math.log2(1 + use.shown + use.confirmed)))))


def fading(
    memories: Sequence[Memory],
    uses: Mapping[str, Use],
    at: float,
    *,
    floor: float = 0.1,
    laws: Mapping[MemoryKind, Law] = LAWS,
) -> dict[str, str]:
    """Which of these active memories may be put away, by id, and why: the faded ones, and of a kind that has too many the weakest."""
    left: dict[MemoryKind, list[tuple[float, Memory]]] = {}
    gone: dict[str, str] = {}
    for memory in memories:
        law, use = laws[memory.kind], uses.get(memory.id, Use())
        if law.half_life_days is None:
            continue
        strong = strength(memory, use, at, law)
        if strong < floor:
            days = (at - max(memory.recorded_at, use.last)) / DAY_S
            gone[memory.id] = (
                f"not shown for {days:.0f} days, {use.shown} times before; strength {strong:.2f}, {floor} at least"
            )
        else:
            left.setdefault(memory.kind, []).append((strong, memory))
    for kind, some in left.items():
        most = laws[kind].most
        if most is not None and len(some) > most:
            weakest = sorted(some, key=lambda pair: (pair[0], pair[1].recorded_at))[: len(some) - most]
            gone |= {
                m.id: f"{len(some)} {kind}s are active, {most} at most, and this is among the weakest ({strong:.2f})"
                for strong, m in weakest
            }
    return gone
