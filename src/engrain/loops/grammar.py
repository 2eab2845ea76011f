"""Questions that follow from a note's grammar alone: no model has to think of them.

A fact that is learned in one wording is known in one wording. So a clause is taken apart into subject, verb and what
follows; each part is left out in turn and asked for in many ways. Where no verb is found, nothing is asked. An odd
question costs little, because a model that reads the note must still be able to answer it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, zip_longest

from engrain.loops.clauses import (
    CLOCK,
    DETERMINERS,
    FOREIGN,
    MASS,
    PEOPLE,
    PREPOSITIONS,
    RELATIVE,
    ROLE,
    TITLE,
    Clause,
    Part,
    clauses,
    sentence,
)
from engrain.loops.verbs import BE, PAST_OF, base_form, third_person
from engrain.memory.lexicon import (
    COLOURS,
    KEPT,
    MONEY,
    MONTHS,
    NUMBER_WORDS,
    ONE_VALUED,
    PLACE,
    PLACE_VERBS,
    QUALITIES,
    WEEKDAYS,
    words,
)

MOST = 40
LONGEST = 1000
"""Characters; a longer text is no short note, and nothing is asked about it."""

Asked = tuple[str, str]
"""A question and its kind."""

_CONTRACTED = (
    (r"\bI'm\b", "I am"),
    (r"\bcan't\b", "can not"),
    (r"\b(do|does|did|is|are|was|were|must|should)n't\b", r"\1 not"),
    (r"\bthe user's\b", "my"),
    (r"^The user's\b", "My"),
    (r"[.! ]+$", ""),
    (r" now$", ""),
)
"""What notes say and askers do not, with what they say instead."""

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
    "cost": ("How much {is_} {s}?", "What is the price of {s}?", "What do I pay for {s}?"),
    "weigh": ("How heavy {is_} {s}?", "What is the weight of {s}?"),
    "take": ("What is the duration of {s}?",),
    "last": ("What is the duration of {s}?",),
    "seat": ("How many seats are there in {s}?", "How many people fit in {s}?"),
    "belong": ("Who owns {s}?", "Whose {is_} {s}?", "Who is the owner of {s}?"),
}


def plain_questions(note: str) -> list[Asked]:
    """Questions about a note with their kinds, forward ones (the value from the subject) first; none if it has another shape."""
    note = re.sub(r"^(?:[-*•] |\[[\d-]+\] )", "", " ".join(note[: LONGEST + 1].split()))
    told = set(note.lower().split())
    strange = len(note) > LONGEST or note.endswith("?") or re.search(r"[<>{}|`*]", note) or told & FOREIGN
    if len(told) < 3 or strange:
        return []
    for pattern, plain in _CONTRACTED:
        note = re.sub(pattern, plain, note)
    if asked := _procedure(note):
        return _chosen([asked[0]], asked[1])
    forward: list[list[Asked]] = []
    backward: list[Asked] = []
    for clause in clauses(note):
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


def _low(text: str) -> str:
    return text[:1].lower() + text[1:]


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


def _gap(clause: Clause, n: int) -> list[Asked]:
    """All ways to ask for the clause's n-th part."""
    part = clause.parts[n]
    if part.noun in ("me", "us", "him", "her", "them", "it"):
        return []
    if part.kind != "why":
        clause = replace(clause, parts=tuple(p for p in clause.parts if p.kind != "why"))
    texts = [str(p) for p in clause.parts]
    plain_be = clause.auxiliary in BE and not clause.verb
    if plain_be and n == 0 and not part.preposition and clause.subject != "there":
        if (
            part.noun.split()[0].lower() in COLOURS
            and " " not in part.noun
            and not re.search("favou?rite|colou?r", clause.subject)
        ):
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
        blank = {"when": "when", "where": "where", "length": _low(wh)}.get(part.kind)
        blank = blank or f"{part.preposition} {_low(wh)}".strip()
        blank = blank if " what" not in blank[3:] or part.kind == "what" else _low(whs[0][0])
        asked.append((sentence(clause.tell([*texts[:n], blank, *texts[n + 1 :]])), "short"))
    wrapped = _wrapped(clause.tell([*texts[:n], stranded, *texts[n + 1 :]], _low(wh)), asked[0][0])
    asked += wrapped[:2]
    if part.kind in ("what", "who", "where", "when") and not plain_be:
        be = "was" if clause.past or clause.auxiliary in ("was", "were") else "is"
        cleft = clause.tell([*texts[:n], stranded, *texts[n + 1 :]])
        asked.append((f"{wh} {be} it that {cleft}?", "plain"))
        if part.kind == "what" and not stranded:
            asked.append((f"What {be} the thing that {cleft}?", "plain"))
    elsewhere = [t for m, t in enumerate(texts) if m != n and clause.parts[m].kind in ("when", "where")]
    if len(elsewhere) == 1 and clause.parts[texts.index(elsewhere[0])].preposition:
        inner = clause.ask(wh, [*(t for t in texts[:n] if t not in elsewhere), stranded])
        asked.append((sentence(elsewhere[0] + ",", inner[0].lower() + inner[1:], end=" ").strip(), "plain"))
    return asked + wrapped[2:]


def _question_words(clause: Clause, part: Part) -> list[tuple[str, str]]:
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
        if CLOCK.search(low) or (low.isdigit() and len(low) < 3):
            found += [("At what time", ""), ("What time", ""), ("At which hour", "")]
        elif any(day in low for day in WEEKDAYS):
            found += [("On which day", ""), ("What day", ""), ("On what day of the week", "")]
        elif any(re.search(rf"\b{month}", low) for month in MONTHS):
            found += [("On what date", "")] if re.search(r"\d", low) else [("In which month", "")]
        elif low.isdigit() or re.search(r"\d{4}$", low):
            found += [("In what year", ""), ("In which year", "")]
        if preposition in ("", "every") and re.search(r"\b(?:every|each|once|twice|daily|weekly)\b", low):
            found += [("How often", "")]
        return found
    if part.kind == "length":
        if preposition in ("within", "in"):
            return [(f"{preposition} how many {low.split()[-1]}".capitalize(), ""), ("How soon", ""), ("By when", "")]
        return [("How long", ""), *([("For how long", "")] if preposition else [])]
    head = _head(noun)
    which = [(f"Which {head}", preposition)] if head else []
    which += [(f"{preposition} which {head}".capitalize(), "")] if head and preposition else []
    if part.kind == "where":
        return [("Where", ""), *which[1:], *which[:1], *([("In what place", "")] if preposition in PLACE else [])]
    word = "Who" if part.kind == "who" else "What"
    piped = "whom" if word == "Who" else "what"
    found = [(word, preposition)]
    if preposition == "from":
        found += [("Where", "from")]
    found += [(f"{preposition} {piped}".capitalize(), "")] if preposition else []
    if which and not preposition and re.match(r"an? ", noun):
        which.append((f"What kind of {head}", ""))
    return found + which


def _how_many(part: Part) -> list[tuple[str, str]]:
    number = re.sub(r"^(?:at most|at least|about|around|exactly|only|up to) ", "", part.noun)
    unit = re.sub(
        r"^(?:[\d.,/]+|" + "|".join(sorted(NUMBER_WORDS)) + r")(?:[ -](?:[\d.,]+|\w+teen|hundred|and))* ?", "", number
    )
    unit = re.split(r"(?:^| )(?:of|for|per|a|each|that|wide|long|high|at|on|in|now) ?", unit + " ")[0].strip()
    if not unit or unit[0].isdigit():
        return [("What", part.preposition), ("Which number", part.preposition), ("How many", part.preposition)]
    mass = unit.split()[0].lower() in MONEY | MASS
    other = ["How much", "What"] if mass else [f"What number of {unit}"]
    return [(f"How many {unit}", part.preposition), *((w, part.preposition) for w in other)]


def _head(noun: str) -> str:
    """The noun that says what sort of thing is meant: mug of "the orange mug", village of "the village of Millbrook"."""
    if m := re.match(r"(?:the|an?) (?:[a-z]+ ){0,2}?([a-z]+) of [A-Z\d]", noun):
        return m[1]
    if m := re.match(r"(?:(?:the|an?) )?([a-z]+) (?:called |named )?(?:[A-Z]|\d)\S*(?: [A-Z0-9]\S*)*$", noun):
        return "" if m[1] in NUMBER_WORDS | DETERMINERS | PREPOSITIONS else m[1]
    tokens = noun.split()
    end = next(
        (n for n, w in enumerate(tokens) if n and (w in PREPOSITIONS | RELATIVE or w in ("of", "and", "or"))), None
    )
    tokens = tokens[:end]
    kept = len(tokens) in (3, 4) and tokens[0] in words("the a an my our his her their") and tokens[-1].isalpha()
    return tokens[-1] if kept and tokens[-1].islower() and tokens[-1] not in words("one kind lot off out") else ""


def _paraphrases(clause: Clause, part: Part) -> list[Asked]:
    """Other words for what some verbs say."""
    subject, base = clause.subject, clause.base.split(" ")[0] if clause.verb else ""
    be = "am" if subject == "I" else "are" if clause.plural or subject == "we" else "is"
    found: list[str] = []
    if part.kind == "where":
        kept = (
            clause.verb in KEPT
            or (clause.auxiliary in BE and not clause.verb and clause.parts[0] == part)
            or base in PLACE_VERBS.values()
        )
        thing, them = (subject, be) if kept else ("", "")
        if base in ("keep", "store", "put", "hide", "park", "leave") and not clause.parts[0].preposition:
            thing = clause.parts[0].noun
            them = "are" if thing.split()[-1].endswith("s") else "is"
        if thing and thing not in ("I", "we", "there") and base != "live":
            found = ["Where {is_} {s}?", "Where can I find {s}?", "Where do I look for {s}?", "{s}: where?"]
            subject, be = thing, them
    elif part.kind in ("count", "length", "what", "who"):
        found = list(_BY_VERB.get(base, ())) if base not in ("take", "last") or part.kind == "length" else []
        found = [] if clause.auxiliary else found
        if part.preposition == "by" and clause.auxiliary in BE and clause.verb.split()[0] in PAST_OF:
            first, *particle = clause.verb.split()
            form = PAST_OF[first] if clause.auxiliary in ("was", "were") else third_person(base_form(first)[0])
            did = " ".join((form, "{s}", *particle))
            found = [f"Who {did}?", *([f"Which one {did}?"] if part.kind == "what" else [])]
        elif clause.verb in ("called", "named") and not part.preposition:
            found = [
                "What is the name of {s}?",
                "By what name {is_} {s} known?",
                "Which name does {s} have?",
                "Name of {s}?",
            ]
    return [(sentence(q.format(s=subject, is_=be), end=" ").strip(), "short" if ": " in q else "plain") for q in found]


def _attribute(subject: str, be: str, part: Part, rest: Sequence[str] = ()) -> list[Asked]:
    """ "X is V": the ways to ask for V, by what X is of."""
    value, tail = part.noun, " ".join(rest)
    if _quality(value):
        plain = [f"How {be} {subject}?", f"What {be} {subject} like?", f"What state {be} {subject} in?"]
        asks = [f"Tell me how {subject} {be}.", f"Do you know what state {subject} {be} in?"]
        return [(q, "plain") for q in plain] + [(q, "request") for q in asks]
    tail = f" {tail}" if tail else ""
    bare = re.sub(r"^(?:the|our|my|an?) ", "", subject)
    head = re.split(r" (?:of|for|in|at|on|from) ", bare)[0].split()[-1]
    wh = "Who" if _names_a_person(subject, value) else "What"
    asked: list[Asked] = [(f"{wh} {be} {subject}{tail}?", "plain")]
    if wh == "Who" and not TITLE.match(value):  # what is named after a person may be a thing after all
        asked += [(f"What {be} {subject}{tail}?", "plain")]
    if part.kind == "count":
        unit = _how_many(part)[0][0]
        asked += [(f"{unit} {be} {subject}?", "plain")] if unit.startswith("How many ") else []
        if unit.removeprefix("How many ").split()[0] in MONEY and head not in _OF:
            does = "do" if be == "are" else "does"
            asked += [(f"How much {be} {subject}?", "plain"), (f"How much {does} {subject} cost?", "plain")]
    times = {"when": ("When", "On which day") if value[0].isalpha() else ("When",), "length": ("How long",)}
    asked += [(f"{w} {be} {subject}{tail}?", "plain") for w in times.get(part.kind, ())]
    owner, thing = _owner(subject)
    asked += [(q.format(y=owner, be=be), "plain") for q in _OF.get(head, ()) if owner and thing == head]
    mine = re.sub(r"^favou?rite ", "", thing)
    if mine != thing and owner:
        asked += [(f"What {mine} {'do' if owner == 'I' else 'does'} {owner} like best?", "plain")]
        asked += [(f"Which {mine} {be} {subject.removesuffix(' ' + mine)}?", "plain")]
    elif owner and be in ("is", "are") and head not in ("price", "cost", "name", "age", "owner", "birthday"):
        many = owner.split()[-1].endswith("s") and owner.islower() and not owner.endswith("ss")
        does = "do" if owner in ("I", "we") or many else "does"
        asked += [(f"Which {thing} {does} {owner} have?", "plain"), (f"What {thing} {does} {owner} have?", "plain")]
    if owner and owner not in ("I", "we"):
        short = len(owner.split()) < 5 and not (owner.endswith("s") and owner.islower())
        asked += [(f"{wh} {be} {owner}'s {thing}?", "plain")] if short and " of " in subject else []
        asked += [(f"{wh} {be} the {thing} of {owner}?", "plain")] if "'s " in subject else []
        asked += [(sentence(f"{owner}'s {thing}"), "short")] if short else []
        asked += [(f"{bare[0].upper()}{bare[1:]}?", "short"), (f"For {owner}, {_low(wh)} {be} the {thing}?", "plain")]
    else:
        asked += [(f"{bare[0].upper()}{bare[1:]}?", "short")]
    if not (owner and " of " in subject) and (m := re.fullmatch(r"(.+?) ((?:in|at|on|near|behind) .+)", subject)):
        asked += [(sentence(f"{m[2]}, {_low(wh)} {be} {m[1]}"), "plain")]
    asked += [
        (sentence(f"{subject}: {_low(wh)} {'are they' if be in ('are', 'were') else 'is it'}"), "short"),
        (f"{wh} exactly {be} {subject}{tail}?", "plain"),
        (sentence(f"{subject} {be} {_low(wh)}{tail}"), "short"),
        (f"Tell me {subject}.", "request"),
        (f"Do you know {subject}?", "request"),
        (f"I need to know {subject}.", "request"),
    ]
    return asked + _wrapped(f"{_low(wh)} {subject} {be}{tail}", asked[0][0])[2:]


def _quality(value: str) -> bool:
    return value.lower() in QUALITIES - COLOURS or re.fullmatch(r"[a-z]{3,}(?:ed|en)", value) is not None


def _names_a_person(subject: str, value: str) -> bool:
    head = re.split(r" (?:of|for|in|at|on|from) ", subject)[0].split()[-1]
    name = re.fullmatch(r"[A-Z][a-z]+(?: [A-Z][a-z]+)?(?:, .*)?", value) is not None
    return bool(TITLE.match(value)) or (name and (head in PEOPLE or ROLE.search(head) is not None))


def _owner(subject: str) -> tuple[str, str]:
    """(Y, X) of "the X of Y", "Y's X", "my X" and "the X for Y"; empty where it says of nothing."""
    if m := re.fullmatch(r"(?:the )?([\w -]+?) (?:of|for) (.+)", subject):
        return m[2], m[1]
    if m := re.fullmatch(r"(.+)(?:'s|s') ([^']+)", subject):
        return m[1] + ("s" if "s' " in subject else ""), m[2]
    if m := re.fullmatch(r"(my|our) ([^']+)", subject):
        return {"my": "I", "our": "we"}[m[1]], m[2]
    if (
        (m := re.fullmatch(r"(the [\w -]+?) (\w+)", subject))
        and m[2] in ONE_VALUED
        and not set(m[1].split()) & PREPOSITIONS
    ):
        return m[1], m[2]
    return "", subject.removeprefix("the ")


def _reversed(clause: Clause) -> list[Asked]:
    """Asks for the subject."""
    subject, texts = clause.subject, " ".join(map(str, clause.parts))
    if subject in ("I", "we", "there") or not clause.parts:
        return []
    value = clause.parts[0]
    adjective = len(clause.parts) > 1 and value.noun.islower() and " " not in value.noun
    if clause.auxiliary in BE and not clause.verb and not value.preposition and not adjective:
        if value.noun.startswith("that ") or _quality(value.noun):
            return []
        owner, thing = _owner(subject)
        asked = [f"{'Who' if _names_a_person(subject, texts) else 'What'} {clause.auxiliary} {texts}?"]
        if "'s " in subject and owner:
            asked.append(f"Whose {thing} {clause.auxiliary} {texts}?")
        elif owner and owner not in ("I", "we"):
            asked.append(sentence(f"{texts} {clause.auxiliary} the {thing} of what"))
        return [
            (q, "reversed")
            for q in [*asked, *([] if owner or TITLE.match(texts) else [sentence(f"{texts} {clause.auxiliary} what")])]
        ]
    who = "who" if clause.person else "what"
    first, *particle = clause.verb.split(" ")
    if not clause.auxiliary and base_form(first)[1] == "do" and not clause.past:
        clause = replace(clause, verb=" ".join((third_person(first), *particle)))
    singular = {"are": "is", "were": "was", "have": "has", "do": "does"}
    helper = singular.get(clause.auxiliary, clause.auxiliary)
    told = replace(clause, subject=who, auxiliary=helper).tell(map(str, clause.parts))
    return [
        (sentence(told), "reversed"),
        (f"Tell me {told}.", "reversed"),
        (f"{who.capitalize()} is it that {told.removeprefix(who + ' ')}?", "reversed"),
    ]


def _procedure(note: str) -> tuple[list[Asked], list[Asked]] | None:
    """When C, A, then B: questions about what to do, and about when to do it."""
    if not (m := re.match(r"(When|Whenever|If|As soon as|Before|After|To|Once) ([^,]+), ([a-z].+)", note)):
        return None
    word, case, act = m[1].lower(), m[2], m[3]
    steps = [s for s in re.split(r",? and then |,? then |, and |, (?=[a-z])|[.;] (?:Then )?", act) if s]
    case = re.sub(r"\byou are\b", "I am", case)
    case = re.sub(r"\byour\b", "my", re.sub(r"\byou\b", "I", case))
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
        short = (
            [f"{case[0].upper()}{case[1:]}. What now?", f"{case[0].upper()}{case[1:]}, what do I do?"] if clause else []
        )
        short += [f"{word} {case} what do i do"]
    when = whens[0]
    first = [
        (q, "plain")
        for q in (f"What do I do first {when}?", f"How do I start {when}?", f"What is the first step {when}?")
    ]
    last = [(f"What do I do last {when}?", "plain"), (f"What is the last step {when}?", "plain")]
    later = [(f"What do I do second {when}?", "plain"), (f"What is the second step {when}?", "plain")]
    how = "how" if word == "to" else "what to do"
    requests = [
        f"{start} {how} {when}{end}" for start, end in (("Tell me", "."), ("Do you know", "?"), ("Remind me", "."))
    ]
    asked = [(q, "plain") for q in plain] + [(q, "short") for q in short] + [(q, "request") for q in requests]
    order = [a for a in chain.from_iterable(zip_longest(asked, first if len(steps) > 1 else [])) if a]
    order += [*later, *last] if len(steps) > 2 else last if len(steps) == 2 else []
    back = [(f"What comes after I {a}?" if a != act else "", "reversed") for a in steps[:-1][:2]]
    back = [(f"When should I {steps[0]}?", "reversed"), (f"When do I {steps[0]}?", "reversed"), *back]
    return order, back


def _swaps(word: str) -> tuple[str, ...]:
    return ("when", "if") if word in ("when", "if") else (word,)


def _preference(clause: Clause) -> list[list[Asked]]:
    """ "S prefers V to W", in its usual wordings."""
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
    short = [sentence(f"{subject} prefer{s} what to {other}"), sentence(f"{subject} prefer{s} what over {other}")]
    requests = [f"Tell me what {subject} prefer{s} to {other}.", f"Do you know what {subject} prefer{s} over {other}?"]
    asked = [(q, "plain") for q in plain] + [(q, "short") for q in short] + [(q, "request") for q in requests]
    return [asked]
