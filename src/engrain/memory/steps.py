"""Steps: which parts of a text follow each other, and whether they do so in another text as well."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set

from engrain.memory.documents import sentences
from engrain.memory.lexicon import words
from engrain.memory.tokens import plain, telling

_NEXT = re.compile(
    r"(?:^|,? )(?:and )?(?:then|next|after that|afterwards|finally|lastly|secondly|thirdly)\b,?|;|->|→|\([a-h1-9]\)",
    re.I,
)
"""What stands between two steps, or before the next one."""
_NO_STEP = words(
    """i we my our in for only because since although always never also additionally however no not note tip remember ensure make avoid prefer don't"""
)
"""A sentence that begins with one of these tells what happened, or what always holds; any other may be a step."""
_CONDITIONAL = words("if when whenever while unless until once after before")
"""A sentence that begins with one of these is a step among steps, and a rule where it stands alone."""
_RETOLD = 0.8
"""Share of the telling words of steps that are told again, perhaps in another order."""


def steps(text: str) -> list[list[str]]:
    """The parts of a text whose order matters: the sentences that may tell what to do, and what "then" and the like stand between. Several lists where a
    text tells of several things."""
    told = list[str]()
    found = [told]
    last = told
    parts = sentences(plain(text))
    for sentence, step in zip(parts, are_steps(parts), strict=True):
        clauses = [part.strip(" ,.") for part in _NEXT.split(sentence)]
        if len(clauses) == 1 and _opening(sentence) not in _NO_STEP | _CONDITIONAL:
            listed = re.split(r", (?:and )?", clauses[0])
            clauses = listed if len(listed) > 2 else clauses  # "Install the driver, reboot, and run the test"
        if clauses[0]:  # does not go on with the one before
            last = told if step else []
            found.append(last)
        last += filter(None, clauses)
    return [chain for i, chain in enumerate(found) if len(chain) > 1 and not any(chain is c for c in found[:i])]


def follow(said: Sequence[str], after: str) -> bool:
    """Whether steps follow each other in a text as well, once from the first to the last; or are told there in other words, so that nobody can tell."""
    wanted = [telling(step) for step in said]
    every = set[str]().union(*wanted)
    whole = [t for s in sentences(plain(after)) for t in telling(s)]
    told = [[t for step in chain for t in telling(step)] for chain in steps(after)]
    told += [telling(s) for s in sentences(plain(after))]
    retold = [chain for chain in told if len(every.intersection(chain)) >= _RETOLD * len(every)]
    if not retold and len(every.intersection(whole)) >= _RETOLD * len(every):
        retold = [whole]
    return not retold or any(_step_by_step([set(w) for w in wanted], chain) for chain in retold)


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


def _opening(sentence: str) -> str:
    first = re.match(r"\W*([\w']*)", sentence)
    return first[1].lower() if first else ""


def are_steps(parts: Sequence[str]) -> list[bool]:
    """Which of the sentences follow each other as steps; none if only one does."""
    kinds = [_opening(s) for s in parts]
    told = any(k not in _NO_STEP | _CONDITIONAL for k in kinds)
    found = [k not in _NO_STEP and (k not in _CONDITIONAL or told) for k in kinds]
    return found if sum(found) > 1 else [False] * len(found)


def in_order(wanted: Sequence[str], there: Sequence[str]) -> bool:
    """Whether all of them are there, one after the other."""
    left = iter(there)
    return all(any(w == other for other in left) for w in wanted)
