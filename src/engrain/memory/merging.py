"""Merge two texts that say nearly the same, and refuse whatever would lose a detail: a number, a name, a condition, the order of steps.

Compressing is where memories decay: a rewritten playbook loses what made it useful (ACE calls it context collapse and brevity bias). So what is
kept is whole sentences, and any text that is to stand for others, whoever wrote it, is held against them first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple

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
_AGAINST = words("not never no")
_LACKING = re.compile(r"\b(?:without|except)\b(?: for)?(?: (?:any|the|a|an))? ([\w-]+)", re.I)
_NEXT = re.compile(r"(?:^|,? )(?:and )?(?:then|next|after that|afterwards|finally|lastly|secondly|thirdly)\b,?|;", re.I)
"""What stands between two steps, or before the next one."""
_NO_STEP = words(
    """a an the this that these those it he she we you they i my your our his her their there here what who which where why how all any both
    some each every no not never always only also additionally however and or but so because since if when whenever while unless until though
    although in on at by for from with without within during as is are was were be do does did should must may might can could will would shall
    note tip remember ensure make avoid prefer"""
)
"""A sentence that begins with one of these tells no step, or one that is to be done whenever it applies."""
_ALIKE = 0.6
"""Share of telling words that two sentences have in common that may contradict each other."""
_RETOLD = 0.8
"""Share of the telling words of steps that are told again, perhaps in another order."""
_SAME = 0.9
"""Share of them that two have in common that say the same."""


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
    missing += [
        f"the order of {', then '.join(said)}" for text in before for said in steps(text) if not _follow(said, after)
    ]
    return list(dict.fromkeys(missing))


def steps(text: str) -> list[list[str]]:
    """The parts of a text whose order matters: the sentences that tell what to do, and what "then" and the like stand between. Several lists where a
    text tells of several things."""
    told = list[str]()
    found = [told]
    last = told
    for sentence in sentences(_plain(text)):
        parts = [part.strip(" ,.") for part in _NEXT.split(sentence)]
        first = re.match(r"\W*(\w*)", sentence)
        if parts[0]:  # does not go on with the one before
            last = told if first and first[1].lower() not in _NO_STEP else []
            found.append(last)
        last += filter(None, parts)
    return [chain for i, chain in enumerate(found) if len(chain) > 1 and not any(chain is c for c in found[:i])]


def _follow(said: Sequence[str], after: str) -> bool:
    """Whether steps follow each other in a text as well, once from the first to the last; or are told there in other words, so that nobody can tell."""
    numbers, there = details("; ".join(said)), details(after)
    if set(numbers) <= set(there) and not _in_order(numbers, there):
        return False
    wanted = [set(_telling(step)) for step in said]
    every = set[str]().union(*wanted)
    told = [_telling("; ".join(chain)) for chain in (*steps(after), *([s] for s in sentences(_plain(after))))]
    retold = [chain for chain in told if len(every.intersection(chain)) >= _RETOLD * len(every)]
    return not retold or any(_step_by_step(wanted, chain) for chain in retold)


def _step_by_step(wanted: Sequence[Set[str]], chain: Sequence[str]) -> bool:
    """Whether each set of words, as far as they are in the chain, is met there after the one before, or what it adds to all before."""
    met, at, there = set[str](), 0, set(chain)
    for step in wanted:
        left = (step - met or step) & there
        met |= step
        while left and at < len(chain):
            left = left - {chain[at]}
            at += 1
        if left:
            return False
    return True


def covers(whole: str, part: str) -> bool:
    """Whether a text says all that another says, as far as words tell: nothing is lost, every telling word is there, and in the same order where
    it matters what stands where ("from the vault to the laptop")."""
    telling, there = _telling(part), _telling(whole)
    if lost([part], whole) or not set(telling) <= set(there) or contradict(whole, part):
        return False
    return not _DIRECTIONS & set(re.findall(r"[a-z]+", part.lower())) or _in_order(telling, there)


def contradict(one: str, other: str) -> bool:
    """Whether a sentence of one denies what one of the other says, as far as words tell: the same words, but for a "not" or "never". What both
    texts say does not set them against each other."""
    ours, theirs = ([_saying(s) for s in sentences(_plain(t), apart=True)] for t in (one, other))
    alone = [a for a in ours if not any(_same(a, b) for b in theirs)]
    return any(_opposed(a, b) for b in theirs if not any(_same(a, b) for a in ours) for a in alone)


class _Saying(NamedTuple):
    """One sentence, as far as it can be held against another one."""

    words: set[str]
    denied: bool
    lacking: set[str]
    """What it says is missing: "without heating it"."""


def _saying(sentence: str) -> _Saying:
    lacking = set().union(*(content_words(word) for word in _LACKING.findall(sentence)))
    return _Saying(content_words(sentence), bool(_AGAINST & conditions(sentence)), lacking)


def _same(one: _Saying, other: _Saying) -> bool:
    return one[1:] == other[1:] and overlap(one.words, other.words) >= _SAME


def _opposed(one: _Saying, other: _Saying) -> bool:
    """A "not" counts wherever it stands, for it may be far from what it denies; a "without" only if the other one has what is missing."""
    missing = (one.lacking & other.words - other.lacking) | (other.lacking & one.words - one.lacking)
    return overlap(one.words, other.words) >= _ALIKE and (one.denied != other.denied or bool(missing))


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
