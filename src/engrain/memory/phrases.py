"""The parts of a note: noun phrases in one order of words, values and their restrictions, days and times, stamps."""

from __future__ import annotations

import re
import unicodedata

from engrain.memory import lexicon as lex
from engrain.memory.lexicon import any_of

_MONTH = "|".join(f"{m[:3]}(?:{m[3:]})?" for m in lex.MONTHS)
_DATE = any_of(rf"""
    \d{{4}}-\d\d-\d\d
    (?:the )?\d{{1,2}}(?:st|nd|rd|th)?(?: of)? (?:{_MONTH})\b(?: \d{{4}})?
    (?:{_MONTH}) \d{{1,2}}(?:st|nd|rd|th)?\b(?: \d{{4}})?
    the \d{{1,2}}(?:st|nd|rd|th)\b
""")
_DAY = rf"(?:{'|'.join(lex.WEEKDAYS)})s?\b|{_DATE}"
_HOUR = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
_TIME = any_of(rf"""
    \d{{1,2}}[:.]\d\d(?: ?[ap]m)?|\d{{1,2}} ?[ap]m\b|(?:noon|midnight|midday|lunchtime)\b
    (?:half past|quarter past|quarter to) (?:{_HOUR}|\d+)|(?:{_HOUR}|\d{{1,2}}) o'clock
""")
_WHEN = re.compile(
    r"(?:(?:on|at|from|to|until|till|every|each|and|-)\s+)*"
    rf"(?:(?P<day>{_DAY})|{_TIME}|(?:(?<=at )|(?<=from )|(?<=to ))\d{{1,2}}\b|in the (?:morning|afternoon|evening))"
    r"\s*,?\s*",
    re.I,
)
_SINCE = rf"(?:now|today|{_DAY}|next \w+|\d{{4}})(?: on)?(?: onwards?)?,?"
_OPENER = "update|correction|actually|sorry|no|note|reminder|fyi|by the way|just so you know|please note that|now"
_STAMP = re.compile(
    any_of(rf"""
    ^\[\d{{4}}-\d\d-\d\d[^\]]*\]
    ^\d{{4}}-\d\d-\d\d:?
    ^(?:as of|since|from|starting|starting from|effective)(?: on)? {_SINCE}
    ^(?:{_OPENER})[,:]
    ^actually
""")
    + r"\s+",
    re.I,
)
NOW = re.compile(
    r"\b(?:right now|from now on|now|currently|presently|these days|nowadays|as of today|instead(?! of))\b,?", re.I
)
"""Words that say that this is how it is now, and perhaps was not before."""


def normalise(text: str) -> str:
    """The words of a note in lower case, without date stamps, "now" and the like, articles and punctuation."""
    body, _ = unstamped(plain(text))
    words = re.findall(r"[\w@'./:+#%$€£&-]+", NOW.sub(" ", body).lower())
    words = [w.strip("'.:/-") or w for w in words]
    kept = " ".join(_spelled(w) for w in words if w not in {"the", "actually", "still"})
    return kept.lstrip("- ")  # a dash that stands first now would be a bullet when this is read again


def thing_of(words: list[str]) -> tuple[str, ...]:
    """A noun phrase as words in one order: "the code of the barn" = "the barn's code" = (barn, code); () if unclear."""
    low = [_spelled(w.lower().strip(",\"'()")) for w in words]
    if not low or len(low) > 12 or low[0] in lex.PRONOUNS - {"a", "an"}:
        return ()
    for join in ("of", "for"):
        at = low.index(join) if join in low[1:-1] else 0
        if at and (join == "of" or low[at - 1] in lex.ONE_VALUED):
            what, whose = thing_of(low[:at]), thing_of(low[at + 1 :])
            return (*whose, *what) if what and whose else ()
    mine = {"my": "user", "i": "user", "your": "user", "mine": "user"}
    parts = [mine.get(w, w) for w in low]
    parts = [w[:-2] if w.endswith("'s") else w.rstrip("'") for w in parts]
    return tuple(w for w in parts if w not in {"the", "our", "a", "an"} and w)


def kind_of_thing(words: list[str]) -> str:
    """`one`: names an attribute with one value; `owned`: somebody's or something's X; `thing`: anything else."""
    thing = thing_of(words)
    if not thing:
        return "thing"
    low = [w.lower() for w in words]
    at = next((i for i, w in enumerate(low) if w in {"of", "for"} and i), len(low))
    head = _spelled(low[at - 1].strip(","))
    if low[0] in {"a", "an"}:
        return "thing"
    owned = "of" in low[1:] or any(w.endswith(("'s", "s'")) for w in low[:-1]) or low[0] in {"my", "our", "your"}
    if head == "name" and lex.MANY_VALUED & set(thing):
        return "thing"  # "my son's name": there may be another son
    if head in lex.MANY_VALUED or head.endswith(("ies",)) or {"one", "another", "some"} & set(low[:at]):
        return "thing"
    return "one" if head in lex.ONE_VALUED or "favourite" in thing else "owned" if owned else "thing"


def renewed(subject: list[str]) -> tuple[tuple[str, ...], bool]:
    """The thing without a "new" that belongs to the attribute ("the new gate code of …"), and whether there was one.

    The "new" of "the code of the new barn" names another barn and stays; so does that of "the new barn code".
    """
    low = [w.lower() for w in subject]
    at = low.index("of") if "of" in low else len(low)
    for i in range(at):
        follows = i > 0 and (low[i - 1].endswith("'s") or low[i - 1] in {"my", "our", "your", "the"})
        if low[i] == "new" and (follows or i == 0) and (at < len(low) or at - i <= 2 or low[i - 1] != "the"):
            return thing_of(subject[:i] + subject[i + 1 :]), True
    return thing_of(subject), False


def split(words: list[str]) -> tuple[list[str] | None, tuple[str, ...]]:
    """The value and its restriction: "5 euros for members" -> [5, euros], (for, members). None if it holds a clause."""
    low = [w.lower() for w in words]
    if set(low) & lex.OPENERS:
        return None, ()
    low.append("")
    at = next(
        (i for i, w in enumerate(low) if i and w in lex.QUALIFIERS and not (w == "to" and is_number(low[i + 1]))),
        len(words),
    )
    return (words[:at], tuple(normalise(" ".join(words[at:])).split())) if at <= 8 else (None, ())


def when_of(text: str) -> tuple[tuple[str, str] | None, tuple[str, ...]]:
    """A day or time at the start of `text`: ((form, value), what is left), or (None, ()) if there is none.

    "Monday at 9" is a moment; in "10 on Sundays" and "at 10 on Sunday" the day restricts and is part of what is left.
    """
    end, days, times, recurring = 0, list[str](), list[str](), False
    while match := _WHEN.match(text, end):
        said = match[0].lower()
        if match["day"] and times:
            break
        recurring |= bool(re.search(r"\b(?:every|each)\b|days\b", said))
        (days if match["day"] else times).append(re.sub(r"\b(?:on|at|the|of)\s+", "", said).strip(" ,"))
        end = match.end()
    left = tuple(normalise(text[end:]).split())
    if not end or set(left) & lex.OPENERS:
        return None, ()
    if recurring:
        return (("time", " ".join(times)), (*days, *left)) if times else (("", " ".join(days)), left)
    return ("day" if days else "time", " ".join((*days, *times))), left


def is_name(words: list[str]) -> bool:
    """Whether this looks like a name, a code or a number: a capital or a digit, and no article."""
    return (
        bool(words)
        and (words[0][:1].isupper() or any(c.isdigit() for c in words[0]))
        and words[0].lower() not in {"the", "a", "an", "my", "our"}
    )


def describes(words: list[str]) -> bool:
    """Whether the words describe ("easy to remember", "written on the router") instead of naming a value."""
    first = words[0]
    return first in lex.QUALITIES or (first.isalpha() and len(first) > 4 and first.endswith(lex.QUALITY_ENDINGS))


def is_number(word: str) -> bool:
    """Whether the word is a number in digits (perhaps with a currency before it) or in words."""
    return bool(re.match(r"[$€£]?\d", word)) or word.lower() in lex.NUMBER_WORDS


def value_of(words: list[str]) -> str:
    """A value in the form in which two are compared."""
    return normalise(" ".join(words))


def plain(text: str) -> str:
    """The text with plain quotes and dashes, "I am" written out, and "the user" as who is speaking ("I", "my")."""
    text = unicodedata.normalize("NFKC", text).translate(str.maketrans("’‘“”–—", "''\"\"--"))
    text = re.sub(r"\bI'm\b", "I am", text, flags=re.I)
    text = re.sub(r"\b(is|are|does|do)n't\b", r"\1 not", text, flags=re.I)
    text = re.sub(r"\bthe user\b('s)?", lambda m: "my" if m[1] else "I", text, flags=re.I)
    return text.strip().lstrip("-*• ").strip()


def unstamped(text: str) -> tuple[str, bool]:
    """The text without leading dates and openers, and whether one of them says "from now on"."""
    stamped = False
    while match := _STAMP.match(text):
        stamped |= bool(re.match(r"as of|from|starting|effective|update|now", match[0], re.I))
        text = text[match.end() :].lstrip()
    return text, stamped


def _spelled(word: str) -> str:
    return lex.SPELLINGS.get(word, word)
