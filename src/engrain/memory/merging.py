"""Merge two texts that say nearly the same, and refuse whatever would lose a detail: a number, a name, a condition, the order of steps.

Compressing is where memories decay: a rewritten playbook loses what made it useful (ACE calls it context collapse and brevity bias). So what is
kept is whole sentences, and any text that is to stand for others, whoever wrote it, is held against them first.

Texts that are merged by rules are held against each other sentence by sentence: one says another if they are the same words, but for articles and the
punctuation around them (`covers`). A text in other words, by a model or by hand, is read as tokens: details (numbers with their signs and
units, names, what is quoted), binding words (negations, conditions, bounds) and telling words; what is compared is the details, what the binding
words bind, what the numbers are of, and the order of steps (`lost`). It refuses more than it must, and cannot see what no word tells.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from typing import NamedTuple

from engrain.memory.documents import sentences
from engrain.memory.extract import stem
from engrain.memory.steps import are_steps, follow, in_order, steps
from engrain.memory.tokens import LACKING, TURNS, Token, apart, details, is_number, plain, spoken, tokens, words_of

_ENDS = re.compile(r"[;.!?](?=\s|$)|,|\b(?:and|or|but|then)\b", re.I)
_OPPOSITES = {
    a: b
    for said in (
        "on off", "in out", "up down", "open close", "start stop", "enable disable", "inside outside", "before after", "more less", "most least", "over under",
        "above below", "allow forbid", "allow refuse", "increase decrease", "true false", "first last", "lock unlock", "always rarely", "must may", "accept reject",
    )
    for pair in (said.split(), [stem(w) for w in said.split()])
    for a, b in (pair, pair[::-1])
}  # fmt: skip
_SHORT = 8
"""Telling words of a sentence in which a "not" concerns all of it."""
_ALIKE, _SAME = 0.6, 0.9
"""Shares of telling words: of two sentences that may contradict each other; that say the same."""


def covers(whole: str, part: str) -> bool:
    """Whether a text says all that another says: each sentence is one of its own, in the same words, and steps follow each other as they do there."""
    lines, parts = [spoken(s) for s in sentences(whole)], sentences(part)
    at = 0
    for sentence, step in zip(parts, are_steps(parts), strict=True):
        wanted = spoken(sentence)
        place = next((i for i in range(at if step else 0, len(lines)) if lines[i] == wanted), None)
        if place is None:
            return False
        at = place + 1 if step else at
    return True


def contradict(one: str, other: str) -> bool:
    """Whether a sentence of one denies what one of the other says, as far as words tell: the same words, but for a "not" or what it stands before. What both
    texts say does not set them against each other."""
    ours, theirs = ([_saying(s) for s in apart(t)] for t in (one, other))
    alone = [a for a in ours if not any(_same(a, b) for b in theirs)]
    return any(_opposed(a, b) for b in theirs if not any(_same(a, b) for a in ours) for a in alone)


def overlap(one: Set[str], other: Set[str]) -> float:
    """What two sets of words have in common, as a share of all of them (Jaccard, 1912); 0 … 1, and 0 for two empty ones."""
    return len(one & other) / max(1, len(one | other))


class United(NamedTuple):
    """One text for two, or why there is none."""

    text: str
    reason: str


def united(one: str, other: str, *, longest: int) -> United:
    """One text for two that say nearly the same: the fuller one, and each sentence of the other that it does not say. The text is empty if that is longer than
    `longest` characters, if they contradict each other, or if their steps follow each other in another order."""
    for whole, part in ((one, other), (other, one)):
        if covers(whole, part):
            return United(whole, "it says nothing more")
    if contradict(one, other):
        return United("", "they contradict each other")
    fuller, rest = (one, other) if len(words_of(one)) >= len(words_of(other)) else (other, one)
    text = " ".join(map(_ended, _woven(sentences(fuller), sentences(rest))))
    if len(text) > longest:
        return United("", f"together they would be longer than {longest} characters")
    if not (covers(text, one) and covers(text, other)):
        return United("", "their steps follow each other in another order")
    return United(text, "they nearly repeat each other; whole sentences of both are kept")


def _woven(fuller: Sequence[str], rest: Sequence[str]) -> list[str]:
    """The sentences of the fuller one, and those of the other that it does not say, each before the next one that it does say."""
    lines = [spoken(s) for s in fuller]
    before: dict[int, list[str]] = {}
    at = len(fuller)
    for sentence in reversed(rest):
        wanted = spoken(sentence)
        if (said := next((i for i in reversed(range(at)) if lines[i] == wanted), None)) is not None:
            at = said
        elif wanted not in lines:
            before.setdefault(at, []).insert(0, sentence)
    return [s for i in range(len(fuller) + 1) for s in (*before.get(i, ()), *fuller[i : i + 1])]


def lost(before: Sequence[str], after: str) -> list[str]:
    """What `after`, which is to stand for all of `before` in its own words, leaves out of them: details, negations and conditions or what they are about,
    which number belongs to what, and the order of steps. Empty: nothing."""
    said, lines = [tokens(s) for s in apart(after)], {spoken(s) for s in sentences(after)}
    there = {t.text for some in said for t in some}
    named = there | {
        w.lower() for w in re.findall(r"\b[A-Z]\w+", plain(after))
    }  # a name may begin the sentence, and is no detail there
    bound = {pair for some in said for pair in _bound(some, every=True)}
    counted = _counted(after, every=True)
    missing: list[str] = []
    for whole in before:
        other = [s for s in sentences(whole) if spoken(s) not in lines]
        text = " ".join(map(_ended, other))  # what is not said in the same words
        missing += [d for d in details(text) if d not in named]
        for some in map(tokens, apart(text)):
            for word, what in _bound(some):
                if word not in there:
                    missing += [word] if word not in TURNS else []
                elif what in there and (word, what) not in bound:
                    missing.append(f"{word} {what}")
        for number, of in _counted(text).items():
            missing += [
                f"{number} of {w}" for w in sorted(of & there) if number in counted and w not in counted[number]
            ]
        missing += [f"the order of the words of {s!r}" for s in other if _turned(tokens(s), said)]
        missing += [f"the order of {', then '.join(chain)}" for chain in steps(whole) if not follow(chain, after)]
    return list(dict.fromkeys(missing))


# -- one sentence and another ---------------------------------------------------------------------------------------


def _turned(sentence: Sequence[Token], said: Sequence[Sequence[Token]]) -> bool:
    """Whether nearly the same words are said, but in no sentence in the same order: who pays whom, from where to where."""
    own = [t.text for t in sentence]
    again = [[t.text for t in s] for s in said]
    again = [s for s in again if len(s) <= len(own) + 2 and len(set(own) & set(s)) >= _SAME * len(set(own))]
    return len(own) > 2 and bool(again) and not any(in_order([w for w in own if w in s], s) for s in again)


class _Saying(NamedTuple):
    """One sentence, as far as it can be held against another one."""

    words: set[str]
    all: set[str]
    details: set[str]
    denied: set[str]
    """What it says is not so; "" where that is not clear."""
    lacking: set[str]
    """What it says is missing: "without heating it"."""


def _saying(sentence: str) -> _Saying:
    said = tokens(sentence)
    pairs = _bound(said)
    return _Saying(
        {t.text for t in said if t.kind != "binding"}, {t.text for t in said}, {t.text for t in said if t.kind == "detail"}, {what for word, what in pairs if word == "not"},
        {what for word, what in pairs if word in LACKING},
    )  # fmt: skip


def _same(one: _Saying, other: _Saying) -> bool:
    bound = one.all - one.words == other.all - other.words
    return bound and one[3:] == other[3:] and overlap(one.words, other.words) >= _SAME


def _opposed(one: _Saying, other: _Saying) -> bool:
    """In short sentences a "not" counts wherever it stands, for it may be far from what it denies; in longer ones, and a "without", if the other one
    has what it stands before. What has other numbers and names is about something else."""
    if overlap(one.words, other.words) < _ALIKE or (one.details - other.words and other.details - one.words):
        return False
    if any(_OPPOSITES.get(w) in other.all - one.all for w in one.all - other.all):
        return True
    if max(len(one.words), len(other.words)) <= _SHORT and bool(one.denied) != bool(other.denied):
        return True
    return any(
        what & words - theirs
        for what, words, theirs in (
            (one.denied, other.words, other.denied), (other.denied, one.words, one.denied),
            (one.lacking, other.words, other.lacking), (other.lacking, one.words, one.lacking),
        )
    )  # fmt: skip


def _bound(said: Sequence[Token], *, every: bool = False) -> list[tuple[str, str]]:
    """Each binding word with what it stands before; with `every`, with all that comes after it in the sentence."""
    found: list[tuple[str, str]] = []
    for at, token in enumerate(said):
        if token.kind == "binding":
            later = [t.text for t in said[at + 1 :] if t.kind != "binding"] or [""]
            found += [(token.text, what) for what in (later if every else later[:1])]
    return found


def _counted(text: str, *, every: bool = False) -> dict[str, set[str]]:
    """Of each number the words of its own: those nearest to it in its clause that no other number has, too; with `every`, these, too."""
    found: dict[str, set[str]] = {}
    for sentence in apart(text):
        clauses: list[list[Token]] = [[]]
        for clause in _ENDS.split(sentence):
            said = tokens(clause)
            if any(map(is_number, said)) and any(map(is_number, clauses[-1])):
                clauses.append([])
            clauses[-1] = [*clauses[-1], *said]
        for clause in clauses:
            numbers = [i for i, t in enumerate(clause) if is_number(t)]
            for i, token in enumerate(clause):
                if token.kind != "binding" and i not in numbers and numbers:
                    nearest = min(numbers, key=lambda n, i=i: (abs(n - i), n))  # type: ignore[misc]
                    found.setdefault(clause[nearest].text, set()).add(token.text)
    shared = {w for a in found for w in found[a] for b in found if a != b and w in found[b]}
    return found if every else {number: of - shared for number, of in found.items()}


def _ended(text: str) -> str:
    return text if text.rstrip().endswith((".", "!", "?", ":", ";", "。", "！", "？", "…")) else f"{text.rstrip()}."
