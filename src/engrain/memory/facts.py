"""A note that states several facts becomes several notes: each can then be superseded, corrected, taught and forgotten by itself."""

from __future__ import annotations

import re

from engrain.memory import lexicon as lex
from engrain.memory.claims import claim_of
from engrain.memory.documents import sentences

_JOINT = re.compile(r",?\s+(?:and|but|while)\s+|;\s+")
_VERBS = lex.STATE_VERBS | {"is", "are", "am"} | frozenset(lex.FIRST_PERSON)
_ELLIPTIC = lex.words(
    "one ones other others former latter first second last same rest left right north south east west"
)
"""Last words of a subject that leave its noun to the clause before: "and the south is 5 metres wide"."""


def facts(text: str) -> list[str]:
    """The facts that a text states, each in a sentence that can be read by itself; what words alone do not take apart stays whole.

    "The rent is 300 euros and is due on Friday." is two; "The vet is Dr. Lund and she comes on Tuesdays." stays one.
    """
    whole = sentences(text)
    parts = [part for sentence in whole for part in _parts(sentence)]
    return parts if len(whole) < 2 or all(map(claim_of, parts)) else [text]


def _parts(sentence: str) -> list[str]:
    """A sentence as its facts: only if each part is a statement of its own, with its own subject or the one before it."""
    end = re.search(r"[.!]*$", sentence.rstrip())
    assert end is not None
    parts: list[str] = []
    subject: list[str] = []
    for piece in _JOINT.split(sentence.rstrip()[: end.start()]):
        words = piece.split()
        if subject and words and words[0] in _VERBS:
            words = [*subject, *words]
        at = next((i for i, word in enumerate(words) if i and word.lower() in _VERBS), 0)
        subject = words[:at]
        if not subject or subject[-1].endswith("'s") or subject[-1].lower() in _ELLIPTIC | lex.COLOURS:
            return [sentence]
        parts.append(" ".join(words))
    if len(parts) < 2 or not all(map(claim_of, parts)):
        return [sentence]
    return [f"{part[0].upper()}{part[1:]}{end[0] or '.'}" for part in parts]
