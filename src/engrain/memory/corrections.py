"""What a correction makes wrong, and how it reads by itself later; both told from words alone, as in `claims`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engrain.memory import lexicon as lex
from engrain.memory.claims import claim_of
from engrain.memory.extract import content_words, denies
from engrain.memory.kinds import kind_of
from engrain.memory.phrases import describes
from engrain.prompts import UNKNOWN
from engrain.records import Memory

LONGEST_QUESTION = 300
"""Characters; a longer one is no heading for a value."""
_OPENING = re.compile(
    r"^(?:(?:no|wrong|actually|sorry|correction)\b[,:.!]?\s+)*(?:(?:it|that|they)(?:'s|\s+is|\s+are)\s+)?", re.I
)
_THING = re.compile(r"(?P<ask>what|who|where|when)(?P<verb>'s| is| are) (?P<thing>(?:the|our|my|your) [^?,;]+)\?", re.I)
_DOER = re.compile(r"who (?!(?:is|was|does|else)\b)(?P<deed>\w+(?:s|ed) [^?,;]+)\?", re.I)


def contradicted(question: str, answer: str, correction: str, notes: Sequence[Memory]) -> list[str]:
    """Ids of the notes that hold the wrong answer and that the correction speaks of.

    A note holds it if a word of the answer that the correction does not repeat stands in it. The correction speaks of the
    same thing if what it repeats of the question stands in the note, and it shares more than half of the note's other telling
    words with all names and numbers among them (all of them, where it repeats nothing of the question). So a note that was only
    misread, about another thing, is left alone. A correction that denies ("not Marta") takes the notes all of whose words it repeats.
    """
    if answer.strip(" .!").casefold() == UNKNOWN.casefold():
        return []
    right = content_words(correction)
    wrong, asked = content_words(answer) - right, content_words(question) & right
    found: list[str] = []
    for note in notes:
        held = content_words(note.text)
        others = held - wrong
        denied = denies(correction) and not denies(note.text) and held <= right
        source = held & wrong and others and asked <= held and _names(note.text) - wrong <= right
        same = len(others & right) > len(others) / 2 if asked else others <= right
        if held and (denied or (source and same)):
            found.append(note.id)
    return found


def stated(question: str, correction: str) -> str:
    """The correction as a note that can be read by itself: a bare value is joined with what was asked.

    ("What is the gate code?", "5521") gives "The gate code is 5521."; where the question is of another form, both are kept:
    "Which code opens the gate? 5521." A correction that says itself what it is about stays as it is.
    """
    body = " ".join(correction.split())
    asked = re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(question.split()))[-1]
    if not asked.endswith("?") or len(asked) > LONGEST_QUESTION or not is_bare(body, asked):
        return body
    value = _OPENING.sub("", body).rstrip(" .!")
    words = value.lower().split()
    if words and not set(words) & lex.OPENERS and not describes(words):
        thing, doer = _THING.fullmatch(asked), _DOER.fullmatch(asked)
        if thing and (thing["ask"].lower() not in {"where", "when"} or words[0] in lex.PLACE):
            subject = thing["thing"]
            verb = "are" if thing["verb"].strip().lower() == "are" else "is"
            return f"{subject[:1].upper()}{subject[1:]} {verb} {value}."
        if doer:
            return f"{value[:1].upper()}{value[1:]} {doer['deed']}."
    return f"{asked} {value or body}."


def is_bare(text: str, question: str) -> bool:
    """Whether this is only a value: short, with no word of what was asked, and no statement by itself."""
    alone = claim_of(text) is not None or kind_of(text) != "fact" or "?" in text
    return not alone and len(text.split()) <= 6 and not content_words(text) & content_words(question)


def _names(text: str) -> set[str]:
    """The telling words of a text that begin with a capital or hold a digit."""
    marked = [w for w in re.findall(r"\S+", text) if w.lstrip("\"'(“‘")[:1].isupper() or any(c.isdigit() for c in w)]
    return content_words(" ".join(marked))
