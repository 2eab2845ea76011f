"""Merge two texts that say nearly the same, and refuse whatever would lose a detail: a number, a name, a condition, the order of steps.

Compressing is where memories decay: a rewritten playbook loses what made it useful (ACE calls it context collapse and brevity bias). So what is
kept is whole sentences, and any text that is to stand for others, whoever wrote it, is held against them first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set

from engrain.memory.documents import sentences
from engrain.memory.extract import content_words
from engrain.memory.lexicon import NUMBER_WORDS, words

CONDITIONS = words(
    """if unless when whenever until while before after once only never always not no without except instead first then
    finally last each every at least most more less than must cannot don't"""
)
_DETAIL = re.compile(
    r"`[^`]+`|\"[^\"]+\"|(?<!\w)'[^']+'(?!\w)"  # quoted
    r"|(?<!\w)\w+(?:[._/:@-]\w+)+(?:\(\))?|(?<!\w)\w+\(\)"  # names of things in programs, paths, addresses, times
    r"|(?<!\w)[^\W\d]*\d\w*%?"  # whatever holds a digit
    r"|(?<=[a-z,;] )[A-Z]\w+"  # a name within a sentence
)
_DIRECTIONS = words("from to into onto before after instead than over under by with without")
"""Words between which it matters what stands where."""
_AGAINST = words("not never no without except")
_ALIKE = 0.6
"""Share of telling words that two sentences have in common that may contradict each other."""


def details(text: str) -> list[str]:
    """What a shorter text must not lose, in order: numbers, codes, names, what is quoted."""
    found = [d.strip("`\"'").lower() for d in _DETAIL.findall(_plain(text))]
    return found + [w for w in re.findall(r"[a-z]+", text.lower()) if w in NUMBER_WORDS]


def conditions(text: str) -> set[str]:
    """The small words on which it depends when, how often and in which order something is to be done."""
    said = re.findall(r"[a-z']+", _plain(text).lower())
    return {w for w in said if w in CONDITIONS} | (
        {"not"} if any(w.endswith("n't") or w == "cannot" for w in said) else set()
    )


def lost(before: Sequence[str], after: str) -> list[str]:
    """What `after`, which is to stand for all of `before`, leaves out of them: details, conditions, and the order of steps. Empty: nothing."""
    told, held = details(after), conditions(after)
    spoken = {
        w.lower() for w in re.findall(r"\b[A-Z]\w+", _plain(after))
    }  # a name may begin the sentence, and is no detail there
    missing = [d for text in before for d in details(text) if d not in told and d not in spoken]
    missing += [c for text in before for c in sorted(conditions(text) - held)]
    for text in before:
        if (
            {"then", "first"} & conditions(text)
            and not set(details(text)) - set(told)
            and not _in_order(details(text), told)
        ):
            missing.append("the order of " + ", ".join(details(text)))
    return list(dict.fromkeys(missing))


def covers(whole: str, part: str) -> bool:
    """Whether a text says all that another says, as far as words tell: nothing is lost, every telling word is there, and in the same order where
    it matters what stands where ("from the vault to the laptop")."""
    telling, there = _telling(part), _telling(whole)
    if lost([part], whole) or not set(telling) <= set(there) or contradict(whole, part):
        return False
    return not _DIRECTIONS & set(re.findall(r"[a-z]+", part.lower())) or _in_order(telling, there)


def contradict(one: str, other: str) -> bool:
    """Whether a sentence of one denies what one of the other says, as far as words tell: the same words, but for a "not" or "never"."""
    for a in sentences(one):
        for b in sentences(other):
            alike = overlap(content_words(a), content_words(b)) >= _ALIKE
            if alike and bool(_AGAINST & conditions(a)) != bool(_AGAINST & conditions(b)):
                return True
    return False


def overlap(one: Set[str], other: Set[str]) -> float:
    """What two sets of words have in common, as a share of all of them (Jaccard, 1912); 0 … 1, and 0 for two empty ones."""
    return len(one & other) / max(1, len(one | other))


def united(one: str, other: str, *, longest: int) -> str | None:
    """One text for two that say nearly the same: the fuller one, and each sentence of the other that it does not say. None if that is longer than
    `longest` characters, if they contradict each other, or if something would be lost after all."""
    if covers(one, other):
        return one
    if covers(other, one):
        return other
    if contradict(one, other):
        return None
    fuller, rest = (one, other) if len(content_words(one)) >= len(content_words(other)) else (other, one)
    text = " ".join([_ended(fuller), *(s for s in _sentences(rest) if not covers(fuller, s))])
    return text if len(text) <= longest and not lost([one, other], text) else None


def _telling(text: str) -> list[str]:
    """The telling words, in order."""
    return [stem for word in re.findall(r"[\w'.:/@-]*\w", _plain(text)) for stem in sorted(content_words(word))]


def _plain(text: str) -> str:
    return text.replace("\u2019", "'")


def _sentences(text: str) -> Iterator[str]:
    yield from map(_ended, sentences(text))


def _ended(text: str) -> str:
    return text if text.rstrip().endswith((".", "!", "?", ":", ";")) else f"{text.rstrip()}."


def _in_order(wanted: Sequence[str], there: Sequence[str]) -> bool:
    left = iter(there)
    return all(any(d == other for other in left) for d in wanted)
