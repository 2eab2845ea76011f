"""Sentences word by word: what a text in other words must not lose, and when two sentences are the same.

A sentence is read as tokens in order: details (numbers with their signs and units, names, what is quoted), binding words (negations, conditions,
bounds) and telling words; the rest says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from engrain.memory.documents import sentences
from engrain.memory.extract import stem
from engrain.memory.lexicon import NUMBER_WORDS, words

_NEGATIONS = words(
    """not no never none nobody nothing nowhere neither nor cannot hardly rarely seldom dont doesnt isnt wont
    nicht kein keine keinen keinem keiner niemals não nunca jamais jamás niet geen inte ikke eivät nie не нет никогда нельзя"""
)
LACKING = words("without except lack lacks lacking")
"""What follows one of these is missing."""
CONDITIONS = LACKING | words(
    """if unless when whenever until till while before after once only always instead first then finally last each every least most more less must
    over under above below exactly between outside off"""
)
"""Small words on which it depends when, how often and in which order something is to be done, and how much of it."""
TURNS = words(
    """may might can could or either but up on in out within about during whether assuming provided case max maximum min minimum fewer than all some half
    almost nearly few many both refuse avoid stop prevent forbid fail"""
)
"""Small words that turn what is said, and may be put otherwise."""
_EMPTY = words(
    """a an the this that these those i me my mine you your yours he him his she her hers it its we us our ours they them their theirs is are am was
    were be been being have has had do does did will would shall should to of and also please just very really so as there here any"""
)
_UNITS = words(
    """second seconds minute minutes hour hours day days week weeks month months year years percent degree degrees euro euros dollar dollars metre metres
    meter meters litre litres gram grams byte bytes ms s min h km m cm mm kg g l kb mb gb tb"""
)
_TOKEN = re.compile(
    r"""`[^`]+` | "[^"]+" | (?<!\w)'[^']+'(?!\w)                            # quoted
    | (?:[<>]=?|==?|!=|≤|≥|~)\s*(?=[-+$€£]?\d)                              # how a number is bound
    | (?:(?<![\w)])[-+±])?[$€£¥]?\d(?:[\w.,:/%°]|[-+](?=\w))*               # numbers and codes, with sign, currency and unit
    | \w+(?:[._/:@-]\w+)+(?:\(\))? | \w+\(\) | \w+(?:\+\+|\#)(?!\w)         # names of things in programs, paths, addresses
    | \w+(?:'\w+)? | ->|→|(?<=\s)[-+*/<>=](?=\s) | [$€£]""",
    re.X,
)
_ARTICLES = words("a an the please")
_FOLDED = str.maketrans("\u2019\u02bc\u00b4\u2212", "'''-")
"""Other apostrophes and the sign of minus."""


class Token(NamedTuple):
    """One word that says something."""

    text: str
    kind: str
    """`detail`, `binding` or `word`."""


def tokens(sentence: str) -> list[Token]:
    """What a sentence says, word by word; of "the flap of the kiln" as of "the kiln flap"."""
    sentence = re.sub(
        r"\b(?!instead|out|because|all|none|some|most|each|half)([^\W\d]+) of (?:the |a |an |our |my )?([^\W\d]+)\b",
        r"\2 \1",
        plain(sentence),
    )
    found: list[Token] = []
    for match in _TOKEN.finditer(sentence):
        said = match[0].strip()
        low = said.lower().removesuffix("'s")
        if low in _NEGATIONS or low.endswith("n't"):
            found.append(Token("not", "binding"))
        elif low in CONDITIONS or low in TURNS or re.fullmatch(r"[^\w$€£]+", low):
            found.append(Token(low, "binding"))
        elif _is_detail(said, sentence[max(0, match.start() - 2) : match.start()]):
            found.append(Token(low.strip("`\"'").rstrip(".,:/"), "detail"))
        elif low not in _EMPTY:
            found.append(Token(stem(low), "word"))
    return found


def details(text: str) -> list[str]:
    """What a shorter text must not lose, in order: numbers, codes, names, what is quoted."""
    return [t.text for s in apart(text) for t in tokens(s) if t.kind == "detail"]


def conditions(text: str) -> set[str]:
    """The small words on which it depends when, how often and in which order something is to be done; "not" for any negation."""
    return {t.text for s in apart(text) for t in tokens(s) if t.kind == "binding"}


def spoken(sentence: str) -> tuple[str, ...]:
    """The words of a sentence as they are compared: without articles and the punctuation around them, and small where only the first letter is large."""
    found: list[str] = []
    for word in plain(sentence).split():
        bare = word.strip('"“”').rstrip('.,;:!?"“”') or word
        bare = bare.lower() if not found or bare[1:].islower() else bare
        found += [bare] if bare not in _ARTICLES else []
    return tuple(found)


def is_number(token: Token) -> bool:
    """Whether it is a number, in digits or in a word."""
    return token.kind == "detail" and (any(c.isdigit() for c in token.text) or token.text in NUMBER_WORDS)


def telling(text: str) -> list[str]:
    """The details and telling words of a sentence, in order."""
    return [t.text for t in tokens(text) if t.kind != "binding"]


def words_of(text: str) -> set[str]:
    """All details and telling words of a text."""
    return {w for s in sentences(text) for w in telling(s)}


def apart(text: str) -> Iterator[str]:
    """The sentences of a text, each by itself, also one that leans on the one before."""
    yield from sentences(plain(text), apart=True)


def plain(text: str) -> str:
    """The text with plain apostrophes and the plain sign of minus."""
    return text.translate(_FOLDED)


def _is_detail(said: str, before: str) -> bool:
    name = said[0].isupper() and re.search(r"[a-z,;0-9] $", before)
    unit = said.lower() in _UNITS and re.search(r"\d\s?$", before)
    return (
        bool(name or unit) or not said.replace("'", "").isalpha() or said.lower() in NUMBER_WORDS or said[0] in "`\"'"
    )
