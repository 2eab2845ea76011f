"""Merge two texts that say nearly the same, and refuse whatever would lose a detail: a number, a name, a condition, the order of steps.

Compressing is where memories decay: a rewritten playbook loses what made it useful (ACE calls it context collapse and brevity bias). So what is
kept is whole sentences, and any text that is to stand for others, whoever wrote it, is held against them first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from engrain.memory.documents import sentences
from engrain.memory.extract import content_words
from engrain.memory.lexicon import NUMBER_WORDS, words

CONDITIONS = words(
    """if unless when whenever until while before after once only never always not no without except instead first then
    finally last each every at least most more less than must cannot don't"""
)
_DETAIL = re.compile(
    r"`[^`]+`|\"[^\"]+\"|(?<!\w)'[^']+'(?!\w)"  # quoted
    r"|\w+(?:[._/:@-]\w+)+(?:\(\))?|\w+\(\)"  # names of things in programs, paths, addresses, times
    r"|\w*\d\w*%?"  # whatever holds a digit
    r"|(?<=[a-z,;] )[A-Z]\w+"  # a name within a sentence
)
_SAID = 0.7
"""Share of a sentence's telling words that must be said for it to be said."""


def details(text: str) -> list[str]:
    """What a shorter text must not lose, in order: numbers, codes, names, what is quoted."""
    found = [d.strip("`\"'").lower() for d in _DETAIL.findall(text)]
    return found + [w for w in re.findall(r"[a-z]+", text.lower()) if w in NUMBER_WORDS]


def conditions(text: str) -> set[str]:
    """The small words on which it depends when, how often and in which order something is to be done."""
    return {w for w in re.findall(r"[a-z']+", text.lower()) if w in CONDITIONS}


def lost(before: Sequence[str], after: str) -> list[str]:
    """What `after`, which is to stand for all of `before`, leaves out of them: details, conditions, and the order of steps. Empty: nothing."""
    told, held = details(after), conditions(after)
    missing = [d for text in before for d in details(text) if d not in told]
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
    """Whether a text says all that another says, as far as words tell: nothing is lost, and its telling words are there."""
    telling = content_words(part)
    return not lost([part], whole) and len(telling & content_words(whole)) >= _SAID * len(telling)


def united(one: str, other: str, *, longest: int) -> str | None:
    """One text for two that say nearly the same: the fuller one, and each sentence of the other that it does not say. None if that is longer than
    `longest` characters, or would lose something after all."""
    if covers(one, other):
        return one
    if covers(other, one):
        return other
    fuller, rest = (one, other) if len(content_words(one)) >= len(content_words(other)) else (other, one)
    text = " ".join([_ended(fuller), *(s for s in _sentences(rest) if not covers(fuller, s))])
    return text if len(text) <= longest and not lost([one, other], text) else None


def _sentences(text: str) -> Iterator[str]:
    yield from map(_ended, sentences(text))


def _ended(text: str) -> str:
    return text if text.rstrip().endswith((".", "!", "?", ":", ";")) else f"{text.rstrip()}."


def _in_order(wanted: Sequence[str], there: Sequence[str]) -> bool:
    left = iter(there)
    return all(any(d == other for other in left) for d in wanted)
