"""Which notes a user's message leaves behind: the model proposes, the message itself must bear it out."""

from __future__ import annotations

import re

from engrain.memory.lexicon import words
from engrain.memory.phrases import normalise
from engrain.prompts import NOTES_HEADER, extract_request
from engrain.protocols import Sampler
from engrain.records import Message

_FUNCTION = words(
    """a about after all also always am an and any are as at be because been before being but by can could did do does
    doing done down each every first for from had has have having he her hers him his how i if in into is it its just
    let like may me might mine must my need no not now of off often on once one only or our out over own please s
    shall she should so some t than that the their them then there these they this those to too up us use user user's
    users very was we were what when where which while who whom whose why will with would you your yours wants want"""
)
"""Words that a note may use although the message does not: pronouns change, and small words join."""
_NEGATION = re.compile(r"\b(?:not|no|never|none|nobody|nothing|neither|nor|without|cannot|\w+n't)\b", re.I)


def extract(engine: Sampler, message: str, *, shown: str = "", adapter: str = "", max_tokens: int = 160) -> list[str]:
    """The notes worth keeping from what the user said, in the model's words, each borne out by the message.

    Pass only what the user said, never a prompt with recalled text; `shown` is the context of that interaction, and
    lines of it that were pasted back are left out. Raises whatever the engine raises.
    """
    said = drop_recalled(message, shown)
    if not re.search(r"\w", said):
        return []
    request = [Message(role="user", content=extract_request(said))]
    completion = engine.sample([request], adapter=adapter, max_tokens=max_tokens, temperature=0.0)[0]
    text = completion.text
    if completion.finish_reason == "length":  # the last line may be cut in the middle of a number
        text = text.rpartition("\n")[0]
    return grounded(parse_notes(text), said)


def parse_notes(answer: str) -> list[str]:
    """The lines of the form "- note", in order, without repetitions; everything else is ignored."""
    notes: dict[str, str] = {}
    for line in answer.splitlines():
        note = line.strip()[2:].strip() if line.strip().startswith("- ") else ""
        if re.search(r"\w", note):
            notes.setdefault(normalise(note), note)
    return list(notes.values())


def grounded(notes: list[str], message: str) -> list[str]:
    """The notes whose words and numbers all occur in the message, and that deny exactly where it denies."""
    there = {stem(w) for w in _words(message)}
    return [n for n in notes if content_words(n) <= there and _same_sign(n, message)]


def drop_recalled(message: str, context: str) -> str:
    """The message without the notes of the context that were pasted back as list lines, quoted lines or in quotes.

    What the user says again in a sentence of their own stays; it confirms.
    """
    shown = {normalise(line.strip().lstrip("-*•> ")) for line in context.splitlines()} - {""}
    if not shown:
        return message
    kept: list[str] = []
    for line in message.splitlines():
        body = line.strip()
        marked = re.match(r"(?:[-*•>]\s*)+", body)
        if body == NOTES_HEADER or (marked and normalise(body[marked.end() :]) in shown):
            continue
        kept.append(re.sub(r"[\"“]([^\"“”]+)[\"”]", lambda m: "" if normalise(m[1]) in shown else m[0], line))
    return "\n".join(kept)


def content_words(text: str) -> set[str]:
    """The words of a text that carry its meaning, in lower case and cut to their stems; numbers and codes stay whole."""
    return {stem(w) for w in _content(text)}


def denies(text: str) -> bool:
    """Whether the text says that something is not so."""
    return bool(_NEGATION.search(text))


def _words(text: str) -> list[str]:
    text = text.lower().replace("’", "'")
    whole = re.findall(r"\w+(?:[.:/@'-]\w+)*", text)
    return [*whole, *(part for w in whole for part in re.split(r"['-]", w) if part and part != w and not _digits(w))]


def _content(note: str) -> list[str]:
    whole = re.findall(r"\w+(?:[.:/@'-]\w+)*", note.lower().replace("’", "'"))
    return [w for w in (w.removesuffix("'s") for w in whole) if w not in _FUNCTION and not _NEGATION.fullmatch(w)]


def _digits(word: str) -> bool:
    return any(c.isdigit() for c in word)


def stem(word: str) -> str:
    """Enough to let "likes" stand for "like" and "lives" for "live"; numbers and codes stay exactly as they are."""
    if _digits(word) or len(word) < 4:
        return word
    word = word.removesuffix("'s")
    return re.sub(r"(?:ies|y|es|e|s)$", "", word) if len(word) > 3 else word


def _same_sign(note: str, message: str) -> bool:
    """Whether the part of the message that the note comes from denies exactly if the note does."""
    wanted = content_words(note)
    clauses = re.split(r"[.!?;,\n]+\s|\s(?:but|and)\s", message)
    common = [len(wanted & {stem(w) for w in _words(c)}) for c in clauses]
    closest = [c for c, n in zip(clauses, common, strict=True) if n == max(common) and n]
    if denies(note):
        return any(denies(c) for c, n in zip(clauses, common, strict=True) if n)
    return not closest or any(not denies(c) for c in closest)
