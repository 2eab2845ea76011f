"""The fixed set of unrelated prompts that base abilities are guarded and judged by: reading, abstaining, style.

They ship with the package (probes.jsonl) and are split once, by content: a part is only ever trained on (guards), a part only
looked at while choosing a scale, and a part only judged by (the gate's retained items).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from engrain.prompts import render_notes
from engrain.protocols import Engine
from engrain.records import Example, Message, content_hash

Part = Literal["guard", "scale", "gate"]
ROOM = 128
"""Tokens kept free beside a probe."""
FILE = Path(__file__).parent / "probes.jsonl"


@cache
def _probes() -> dict[str, list[tuple[str, Example]]]:
    parts: dict[str, list[tuple[str, Example]]] = {"guard": [], "scale": [], "gate": []}
    for line in FILE.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        example = probe(row["group"], row["notes"], row["question"], row["answer"])
        parts[part_of(example)].append((row["group"], example))
    return {part: sorted(rows, key=lambda r: r[1].hash) for part, rows in parts.items()}


def probe(group: str, notes: Sequence[str], question: str, answer: str) -> Example:
    """A line of the file as an item."""
    shown = (Message(role="system", content=render_notes(notes)),) if notes else ()
    query = (*shown, Message(role="user", content=question))
    return Example(query=query, reference=answer, role="guard", form=group == "style")


def part_of(example: Example) -> Part:
    """What a probe is for, by its content: six in ten guard, two choose the scale, two judge."""
    draw = int(content_hash(["probe", example.hash], length=8), 16) % 10
    return "guard" if draw < 6 else "scale" if draw < 8 else "gate"


def guard_probes(count: int, *, seed: int = 0, engine: Engine | None = None) -> list[Example]:
    """At most `count` unrelated prompts to train on, chosen by content and seed; only those that fit the window of `engine`, if given."""
    every = [e for _, e in _probes()["guard"] if _fits(engine, e)]
    return sorted(every, key=lambda e: content_hash([seed, e.hash]))[:count]


def probes(part: Part, limit: int | None = None, *, engine: Engine | None = None) -> list[Example]:
    """The probes of one part, in a fixed order that mixes the groups; only those that fit the window of `engine`, if given."""
    return [e for _, e in _probes()[part] if _fits(engine, e)][:limit]


def _fits(engine: Engine | None, example: Example) -> bool:
    """Whether a prompt, its answer and the words of a style beside it stay within the window; a small one takes fewer probes."""
    if engine is None or (window := getattr(engine, "window", None)) is None:
        return True
    return bool(ROOM + sum(8 + engine.count_tokens(m.content) for m in example.query) <= window)


def probe_group(example: Example) -> str | None:
    """`reading`, `unknown` or `style` for a probe; None for anything else."""
    return _groups().get(example.hash)


@cache
def _groups() -> dict[str, str]:
    return {e.hash: group for rows in _probes().values() for group, e in rows}
