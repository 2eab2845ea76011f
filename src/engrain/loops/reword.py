"""Other ways to type one question: what is learned from many typings is known in more than these.

Measured on sprout with 32 memories: questions of other wordings, never trained on, were answered right after training half again as
often with four rewordings of each question as without, from no better fit to the training questions (docs/lab-log.md).
"""

from __future__ import annotations

import random
import re

from engrain.records import content_hash

_LEADS = (
    "Tell me: ", "Quick question: ", "I forgot. ", "Hello, ", "Please: ", "Do you know? ", "One more thing: ", "So, ", "Hi! ",
    "Remind me: ", "I wonder: ", "Again, ", "Just to be sure: ", "Sorry, ", "By the way, ",
)  # fmt: skip
_TAILS = ("", "", " Thanks.", " Please.", " I need it now.", " Do you remember?")
_LIGHT = frozenset(
    [
        "the",
        "a",
        "an",
        "is",
        "are",
        "was",
        "were",
        "do",
        "does",
        "did",
        "of",
        "to",
        "for",
        "me",
        "you",
        "can",
        "tell",
        "what",
        "it",
        "that",
        "i",
    ]
)
_ASKING = _LIGHT | frozenset(("how", "which", "who", "whose", "where", "when", "much", "many"))


def rewordings(question: str, count: int) -> list[str]:
    """At most `count` other typings of a question, by its content alone: behind a greeting, in small letters, without its light
    words, or its telling words only. Whether they can still be understood, the teacher's answers tell."""
    rng = random.Random(content_hash(["reword", question]))
    found: dict[str, None] = {}
    for _ in range(8 * count):
        if len(found) == count:
            break
        text = _retyped(question, rng)
        if text.casefold() != question.casefold() or text == question.lower():
            found[text] = None
    found.pop(question, None)
    return list(found)


def _retyped(text: str, rng: random.Random) -> str:
    way = rng.choice(("lead", "small", "dropped", "keys", "lead and dropped"))
    if "lead" in way:
        lead = rng.choice(_LEADS)
        first = text.split(" ", 1)[0]
        # A question word is no name, so within a sentence it is written small.
        small = lead[-2] not in ".!?" and first.lower() in _ASKING
        text = lead + (text[:1].lower() + text[1:] if small else text) + rng.choice(_TAILS)
    if way == "small":
        return text.lower().rstrip("?.")
    if "dropped" in way:
        kept = [w for w in text.split() if _plain(w) not in _LIGHT or rng.random() < 0.5]
        return " ".join(kept) if len(kept) > 1 else text
    if way == "keys":
        words = [w.strip("?.,:") for w in text.split() if _plain(w) not in _ASKING]
        turn = rng.randrange(len(words)) if len(words) > 2 and rng.random() < 0.5 else 0
        return " ".join((*words[turn:], *words[:turn])) + rng.choice(("?", "")) if len(words) > 1 else text
    return text


def _plain(word: str) -> str:
    return re.sub(r"\W", "", word).lower()
