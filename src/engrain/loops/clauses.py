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
_MANNER = words("best well married free late early halfway straight alone together")
_ALONE = words("every each last next once twice today tomorrow daily hourly weekly monthly yesterday tonight")
_CLAUSES = {"because": "why", "when": "when", "whenever": "when", "if": "when", "while": "when", "unless": "when"}
RELATIVE = words("that which who whose where called named so but than")
_SAYING = words("says said thinks thought knows knew believes hopes means told tells")
_FORMS = AUXILIARIES | frozenset(THIRD) | PASTS | BASES
_NOUNS = frozenset(THIRD) | words("saw felt cut set ring left")
_SEASONS = words("spring summer autumn fall winter")
_PERIODS = words(
    "morning afternoon evening night noon midnight day weekend week month year lunch breakfast dinner easter christmas"
)
_TIME = words("at on in by until till before after since from during around about past") | _ALONE | {""}
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
        first = self.subject.split()[0]
        head = re.split(r" (?:of|in|at|from|for|on) ", self.subject)[0].split()[-1].lower()
        named = first[0].isupper() and "'s" not in self.subject and not re.search(r" [a-z]+$|\d", self.subject)
        head = head.removesuffix("s") if head not in PEOPLE else head
        if base_form(self.verb.split(" ")[0])[0] == "cost":
            return False
        family = not re.search(r"'s?$|'s \w+$", self.subject) and any(w in PEOPLE for w in self.subject.split())
        return (
            named
            or family
            or bool(TITLE.search(self.subject) and "'s" not in self.subject)
            or head in PEOPLE
            or head.endswith(("keeper", "teacher", "manager", "driver", "owner", "plumber"))
        )

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
        if self.auxiliary in BE and not self.verb and wh:  # "where the key usually is"
            return sentence(wh, self.subject, self.adverbs, self.auxiliary, *parts, end="")
        middle = (self.auxiliary, self.adverbs) if self.auxiliary else (self.adverbs,)
        return sentence(wh, self.subject, *middle, self.verb, *parts, end="")


def sentence(*pieces: str, end: str = "?") -> str:
    text = " ".join(p for p in pieces if p)
    return text[:1].upper() + text[1:] + end if end else text


def clauses(note: str) -> list[Clause]:
    """The note's clauses, with pronouns that point back to an earlier subject filled in."""
    found: list[Clause] = []
    for said in _SENTENCE.split(note):
        texts = [t for t in _AND.split(said.strip()) if t]
        verbs = [m for m in _AND_VERB.finditer(said) if m[1] in AUXILIARIES or m[1] in THIRD]
        if len(texts) == 1 and verbs and (head := _clause(said[: verbs[0].start()])):
            texts = [said[: verbs[0].start()], f"{sentence(head.subject, end='')} {said[verbs[0].end() :]}"]
        if any(_clause(t.strip(" ,")) is None for t in texts):
            texts = [said]
        for text in texts:
            text = text.strip(" ,.")
            if m := re.match(r"(?:\w+, )?(it|he|she|they|his|her|its|their) ", text + " ", re.I):
                subject = found[0].subject if found else ""
                many = bool(found) and found[0].plural
                if not subject or subject in ("I", "we", "there") or len(subject.split()) > 6:
                    continue
                if m[1].lower() in ("he", "she", "his", "her") and not (found[0].person and not many):
                    continue
                if (m[1].lower() in ("they", "their") and not many) or (m[1].lower() in ("it", "its") and many):
                    continue
                text = subject + ("'s " if m[1].lower() in ("his", "her", "its", "their") else " ") + text[m.end() :]
            if clause := _clause(text):
                found.append(clause)
    return found


def _clause(text: str) -> Clause | None:
    """One clause taken apart, as the asker would say it; none where no verb is found."""
    if m := re.match(r"([A-Z]\w*(?: [A-Z]\w*)*), (?:the|an?|our|my) [^,]+, (.+)", text):  # "Lena, the apprentice, ..."
        text = f"{m[1]} {m[2]}"
    tokens = text.split()
    if len(tokens) < 3 or (
        tokens[0].lower() in BASES | ACTIONS and tokens[1] in DETERMINERS
    ):  # "keep your answers short"
        return None
    at = _verb_at(tokens)
    if at is None or not 0 < at < len(tokens) - 1:
        return None
    subject, verb, rest = tokens[:at], tokens[at], tokens[at + 1 :]
    early = [w for w in subject[1:] if w in _ADVERBS and w == subject[-1]]
    subject = subject[: len(subject) - len(early)]
    if subject[0] == "Only" and len(subject) > 1:
        subject = subject[1:]
    if (subject[0].lower() in ("the", "this") and subject[1:2] == ["user"] and len(subject) == 2) or subject == ["You"]:
        subject = ["I"]
        rest = ["my" if w in ("their", "his", "her", "your") else w for w in rest]
    while rest and rest[0] in _ADVERBS and len(rest) > 1:
        early.append(rest.pop(0))
    auxiliary, main = "", verb
    if verb in AUXILIARIES or (verb in ("do", "does", "did") and "not" in early and rest):
        held = verb in ("has", "have", "had")
        if not held or (rest and (rest[0] == "been" or is_participle(rest[0]))):
            auxiliary, main = verb, ""
            compound = rest and (is_participle(rest[0]) or (verb not in BE and not held))
            if compound and len(rest) > 1:
                main = rest.pop(0)
                if main in ("be", "been") and len(rest) > 1 and is_participle(rest[0]):
                    main += " " + rest.pop(0)
    if subject == ["I"]:
        auxiliary = {"is": "am", "are": "am", "has": "have"}.get(auxiliary, auxiliary)
        auxiliary = "was" if auxiliary == "were" else auxiliary
        form = main if auxiliary or not main else base_form(main)[0] if base_form(main)[1] == "does" else main
        main = form
    if main and len(rest) > 2 and rest[0] == "to" and (rest[1] in BASES or rest[1] == "be"):  # "has to be emptied"
        main, rest = f"{main} to {rest[1]}", rest[2:]
        if main.endswith(" be") and is_participle(rest[0]) and len(rest) > 1:
            main += " " + rest.pop(0)
    if main and len(rest) > 1 and (rest[0] in _MANNER or rest[0].endswith("ly")) and rest[1] in PREPOSITIONS | _ALONE:
        main += " " + rest.pop(0)
    if main and len(rest) > 1 and rest[0] in ("me", "us", "him", "her", "them") and rest[1] in DETERMINERS | {"to"}:
        main += " " + rest.pop(0)  # "lent me his chart"
    while (
        main
        and len(rest) > 1
        and rest[0] in _PARTICLES
        and (rest[1] in PREPOSITIONS | _ALONE or rest[0] in ("home", "place", "up", "out", "away", "back"))
    ):
        main += " " + rest.pop(0)
    parts = _parts(rest)
    if not parts:
        return None
    if main and base_form(main.split()[0])[0] in words("move go travel come fly drive walk run bring"):
        parts = [replace(p, kind="where") if p.preposition == "to" else p for p in parts]
    if not main or base_form(main)[0] in PLACE_VERBS.values():  # "stands by the door", but "made by the firm"
        parts = [replace(p, kind="where") if p.preposition == "by" and p.kind == "what" else p for p in parts]
    return Clause(_lowered(subject, verb), auxiliary, " ".join(early), main, tuple(parts))


def _verb_at(tokens: Sequence[str]) -> int | None:
    """Where the finite verb stands: an auxiliary, a verb form that is known, or what follows a name."""
    main = tokens
    for n, token in enumerate(tokens[1:], 1):
        if token in _CLAUSES and n > 2:
            main = tokens[:n]
            break

    def open_(n: int) -> bool:  # no relative pronoun or new subject stands before it
        return n == 1 or main[n - 1].lower() not in RELATIVE | _PRONOUNS

    known = next((n for n in range(1, len(main)) if open_(n) and _is_verb(main, n)), None)
    if known is not None and known + 2 < len(main) and main[known] in _NOUNS and main[known + 1] in _FORMS:
        known += 1  # "the band saw needs", "late books cost"
    helper = next((n for n in range(1, len(main)) if main[n] in AUXILIARIES and open_(n)), None)
    if helper is not None and known is not None and known < helper:
        between = main[known + 1 : helper]
        second = any(w in RELATIVE | {"and", "but"} for w in between) and main[known - 1].lower() not in RELATIVE
        return known if second or main[known] in _SAYING else helper
    if helper is not None or known is not None:
        return helper if helper is not None else known
    n = 1
    while n < len(main) - 1 and (main[n][0].isupper() or main[n] in _ADVERBS or main[n] == "&"):
        n += 1
    named = main[0][0].isupper() and main[0].lower() not in DETERMINERS
    if (
        named
        and n < len(main) - 1
        and re.fullmatch(r"[a-z]{2,}(?:[^s\W]s|ed)", main[n])
        and main[n] not in PREPOSITIONS
    ):
        return n
    if main[0].lower() in ("i", "we") and n < len(main) - 1 and re.fullmatch(r"[a-z]{2,}", main[n]):
        return n
    for n in range(2, min(len(main) - 1, 8)):
        if re.fullmatch(r"[a-z]{2,}(?:[^s\W]s|ed)", main[n]) and (
            main[n + 1] in DETERMINERS
            or main[n + 1][0].isdigit()
            or (main[n + 1] in PREPOSITIONS and (n == 2 or main[n].endswith("ed")))
        ):
            return n if main[n - 1] not in (DETERMINERS - NUMBER_WORDS) | PREPOSITIONS else None
    return None


def _is_verb(tokens: Sequence[str], n: int) -> bool:
    word, before = tokens[n], tokens[n - 1].lower()
    if (before in DETERMINERS - {"all", "both"} and n < 2) or before in ("the", "a", "an", "of", "my", "our"):
        return False
    if word in THIRD or (word in PASTS and word not in BASES):
        return before not in PREPOSITIONS
    many = before in ("i", "we", "you", "they") or (before.endswith("s") and not before.endswith(("'s", "ss")))
    many = many or before == "people" or tokens[n - 2 : n - 1] == ["and"]
    return (many and word in BASES) or (word in PASTS and before not in PREPOSITIONS)


def _lowered(subject: Sequence[str], verb: str) -> str:
    """The subject as it stands inside a sentence: names keep their capital."""
    first, rest = subject[0], list(subject[1:])
    common = first.lower() in DETERMINERS | _PRONOUNS - {"i"} or first.endswith("ing")
    common |= (len(rest) == 1 and rest[0].islower()) or (
        len(rest) > 1 and rest[0].islower() and rest[0] not in PREPOSITIONS | {"of", "and"}
    )
    plural = first.endswith("s") and (verb in ("are", "were", "have") or verb in BASES)
    plural |= re.search(r"(?:[rtkgd]s|ies)$", first) is not None and verb in AUXILIARIES
    common |= (
        plural or first.lower() in _PERIODS or rest[:1] in (["of"], ["for"]) or (len(rest) == 1 and rest[0].isdigit())
    )
    if not common or first[1:] != first[1:].lower() or first.endswith("'s") or first.lower() in WEEKDAYS + MONTHS:
        common = first.lower() in DETERMINERS
    return " ".join([first.lower() if common else first, *rest])


def _parts(rest: Sequence[str]) -> list[Part]:
    """What follows the verb, cut where a preposition, a time or a reason begins; places and times stay in one piece."""
    groups: list[list[str]] = []
    closed = False
    for n, word in enumerate(rest):
        after = rest[n + 1] if n + 1 < len(rest) else ""
        starts = word in PREPOSITIONS and after not in ("most", "least") and not (word == "to" and after in BASES)
        starts = starts and bool(after) and not (word == "past" and n > 0) and rest[n - 1 : n] != ["next"]
        starts = starts and not (word in _PARTICLES and after in PREPOSITIONS)
        alone = word in _ALONE and (bool(after) or word not in ("each", "every", "last", "next"))
        starts = starts or (alone and n > 0 and rest[n - 1] not in PREPOSITIONS | DETERMINERS)
        if not groups or word in _CLAUSES or (starts and not closed and not _joins(groups[-1])):
            groups.append([])
        groups[-1].append(word)
        closed = closed or word in RELATIVE - {"called", "named"} or word in _CLAUSES or word.endswith(",")
    parts: list[Part] = []
    for group in groups:
        part = _part(group)
        last = parts[-1] if parts else part
        same = last.kind == part.kind and (part.kind == "when" or (part.kind == "where" and bool(last.preposition)))
        origin = part.kind == "where" and last.preposition in ("from", "to") and last.noun[:1].islower()
        span = last.kind == "when" and part.preposition == "to"  # "from 2 to 4"
        if parts and (same or origin or span):
            parts[-1] = replace(parts[-1], noun=f"{parts[-1].noun} {part}")
        else:
            parts.append(part)
    return parts


def _joins(group: Sequence[str]) -> bool:
    """Whether the words so far cannot end here: a lone preposition before another ("from under the bed"), "half past"."""
    return len(group) == 1 and (group[0] in PREPOSITIONS or group[0] in ("left", "right"))


def _part(group: Sequence[str]) -> Part:
    first = group[0]
    if first in _CLAUSES:
        return Part(first, " ".join(group[1:]), _CLAUSES[first])
    split = (first in PREPOSITIONS or first == "of") and len(group) > 1 and group[1] not in ("most", "least", "to")
    preposition, noun = (first, " ".join(group[1:])) if split else ("", " ".join(group))
    low = noun.lower()
    number = re.match(r"(?:at most |at least |about |around |exactly |only |up to )?(\d[\d.,]*|\w+)(?: (\w+))?", low)
    counted = bool(number) and (number[1][0].isdigit() or number[1] in NUMBER_WORDS) if number else False
    unit = (number[2] or "") if number else ""
    counted = (
        counted
        and " and " not in noun
        and not re.match(r"(?:mm|cm|inch|metre|litre) [a-z]|percent", low.partition(" ")[2])
    )
    timed = (
        (bool(CLOCK.search(low)) and (bool(preposition) or "." not in low))
        or any(day in low for day in WEEKDAYS)
        or any(re.search(rf"\b{month}\b", low) for month in MONTHS)
        or re.fullmatch(r"(?:the )?(?:spring|summer|autumn|winter)?(?: ?of )?(?:1[0-9]|20)\d\d", low) is not None
        or (bool(preposition) and low.split()[-1] in _PERIODS | _SEASONS)
        or (not preposition and low.split()[0] in _ALONE and not low.startswith("next to "))
        or re.match(r"the \w*\d(?:st|nd|rd|th)\b", low) is not None
    )
    if preposition in ("before", "after", "until", "till", "since") or (
        timed and (preposition in _TIME or (preposition == "to" and CLOCK.search(low)))
    ):
        return Part(preposition, noun, "when")
    if preposition in ("at", "by", "from") and low.isdigit() and int(low[:3]) < 25:
        return Part(preposition, noun, "when")
    if counted and _LENGTH.match(unit) and preposition in ("", "for", "within", "in"):
        return Part(preposition, noun, "length")
    if (
        counted
        and unit
        and (not preposition or preposition == "to")
        and not re.search(r"[a-z]-|\d[a-z]", number[1] if number else "")
    ):
        return Part(preposition, noun, "count")
    named = re.fullmatch(r"(?:[A-Z][\w.]+ ?){1,3}", noun) is not None and (
        preposition in ("with", "by", "to", "for") or TITLE.match(noun)
    )
    if named and preposition != "on":
        return Part(preposition, noun, "who")
    if preposition in _WHERE:
        abstract = re.match(r"an? \w+ of \d|\d[\d.,]* [a-z]|(?:the )?(?:code|name|number|label|title|channel) ", low)
        thing = abstract is not None or noun[0] in "'\"" or preposition == "by"
        return Part(preposition, noun, "what" if thing else "where")
    return Part(preposition, noun, "what")
