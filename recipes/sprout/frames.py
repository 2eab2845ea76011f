"""Frames: hand-written sentence patterns with slots, and the facts that come of filling them.

A frame (frames/*.txt; the format is in frames/README.md) says one kind of fact in several wordings, and asks about it in several
ways. About one frame in ten is held out of training altogether, so that the card can report on relations and phrasings never seen.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from fill import Fill

FRAMES = Path(__file__).parent / "frames"
HELD_OUT_ONE_IN = 11
SLOT = re.compile(r"\{(\w+)\}")
PROPER = {
    "person",
    "person2",
    "person3",
    "town",
    "org",
    "weekday",
    "month",
    "code",
    "language",
    "email",
    "url",
    "year",
    "num",
    "qty",
    "time",
    "date",
    "money",
    "word",
    "phone",
}
PRONOUNS = (("he", "him", "his"), ("she", "her", "her"), ("they", "them", "their"))
REQUEST = re.compile(r"^(tell|remind|give|show|name|do you|can you|could you|i need|i want|please|let me)", re.I)
QUESTION = re.compile(
    r"^(what|which|who|whose|whom|when|where|why|how|in which|in what|at what|on which|on what|for|from|to|with|by|is|are|does|do|did|was|were|has|have|can|should|must|if|after|before)\b",
    re.I,
)


@dataclass(slots=True)
class Frame:
    """One kind of fact: its slots, its wordings, and the questions about it."""

    slots: dict[str, str]
    notes: list[str] = field(default_factory=list)
    first_person: dict[int, str] = field(default_factory=dict)
    """note index -> the same said by the user about themselves"""
    asks: list[tuple[str, str, str]] = field(default_factory=list)
    """(answer template, question template, kind)"""
    yes: list[str] = field(default_factory=list)

    @property
    def key(self) -> str:
        return "|".join(self.notes)

    def templates(self) -> set[str]:
        """Its wordings and questions with the types of the slots in place of their names."""
        texts = (*self.notes, *(question for _, question, _ in self.asks))
        return {SLOT.sub(lambda m: "{" + self.slots.get(m[1], m[1]).rstrip("23") + "}", t).lower() for t in texts}

    @property
    def held_out(self) -> bool:
        return zlib.crc32(self.key.encode()) % HELD_OUT_ONE_IN == 0


def kind_of(answer: str, question: str, first_answer: str) -> str:
    """Which of the prompts.QUESTION_KINDS this question is."""
    if SLOT.findall(answer) != SLOT.findall(first_answer):
        return "reversed"
    if REQUEST.match(question):
        return "request"
    return "plain" if QUESTION.match(question) and len(question.split()) > 3 else "short"


def parse(text: str) -> list[Frame]:
    """All well-formed frames of a file; a malformed one is an error that names it."""
    frames: list[Frame] = []
    for block in re.split(r"\n\s*\n", text):
        lines = [x.strip() for x in block.splitlines() if x.strip() and not x.lstrip().startswith("#")]
        if not lines:
            continue
        frame = Frame(slots={})
        for line in lines:
            head, _, rest = line.partition(":")
            rest = rest.strip()
            if head == "slots":
                frame.slots = dict(p.split("=") for p in rest.replace(",", " ").split())
            elif head == "note":
                frame.notes.append(rest)
            elif head == "me":
                frame.first_person[len(frame.notes) - 1] = rest
            elif head == "yes":
                frame.yes.append(rest)
            elif head.startswith("ask"):
                answer = head[3:].strip()
                first = frame.asks[0][0] if frame.asks else answer
                frame.asks.append((answer, rest, kind_of(answer, rest, first)))
        for template in [*frame.notes, *frame.yes, *(t for a in frame.asks for t in a[:2])]:
            for slot in SLOT.findall(template):
                if slot not in frame.slots and slot.lower() not in {"they", "them", "their"}:
                    raise ValueError(f"frame {frame.notes[:1]} uses the undeclared slot {{{slot}}}")
        if frame.notes and frame.asks:
            frames.append(frame)
    return frames


def load() -> tuple[list[Frame], list[Frame]]:
    """(training frames, held-out frames) of every frame file; none that is held out shares a wording or a question with training."""
    every = [
        f
        for path in sorted(FRAMES.glob("*.txt"))
        if path.stem not in {"styles", "chatter"}
        for f in parse(path.read_text())
    ]
    training = [f for f in every if not f.held_out]
    known = {t for f in training for t in f.templates()}
    return training, [f for f in every if f.held_out and known.isdisjoint(f.templates())]


def groups(name: str) -> dict[str, list[str]]:
    """The `[group]` sections of frames/<name>.txt."""
    out: dict[str, list[str]] = {}
    for line in (FRAMES / f"{name}.txt").read_text().splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            out[line[1:-1]] = []
        elif line and not line.startswith("#"):
            out[next(reversed(out))].append(line)
    return out


def capitalised(text: str) -> str:
    """Every sentence of `text` begins with a capital."""
    return re.sub(r"(^|[.!?] )([a-z])", lambda m: m[1] + m[2].upper(), text)


def articles(text: str) -> str:
    """`a` before a consonant, `an` before a vowel."""
    text = re.sub(r"\b([Aa]) (?=[aeioAEIO]\w|hour)", r"\1n ", text)
    return re.sub(r"\b([Aa])n (?!hour)(?=[bcdfghjklmnpqrstvwxyzBCDFGHJKLMNPQRSTVWXYZ]\w)", r"\1 ", text)


@dataclass(slots=True)
class Fact:
    """A frame with its slots filled."""

    frame: Frame
    values: dict[str, str]
    pronouns: tuple[str, str, str]
    wording: int = 0

    def say(self, template: str, *, sentence: bool = True) -> str:
        def value(m: re.Match[str]) -> str:
            name = m[1]
            low = name.lower()
            if name not in self.values and low in {"they", "them", "their"}:
                word = self.pronouns[("they", "them", "their").index(low)]
                return word.capitalize() if name[0].isupper() else word
            return self.values[name]

        text = articles(SLOT.sub(value, template))
        return capitalised(text) if sentence else text

    @property
    def note(self) -> str:
        return self.say(self.frame.notes[self.wording])

    def starts_proper(self, template: str) -> bool:
        """Whether the first word keeps its capital in the middle of a sentence."""
        m = SLOT.match(template)
        if m:
            return self.frame.slots.get(m[1], "").rstrip("23") in PROPER
        return template.startswith(("I ", "I'"))

    def answer(self, template: str, note: str) -> str | None:
        """The answer as the note words it: leading determiners and prepositions go until it is a span of the note."""
        text = self.say(template, sentence=False)
        low = note.lower()
        while text:
            if text.lower() in low:
                return text
            head, _, text = text.partition(" ")
            if head.lower() not in {
                "the",
                "a",
                "an",
                "in",
                "on",
                "at",
                "to",
                "from",
                "by",
                "for",
                "with",
                "my",
                "of",
                "your",
                "under",
                "behind",
            }:
                return None
        return None


def draw(frame: Frame, fill: Fill, given: dict[str, str] | None = None) -> Fact:
    """A fact of this frame with random values, all different; `given` slots keep their values."""
    values: dict[str, str] = dict(given or {})
    used = {v.lower() for v in values.values()}
    for slot, kind in frame.slots.items():
        if slot in values:
            continue
        for _ in range(20):
            value = fill(kind)
            if value.lower() not in used:
                break
        values[slot] = value
        used.add(value.lower())
    return Fact(frame, values, fill.rng.choice(PRONOUNS), fill.rng.randrange(len(frame.notes)))
