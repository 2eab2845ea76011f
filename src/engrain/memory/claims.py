"""What a short note claims, told from its words alone: which thing, and which value.

This decides, without any model, whether a newer note gives another value of the same thing. A wrong match hides a true
note, a missed one only shows two, so everything that is not clearly a state with one value at a time is left alone:
events ("Marta called on Friday"), tastes ("Anna likes tea"), descriptions, several clauses in one note.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from engrain.memory import lexicon as lex
from engrain.memory.phrases import (
    NOW,
    describes,
    is_name,
    is_number,
    kind_of_thing,
    normalise,
    plain,
    renewed,
    split,
    thing_of,
    unstamped,
    value_of,
    when_of,
)
from engrain.memory.styles import answer_style

_CHANGE = re.compile(
    r"\b(?:(?:has|have|is|are|was|were|got)\s+)?(?:now\s+|just\s+|recently\s+|also\s+)?(?:been\s+)?"
    r"(changed|moved|switched|rescheduled|postponed|updated|set|reset|raised|lowered|increased|reduced|renamed)\s+"
    r"(?:back\s+)?(?:from\s+[^,]+?\s+)?to\s+",
    re.I,
)
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


def claim_of(text: str) -> Claim | None:
    """What the note claims, or None where words alone do not tell."""
    body, stamped = unstamped(plain(text))
    style = answer_style(body)
    if style:
        side, alone = style
        return Claim(topic=("answers", side), form=side, value=normalise(body)) if alone else None
    body = _TITLES.sub(r"\1", body).rstrip(" .!")
    if not body or "?" in body or "\n" in body or re.search(r"[.!;]\s", body):
        return None
    now = NOW.search(body)
    body = " ".join(NOW.sub(" ", body).split())
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
        subject = thing_of(preferred[1].split())
        topic = (*subject, "prefers", *pair)
        return Claim(topic=topic, form="prefers", value=normalise(preferred[2])) if subject else None
    counted = re.match(r"there (?:is|are) (?:only )?(\S+) (.+)$", body, re.I)
    if counted and is_number(counted[1]):
        return Claim(topic=("there", *normalise(counted[2]).split()), form="count", value=counted[1].lower())
    labelled = re.match(r"([^:]{2,60}):\s+(\S.*)$", body)
    if labelled:
        what, _, whose = labelled[1].partition(", ")
        label = f"{what} of {whose}".split() if whose else what.split()
        return _copula(label, labelled[2].split(), verb="is") if kind_of_thing(label) == "one" else None
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
    if re.search(r"\b(?:is|are)\b(?! not)", body):
        body = re.sub(r",? (?:and )?(?:not|rather than) [^,]+$", "", body)
    return _sentence(body.split())


def _sentence(words: list[str]) -> Claim | None:
    """Find the verb of a plain sentence and read what stands on either side."""
    low = [w.lower() for w in words]
    if low[:1] == ["i"]:
        low[1:2] = [lex.FIRST_PERSON.get(w, w) for w in low[1:2]]
    for at in range(1, len(words) - 1):
        verb, rest = low[at], words[at + 1 :]
        subject, negated = words[:at], False
        if verb in {"does", "do", "doesn't", "don't"}:
            skip = 1 if verb.endswith("n't") or low[at + 1] != "not" else 2
            base = "".join(low[at + skip : at + skip + 1])
            verb, rest, negated = lex.FIRST_PERSON.get(base, ""), words[at + skip + 1 :], True
        if low[at - 2 : at] == ["no", "longer"]:
            subject, negated = words[: at - 2], True
        if verb in {"is", "are", "am"}:
            return _copula(subject, rest, verb=verb)
        found = _with_verb(subject, verb, rest) if words[at].islower() or negated else None  # not "Anode Works in …"
        if found:
            return _denied(found) if negated else found
    return None


def _with_verb(subject: list[str], verb: str, rest: list[str]) -> Claim | None:
    """State verbs that hold one value at a time: lives in, works at, opens at, costs, weighs, takes 62 mm rolls."""
    if verb not in lex.STATE_VERBS:
        return None
    thing = thing_of(subject)
    if not thing or not rest or "," in " ".join(rest).replace(",000", "000"):
        return None
    first = rest[0].lower()
    if verb in lex.PLACE_VERBS and first in lex.PLACE:
        return _place((*thing, lex.PLACE_VERBS[verb]), rest)
    if (verb, first) in lex.LINK_VERBS:
        core, tail = split(rest[1:])
        if not core or (first != "as" and core[0].lower() in {"a", "an"}):
            return None
        return Claim(topic=(*thing, verb, first, *tail), form=first, value=value_of(core))
    if verb in lex.TIME_VERBS:
        when, left = when_of(" ".join(rest))
        if not when:
            return None
        return Claim(topic=(*thing, lex.TIME_VERBS[verb], when[0], *left), form=when[0], value=when[1])
    if (verb in lex.MEASURE_VERBS or verb in lex.COUNT_VERBS) and is_number(rest[0]):
        core, tail = split(rest)
        if core is None:
            return None
        if verb in lex.MEASURE_VERBS:
            return Claim(topic=(*thing, lex.MEASURE_VERBS[verb], *tail), form="amount", value=value_of(core))
        counted = (*value_of(core[1:]).split(), *tail)
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
    kind = kind_of_thing(subject)
    turned = kind_of_thing(rest) in ("one", "owned") and is_name(subject) and low[0] not in {"a", "an", "one"}
    if kind != "one" and turned and len(subject) <= 3 and not {w.lower() for w in subject} & lex.PRONOUNS:
        subject, rest, kind = rest, subject, kind_of_thing(rest)
    text = " ".join(rest)
    if not rest or not subject or (", " in text and not re.search(r"\d, \d", text)):
        return None
    found = _valued(subject, rest, kind, verb)
    return _denied(found) if found and negated else found


def _denied(claim: Claim) -> Claim:
    """The claim that this value does not hold (any more)."""
    return replace(claim, negated=True, value=re.sub(r" (?:any ?more|any longer)$", "", claim.value))


def _valued(subject: list[str], rest: list[str], kind: str, verb: str) -> Claim | None:
    """The claim of SUBJECT is REST, by what kind of value REST is."""
    low = [w.lower() for w in rest]
    thing = thing_of(subject)
    if not thing or not low:
        return None
    determined = subject[0].lower() in {"the", "my", "our", "your"} or any("'" in w for w in subject)
    if low[0] in {"due", "held", "scheduled", "planned", "set"} and len(low) > 2:
        low, rest = (low[2:], rest[2:]) if low[1] in {"for", "by"} else (low[1:], rest[1:])
        thing = (*thing, "due")
    when, left = when_of(" ".join(rest))
    if when and kind == "one":
        return Claim(topic=(*thing, *left), form="value", value=when[1])
    if when:
        # Yoga may be on Monday and on Thursday; the meeting is on one of them.
        form = when[0] if (determined or when[0] == "time") and verb != "are" else ""
        return Claim(topic=(*thing, "is", when[0], *left), form=form, value=when[1])
    if low[0] in {"called", "named"} and is_name(rest[1:]) and kind != "one":
        core, tail = split(rest[1:])
        return Claim(topic=(*thing, "called", *tail), form="name", value=value_of(core)) if core else None
    if low[0] in lex.KEPT and len(low) > 1:
        low, rest = low[1:], rest[1:]
    if low[0] in lex.PLACE:
        return _place((*thing, "is"), rest, firm=determined or (verb != "are" and subject[0][:1].isupper()))
    state = lex.STATES.get(low[0])
    if state and kind != "one":
        _, tail = split(rest)
        topic = (*thing, "is", state, *tail)
        return Claim(topic=topic, form=state, value=low[0]) if len(low) == 1 + len(tail) else None
    core, tail = split(rest)
    if not core:
        return None
    words = [w.lower() for w in core]
    if kind == "one":
        thing, new = renewed(subject)
        if is_number(words[0]) or not describes(words):
            return Claim(topic=(*thing, *tail), form="value", value=value_of(core), changed=new)
        return None
    if all(w in lex.COLOURS for w in words):
        return Claim(topic=(*thing, "is", "colour", *tail), form="colour" if determined else "", value=" ".join(words))
    if is_number(words[0]):
        unit = tuple(w for w in value_of(core[1:]).split() if w not in {"years", "year", "old"})
        unit = ("money",) if set(unit) & lex.MONEY or words[0][0] in "$€£" else unit
        value = value_of(core) if unit == ("money",) else words[0]
        return Claim(topic=(*thing, "is", *unit, *tail), form="amount", value=value)
    if kind == "owned" and verb != "are" and is_name(core):
        thing, new = renewed(subject)
        return Claim(topic=(*thing, *tail), form="name", value=value_of(core), changed=new)
    return None


def _place(topic: tuple[str, ...], rest: list[str], *, firm: bool = True) -> Claim | None:
    """IN THE SHED: another place after the same preposition excludes; after another one it may just be more exact."""
    prep = rest[0].lower()
    rest = rest[2:] if prep == "next" and rest[1:2] == ["to"] else rest[1:]
    core, tail = split(rest)
    if not core or core[0].lower() in lex.NO_PLACE:
        return None
    # "in Oslo" and "in the choir" may both be true.
    form = f"{prep} the" if core[0].lower() in {"the", "my", "our"} else prep
    return Claim(topic=(*topic, "where", *tail), form=form if firm else "", value=f"{prep} {value_of(core)}")
