"""What the model is shown beside the query: how to answer first, then lessons, then the notes that fit, within a token budget."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import takewhile

from engrain.prompts import render_notes
from engrain.records import Context, Memory


def assemble(
    recalled: Sequence[tuple[Memory, float]],
    budget_tokens: int,
    count_tokens: Callable[[str], int],
    *,
    preferences: Sequence[Memory] = (),
    lessons: Sequence[Memory] = (),
    dates: bool | None = None,
) -> Context:
    """The notes to show: `preferences` first, then `lessons`, then the best of `recalled` that fit into `budget_tokens`.

    `preferences` are those that state how to answer, `lessons` come best first. Within each of the three groups notes stand in the order of
    recording, oldest first, so that a growing set keeps its beginning. A note carries its date ("[2026-03-02] …", from
    `valid_from`, UTC) where another one shown might contradict it; `dates` True or False says always or never. Where
    nothing fits, the context is empty.
    """
    styles: list[Memory] = []
    learned: list[Memory] = []
    notes: list[Memory] = []
    best = Context()
    # A style that was said later matters more than an earlier one, if not all of them fit.
    wanted = [(styles, m) for m in reversed(_in_order(preferences))]
    wanted += [(learned, m) for m in lessons]
    wanted += [(notes, m) for m, _ in sorted(recalled, key=lambda pair: -pair[1])]
    seen: set[str] = set()
    for group, memory in wanted:
        if memory.id in seen or not memory.text.strip():
            continue
        seen.add(memory.id)
        group.append(memory)
        tried = _context([*_in_order(styles), *_in_order(learned)], notes, count_tokens, dates)
        if tried.tokens <= budget_tokens:
            best = tried
        else:  # a shorter one may still fit
            group.pop()
    return best


def _context(
    first: Sequence[Memory], notes: Sequence[Memory], count_tokens: Callable[[str], int], dates: bool | None
) -> Context:
    shown_notes = _in_order(notes)
    dated = _dated(shown_notes) if dates is None else {m.id for m in shown_notes} if dates else set[str]()
    lines = [_line(m) for m in first]
    lines += [f"[{_day(m.valid_from)}] {_line(m)}" if m.id in dated else _line(m) for m in shown_notes]
    text = render_notes(lines)
    ids = tuple(m.id for m in (*first, *shown_notes))
    return Context(text=text, memory_ids=ids, tokens=count_tokens(text))


def _in_order(memories: Sequence[Memory]) -> list[Memory]:
    return sorted(memories, key=lambda m: (m.recorded_at, m.text))


def _dated(notes: Sequence[Memory]) -> set[str]:
    """Ids of the notes that begin like another one of another day, and go on differently."""
    words = [[w for w in re.findall(r"[\w:.-]*\w", m.text.lower()) if w not in {"the", "a", "an"}] for m in notes]
    found: set[str] = set()
    for i, one in enumerate(words):
        for j in range(i):
            alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, words[j], strict=False)))
            shorter = min(len(one), len(words[j]))
            if 2 <= alike < shorter <= 2 * alike and _day(notes[i].valid_from) != _day(notes[j].valid_from):
                found |= {notes[i].id, notes[j].id}
    return found


def _line(memory: Memory) -> str:
    text = " ".join(memory.text.split())  # one note, one line
    key = ", ".join(memory.key or ())
    said = set(re.findall(r"\w+", text.lower()))
    return text if said.issuperset(re.findall(r"\w+", key.lower())) else f"{key}: {text}"


def _day(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
    except (OverflowError, OSError, ValueError):  # a time before year 1 or after 9999
        return "unknown date"
