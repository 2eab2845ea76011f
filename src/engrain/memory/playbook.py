"""The playbook: the lessons of a scope, of which a query is shown those that fit and have proved good, within a token budget.

New lessons are tried: until a lesson has had `tried` outcomes it ranks as one of which nothing is known, not as a bad one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from engrain.errors import FormatError
from engrain.memory.worth import Bounds, Worth
from engrain.records import Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbook:
    """How lessons are chosen, promoted and retired."""

    tokens: int = 300
    """Of the lessons that a query is shown, at most."""
    tried: int = 5
    """Outcomes from which on a lesson is judged by them."""
    most_tokens: int = 20_000
    """Of all active lessons together; beyond that those that promise least are archived."""


def value(known: Worth, bounds: Bounds, *, tried: int) -> float:
    """How good it is to show a lesson, 0 … 1: the lower bound of its share of good outcomes, or 1/2 where too few are known."""
    return bounds(known.helpful, known.outcomes)[0] if known.outcomes >= tried else 0.5


def chosen(
    fitting: Sequence[tuple[Memory, float]],
    worths: Mapping[str, Worth],
    bounds: Bounds,
    count_tokens: Callable[[str], int],
    *,
    settings: Playbook = Playbook(),
) -> list[Memory]:
    """Of the lessons that fit a query (with their scores from recall), those to show: best fit times value first, within the budget."""
    good = [(m, score) for m, score in fitting if not _harmful(worths.get(m.id, Worth()), bounds, settings)]
    ranked = sorted(
        good, key=lambda pair: -pair[1] * value(worths.get(pair[0].id, Worth()), bounds, tried=settings.tried)
    )
    shown: list[Memory] = []
    left = settings.tokens
    for memory, _ in ranked:
        cost = count_tokens(f"- {memory.text}\n")
        if cost <= left:
            shown.append(memory)
            left -= cost
    return shown


def _harmful(known: Worth, bounds: Bounds, settings: Playbook) -> bool:
    """Whether even the upper bound says that it does more harm than good."""
    return known.outcomes >= settings.tried and bounds(known.helpful, known.outcomes)[1] < 0.5


def retired(
    lessons: Sequence[Memory],
    worths: Mapping[str, Worth],
    bounds: Bounds,
    count_tokens: Callable[[str], int],
    *,
    settings: Playbook = Playbook(),
) -> dict[str, str]:
    """Which lessons are not to be shown any more, by id, and why: those of which even the upper bound says that they do more harm than good,
    and, where all together are over the budget, those that promise least, the oldest first."""
    gone: dict[str, str] = {}
    for m in lessons:
        known = worths.get(m.id, Worth())
        if _harmful(known, bounds, settings):
            high = bounds(known.helpful, known.outcomes)[1]
            gone[m.id] = f"helpful {known.helpful} of {known.outcomes} times, at most {high:.0%} (95 %)"
    left = sorted(
        (m for m in lessons if m.id not in gone),
        key=lambda m: (value(worths.get(m.id, Worth()), bounds, tried=settings.tried), m.recorded_at),
    )
    costs = {m.id: count_tokens(m.text) for m in left}
    total = sum(costs.values())
    for m in left:
        if total <= settings.most_tokens:
            break
        gone[m.id] = f"the playbook has {total} tokens, {settings.most_tokens} at most, and this promised least"
        total -= costs[m.id]
    return gone


_BULLET = re.compile(r"^(?:[-*]\s+)?\[[\w.-]+\]\s+helpful=(\d+)\s+harmful=(\d+)\s*::\s*(.+)$")


def rendered(lessons: Sequence[Memory], worths: Mapping[str, Worth]) -> str:
    """The playbook in ACE's text form: `## SECTION`, and a line `[id] helpful=N harmful=M :: text` for each lesson."""
    sections: dict[str, list[str]] = {}
    for m in lessons:
        known = worths.get(m.id, Worth())
        line = f"[{m.id}] helpful={known.helpful} harmful={known.harmful} :: {' '.join(m.text.split())}"
        sections.setdefault(m.attribute("section") or "LESSONS", []).append(line)
    return "\n\n".join("\n".join([f"## {name}", *lines]) for name, lines in sections.items())


def bullets(text: str) -> list[tuple[str, str]]:
    """(section, text) of each bullet of a playbook in that form. FormatError, with the remedy, where there is none."""
    section, found = "", list[tuple[str, str]]()
    for line in text.splitlines():
        if line.startswith("#"):
            section = line.lstrip("#").strip()
        elif match := _BULLET.match(line.strip()):
            found.append((section, match[3].strip()))
    if not found:
        raise FormatError(
            "no bullet of a playbook was found; each is a line such as: [shr-00001] helpful=2 harmful=0 :: Do this."
        )
    return found


def proved(
    lessons: Sequence[Memory], worths: Mapping[str, Worth], bounds: Bounds, *, settings: Playbook = Playbook()
) -> list[Memory]:
    """The lessons that have shown that they do more good than harm: even the lower bound of their share of good outcomes is above 1/2."""
    known = {m.id: worths.get(m.id, Worth()) for m in lessons}
    return [
        m
        for m in lessons
        if known[m.id].outcomes >= settings.tried and bounds(known[m.id].helpful, known[m.id].outcomes)[0] > 0.5
    ]
