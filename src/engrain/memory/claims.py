"""What a short note claims, told from its words alone: which thing, and which value.

This decides, without any model, whether a newer note gives another value of the same thing. A wrong match hides a true
note, a missed one only shows two, so everything that is not clearly a state with one value at a time is left alone:
events ("Marta called on Friday"), tastes ("Anna likes tea"), descriptions, several clauses in one note.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace

from engrain.memory import lexicon as lex
from engrain.memory.kinds import answer_style

_MONTH = "|".join(f"{m[:3]}(?:{m[3:]})?" if m[3:] else m for m in lex.MONTHS)
_DATE = rf"\d{{4}}-\d\d-\d\d|(?:the )?\d{{1,2}}(?:st|nd|rd|th)?(?: of)? (?:{_MONTH})\b(?: \d{{4}})?|(?:{_MONTH}) \d{{1,2}}(?:st|nd|rd|th)?\b(?: \d{{4}})?"
_DAY = rf"(?:{'|'.join(lex.WEEKDAYS)})s?\b|{_DATE}|the \d{{1,2}}(?:st|nd|rd|th)\b"
_HOUR = "|".join("one two three four five six seven eight nine ten eleven twelve".split())
_TIME = rf"\d{{1,2}}[:.]\d\d(?: ?[ap]m)?|\d{{1,2}} ?[ap]m\b|(?:noon|midnight|midday|lunchtime)\b|(?:half past|quarter past|quarter to) (?:{_HOUR}|\d+)|(?:{_HOUR}|\d{{1,2}}) o'clock"
_STAMP = re.compile(
    rf"^(?:\[\d{{4}}-\d\d-\d\d[^\]]*\]|\d{{4}}-\d\d-\d\d:?|(?:as of|since|from|starting|starting from|effective)(?: on)? (?:now|today|{_DAY}|next \w+|\d{{4}})(?: on)?(?: onwards?)?,?"
    r"|(?:update|correction|actually|sorry|no|note|reminder|fyi|by the way|just so you know|please note that|now)[,:]|actually)\s+",
    re.I,
)
_CHANGE = re.compile(
    r"\b(?:(?:has|have|is|are|was|were|got)\s+)?(?:now\s+|just\s+|recently\s+|also\s+)?(?:been\s+)?"
    r"(changed|moved|switched|rescheduled|postponed|updated|set|reset|raised|lowered|increased|reduced|renamed)\s+"
    r"(?:back\s+)?(?:from\s+[^,]+?\s+)?to\s+",
    re.I,
)
_NOW = re.compile(r"\b(?:right now|from now on|now|currently|presently|these days|nowadays|as of today|instead(?! of))\b,?", re.I)
_WHEN = re.compile(rf"(?:(?:on|at|from|to|until|till|every|each|and|-)\s+)*(?:(?P<day>{_DAY})|(?P<time>{_TIME})|(?<=at )\d{{1,2}}\b|(?<=from )\d{{1,2}}\b|(?<=to )\d{{1,2}}\b|in the (?:morning|afternoon|evening))\s*,?\s*", re.I)
_TITLES = re.compile(r"\b(Dr|Mr|Mrs|Ms|St|Prof|No)\.", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A thing has a value: "the gate code of the north barn" is "4417"."""

    topic: tuple[str, ...]
    """Which thing and attribute, as words in a fixed order; equal for "the barn's code" and "the code of the barn"."""
    form: str
    """Two claims of one topic exclude each other if their forms are equal; "" excludes none by itself."""
    value: str
    changed: bool = False
    """The note itself says that it is a change ("now", "from now on", "has moved to")."""
    negated: bool = False
    """The note only says which value no longer holds."""


def normalise(text: str) -> str:
    """The words of a note in lower case, without date stamps, "now" and the like, articles and punctuation."""
    body, _ = _unstamped(_plain(text))
    words = re.findall(r"[\w@'./:+#%$€£&-]+", _NOW.sub(" ", body).lower())
    words = [w.strip("'.:/-") or w for w in words]
    return " ".join(_spelled(w) for w in words if w not in {"the", "actually", "still"})


def claim_of(text: str) -> Claim | None:
    """What the note claims, or None where words alone do not tell."""
    body, stamped = _unstamped(_plain(text))
    style = answer_style(body)
    if style:
        slot, conditional = style
        return None if conditional else Claim(topic=("answers", slot), form=slot, value=normalise(body))
    body = _TITLES.sub(r"\1", body).rstrip(" .!")
    if not body or "?" in body or "\n" in body or re.search(r"[.!;]\s", body):
        return None
    now = _NOW.search(body)
    body = " ".join(_NOW.sub(" ", body).split())
    changed = stamped or now is not None
    found = _procedure(body) or _statement(body)
    return replace(found, changed=found.changed or changed) if found else None


# -- whole notes ---------------------------------------------------------------------------------------------------


def _procedure(body: str) -> Claim | None:
    """ "When X, do Y": another Y for the same X replaces it only where the note says that it is a change."""
    match = re.match(r"(when|whenever|if|before|after|once)\s+([^,]+),\s*(?:then\s+)?(.+)$", body, re.I)
    if not match:
        return None
    first = "when" if match[1].lower() in {"when", "whenever", "if", "once"} else match[1].lower()
    return Claim(topic=(first, *normalise(match[2]).split()), form="", value=normalise(match[3]))


def _statement(body: str) -> Claim | None:
    preferred = re.match(r"(.+?) prefers? (.+?) (?:over|to|rather than) (.+)$", body, re.I)
    if preferred:
        pair = sorted((normalise(preferred[2]), normalise(preferred[3])))
        subject = _thing(preferred[1].split())
        return Claim(topic=(*subject, "prefers", *pair), form="prefers", value=normalise(preferred[2])) if subject else None
    counted = re.match(r"there (?:is|are) (?:only )?(\S+) (.+)$", body, re.I)
    if counted and _is_number(counted[1]):
        return Claim(topic=("there", *normalise(counted[2]).split()), form="count", value=counted[1].lower())
    labelled = re.match(r"([^:]{2,60}):\s+(\S.*)$", body)
    if labelled:
        what, _, whose = labelled[1].partition(", ")
        subject = f"{what} of {whose}".split() if whose else what.split()
        return _copula(subject, labelled[2].split(), verb="is") if _kind(subject) == "one" else None
    as_its = re.match(r"(.+?) (?:has|uses) (.+?) as (?:its|their|his|her) (.+)$", body, re.I)
    if as_its:
        body = f"the {as_its[3]} of {as_its[1]} is {as_its[2]}"
    how = _CHANGE.search(body)
    if how:
        found = _copula(body[: how.start()].split(), body[how.end() :].split(), verb="is")
        # "Our plumber moved to Bristol" is no new plumber: what moves gets another time, nothing else.
        if not found or (how[1].lower() in {"moved", "rescheduled", "postponed"} and found.form not in {"day", "time"}):
            return None
        return replace(found, changed=True)
    body = re.sub(r",? (?:and )?(?:not|rather than) [^,]+$", "", body) if re.search(r"\b(?:is|are)\b(?! not)", body) else body
    return _sentence(body.split())


def _sentence(words: list[str]) -> Claim | None:
    """Find the verb of a plain sentence and read what stands on either side."""
    low = [w.lower() for w in words]
    if low[:1] == ["i"]:
        low[1:2] = ["is" if w in {"am", "was"} else lex.FIRST_PERSON.get(w, w) for w in low[1:2]]
    for at in range(1, len(words) - 1):
        verb, rest = low[at], words[at + 1 :]
        subject, negated = words[:at], False
        if verb in {"does", "do", "doesn't", "don't"}:
            skip = 1 if verb.endswith("n't") or low[at + 1] != "not" else 2
            verb, rest, negated = lex.FIRST_PERSON.get("".join(low[at + skip : at + skip + 1]), ""), words[at + skip + 1 :], True
        if low[at - 2 : at] == ["no", "longer"]:
            subject, negated = words[: at - 2], True
        if verb in {"is", "are", "am"}:
            return _copula(subject, rest, verb=verb)
        found = _with_verb(subject, verb, rest) if words[at].islower() or negated else None  # not "Anode Works in …"
        if found:
            return replace(found, negated=negated, value=_without_ending(found.value) if negated else found.value)
    return None


def _with_verb(subject: list[str], verb: str, rest: list[str]) -> Claim | None:
    """State verbs that hold one value at a time: lives in, works at, opens at, costs, weighs, takes 62 mm rolls."""
    if verb not in lex.STATE_VERBS:
        return None
    thing = _thing(subject)
    if not thing or not rest or "," in " ".join(rest).replace(",000", "000"):
        return None
    first = rest[0].lower()
    if verb in lex.PLACE_VERBS and first in lex.PLACE:
        return _place((*thing, lex.PLACE_VERBS[verb]), rest)
    if (verb, first) in lex.LINK_VERBS:
        core, tail = _split(rest[1:])
        if not core or (first != "as" and core[0].lower() in {"a", "an"}):
            return None
        return Claim(topic=(*thing, verb, first, *tail), form=first, value=_value(core))
    if verb in lex.TIME_VERBS:
        when, left = _when(" ".join(rest))
        if not when:
            return None
        return Claim(topic=(*thing, lex.TIME_VERBS[verb], when[0], *left), form=when[0], value=when[1])
    if (verb in lex.MEASURE_VERBS or verb in lex.COUNT_VERBS) and _is_number(rest[0]):
        core, tail = _split(rest)
        if core is None:
            return None
        if verb in lex.MEASURE_VERBS:
            return Claim(topic=(*thing, lex.MEASURE_VERBS[verb], *tail), form="amount", value=_value(core))
        counted = (*_value(core[1:]).split(), *tail)
        return Claim(topic=(*thing, lex.COUNT_VERBS[verb], *counted), form="count", value=core[0].lower())
    return None


def _copula(subject: list[str], rest: list[str], *, verb: str) -> Claim | None:
    """SUBJECT is VALUE, in either order."""
    low = [w.lower() for w in rest]
    negated = low[:2] == ["no", "longer"] or low[:1] == ["not"]
    if negated:
        rest = rest[2 if low[0] == "no" else 1 :]
        if "but" in low:
            rest, negated = rest[[w.lower() for w in rest].index("but") + 1 :], False
    kind = _kind(subject)
    if kind != "one" and rest and _kind(rest) in ("one", "owned") and len(subject) <= 3 and _names(subject):
        if rest[0].lower() not in {"a", "an", "one"} and not set(w.lower() for w in subject) & lex.PRONOUNS:
            subject, rest = rest, subject
            kind = _kind(subject)
    text = " ".join(rest)
    if not rest or not subject or (", " in text and not re.search(r"\d, \d", text)):
        return None
    found = _valued(subject, rest, kind, verb)
    return replace(found, negated=negated, value=_without_ending(found.value) if negated else found.value) if found else None


def _valued(subject: list[str], rest: list[str], kind: str, verb: str) -> Claim | None:
    """The claim of SUBJECT is REST, by what kind of value REST is."""
    low = [w.lower() for w in rest]
    thing = _thing(subject)
    if not thing:
        return None
    determined = subject[0].lower() in {"the", "my", "our", "your"} or any("'" in w for w in subject)
    if low[0] in {"due", "held", "scheduled", "planned", "set"} and len(low) > 1:
        low, rest = (low[2:], rest[2:]) if low[1] in {"for", "by"} else (low[1:], rest[1:])
        thing = (*thing, "due")
    when, left = _when(" ".join(rest))
    if when and kind == "one":
        return Claim(topic=(*thing, *left), form="value", value=when[1])
    if when:
        # Yoga may be on Monday and on Thursday; the meeting is on one of them.
        form = when[0] if (determined or when[0] == "time") and verb != "are" else ""
        return Claim(topic=(*thing, "is", when[0], *left), form=form, value=when[1])
    if low[0] in {"called", "named"} and _names(rest[1:]) and kind != "one":
        core, tail = _split(rest[1:])
        return Claim(topic=(*thing, "called", *tail), form="name", value=_value(core)) if core else None
    if low[0] in lex.KEPT and len(low) > 1:
        low, rest = low[1:], rest[1:]
    if low[0] in lex.PLACE:
        return _place((*thing, "is"), rest, firm=determined or (verb != "are" and subject[0][:1].isupper()))
    state = lex.STATES.get(low[0])
    if state and kind != "one":
        _, tail = _split(rest)
        return Claim(topic=(*thing, "is", state, *tail), form=state, value=low[0]) if len(low) == 1 + len(tail) else None
    core, tail = _split(rest)
    if not core:
        return None
    words = [w.lower() for w in core]
    if kind == "one":
        thing, new = _renewed(subject)
        if _is_number(words[0]) or not _describes(words):
            return Claim(topic=(*thing, *tail), form="value", value=_value(core), changed=new)
        return None
    if all(w in lex.COLOURS for w in words):
        return Claim(topic=(*thing, "is", "colour", *tail), form="colour" if determined else "", value=" ".join(words))
    if _is_number(words[0]):
        unit = tuple(w for w in _value(core[1:]).split() if w not in {"years", "year", "old"})
        unit = ("money",) if set(unit) & lex.MONEY or words[0][0] in "$€£" else unit
        return Claim(topic=(*thing, "is", *unit, *tail), form="amount", value=words[0])
    if kind == "owned" and verb != "are" and _names(core):
        thing, new = _renewed(subject)
        return Claim(topic=(*thing, *tail), form="name", value=_value(core), changed=new)
    return None


def _place(topic: tuple[str, ...], rest: list[str], *, firm: bool = True) -> Claim | None:
    """IN THE SHED: the same preposition with another place excludes; another one may be the same place, more exactly."""
    prep = "next" if rest[0].lower() == "next" else rest[0].lower()
    rest = rest[2:] if prep == "next" and rest[1:2] == ["to"] else rest[1:]
    core, tail = _split(rest)
    if not core or core[0].lower() in {"a", "an", "order", "stock", "use", "charge", "fire", "love", "time", "holiday", "sale"}:
        return None
    # "in Oslo" and "in the choir" may both be true.
    form = f"{prep} the" if core[0].lower() in {"the", "my", "our"} else prep
    return Claim(topic=(*topic, "where", *tail), form=form if firm else "", value=_value(core))


# -- phrases -------------------------------------------------------------------------------------------------------


def _thing(words: list[str]) -> tuple[str, ...]:
    """A noun phrase as words in one order: "the code of the barn" = "the barn's code" = (barn, code); () if unclear."""
    low = [_spelled(w.lower().strip(",\"'()")) for w in words]
    if not low or len(low) > 12 or low[0] in lex.PRONOUNS - {"a", "an"}:
        return ()
    for join in ("of", "for"):
        at = low.index(join) if join in low[1:-1] else 0
        if at and (join == "of" or low[at - 1] in lex.ONE_VALUED):
            what, whose = _thing(low[:at]), _thing(low[at + 1 :])
            return (*whose, *what) if what and whose else ()
    mine = {"my": "user", "i": "user", "your": "user", "mine": "user"}
    parts = [mine.get(w, w) for w in low]
    parts = [w[:-2] if w.endswith("'s") else w.rstrip("'") for w in parts]
    return tuple(w for w in parts if w not in {"the", "our", "a", "an"} and w)


def _kind(words: list[str]) -> str:
    """`one`: names an attribute with one value; `owned`: somebody's or something's X; `thing`: anything else."""
    thing = _thing(words)
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


def _renewed(subject: list[str]) -> tuple[tuple[str, ...], bool]:
    """The thing without a "new" that belongs to the attribute ("the new gate code of …"), and whether there was one.

    The "new" of "the code of the new barn" names another barn and stays; so does that of "the new barn code".
    """
    low = [w.lower() for w in subject]
    at = low.index("of") if "of" in low else len(low)
    for i in range(at):
        follows = i > 0 and (low[i - 1].endswith("'s") or low[i - 1] in {"my", "our", "your", "the"})
        if low[i] == "new" and (follows or i == 0) and (at < len(low) or at - i <= 2 or low[i - 1] != "the"):
            return _thing(subject[:i] + subject[i + 1 :]), True
    return _thing(subject), False


def _split(words: list[str]) -> tuple[list[str] | None, tuple[str, ...]]:
    """The value and its restriction: "5 euros for members" -> [5, euros], (for, members). None if it holds a clause."""
    low = [w.lower() for w in words]
    if set(low) & lex.OPENERS:
        return None, ()
    low.append("")
    at = next((i for i, w in enumerate(low) if i and w in lex.QUALIFIERS and not (w == "to" and _is_number(low[i + 1]))), len(words))
    return (words[:at], tuple(normalise(" ".join(words[at:])).split())) if at <= 8 else (None, ())


def _when(text: str) -> tuple[tuple[str, str] | None, tuple[str, ...]]:
    """A day or time at the start of `text`: ((form, value), what is left), or (None, ()) if there is none.

    "Monday at 9" is a moment; in "10 on Sundays" and "at 10 on Sunday" the day restricts, so it is part of what is left.
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


def _names(words: list[str]) -> bool:
    """Whether this looks like a name, a code or a number: a capital or a digit, and no article."""
    return bool(words) and (words[0][:1].isupper() or any(c.isdigit() for c in words[0])) and words[0].lower() not in {"the", "a", "an", "my", "our"}


def _describes(words: list[str]) -> bool:
    """Whether the words describe ("easy to remember", "written on the router") instead of naming a value."""
    first = words[0]
    return first in lex.QUALITIES or (first.isalpha() and len(first) > 4 and first.endswith(lex.QUALITY_ENDINGS))


def _is_number(word: str) -> bool:
    return bool(re.match(r"[$€£]?\d", word)) or word.lower() in lex.NUMBER_WORDS


def _value(words: list[str]) -> str:
    return normalise(" ".join(words))


def _without_ending(value: str) -> str:
    return re.sub(r" (?:any ?more|any longer)$", "", value)


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).translate(str.maketrans("’‘“”–—", "''\"\"--"))
    text = re.sub(r"\bI'm\b", "I am", text, flags=re.I)
    text = re.sub(r"\b(is|are|does|do)n't\b", r"\1 not", text, flags=re.I)
    text = re.sub(r"\bthe user\b('s)?", lambda m: "my" if m[1] else "I", text, flags=re.I)
    return text.strip().lstrip("-*• ").strip()


def _unstamped(text: str) -> tuple[str, bool]:
    """The text without leading dates and openers, and whether one of them says "from now on"."""
    stamped = False
    while match := _STAMP.match(text):
        stamped |= bool(re.match(r"as of|from|starting|effective|update|now", match[0], re.I))
        text = text[match.end() :].lstrip()
    return text, stamped


def _spelled(word: str) -> str:
    return {"favorite": "favourite", "color": "colour", "gray": "grey", "neighbor": "neighbour", "license": "licence"}.get(word, word)
