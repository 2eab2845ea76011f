"""Questions that follow from a note's grammar alone: no model has to think of them.

A fact that is learned in one wording is known in one wording. So a clause is taken apart into subject, verb and what
follows; each part is left out in turn and asked for in many ways. Where no verb is found, nothing is asked. An odd
question costs little, because a model that reads the note must still be able to answer it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

from engrain.loops.verbs import AUXILIARIES, BASES, BE, PAST_OF, PASTS, THIRD, base_form, is_participle, third_person
from engrain.memory.lexicon import COLOURS, KEPT, MONEY, MONTHS, NUMBER_WORDS, PLACE, PLACE_VERBS, WEEKDAYS, words

MOST = 40
LONGEST = 1000
"""Characters; a longer text is no short note, and nothing is asked about it."""

Asked = tuple[str, str]
"""A question and its kind."""

_DETERMINERS = words(
    """the a an my our your his her its their this that these those every each some any no all both only most two three
    four five six seven eight nine ten"""
)
_PRONOUNS = words("i we you he she it they there")
_ADVERBS = words(
    "always usually never often sometimes normally mostly only also still now just not rarely already generally"
)
_PREPOSITIONS = PLACE | words(
    """for during with without after before from until till to into onto over through by about within since as across
    around along past towards off out up down"""
)
_PARTICLES = words("in out up down off on over away back home place")
_ALONE = words("every each last next once twice today tomorrow daily weekly monthly yesterday tonight")
_CLAUSES = {"because": "why", "when": "when", "whenever": "when", "if": "when", "while": "when", "unless": "when"}
_RELATIVE = words("that which who whose where called named so but than")
_SAYING = words("says said thinks thought knows knew believes hopes means told tells")
_SEASONS = words("spring summer autumn fall winter")
_PERIODS = words("morning afternoon evening night noon midnight day weekend week month year lunch breakfast dinner")
_TIME = words("at on in by until till before after since from during around about past") | _ALONE | {""}
_LENGTH = re.compile(r"(?:second|minute|hour|day|week|month|year)s?\b")
_MASS = words("kilo kilos kilogram kilograms kg gram grams g tons tonnes litre litres liters cents pence")
_CLOCK = re.compile(r"\d{1,2}[:.]\d\d\b(?! \w+s\b)|\d ?[ap]\.?m\b|o'clock|\b(?:half|quarter|\w+) past \w+|noon|midnight")
_PEOPLE = words(
    """mother father mum mom dad sister brother son daughter wife husband aunt uncle cousin boss chef captain vet nurse
    landlord coach chief mayor president secretary neighbour friend guard guest dentist doctor assistant apprentice"""
)
_TITLE = re.compile(r"(?:Mr|Mrs|Ms|Dr|Prof|Sir|Aunt|Uncle|Grandma|Grandpa)\b\.?")
_FOREIGN = words("het een der das und les une est los och det ist")
_SENTENCE = re.compile(r"(?<![ .](?:Mr|Ms|Dr|St|No))(?<!\bMrs)(?<!\bProf)(?<! [A-Z])[.!;](?= +[A-Z])|;(?= )")
_AND = re.compile(r",? (?:and|but|so) (?=(?:it|he|she|they|we|I|his|her|its|their|the|my|our|[a-z]+ \d+)\b)")

_OF = {
    "price": ("How much is {y}?", "What does one pay for {y}?", "How much do I pay for {y}?"),
    "cost": ("How much is {y}?", "What does one pay for {y}?"),
    "fee": ("How much do I pay for {y}?",),
    "name": ("What {be} {y} called?", "By what name is {y} known?"),
    "age": ("How old is {y}?",),
    "weight": ("How heavy is {y}?", "How much does {y} weigh?"),
    "length": ("How long is {y}?",),
    "height": ("How tall is {y}?", "How high is {y}?"),
    "width": ("How wide is {y}?",),
    "depth": ("How deep is {y}?",),
    "colour": ("What colour is {y}?", "In which colour is {y}?"),
    "size": ("How big is {y}?", "What size is {y}?"),
    "capacity": ("How much does {y} hold?",),
    "birthday": ("When was {y} born?", "When does {y} have a birthday?"),
    "owner": ("Who owns {y}?", "Whose is {y}?", "To whom does {y} belong?"),
    "manager": ("Who manages {y}?", "Who runs {y}?"),
}
"""Other ways to ask for an attribute of y."""

_BY_VERB = {
    "cost": ("How much is {s}?", "What is the price of {s}?", "What do I pay for {s}?"),
    "weigh": ("How heavy {is_} {s}?", "What is the weight of {s}?"),
    "take": ("What is the duration of {s}?",),
    "last": ("What is the duration of {s}?",),
    "seat": ("How many seats are there in {s}?", "How many people fit in {s}?"),
    "belong": ("Who owns {s}?", "Whose {is_} {s}?", "Who is the owner of {s}?"),
}


@dataclass(frozen=True, slots=True)
class _Part:
    preposition: str
    noun: str
    kind: str
    """when, where, why, count, length, who or what."""

    def __str__(self) -> str:
        return f"{self.preposition} {self.noun}".strip()


@dataclass(frozen=True, slots=True)
class _Clause:
    subject: str
    auxiliary: str
    adverbs: str
    verb: str
    """As it stands after the auxiliary, particle included; empty where a form of "be" is all there is."""
    parts: tuple[_Part, ...]

    @property
    def person(self) -> bool:
        first = self.subject.split()[0]
        head = re.split(r" (?:of|in|at|from|for|on) ", self.subject)[0].split()[-1].lower()
        named = first[0].isupper() and "'s" not in self.subject and not re.search(r" [a-z]+$|\d", self.subject)
        return named or head in _PEOPLE or head.endswith(("keeper", "teacher", "manager", "driver", "owner", "plumber"))

    @property
    def base(self) -> str:
        form, *particle = self.verb.split(" ")
        return " ".join((base_form(form)[0], *particle))

    def ask(self, wh: str, parts: Iterable[str]) -> str:
        """A direct question: the auxiliary, or a form of "do", stands before the subject."""
        helper, verb = self.auxiliary, self.verb
        if not helper:
            helper, verb = base_form(verb.split()[0])[1], self.base
        return _sentence(wh, helper, self.subject, self.adverbs, verb, *parts)

    def tell(self, parts: Iterable[str], wh: str = "") -> str:
        """The clause in its own order, after a question word if there is one: an embedded or an echo question."""
        if self.auxiliary in BE and not self.verb and wh:  # "where the key usually is"
            return _sentence(wh, self.subject, self.adverbs, self.auxiliary, *parts, end="")
        middle = (self.auxiliary, self.adverbs) if self.auxiliary else (self.adverbs,)
        return _sentence(wh, self.subject, *middle, self.verb, *parts, end="")


def plain_questions(note: str) -> list[Asked]:
    """Questions about a note with their kinds, forward ones (the value from the subject) first; none if it has another shape."""
    note = re.sub(r"^(?:[-*•] |\[[\d-]+\] )", "", " ".join(note[: LONGEST + 1].split()))
    told = set(note.lower().split())
    if not 2 < len(told) or len(note) > LONGEST or note.endswith("?") or re.search(r"[<>{}|`*]", note) or told & _FOREIGN:
        return []
    note = re.sub(r"\bthe user's\b", "my", re.sub(r"\bThe user's\b", "My", note)).rstrip(".! ")
    if asked := _procedure(note):
        return _chosen([asked[0]], asked[1])
    forward: list[list[Asked]] = []
    backward: list[Asked] = []
    for clause in _clauses(note):
        ways = _preference(clause)
        forward += ways or [_gap(clause, n) for n in range(len(clause.parts))]
        backward += _reversed(clause)
    return _chosen(forward, backward)


def _chosen(forward: Sequence[Sequence[Asked]], backward: Sequence[Asked]) -> list[Asked]:
    """Each thing's questions in turn, so that none is crowded out, then the reversed ones."""
    turns = [a for a in chain.from_iterable(zip_longest(*forward)) if a]
    kept = {q: kind for q, kind in reversed([*turns, *backward]) if "  " not in q}
    once = [(q, kept[q]) for q in dict.fromkeys(q for q, _ in turns) if q in kept]
    last = list(dict.fromkeys(a for a in backward if a not in once))[:6]
    return once[: MOST - len(last)] + last


def _sentence(*pieces: str, end: str = "?") -> str:
    text = " ".join(p for p in pieces if p)
    return text[:1].upper() + text[1:] + end if end else text


def _wrapped(embedded: str, direct: str) -> list[Asked]:
    """The light wrappings of one question."""
    return [
        (f"Tell me {embedded}.", "request"),
        (f"Do you know {embedded}?", "request"),
        (f"Remind me {embedded}.", "request"),
        (direct.rstrip("?")[0].lower() + direct.rstrip("?")[1:], "short"),
        (f"Can you tell me {embedded}?", "request"),
        (f"I forgot {embedded}.", "request"),
        (f"Please tell me: {direct[0].lower()}{direct[1:]}", "request"),
    ]


def _gap(clause: _Clause, n: int) -> list[Asked]:
    """All ways to ask for the clause's n-th part."""
    part, texts = clause.parts[n], [str(p) for p in clause.parts]
    plain_be = clause.auxiliary in BE and not clause.verb
    if plain_be and n == 0 and not part.preposition and part.kind != "count":
        if part.noun.split()[0].lower() in COLOURS and len(part.noun.split()) == 1:
            return _attribute(f"the colour of {clause.subject}", clause.auxiliary, part)
        if len(part.noun.split()) == 1 and part.noun.islower() and part.kind == "what" and len(texts) > 1:
            return []  # "allergic to nuts": the adjective is not the answer
        return _attribute(clause.subject, clause.auxiliary, part, texts[1:])
    whs = _question_words(clause, part)
    asked: list[Asked] = []
    for wh, stranded in whs:
        asked.append((clause.ask(wh, [*texts[:n], stranded, *texts[n + 1 :]]), "plain"))
    wh, stranded = whs[0]
    if clause.adverbs and clause.adverbs not in ("not", "never", "only", "rarely") and clause.verb:
        bare = replace(clause, adverbs="")
        asked.append((bare.ask(wh, [*texts[:n], stranded, *texts[n + 1 :]]), "plain"))
    if any(p.preposition or p.kind == "when" for p in clause.parts[n + 1 :]):
        asked.append((clause.ask(wh, [*texts[:n], stranded]), "plain"))
    if n > 1 or (n == 1 and clause.parts[0].preposition):
        asked.append((clause.ask(wh, [*(t for t in texts[:1] if not clause.parts[0].preposition), stranded]), "plain"))
    asked += _paraphrases(clause, part)
    if part.kind != "why":
        blank = {"when": "when", "where": "where"}.get(part.kind) or f"{part.preposition} {wh.lower()}".strip()
        blank = blank if " what" not in blank[3:] or part.kind == "what" else whs[0][0].lower()
        asked.append((_sentence(clause.tell([*texts[:n], blank, *texts[n + 1 :]])), "short"))
    wrapped = _wrapped(clause.tell([*texts[:n], stranded, *texts[n + 1 :]], wh.lower()), asked[0][0])
    asked += wrapped[:2]
    if part.kind in ("what", "who", "where", "when") and not plain_be:
        cleft = clause.tell([*texts[:n], stranded, *texts[n + 1 :]])
        asked.append((f"{wh} is it that {cleft}?", "plain"))
        if part.kind == "what" and not stranded:
            asked.append((f"What is the thing that {cleft}?", "plain"))
    elsewhere = [t for m, t in enumerate(texts) if m != n and clause.parts[m].kind in ("when", "where")]
    if len(elsewhere) == 1 and clause.parts[texts.index(elsewhere[0])].preposition:
        inner = clause.ask(wh, [*(t for t in texts[:n] if t not in elsewhere), stranded])
        asked.append((_sentence(elsewhere[0] + ",", inner[0].lower() + inner[1:], end=" ").strip(), "plain"))
    return asked + wrapped[2:]


def _question_words(clause: _Clause, part: _Part) -> list[tuple[str, str]]:
    """Question words for a part, each with the preposition that it leaves behind."""
    noun, preposition, low = part.noun, part.preposition, part.noun.lower()
    if part.kind == "why":
        return [("Why", ""), ("For what reason", ""), ("How come that", "")][:2]
    if part.kind == "count":
        return _how_many(part)
    if part.kind == "when":
        found = [("Since when", "")] if preposition == "since" else []
        found += [("Until when", "")] if preposition in ("until", "till") else []
        found += [("When", "")]
        if _CLOCK.search(low) or low.isdigit():
            found += [("At what time", ""), ("What time", ""), ("At which hour", "")]
        elif any(day in low for day in WEEKDAYS):
            found += [("On which day", ""), ("What day", ""), ("On what day of the week", "")]
        elif any(re.search(rf"\b{month}", low) for month in MONTHS):
            found += [("In which month", "")] if low in MONTHS else [("On what date", "")]
        elif low.isdigit() or re.search(r"\d{4}$", low):
            found += [("In what year", ""), ("In which year", "")]
        if preposition in ("", "every") and re.match(r"every|each|once|twice|daily|weekly", low):
            found += [("How often", "")]
        return found
    if part.kind == "length":
        bound = {"within": "Within what time", "for": "For how long"}.get(preposition)
        return [("How long", ""), *([(bound, "")] if bound else [])]
    head = _head(noun)
    which = [(f"Which {head}", preposition)] if head else []
    which += [(f"{preposition} which {head}".capitalize(), "")] if head and preposition else []
    if part.kind == "where":
        return [("Where", ""), *which[1:], *which[:1], ("In what place", "")]
    word = "Who" if part.kind == "who" else "What"
    piped = "whom" if word == "Who" else "what"
    found = [(word, preposition)]
    if preposition == "from":
        found += [("Where", "from")]
    found += [(f"{preposition} {piped}".capitalize(), "")] if preposition else []
    if which and not preposition and re.match(r"an? ", noun):
        which.append((f"What kind of {head}", ""))
    return found + which


def _how_many(part: _Part) -> list[tuple[str, str]]:
    number = re.sub(r"^(?:at most|at least|about|around|exactly|only|up to) ", "", part.noun)
    unit = re.sub(r"^(?:[\d.,/]+|" + "|".join(sorted(NUMBER_WORDS)) + r")(?:[ -](?:[\d.,]+|\w+teen|hundred|and))* ?", "", number)
    unit = re.split(r" (?:of|for|per|a|each|that|wide|long|high|at|on|in|now) ?", unit + " ")[0].strip()
    if not unit or unit[0].isdigit():
        return [("What", part.preposition), ("Which number", part.preposition), ("How many", part.preposition)]
    mass = unit.split()[0].lower() in MONEY | _MASS
    other = ["How much", "What"] if mass else [f"What number of {unit}"]
    return [(f"How many {unit}", part.preposition), *((w, part.preposition) for w in other)]


def _head(noun: str) -> str:
    """The noun that says what sort of thing is meant: mug of "the orange mug", village of "the village of Millbrook"."""
    if m := re.match(r"(?:the|an?) (?:[a-z]+ ){0,2}?([a-z]+) of (?!the )\S", noun):
        return m[1]
    if m := re.match(r"(?:(?:the|an?) )?([a-z]+) (?:called |named )?(?:[A-Z]|\d)\S*(?: [A-Z0-9]\S*)*$", noun):
        return "" if m[1] in NUMBER_WORDS | _DETERMINERS else m[1]
    if m := re.match(r"(?:the|an?|my|our|his|her|their) (?:[\w-]+ ){1,3}?([a-z]+)(?: (?:in|of|on|behind|at|from|with|next|for) .*)?$", noun):
        return "" if m[1] in ("one", "kind", "lot") else m[1]
    return ""


def _paraphrases(clause: _Clause, part: _Part) -> list[Asked]:
    """Other words for what some verbs say."""
    subject, base = clause.subject, clause.base.split(" ")[0] if clause.verb else ""
    be = "am" if subject == "I" else "are" if clause.auxiliary == "are" or clause.verb == base else "is"
    found: list[str] = []
    if part.kind == "where":
        kept = clause.verb in KEPT or clause.auxiliary in BE and not clause.verb or base in PLACE_VERBS.values()
        thing, them = (subject, be) if kept else ("", "")
        if base in ("keep", "store", "put", "hide", "park", "leave") and not clause.parts[0].preposition:
            thing = clause.parts[0].noun
            them = "are" if thing.split()[-1].endswith("s") else "is"
        if thing and thing not in ("I", "we", "there") and base != "live":
            found = ["Where {is_} {s}?", "Where can I find {s}?", "Where do I look for {s}?", "{s}: where?"]
            subject, be = thing, them
    elif part.kind in ("count", "length", "what", "who"):
        found = list(_BY_VERB.get(base, ()))
        if part.preposition == "by" and clause.auxiliary in BE and clause.verb.split()[0] in PAST_OF:
            found = [f"Who {PAST_OF[clause.verb]} {{s}}?", f"Which one {PAST_OF[clause.verb]} {{s}}?"][: 1 + (part.kind == "what")]
        elif clause.verb in ("called", "named") and not part.preposition:
            found = ["What is the name of {s}?", "By what name {is_} {s} known?", "Which name does {s} have?", "Name of {s}?"]
    return [(_sentence(q.format(s=subject, is_=be), end=" ").strip(), "short" if ": " in q else "plain") for q in found]


def _attribute(subject: str, be: str, part: _Part, rest: Sequence[str] = ()) -> list[Asked]:
    """"X is V": the ways to ask for V, by what X is of."""
    value, tail = part.noun, " ".join(rest)
    tail = f" {tail}" if tail else ""
    bare = re.sub(r"^(?:the|our|my|an?) ", "", subject)
    head = re.split(r" (?:of|for|in|at|on|from) ", bare)[0].split()[-1]
    who = bool(_TITLE.match(value)) or (value[0].isupper() and (head in _PEOPLE or _Clause(bare, "", "", "", ()).person))
    wh = "Who" if who and not subject[0].isupper() or _TITLE.match(value) else "What"
    asked: list[Asked] = [(f"{wh} {be} {subject}{tail}?", "plain")]
    if part.kind == "when":
        asked += [(f"{w} {be} {subject}{tail}?", "plain") for w in ("When", "On which day")]
    owner, thing = _owner(subject)
    asked += [(q.format(y=owner, be=be), "plain") for q in _OF.get(head, ()) if owner and thing.split()[-1:] == [head]]
    mine = re.sub(r"^favou?rite ", "", thing)
    if mine != thing and owner:
        asked += [(f"What {mine} {'do' if owner == 'I' else 'does'} {owner} like best?", "plain")]
        asked += [(f"Which {mine} {be} {subject.removesuffix(' ' + mine)}?", "plain")]
    elif owner and be in ("is", "are"):
        does = "do" if owner in ("I", "we") else "does"
        asked += [(f"Which {thing} {does} {owner} have?", "plain"), (f"What {thing} {does} {owner} have?", "plain")]
    if owner and owner not in ("I", "we"):
        short = len(owner.split()) < 5
        asked += [(f"{wh} {be} {owner}'s {thing}?", "plain")] if short and " of " in subject else []
        asked += [(f"{wh} {be} the {thing} of {owner}?", "plain")] if "'s " in subject else []
        asked += [(_sentence(f"{owner}'s {thing}"), "short")] if short else []
        asked += [(f"{bare[0].upper()}{bare[1:]}?", "short"), (f"For {owner}, what {be} the {thing}?", "plain")]
    else:
        asked += [(f"{bare[0].upper()}{bare[1:]}?", "short")]
    asked += [
        (_sentence(f"{subject} {be} {wh.lower()}{tail}"), "short"),
        (f"Tell me {subject}.", "request"),
        (f"Do you know {subject}?", "request"),
        (f"I need to know {subject}.", "request"),
    ]
    return asked + _wrapped(f"{wh.lower()} {subject} {be}{tail}", asked[0][0])[2:]


def _owner(subject: str) -> tuple[str, str]:
    """(Y, X) of "the X of Y", "Y's X", "my X" and "the X for Y"; empty where it says of nothing."""
    if m := re.fullmatch(r"(?:the )?([\w -]+?) (?:of|for) (.+)", subject):
        return m[2], m[1]
    if m := re.fullmatch(r"(.+)(?:'s|s') ([^']+)", subject):
        return m[1] + ("s" if "s' " in subject else ""), m[2]
    if m := re.fullmatch(r"(my|our) ([^']+)", subject):
        return {"my": "I", "our": "we"}[m[1]], m[2]
    return "", bare if (bare := subject.removeprefix("the ")) else ""


def _reversed(clause: _Clause) -> list[Asked]:
    """Asks for the subject."""
    subject, texts = clause.subject, " ".join(map(str, clause.parts))
    if subject in ("I", "we", "there") or not clause.parts:
        return []
    if clause.auxiliary in BE and not clause.verb and not clause.parts[0].preposition:
        owner, thing = _owner(subject)
        asked = [f"What {clause.auxiliary} {texts}?"]
        if "'s " in subject and owner:
            asked.append(f"Whose {thing} {clause.auxiliary} {texts}?")
        elif owner and owner not in ("I", "we"):
            asked.append(_sentence(f"{texts} {clause.auxiliary} the {thing} of what"))
        return [(q, "reversed") for q in [*asked, _sentence(f"{texts} {clause.auxiliary} what")]]
    who = "who" if clause.person else "what"
    told = replace(clause, subject=who).tell(map(str, clause.parts))
    return [
        (_sentence(told), "reversed"),
        (f"Tell me {told}.", "reversed"),
        (f"{who.capitalize()} is it that {told.removeprefix(who + ' ')}?", "reversed"),
    ]


def _procedure(note: str) -> tuple[list[Asked], list[Asked]] | None:
    """When C, A, then B: questions about what to do, and about when to do it."""
    if not (m := re.match(r"(When|Whenever|If|As soon as|Before|After|To|Once) ([^,]+), ([a-z].+)", note)):
        return None
    word, case, act = m[1].lower(), m[2], m[3]
    steps = [s for s in re.split(r",? and then |,? then |, and |, (?=[a-z])|[.;] (?:Then )?", act) if s]
    case = re.sub(r"^the user (?=\w+s\b)", "the user ", case)
    if word == "to":
        whens = [f"to {case}"]
        plain = [f"How do I {case}?", f"What do I do to {case}?", f"How can I {case}?", f"What must I do to {case}?"]
        plain += [f"What are the steps to {case}?", f"How does one {case}?", f"What is the way to {case}?"]
        short = [f"I want to {case}. How?", f"How to {case}?", f"I need to {case}. What now?"]
    else:
        word = {"whenever": "when", "as soon as": "when", "once": "when"}.get(word, word)
        whens = [f"{word} {case}"]
        plain = [f"What {v} {w} {case}?" for w in _swaps(word) for v in ("should I do", "do I do", "must I do")]
        plain += [f"{w.capitalize()} {case}, what should I do?" for w in _swaps(word)]
        plain += [f"{word.capitalize()} {case}, what has to be done?", f"What is to be done {word} {case}?"]
        clause = word in ("when", "if")
        short = [f"{case[0].upper()}{case[1:]}. What now?", f"{case[0].upper()}{case[1:]}, what do I do?"] if clause else []
        short += [f"{word} {case} what do i do"]
    when = whens[0]
    first = [(q, "plain") for q in (f"What do I do first {when}?", f"How do I start {when}?", f"What is the first step {when}?")]
    last = [(f"What do I do last {when}?", "plain"), (f"What is the last step {when}?", "plain")]
    later = [(f"What do I do second {when}?", "plain"), (f"What is the second step {when}?", "plain")]
    how = "how" if word == "to" else "what to do"
    requests = [f"{start} {how} {when}{end}" for start, end in (("Tell me", "."), ("Do you know", "?"), ("Remind me", "."))]
    asked = [(q, "plain") for q in plain] + [(q, "short") for q in short] + [(q, "request") for q in requests]
    order = [a for a in chain.from_iterable(zip_longest(asked, first if len(steps) > 1 else [])) if a]
    order += [*later, *last] if len(steps) > 2 else last if len(steps) == 2 else []
    back = [(f"What comes after I {a}?" if a != act else "", "reversed") for a in steps[:-1][:2]]
    back = [(f"When should I {steps[0]}?", "reversed"), (f"When do I {steps[0]}?", "reversed"), *back]
    return order, back


def _swaps(word: str) -> tuple[str, ...]:
    return ("when", "if") if word in ("when", "if") else (word,)


def _clauses(note: str) -> list[_Clause]:
    """The note's clauses, with pronouns that point back to an earlier subject filled in."""
    found: list[_Clause] = []
    for sentence in _SENTENCE.split(note):
        texts = [t for t in _AND.split(sentence.strip()) if t]
        if any(_clause(t.strip(" ,")) is None for t in texts):
            texts = [sentence]
        for text in texts:
            text = text.strip(" ,.")
            if m := re.match(r"(?:\w+, )?(it|he|she|they|his|her|its|their) ", text + " ", re.I):
                subject = found[0].subject if found else ""
                many = bool(found) and (found[-1].auxiliary in ("are", "were") or base_form(found[-1].verb.split(" ")[0])[1] == "do")
                if not subject or subject in ("I", "we", "there") or len(subject.split()) > 6:
                    continue
                if m[1].lower() in ("he", "she", "his", "her") and not (found[0].person and not many):
                    continue
                if m[1].lower() in ("they", "their") and not many or (m[1].lower() in ("it", "its") and many):
                    continue
                text = subject + ("'s " if m[1].lower() in ("his", "her", "its", "their") else " ") + text[m.end() :]
            if clause := _clause(text):
                found.append(clause)
    return found


def _clause(text: str) -> _Clause | None:
    """One clause taken apart, as the asker would say it; none where no verb is found."""
    if m := re.match(r"([A-Z]\w*(?: [A-Z]\w*)*), (?:the|an?|our|my) [^,]+, (.+)", text):  # "Lena, the apprentice, ..."
        text = f"{m[1]} {m[2]}"
    tokens = text.split()
    at = _verb_at(tokens)
    if at is None or not 0 < at < len(tokens) - 1:
        return None
    subject, verb, rest = tokens[:at], tokens[at], tokens[at + 1 :]
    early = [w for w in subject[1:] if w in _ADVERBS and w == subject[-1]]
    subject = subject[: len(subject) - len(early)]
    if subject[0].lower() in ("the", "this") and subject[1:2] == ["user"] and len(subject) == 2 or subject == ["You"]:
        subject = ["I"]
        rest = ["my" if w in ("their", "his", "her", "your") else w for w in rest]
    while rest and rest[0] in _ADVERBS and len(rest) > 1:
        early.append(rest.pop(0))
    auxiliary, main = "", verb
    if verb in AUXILIARIES:
        held = verb in ("has", "have", "had")
        if not held or (rest and (rest[0] == "been" or is_participle(rest[0]))):
            auxiliary, main = verb, ""
            compound = rest and (is_participle(rest[0]) or verb not in BE and not held)
            if compound:
                main = rest.pop(0)
                if main in ("be", "been") and len(rest) > 1 and is_participle(rest[0]):
                    main += " " + rest.pop(0)
    if subject == ["I"]:
        auxiliary = {"is": "am", "are": "am", "has": "have"}.get(auxiliary, auxiliary)
        auxiliary = "was" if auxiliary == "were" else auxiliary
        form = main if auxiliary or not main else base_form(main)[0] if base_form(main)[1] == "does" else main
        main = form
    while main and len(rest) > 1 and rest[0] in _PARTICLES and (
        rest[1] in _PREPOSITIONS | _ALONE or rest[0] in ("home", "place", "up", "out", "away", "back")
    ):
        main += " " + rest.pop(0)
    parts = _parts(rest)
    if not parts:
        return None
    if not main or base_form(main)[0] in PLACE_VERBS.values():  # "stands by the door", but "made by the firm"
        parts = [replace(p, kind="where") if p.preposition == "by" and p.kind == "what" else p for p in parts]
    return _Clause(_lowered(subject, verb), auxiliary, " ".join(early), main, tuple(parts))


def _verb_at(tokens: Sequence[str]) -> int | None:
    """Where the finite verb stands: an auxiliary, a verb form that is known, or what follows a name."""
    main = tokens
    for n, token in enumerate(tokens[1:], 1):
        if token in _CLAUSES and n > 2:
            main = tokens[:n]
            break

    def open_(n: int) -> bool:  # no relative pronoun or new subject stands before it
        return n == 1 or main[n - 1].lower() not in _RELATIVE | _PRONOUNS

    known = next((n for n in range(1, len(main)) if open_(n) and _is_verb(main, n)), None)
    helper = next((n for n in range(1, len(main)) if main[n] in AUXILIARIES and open_(n)), None)
    if helper is not None and known is not None and known < helper:
        between = main[known + 1 : helper]
        second = any(w in _RELATIVE | {"and", "but"} for w in between) and main[known - 1].lower() not in _RELATIVE
        return known if second or main[known] in _SAYING else helper
    if helper is not None or known is not None:
        return helper if helper is not None else known
    n = 1
    while n < len(main) - 1 and (main[n][0].isupper() or main[n] in _ADVERBS or main[n] == "&"):
        n += 1
    named = main[0][0].isupper() and main[0].lower() not in _DETERMINERS
    if named and n < len(main) - 1 and re.fullmatch(r"[a-z]{2,}(?:[^s\W]s|ed)", main[n]) and main[n] not in _PREPOSITIONS:
        return n
    if main[0].lower() in ("i", "we") and n < len(main) - 1 and re.fullmatch(r"[a-z]{2,}", main[n]):
        return n
    for n in range(2, min(len(main) - 1, 8)):
        if re.fullmatch(r"[a-z]{2,}(?:[^s\W]s|ed)", main[n]) and (main[n + 1] in _DETERMINERS or main[n + 1][0].isdigit()):
            return n if main[n - 1] not in _DETERMINERS | _PREPOSITIONS else None
    return None


def _is_verb(tokens: Sequence[str], n: int) -> bool:
    word, before = tokens[n], tokens[n - 1].lower()
    if before in _DETERMINERS - {"all", "both"} and n < 2 or before in ("the", "a", "an", "of", "my", "our"):
        return False
    if word in THIRD or word in PASTS and word not in BASES:
        return before not in _PREPOSITIONS
    many = before in ("i", "we", "you", "they") or (before.endswith("s") and not before.endswith(("'s", "ss")))
    many = many or before == "people" or tokens[n - 2 : n - 1] == ["and"]
    return many and word in BASES or (word in PASTS and before not in _PREPOSITIONS)


def _lowered(subject: Sequence[str], verb: str) -> str:
    """The subject as it stands inside a sentence: names keep their capital."""
    first, rest = subject[0], list(subject[1:])
    common = first.lower() in _DETERMINERS | _PRONOUNS - {"i"} or first.endswith("ing")
    common |= len(rest) == 1 and rest[0].islower() or len(rest) > 1 and rest[0].islower() and rest[0] not in _PREPOSITIONS | {"of", "and"}
    plural = first.endswith("s") and (verb in ("are", "were", "have") or verb in BASES)
    common |= plural or first.lower() in _PERIODS
    if not common or first[1:] != first[1:].lower() or first.endswith("'s") or first.lower() in WEEKDAYS + MONTHS:
        common = first.lower() in _DETERMINERS
    return " ".join([first.lower() if common else first, *rest])


def _parts(rest: Sequence[str]) -> list[_Part]:
    """What follows the verb, cut where a preposition, a time or a reason begins; places and times stay in one piece."""
    groups: list[list[str]] = []
    closed = False
    for n, word in enumerate(rest):
        after = rest[n + 1] if n + 1 < len(rest) else ""
        starts = word in _PREPOSITIONS and after not in ("most", "least") and not (word == "to" and after in BASES)
        starts = starts and bool(after) and not (word == "past" and n > 0) and rest[n - 1 : n] != ["next"]
        starts = starts or (word in _ALONE and (n == 0 or rest[n - 1] not in _PREPOSITIONS | _DETERMINERS) and n > 0)
        if not groups or word in _CLAUSES or (starts and not closed and not _joins(groups[-1])):
            groups.append([])
        groups[-1].append(word)
        closed = closed or word in _RELATIVE or word in _CLAUSES or word.endswith(",")
    parts: list[_Part] = []
    for group in groups:
        part = _part(group)
        if parts and parts[-1].kind == part.kind and part.kind in ("where", "when") and parts[-1].preposition:
            parts[-1] = replace(parts[-1], noun=f"{parts[-1].noun} {part}")
        else:
            parts.append(part)
    return parts


def _joins(group: Sequence[str]) -> bool:
    """Whether the words so far cannot end here: a lone preposition before another ("from under the bed"), "half past"."""
    return len(group) == 1 and (group[0] in _PREPOSITIONS or group[0] in ("left", "right"))


def _part(group: Sequence[str]) -> _Part:
    first = group[0]
    if first in _CLAUSES:
        return _Part(first, " ".join(group[1:]), _CLAUSES[first])
    split = first in _PREPOSITIONS and len(group) > 1
    preposition, noun = (first, " ".join(group[1:])) if split else ("", " ".join(group))
    low = noun.lower()
    number = re.match(r"(?:at most |at least |about |around |exactly |only |up to )?(\d[\d.,]*|\w+)(?: (\w+))?", low)
    counted = bool(number) and (number[1][0].isdigit() or number[1] in NUMBER_WORDS) if number else False
    unit = (number[2] or "") if number else ""
    timed = bool(_CLOCK.search(low)) or any(d in low for d in WEEKDAYS) or any(re.search(rf"\b{m}\b", low) for m in MONTHS)
    timed = timed or re.fullmatch(r"(?:the )?(?:spring|summer|autumn|winter|\w+ century)?(?: ?of )?(?:1[0-9]|20)\d\d", low) is not None
    timed = timed or low.split()[-1] in _PERIODS | _SEASONS or low.split()[0] in _ALONE or re.match(r"the \w*\d(?:st|nd|rd|th)\b", low) is not None
    if preposition in ("before", "after", "until", "till", "since") or (timed and (preposition in _TIME)):
        return _Part(preposition, noun, "when")
    if preposition in ("at", "by") and low.isdigit() and int(low[:3]) < 25:
        return _Part(preposition, noun, "when")
    if counted and _LENGTH.match(unit) and preposition in ("", "for", "within", "in"):
        return _Part(preposition, noun, "length")
    if counted and unit and (not preposition or preposition == "to") and not re.search(r"[a-z]-|\d[a-z]", number[1] if number else ""):
        return _Part(preposition, noun, "count")
    if preposition in PLACE | {"into", "onto", "through", "over", "across", "along", "around", "past"} and preposition not in ("against", "between"):
        abstract = re.match(r"an? \w+ of \d", low) or noun[0] in "'\""
        return _Part(preposition, noun, "what" if abstract or preposition == "by" else "where")
    named = re.fullmatch(r"(?:[A-Z][\w.]+ ?){1,3}", noun) is not None and (preposition in ("with", "by", "to", "for") or _TITLE.match(noun))
    return _Part(preposition, noun, "who" if named else "what")


def _preference(clause: _Clause) -> list[list[Asked]]:
    """"S prefers V to W", in its usual wordings."""
    base = base_form(clause.verb.split()[0])[0] if clause.verb and not clause.auxiliary else ""
    rest = " ".join(map(str, clause.parts))
    pattern = {"prefer": r"(.+?) (?:over|to|rather than) (.+)", "like": r"(.+?) (?:better|more) than (.+)"}.get(base)
    if pattern is None or not (m := re.fullmatch(pattern, rest)):
        return []
    subject, other = clause.subject, m[2]
    do, s = ("do", "") if base_form(clause.verb)[1] == "do" else ("does", "s")
    plain = [
        f"What {do} {subject} prefer to {other}?",
        f"What {do} {subject} prefer over {other}?",
        f"What {do} {subject} like better than {other}?",
        f"What {do} {subject} like more than {other}?",
        f"Instead of {other}, what {do} {subject} prefer?",
        f"What would {subject} rather have than {other}?",
        f"What {do} {subject} choose over {other}?",
        f"Which thing {do} {subject} prefer to {other}?",
        f"Rather than {other}, what {do} {subject} want?",
        f"What is it that {subject} prefer{s} to {other}?",
    ]
    short = [_sentence(f"{subject} prefer{s} what to {other}"), _sentence(f"{subject} prefer{s} what over {other}")]
    requests = [f"Tell me what {subject} prefer{s} to {other}.", f"Do you know what {subject} prefer{s} over {other}?"]
    asked = [(q, "plain") for q in plain] + [(q, "short") for q in short] + [(q, "request") for q in requests]
    return [asked]
