"""Takes a short note apart into clauses: subject, verb, and the parts that follow it.

A parser of closed word lists and a few rules, for short declarative English; where it finds no verb it finds no clause.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from engrain.loops.verbs import AUXILIARIES, BASES, BE, PASTS, THIRD, base_form, is_participle
from engrain.memory.lexicon import ACTIONS, MONTHS, NUMBER_WORDS, PLACE, PLACE_VERBS, WEEKDAYS, words

DETERMINERS = words(
    """the a an my our your his her its their this that these those every each some any no all both only most two three
    four five six seven eight nine ten"""
)
_PRONOUNS = words("i we you he she it they there")
_ADVERBS = words(
    "always usually never often sometimes normally mostly only also still now just not rarely already generally best"
)
PREPOSITIONS = PLACE | words(
    """for during with without after before from until till to into onto over through by about within since as across
    around along past towards off out up down"""
)
_WHERE = (PLACE | words("into onto through over across along around past")) - {"against", "between"}
_PARTICLES = words("in out up down off on over away back home place")
_NO_FRONT = words("least most no case average first last total all")
"""What follows a preposition that is no place or time of its own: "at least", "in case of"."""
_UNFINISHED = words("of second third fourth other and or next last first Mr Mrs Ms Dr San St New Saint")
"""Words that a place or a time does not end with."""
SOMEBODY = words("somebody someone everybody everyone nobody")
_STANDS = words("lies lie stands stand hangs hang sits sit lives live comes come is are")
"""Verbs that may stand before their subject, behind a place."""
_MANNER = words("best well married free late early halfway straight alone together")
_ALONE = words("every each last next once twice today tomorrow daily hourly weekly monthly yesterday tonight")
_CLAUSES = {"because": "why", "when": "when", "whenever": "when", "if": "when", "while": "when", "unless": "when"}
RELATIVE = words("that which who whose where called named so but than")
_FORMS = AUXILIARIES | frozenset(THIRD) | PASTS | BASES
_NOUNS = frozenset(THIRD) | words("saw felt cut set ring left")
_PERIODS = words(
    "spring summer autumn fall winter morning afternoon evening night noon midnight day weekend week month year lunch breakfast dinner easter christmas"
)
_TIME = words("at on in by until till before after since from during around about past") | _ALONE | {""}
_CALENDAR = "|".join((*WEEKDAYS, *(rf"\b{month}\b" for month in MONTHS)))
_INFLECTED = r"[a-z]{2,}(?:[^s\W]s|ed)"
_HOURS = words("one two three four five six seven eight nine ten eleven twelve")
_LENGTH = re.compile(r"(?:second|minute|hour|day|week|month|year)s?\b")
MASS = words("kilo kilos kilogram kilograms kg gram grams g tons tonnes litre litres liters cents pence")
CLOCK = re.compile(
    r"\d{1,2}:\d\d\b|^\d{1,2}\.\d\d$|\d ?[ap]\.?m\b|o'clock|\b(?:half|quarter|\w+) past \w+|noon|midnight"
)
PEOPLE = words(
    """mother father mum mom dad sister brother son daughter wife husband aunt uncle cousin boss chef captain vet nurse
    landlord coach chief mayor president secretary neighbour friend guard guest dentist doctor assistant apprentice visitor customer member student child staff"""
)
ROLE = re.compile(r"(?:er|or|ist|ian|ant|host)$")
TITLE = re.compile(r"(?:Mr|Mrs|Ms|Dr|Prof|Sir|Aunt|Uncle|Grandma|Grandpa)\b\.?")
FOREIGN = words("het een der das und les une est los och det ist")
_SENTENCE = re.compile(
    r"(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bNo)(?<!\bMrs)(?<!\bProf)(?<! [A-Z])[.!;](?= +[A-Z])|;(?= )"
)
_AND = re.compile(
    r",? (?:and|but|so) (?=(?:it|he|she|they|we|I|his|her|its|their|the|my|our|[a-z]+ \d+)\b)|, (?:and|but) "
)
_AND_VERB = re.compile(r",? (?:and|but) (?=([a-z']+) )")


@dataclass(frozen=True, slots=True)
class Part:
    preposition: str
    noun: str
    kind: str
    """when, where, why, count, length, who or what."""

    def __str__(self) -> str:
        return f"{self.preposition} {self.noun}".strip()


@dataclass(frozen=True, slots=True)
class Clause:
    subject: str
    auxiliary: str
    adverbs: str
    verb: str
    """As it stands after the auxiliary, particle included; empty where a form of "be" is all there is."""
    parts: tuple[Part, ...]

    @property
    def person(self) -> bool:
        """Whether one asks "who" for the subject: a name alone, a title, or somebody's role."""
        if self.base == "cost" or re.search(r"'s?$|'s \w+$", self.subject):
            return False
        head = re.split(r" (?:of|in|at|from|for|on) ", self.subject)[0].lower().split()
        named = self.subject[0].isupper() and not re.search(r" [a-z]+$|\d", self.subject)
        role = head[-1].endswith(("keeper", "teacher", "manager", "driver", "owner", "plumber"))
        known = PEOPLE & {*head, head[-1].removesuffix("s")}
        return named or role or bool(known or TITLE.search(self.subject))

    @property
    def links(self) -> bool:
        """Whether a form of "be" is all the verb."""
        return self.auxiliary in BE and not self.verb

    @property
    def past(self) -> bool:
        first = self.verb.split(" ")[0]
        same = first in words("cost cut hit let put set shut read") and not self.subject.endswith("s")
        spoken = self.subject in ("I", "we", "they") or " and " in self.subject
        return not self.auxiliary and (base_form(first)[1] == "did" or (same and not spoken))

    @property
    def plural(self) -> bool:
        does = not self.auxiliary and base_form(self.verb.split(" ")[0])[1] == "do" and not self.past
        return self.auxiliary in ("are", "were") or does

    @property
    def base(self) -> str:
        form, *particle = self.verb.split(" ")
        return " ".join((base_form(form)[0], *particle))

    def ask(self, wh: str, parts: Iterable[str]) -> str:
        """A direct question: the auxiliary, or a form of "do", stands before the subject."""
        helper, verb = self.auxiliary, self.verb
        if not helper:
            helper, verb = "did" if self.past else base_form(verb.split()[0])[1], self.base
        return sentence(wh, helper, self.subject, self.adverbs, verb, *parts)

    def tell(self, parts: Iterable[str], wh: str = "") -> str:
        """The clause in its own order, after a question word if there is one: an embedded or an echo question."""
        if self.links and wh:  # "where the key usually is"
            return sentence(wh, self.subject, self.adverbs, self.auxiliary, *parts, end="")
        middle = (self.auxiliary, self.adverbs) if self.auxiliary else (self.adverbs,)
        return sentence(wh, self.subject, *middle, self.verb, *parts, end="")


def sentence(*pieces: str, end: str = "?") -> str:
    text = " ".join(p for p in pieces if p)
    return text[:1].upper() + text[1:] + end if end else text


def clauses(note: str) -> list[Clause]:
    """The note's clauses, with pronouns that point back to the first subject filled in."""
    found: list[Clause] = []
    for said in _SENTENCE.split(note):
        texts = [t for t in _AND.split(said.strip()) if t]
        verb = next((m for m in _AND_VERB.finditer(said) if m[1] in AUXILIARIES or m[1] in THIRD), None)
        if len(texts) == 1 and verb and (head := _clause(said[: verb.start()])):
            texts = [said[: verb.start()], f"{sentence(head.subject, end='')} {said[verb.end() :]}"]
        if any(_clause(_straight(t.strip(" ,"))) is None for t in texts):
            texts = [said]
        for text in texts:
            text = _straight(text.strip(" ,."))
            if m := re.match(r"(?:\w+, )?(it|he|she|they|his|her|its|their) ", text, re.I):
                word = m[1].lower()
                if not found or found[0].subject in ("I", "we", "there") or len(found[0].subject.split()) > 6:
                    continue
                many, one = found[0].plural, not found[0].plural
                if not {"they": many, "their": many, "it": one, "its": one}.get(word, one and found[0].person):
                    continue
                owns = "'s" if word in ("his", "her", "its", "their") else ""
                text = f"{found[0].subject}{owns} {text[m.end() :]}"
            if clause := _clause(text):
                found.append(clause)
    return found


def _straight(text: str) -> str:
    """The clause with its subject first: "At noon Ines goes home", "Under the mat lies the key" and "Tea is what Rosa drinks"
    are turned round."""
    m = re.fullmatch(r"(.+?) (?:is|was|are|were) what (.+?(\w+))", text)
    if m and (m[3] in _FORMS | PREPOSITIONS | {"of"} or re.fullmatch(_INFLECTED, m[3])):
        value = m[1] if re.search(r"[A-Z\d]", m[1][1:]) else m[1].lower()
        return sentence(m[2], value, end="")
    tokens = text.split()
    first = tokens[0].lower()
    fronted = tokens[0][0].isupper() and first in (PREPOSITIONS - {"out", "off", "up"}) | {"every"}
    if not fronted or tokens[1] in _NO_FRONT:
        return text
    for n in range(2, min(7, len(tokens) - 2)):
        front, rest = [uncapitalised(tokens[0]), *tokens[1:n]], tokens[n:]
        if front[-1] in DETERMINERS | PREPOSITIONS | _UNFINISHED or front[-1] in AUXILIARIES:
            continue
        dated = front[-1].lower().rstrip(",") in WEEKDAYS + MONTHS
        if front[-1][0].isupper() and rest[0][0].isupper() and not dated:
            return text  # one name may go on
        begins = rest[0].lower() in DETERMINERS | _PRONOUNS | SOMEBODY or rest[0][0].isupper()
        front[-1] = front[-1].rstrip(",")
        told, turned = _clause(" ".join(rest)) if begins else None, sentence(*rest, *front, end="")
        if told and (again := _clause(turned)) and again.subject == told.subject:
            return turned
        if rest[0] in _STANDS and (rest[1] in DETERMINERS or rest[1][0].isupper()):
            return sentence(*rest[1:], rest[0], *front, end="")
    return text


def uncapitalised(text: str) -> str:
    return text[:1].lower() + text[1:]


def _clause(text: str) -> Clause | None:
    """One clause taken apart, as the asker would say it; none where no verb is found."""
    if re.match(r"(?:What|Who|Where|When|Why|How|Which)(?:ever)? ", text):  # "What Rosa drinks is tea"
        m = re.fullmatch(r"What (.+) (?:is|was|are|were) (.+)", text)
        told = _clause(f"{m[1]} {m[2]}") if m else None
        return told if m and told and any(m[2] in (p.noun, str(p)) for p in told.parts) else None
    text = re.sub(r"^([A-Z]\w*(?: [A-Z]\w*)*), (?:the|an?|our|my) [^,]+, ", r"\1 ", text)  # "Lena, the apprentice, ..."
    tokens = text.split()
    if (
        len(tokens) > 1
        and tokens[0][0].isupper()
        and tokens[0].lower() in PREPOSITIONS
        and tokens[1] not in ("least", "most")
    ):
        return None  # a place or time that could not be told from the subject
    if len(tokens) < 3 or (
        tokens[0].lower() in BASES | ACTIONS and tokens[1] in DETERMINERS
    ):  # "keep your answers short"
        return None
    at = _verb_at(tokens)
    if at is None or not 0 < at < len(tokens) - 1:
        return None
    subject, main, rest = tokens[:at], tokens[at], tokens[at + 1 :]
    early = [subject.pop()] if at > 1 and subject[-1] in _ADVERBS else []
    if " ".join(subject).lower() in ("the user", "this user", "you"):
        subject = ["I"]
        rest = ["my" if w in ("their", "his", "her", "your") else w for w in rest]
    while rest[0] in _ADVERBS and len(rest) > 1:
        early.append(rest.pop(0))
    auxiliary, held = "", main in ("has", "have", "had")
    if (main in AUXILIARIES and (not held or rest[0] == "been" or is_participle(rest[0]))) or (
        main in ("do", "does", "did") and "not" in early
    ):
        auxiliary, main = main, ""
        if len(rest) > 1 and (is_participle(rest[0]) or rest[0] == "been" or not (auxiliary in BE or held)):
            main = rest.pop(0)
            if main in ("be", "been") and len(rest) > 1 and is_participle(rest[0]):
                main += " " + rest.pop(0)
    if subject == ["I"]:
        auxiliary = {"is": "am", "are": "am", "has": "have", "were": "was"}.get(auxiliary, auxiliary)
        main = base_form(main)[0] if main and not auxiliary and base_form(main)[1] == "does" else main
    if main and len(rest) > 2 and rest[0] == "to" and (rest[1] in BASES or rest[1] == "be"):  # "has to be emptied"
        size = 3 if rest[1] == "be" and is_participle(rest[2]) and len(rest) > 3 else 2
        main, rest = " ".join((main, *rest[:size])), rest[size:]
    if main in ("look", "looks", "looked") and rest[0] == "after" and len(rest) > 1:
        main += " " + rest.pop(0)
    while main and len(rest) > 1 and _belongs(rest[0], rest[1]):
        main += " " + rest.pop(0)
    parts = _parts(rest)
    base = base_form(main.split()[0])[0] if main else ""
    goes = base in words("move go travel come fly drive walk run bring")
    stays = not main or base in PLACE_VERBS.values()  # "stands by the door", but "made by the firm"

    def kind(part: Part) -> str:
        first, named = part.noun.split()[0], part.noun[0].isupper()
        if part.preposition == "to" and goes and (part.kind == "what" or (part.kind == "who" and base != "bring")):
            return "where"
        if part.preposition == "by" and stays and part.kind == "what" and (first in DETERMINERS or named):
            return "where"
        if part.preposition == "on" and base in ("run", "work", "burn") and not (first in DETERMINERS or named):
            return "what" if part.kind == "where" else part.kind  # "runs on diesel", but "runs on the roof"
        return part.kind

    parts = [replace(p, kind=kind(p)) for p in parts]
    return Clause(_lowered(subject, tokens[at]), auxiliary, " ".join(early), main, tuple(parts))


def _belongs(word: str, after: str) -> bool:
    """Whether a word after the verb is said with it: "works *well* with", "lent *me* his chart", "turn *off* at"."""
    if word in ("me", "us", "him", "her", "them"):
        return after in DETERMINERS or after == "to"
    if word in words("home place up out away back") or (word in PREPOSITIONS and after == "by"):  # "looked after by"
        return True
    return (word in _MANNER | _PARTICLES or word.endswith("ly")) and after in PREPOSITIONS | _ALONE


def _verb_at(tokens: Sequence[str]) -> int | None:
    """Where the finite verb stands: an auxiliary, a verb form that is known, or what follows a name."""
    main = tokens[: next((n for n, w in enumerate(tokens) if w in _CLAUSES and n > 2), None)]
    # no relative pronoun or new subject stands before the verb
    free = [n for n in range(1, len(main)) if n == 1 or main[n - 1].lower() not in RELATIVE | _PRONOUNS]
    known = next((n for n in free if _is_verb(main, n)), None)
    if known is not None and known + 2 < len(main) and main[known] in _NOUNS and main[known + 1] in _FORMS:
        known += 1  # "the band saw needs", "late books cost"
    helper = next((n for n in free if main[n] in AUXILIARIES), None)
    if helper is not None and known is not None and known < helper:
        return known if set(main[known + 1 : helper]) & (RELATIVE | {"and", "but"}) else helper
    if helper is not None or known is not None:
        return helper if helper is not None else known
    inner = range(1, len(main) - 1)
    if (main[0][0].isupper() and main[0].lower() not in DETERMINERS) or main[0].lower() in SOMEBODY:
        n = next((n for n in inner if not (main[n][0].isupper() or main[n] in _ADVERBS or main[n] == "&")), 0)
        form = r"[a-z]{2,}" if main[0] in ("I", "We") else _INFLECTED
        if n and re.fullmatch(form, main[n]) and main[n] not in PREPOSITIONS:
            return n
    for n in inner[1:7]:
        after = main[n + 1] in DETERMINERS or main[n + 1][0].isdigit()
        after = after or (main[n + 1] in PREPOSITIONS and (n == 2 or main[n].endswith("ed")))
        if after and re.fullmatch(_INFLECTED, main[n]):
            return n if main[n - 1] not in (DETERMINERS - NUMBER_WORDS) | PREPOSITIONS else None
    return None


def _is_verb(tokens: Sequence[str], n: int) -> bool:
    word, before = tokens[n], tokens[n - 1].lower()
    if (before in DETERMINERS - {"all", "both"} and n < 2) or before in ("the", "a", "an", "of", "my", "our"):
        return False
    if word in THIRD or word in PASTS:
        return before not in PREPOSITIONS
    many = before in ("i", "we", "you", "they", "people") or re.search(r"[^'s]s$", before) is not None
    return word in BASES and (many or tokens[n - 2 : n - 1] == ["and"])


def _lowered(subject: Sequence[str], verb: str) -> str:
    """The subject as it stands inside a sentence: names keep their capital."""
    first, *rest = subject
    common = first.lower() in DETERMINERS | SOMEBODY | _PRONOUNS - {"i"}
    if not common and not first.endswith("'s") and first.lower() not in WEEKDAYS + MONTHS and first[1:].islower():
        after = rest[0] if rest else ""
        common = first.endswith("ing") or first.lower().removesuffix("s") in _PERIODS | PEOPLE or after in ("of", "for")
        common |= after.islower() and after not in PREPOSITIONS | {"and"}
        common |= (len(rest) == 1 and after.isdigit()) or (
            first.endswith("s") and (verb in ("are", "were", "have") or verb in BASES)
        )
    return " ".join([first.lower() if common else first, *rest])


def _parts(rest: Sequence[str]) -> list[Part]:
    """What follows the verb, cut where a preposition, a time or a reason begins; places and times stay in one piece."""
    groups: list[list[str]] = []
    closed = False
    for n, (word, after) in enumerate(zip(rest, [*rest[1:], ""], strict=True)):
        before = rest[n - 1] if n else ""
        starts = word in PREPOSITIONS and after not in ("most", "least", "") and not (word == "to" and after in BASES)
        starts = starts and not (word == "past" and n) and before != "next"
        starts = starts and not (word in _PARTICLES and after in PREPOSITIONS)
        alone = word in _ALONE and (after or word not in ("each", "every", "last", "next"))
        starts = starts or bool(alone and n and before not in PREPOSITIONS | DETERMINERS)
        joined = groups and len(groups[-1]) == 1 and groups[-1][0] in PREPOSITIONS | {"left", "right"}
        if not groups or word in _CLAUSES or (starts and not closed and not joined):  # "from under the bed" is one
            groups.append([])
        groups[-1].append(word)
        closed = closed or word in RELATIVE - {"called", "named"} or word in _CLAUSES or word.endswith(",")
    parts: list[Part] = []
    for part in map(_part, groups):
        last = parts[-1] if parts else None
        if last and (
            (last.kind == part.kind and (part.kind == "when" or (part.kind == "where" and last.preposition)))
            or (part.kind == "where" and last.preposition in ("from", "to") and last.noun[0].islower())
            or (last.kind == "when" and part.preposition == "to")  # "from 2 to 4"
        ):
            parts[-1] = replace(last, noun=f"{last.noun} {part}")
        else:
            parts.append(part)
    return parts


def _part(group: Sequence[str]) -> Part:
    first = group[0]
    if first in _CLAUSES:
        return Part(first, " ".join(group[1:]), _CLAUSES[first])
    split = (first in PREPOSITIONS or first == "of") and len(group) > 1 and group[1] not in ("most", "least", "to")
    preposition, noun = (first, " ".join(group[1:])) if split else ("", " ".join(group))
    return Part(preposition, noun, _kind(preposition, noun))


def _kind(preposition: str, noun: str) -> str:
    low = noun.lower()
    if low.startswith("next to "):
        return "where"
    tokens = low.split()
    clock = CLOCK.search(low) is not None and (bool(preposition) or "." not in low)
    timed = (
        clock
        or re.search(_CALENDAR, low)
        or re.fullmatch(r"(?:the )?(?:(?:spring|summer|autumn|winter) )?(?:of )?(?:1[0-9]|20)\d\d", low)
        or (preposition and tokens[-1] in _PERIODS)
        or (not preposition and tokens[0] in _ALONE and not low.startswith("next to "))
        or re.match(r"the \w*\d(?:st|nd|rd|th)\b", low)
        or (preposition in ("at", "by", "from") and (re.fullmatch(r"1?\d|2[0-4]", low) or low in _HOURS))
    )
    bound = preposition in ("before", "after", "until", "till", "since")
    if bound or (timed and (preposition in _TIME or (preposition == "to" and clock))):
        return "when"
    counted = re.match(r"(?:(?:at most|at least|about|around|exactly|only|up to) )?([\d.,]+|[a-z]+) (\w+)", low)
    if counted and (counted[1][0].isdigit() or counted[1] in NUMBER_WORDS) and " and " not in noun:
        if _LENGTH.match(counted[2]) and preposition in ("", "for", "within", "in"):
            return "length"
        if preposition in ("", "to") and not re.search(r"\d (?:mm|cm|inch|metre|litre) [a-z]|percent", low):
            return "count"
    named = re.fullmatch(r"(?:[A-Z][\w.]+ ?){1,3}", noun)
    if (m := re.fullmatch(r"(?:an?|the) ([a-z]+) (?:named|called) [A-Z][\w. ]+", noun)) and (
        m[1] in PEOPLE or ROLE.search(m[1])
    ):
        return "who"
    if named and (preposition in ("with", "by", "to", "for") or (TITLE.match(noun) and preposition != "on")):
        return "who"
    thing = re.match(
        r"an? \w+ of \d|\d[\d.,]* [a-z]|['\"]|(?:the )?(?:\w+ )?(?:code|name|number|label|title|channel) ", low
    )
    return "where" if preposition in _WHERE - {"by"} and not thing else "what"
