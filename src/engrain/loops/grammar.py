"""Questions that follow from a note's grammar alone, with the answers: no model has to think of them.

A fact that is learned in one wording is known in one wording. So a clause is taken apart into subject, verb and what
follows; each part is left out in turn and asked for in many ways, and is then the answer. Where no verb is found,
nothing is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, pairwise, zip_longest
from typing import NamedTuple

from engrain.loops import clauses as lists
from engrain.loops.clauses import PEOPLE, PREPOSITIONS, TITLE, Clause, Part, clauses, sentence, uncapitalised
from engrain.loops.verbs import BASES, BE, PAST_OF, base_form, third_person
from engrain.memory import lexicon
from engrain.memory.lexicon import COLOURS, MONEY, MONTHS, NUMBER_WORDS, ONE_VALUED, WEEKDAYS, words

MOST = 40
LONGEST = 1000
"""Characters; a longer text is no short note, and nothing is asked about it."""


class Asked(NamedTuple):
    """A question, one of prompts.QUESTION_KINDS, and the part of the note that it asks for; "" if several parts would do."""

    text: str
    kind: str
    answer: str = ""


_CONTRACTED = (
    (r"\bI'm\b", "I am"),
    (r"\bcan't\b", "can not"),
    (r"\b(do|does|did|is|are|was|were|must|should)n't\b", r"\1 not"),
    (r"\bthe user's\b", "my"),
    (r"^The user's\b", "My"),
    (r"[.! ]+$", ""),
    (r" now$", ""),
    (r"^For (?:me|the user), (.+?) (?:is|are) better than (.+)$", r"I prefer \1 to \2"),
    (r"^For ([A-Z]\w+), (.+?) (?:is|are) better than (.+)$", r"\1 prefers \2 to \3"),
)
"""What notes say and askers do not, with what they say instead."""

_OF = {
    "price": "How much is {s}?|What does one pay for {s}?",
    "cost": "How much is {s}?|What does one pay for {s}?",
    "fee": "How much do I pay for {s}?",
    "name": "What {be} {s} called?",
    "age": "How old is {s}?",
    "weight": "How heavy is {s}?|How much does {s} weigh?",
    "length": "How long is {s}?",
    "height": "How tall is {s}?|How high is {s}?",
    "width": "How wide is {s}?",
    "depth": "How deep is {s}?",
    "colour": "What colour is {s}?",
    "birthday": "When was {s} born?",
    "owner": "Who owns {s}?|Whose is {s}?|To whom does {s} belong?",
    "manager": "Who manages {s}?|Who runs {s}?",
}
_BY_VERB = {
    "cost": "How much {be} {s}?|What is the price of {s}?|What do I pay for {s}?",
    "weigh": "How heavy {be} {s}?|What is the weight of {s}?",
    "belong": "Who owns {s}?|Whose {be} {s}?|Who is the owner of {s}?",
}
"""Other ways to ask for an attribute of s, or for what a verb says of it."""


_NUMBERED = re.compile(rf"(?:\d+|{'|'.join(sorted(NUMBER_WORDS))})(?: hundred| thousand)? ([a-z][a-z ]*)")
_DOES = words("""build clean deliver design feed found inspect lead look make manage own paint print publish repair run sell send
    sponsor supply teach write""")
"""Verbs whose subject is what one asks for, where their object is what is spoken of."""
_CODED = re.compile(r"(?:the )?([a-z]+(?: [a-z]+)?) \S*\d\S*")
"""What a code is: the "locker number" of "locker number 6289"."""
_PLACED = lexicon.KEPT | frozenset(lexicon.PLACE_VERBS.values())


def plain_questions(note: str) -> list[Asked]:
    """Questions about a note, forward ones (the value from the subject) first; none if it has another shape."""
    note = re.sub(r"^(?:[-*•] |\[[\d-]+\] )", "", " ".join(note[: LONGEST + 1].split()))
    told = set(note.lower().split())
    strange = len(note) > LONGEST or note.endswith("?") or re.search(r"[<>{}|`*]", note) or told & lists.FOREIGN
    if len(told) < 3 or strange:
        return []
    for pattern, plain in _CONTRACTED:
        note = re.sub(pattern, plain, note)
    if asked := _procedure(note):
        return _chosen([asked[0]], asked[1])
    forward: list[list[Asked]] = []
    backward: list[Asked] = []
    for clause in clauses(note):
        preferred = _preference(clause)
        forward += [preferred] if preferred else [_gap(clause, n) for n in range(len(clause.parts))]
        of_subject = _reversed(clause)
        forward += [[a for a in of_subject if a.kind != "reversed"]]
        backward += [a for a in of_subject if a.kind == "reversed"]
    return _chosen(forward, backward)


def _chosen(forward: Sequence[Sequence[Asked]], backward: Sequence[Asked]) -> list[Asked]:
    """Each thing's questions in turn, so that none is crowded out, then the reversed ones."""
    found: dict[str, Asked] = {}
    for asked in (*(a for a in chain.from_iterable(zip_longest(*forward)) if a), *backward):
        first = found.setdefault(asked.text, asked)
        if first.answer != asked.answer:
            found[asked.text] = first._replace(answer="")
    last = [a for a in found.values() if a.kind == "reversed"][:6]
    return [a for a in found.values() if a.kind != "reversed"][: MOST - len(last)] + last


def _ways(answer: str, plain: Sequence[str], short: Iterable[str], requests: Iterable[str]) -> list[Asked]:
    """Ways to ask for one thing, the light ones early enough that each kind is among those that are kept."""
    light = [Asked(q, "short", answer) for q in short] + [Asked(q, "request", answer) for q in requests]
    direct = [Asked(q, "plain", answer) for q in plain]
    return [*direct[:3], *light, *direct[3:]]


def _gap(clause: Clause, n: int) -> list[Asked]:
    """All ways to ask for the clause's n-th part."""
    part, answer = clause.parts[n], str(clause.parts[n])
    if part.noun in ("me", "us", "him", "her", "them", "it"):
        return []
    if part.kind != "why":
        clause = replace(clause, parts=tuple(p for p in clause.parts if p.kind != "why"))
    texts = [str(p) for p in clause.parts]
    if clause.links and n == 0 and not part.preposition and clause.subject != "there":
        if part.noun.lower() in COLOURS and not re.search("favou?rite|colou?r", clause.subject):
            return _attribute(f"the colour of {clause.subject}", clause.auxiliary, part)
        if len(texts) > 1 and part.kind == "what" and re.fullmatch("[a-z]+", part.noun):
            return []  # "allergic to nuts": the adjective is not the answer
        return _attribute(clause.subject, clause.auxiliary, part, texts[1:])

    def filled(blank: str) -> list[str]:
        return [*texts[:n], blank, *texts[n + 1 :]]

    asking = _question_words(part)
    wh, stranded = asking[0]
    plain = [clause.ask(w, filled(s)) for w, s in asking]
    if clause.verb and clause.adverbs not in ("", "not", "never", "only", "rarely"):
        plain.append(replace(clause, adverbs="").ask(wh, filled(stranded)))
    if any(p.preposition or p.kind == "when" for p in clause.parts[n + 1 :]):
        plain.append(clause.ask(wh, [*texts[:n], stranded]))
    if n > 1 or (n == 1 and clause.parts[0].preposition):
        plain.append(clause.ask(wh, [*(t for t in texts[:1] if not clause.parts[0].preposition), stranded]))
    plain += _paraphrases(clause, part)
    if other := _otherwise(clause):
        plain.append(replace(clause, subject=other).ask(wh, filled(stranded)))
    if wh in ("What", "Who", "Where", "When") and not clause.links and not stranded:
        be = "was" if clause.past or clause.auxiliary in ("was", "were") else "is"
        plain.append(f"{wh} {be} it that {clause.tell(filled(''))}?")
    elsewhere = [p for p in clause.parts if p is not part and p.kind in ("when", "where")]
    if len(elsewhere) == 1 and elsewhere[0].preposition:
        inner = clause.ask(wh, [*(t for t in texts[:n] if t != str(elsewhere[0])), stranded])
        plain.append(sentence(f"{elsewhere[0]},", uncapitalised(inner), end=" ").strip())
    short = [uncapitalised(plain[0].rstrip("?"))]
    if part.kind != "why":
        blank = (
            uncapitalised(wh)
            if part.kind in ("when", "where", "length")
            else f"{part.preposition} {uncapitalised(wh)}".strip()
        )
        short.append(sentence(clause.tell(filled(blank))))
    embedded = clause.tell(filled(stranded), uncapitalised(wh))
    return _ways(answer, plain, short, (f"Tell me {embedded}.", f"Can you tell me {embedded}?"))


def _otherwise(clause: Clause) -> str:
    """The subject in other words: "the paint room key" for the key of the paint room, "the Heron" for the boat Heron; "" if none."""
    if m := re.fullmatch(r"the ([a-z]+(?: [a-z]+)?) (?:of|in) the ([a-z]+(?: [a-z]+)?)", clause.subject):
        return f"the {m[2]} {m[1]}"
    if m := re.fullmatch(r"(?:the|our) (?:[a-z]+ )?(\w+) ([A-Z]\w+)", clause.subject):
        if m[1] in PREPOSITIONS | {"of"} or set(clause.subject.split()) & PREPOSITIONS:
            return ""
        return f"the {m[2]}" if m[1] in ("boat", "ship", "ferry", "hotel", "inn", "pub") else m[2]
    return ""


def _question_words(part: Part) -> list[tuple[str, str]]:
    """Question words for a part, each with the preposition that it leaves behind."""
    preposition, low = part.preposition, part.noun.lower()
    if part.kind == "why":
        return [("Why", ""), ("For what reason", "")]
    if part.kind == "count":
        return _how_many(part)
    if part.kind == "when":
        found = [(f"{preposition} when".capitalize(), "")] if preposition in ("since", "until", "till") else []
        found += [("When", "")]
        if lists.CLOCK.search(low) or (low.isdigit() and len(low) < 3):
            found += [("At what time", ""), ("What time", "")]
        elif any(day in low for day in WEEKDAYS):
            found += [("On which day", ""), ("What day", "")]
        elif any(re.search(rf"\b{month}", low) for month in MONTHS):
            found += [("On what date", "") if re.search(r"\d", low) else ("In which month", "")]
        elif re.search(r"\d{4}$", low):
            found += [("In what year", ""), ("In which year", "")]
        often = preposition in ("", "every") and re.search(r"\b(?:every|each|once|twice|daily|weekly)\b", str(part))
        return [*found, ("How often", "")] if often else found
    if part.kind == "length":
        if preposition in ("within", "in"):
            return [(f"{preposition} how many {low.split()[-1]}".capitalize(), ""), ("How soon", "")]
        much = [("For how long", "") if preposition else (f"How many {low.split()[-1]}", "")]
        return [("How long", ""), *much]
    head = _head(part.noun)
    which = [(f"Which {head}", preposition)] if head else []
    which += [(f"{preposition} which {head}".capitalize(), "")] if head and preposition else []
    if part.kind == "where":
        return [("Where", ""), *which[::-1], ("In what place", "")]
    word, piped = ("Who", "whom") if part.kind == "who" else ("What", "what")
    found = [(word, preposition), *([("Where", "from")] if preposition == "from" else [])]
    found += [(f"{preposition} {piped}".capitalize(), "")] if preposition else []
    kind = head and not preposition and re.match(r"an? ", part.noun)
    return [*found, *which, *([(f"What kind of {head}", "")] if kind else [])]


def _how_many(part: Part) -> list[tuple[str, str]]:
    number = rf"(?:[\d.,/]+|{'|'.join(sorted(NUMBER_WORDS))})(?:[ -](?:[\d.,]+|\w+teen|hundred|and))* ?"
    unit = re.sub(r"^(?:(?:at most|at least|about|around|exactly|only|up to) )?" + number, "", part.noun)
    unit = re.split(r"(?:^| )(?:of|for|per|a|each|that|wide|long|high|at|on|in|now) ?", unit + " ")[0].strip()
    if not unit or unit[0].isdigit():
        return [(wh, part.preposition) for wh in ("What", "Which number", "How many")]
    mass = unit.split()[0].lower() in MONEY | lists.MASS
    return [
        (wh, part.preposition)
        for wh in (f"How many {unit}", *(["How much", "What"] if mass else [f"What number of {unit}"]))
    ]


def _head(noun: str) -> str:
    """The noun that says what sort of thing is meant: mug of "the orange mug", village of "the village of Millbrook"."""
    if m := re.match(r"(?:the|an?) (?:[a-z]+ ){0,2}?([a-z]+) of [A-Z\d]", noun):
        return m[1]
    if m := re.match(r"(?:(?:the|an?) )?([a-z]+) (?:called |named )?(?:[A-Z]|\d)\S*(?: [A-Z0-9]\S*)*$", noun):
        return "" if m[1] in NUMBER_WORDS | lists.DETERMINERS | PREPOSITIONS else m[1]
    tokens, stops = noun.split(), PREPOSITIONS | lists.RELATIVE | {"of", "and", "or"}
    tokens = tokens[: next((n for n, w in enumerate(tokens) if n and w in stops), None)]
    kept = len(tokens) in (3, 4) and tokens[0] in words("the a an my our his her their")
    return tokens[-1] if kept and re.fullmatch("(?!one$|kind$|lot$)[a-z]+", tokens[-1]) else ""


def _paraphrases(clause: Clause, part: Part) -> list[str]:
    """Other words for what some verbs say."""
    subject, base = clause.subject, clause.base.split(" ")[0] if clause.verb else ""
    be, found = "am" if subject == "I" else "are" if clause.plural or subject == "we" else "is", list[str]()
    if part.kind == "where":
        if base in ("keep", "store", "put", "hide", "park", "leave") and not clause.parts[0].preposition:
            subject = clause.parts[0].noun
            be = "are" if subject.split()[-1].endswith("s") else "is"
        elif not (clause.links and clause.parts[0] == part) and {clause.verb, base}.isdisjoint(_PLACED):
            return []
        if subject not in ("I", "we", "there") and base != "live":
            found = ["Where {be} {s}?", "Where can I find {s}?", "Where do I look for {s}?"]
    elif (
        part.preposition == "by"
        and part.kind in ("who", "what")
        and clause.auxiliary in BE
        and clause.verb.split(" ")[0] in PAST_OF
    ):
        first, *particle = clause.verb.split()
        form = PAST_OF[first] if clause.auxiliary in ("was", "were") else third_person(base_form(first)[0])
        found = [" ".join((f"Who {form}", *particle, "{s}")) + "?"]
    elif clause.verb in ("called", "named") and not part.preposition:
        found = ["What is the name of {s}?", "Which name does {s} have?"]
    elif m := _CODED.fullmatch(part.noun) if clause.verb in ("has", "bears", "carries", "uses", "gets") else None:
        found = [f"What is the {m[1]} of {{s}}?", f"Which {m[1]} does {{s}} have?", f"{{s}} has what {m[1]}?"]
    elif not clause.auxiliary and part.kind in ("count", "what", "who"):
        found = _BY_VERB[base].split("|") if base in _BY_VERB else []
    return [sentence(q.format(s=subject, be=be).removesuffix("?")) for q in found]


def _attribute(subject: str, be: str, part: Part, rest: Sequence[str] = ()) -> list[Asked]:
    """ "X is V": the ways to ask for V, by what X is of."""
    value, tail = part.noun, " ".join(("", *rest))
    if _quality(value):
        plain = [f"How {be} {subject}?", f"What state {be} {subject} in?"]
        return _ways(value, plain, [f"how {be} {subject}"], [f"Tell me how {subject} {be}."])
    wh = "Who" if _names_a_person(subject, value) else "What"
    owner, thing = _owner(subject)
    plain = [f"{wh} {be} {subject}{tail}?"]
    if part.kind == "count" and (unit := _how_many(part)[0][0]).startswith("How many "):
        plain += [f"How much {be} {subject}?" if not owner and unit.split()[2] in MONEY else f"{unit} {be} {subject}?"]
    if part.kind in ("when", "length"):
        plain.append(f"{'When' if part.kind == 'when' else 'How long'} {be} {subject}{tail}?")
    if owner and thing in _OF:
        plain += [q.format(s=owner, be=be) for q in _OF[thing].split("|")]
    mine = re.sub(r"^favou?rite ", "", thing)
    does = "do" if owner in ("I", "we") or (owner.islower() and re.search(r"[^s]s$", owner)) else "does"
    if owner and mine != thing:
        plain += [f"What {mine} {does} {owner} like best?", f"Which {mine} {be} {subject.removesuffix(' ' + mine)}?"]
    elif owner and be in ("is", "are") and thing not in words("price cost name age owner birthday"):
        plain += [f"Which {thing} {does} {owner} have?", f"What {thing} {does} {owner} have?"]
    bare = re.sub(r"^(?:the|our|my|an?) ", "", subject)
    short = [f"{bare[0].upper()}{bare[1:]}?", sentence(f"{subject} {be} {uncapitalised(wh)}{tail}")]
    if owner and owner not in ("I", "we"):
        if len(owner.split()) < 5 and does == "does":
            plain += [f"{wh} {be} {owner}'s {thing}?"]
            short += [sentence(f"{owner}'s {thing}")]
        plain += [f"{wh} {be} the {thing} of {owner}?"] if "'s " in subject else []
        plain += [f"{wh} {be} {owner} {thing}?"] if re.fullmatch(r"the [a-z]+(?: [a-z]+)?", owner) else []
        plain += [f"For {owner}, {uncapitalised(wh)} {be} the {thing}?"]
    elif m := re.fullmatch(r"(.+?) ((?:in|at|on|near|behind) .+)", subject):
        plain += [sentence(f"{m[2]}, {uncapitalised(wh)} {be} {m[1]}")]
    plain += [f"{wh} exactly {be} {subject}{tail}?"]
    short += [sentence(f"{subject}: {uncapitalised(wh)} {'are they' if be in ('are', 'were') else 'is it'}")]
    requests = (f"Tell me {subject}.", f"Can you tell me {uncapitalised(wh)} {subject} {be}{tail}?")
    return _ways(value, plain, [*short, uncapitalised(plain[0].rstrip("?"))], requests)


def _quality(value: str) -> bool:
    return value.lower() in lexicon.QUALITIES - COLOURS or re.fullmatch(r"[a-z]{3,}(?:ed|en)", value) is not None


def _names_a_person(subject: str, value: str) -> bool:
    head = re.split(r" (?:of|for|in|at|on|from) ", subject)[0].split()[-1]
    name = re.fullmatch(r"[A-Z][a-z]+(?: [A-Z][a-z]+)?(?:, .*)?", value) is not None
    return bool(TITLE.match(value)) or (name and (head in PEOPLE or lists.ROLE.search(head) is not None))


def _owner(subject: str) -> tuple[str, str]:
    """(Y, X) of "the X of Y", "Y's X", "my X" and "the X for Y"; Y is empty where it says of nothing."""
    if m := re.fullmatch(r"(?:the )?([\w -]+?) (?:of|for) (.+)", subject):
        return m[2], m[1]
    if m := re.fullmatch(r"(.+?)(?:'s|(?<=s)') ([^']+)", subject):
        return m[1], m[2]
    if m := re.fullmatch(r"(my|our) ([^']+)", subject):
        return {"my": "I", "our": "we"}[m[1]], m[2]
    m = re.fullmatch(r"(the [\w -]+?) (\w+)", subject)
    if m and m[2] in ONE_VALUED and not set(m[1].split()) & PREPOSITIONS:
        return m[1], m[2]
    return "", subject.removeprefix("the ")


def _reversed(clause: Clause) -> list[Asked]:
    """Asks for the subject."""
    subject, texts = clause.subject, " ".join(map(str, clause.parts))
    if subject in ("I", "we", "there") or subject.split()[0] in lists.SOMEBODY:
        return []
    value, be = clause.parts[0], clause.auxiliary
    adjective = len(clause.parts) > 1 and re.fullmatch("[a-z]+", value.noun)
    if clause.links and not value.preposition and not adjective:
        if value.noun.startswith("that ") or _quality(value.noun):
            return []
        owner, thing = _owner(subject)
        asked = [Asked(f"{'Who' if _names_a_person(subject, texts) else 'What'} {be} {texts}?", "reversed", subject)]
        if owner and owner not in ("I", "we"):
            whose = f"Whose {thing} {be} {texts}?" if "'s " in subject else f"{texts} {be} the {thing} of what"
            asked.append(Asked(sentence(whose.rstrip("?")), "reversed", owner))
        return asked
    who = "who" if clause.person else "what"
    first, *particle = clause.verb.split(" ")
    counted = []
    if m := _NUMBERED.fullmatch(subject):
        told = (
            clause.tell(map(str, clause.parts))
            .removeprefix(sentence(subject, end="") + " ")
            .removeprefix(subject + " ")
        )
        counted = [Asked(sentence(f"how many {m[1]} {told}"), "plain", subject)]
    if not be and base_form(first)[1] == "do" and not clause.past:
        clause = replace(clause, verb=" ".join((third_person(first), *particle)))
    helper = {"are": "is", "were": "was", "have": "has", "do": "does"}.get(be, be)
    told = replace(clause, subject=who, auxiliary=helper).tell(map(str, clause.parts))
    cleft = f"{who.capitalize()} is it that {told.removeprefix(who + ' ')}?"
    ways = [sentence(told), f"Tell me {told}.", cleft]
    return [*counted, *(Asked(q, "plain" if _is_the_value(clause) else "reversed", subject) for q in ways)]


def _is_the_value(clause: Clause) -> bool:
    """Whether the subject is what the clause tells of the rest: who makes a thing or cares for it, as in "Hartmann made the crane"."""
    told = " ".join(map(str, clause.parts))
    if clause.base.split(" ")[0] not in _DOES or len(clause.parts) > 1 or clause.parts[0].preposition:
        return False
    named = re.fullmatch(r"(?:the [a-z]+ )?(?:[A-Z][\w.&-]*(?: |$))+", clause.subject) is not None
    return (
        named
        and re.search(r"[A-Z\d]|\ban? |\b(?:his|her|their|its)\b", told) is None
        and re.search(r"\bthe ", told) is not None
    )


def _steps(act: str) -> list[str]:
    """The things to do in order; a piece that begins with no verb belongs to the step before it."""
    first, *others = re.split(r"(,? (?:and )?then |, and |, |[.;] (?:[Tt]hen )?)", act)
    steps = [first]
    for joint, piece in zip(others[::2], others[1::2], strict=True):
        if "then" in joint.lower() or piece.lower().split(" ")[0] in BASES | lexicon.ACTIONS:
            steps.append(piece)
        else:
            steps[-1] += joint + piece
    return steps


def _procedure(note: str) -> tuple[list[Asked], list[Asked]] | None:
    """When C, A, then B: questions about what to do, and about when to do it."""
    if not (m := re.match(r"(When|Whenever|If|As soon as|Before|After|To|Once) ([^,]+), ([a-z].+)", note)):
        return None
    word, case, act = m[1].lower(), m[2], m[3]
    said = re.fullmatch(r"[a-z ]{3,40}: (\w+)(.+)", act)  # "the rule is this: ring the porter"
    if said and said[1].lower() in BASES | lexicon.ACTIONS:
        act = uncapitalised(said[1] + said[2])
    steps = _steps(act)
    for yours, mine in ((r"\byou are\b", "I am"), (r"\byour\b", "my"), (r"\byou\b", "I")):
        case = re.sub(yours, mine, case)
    word = {"whenever": "when", "as soon as": "when", "once": "when"}.get(word, word)
    when = f"{word} {case}"
    if word == "to":
        plain = [f"How do I {case}?", f"What do I do to {case}?", f"How can I {case}?", f"What must I do to {case}?"]
        plain += [f"What are the steps to {case}?", f"How does one {case}?", f"What is the way to {case}?"]
        short = [f"I want to {case}. How?", f"How to {case}?"]
    else:
        swaps = ("when", "if") if word in ("when", "if") else (word,)
        plain = [f"What {v} I do {w} {case}?" for w in swaps for v in ("should", "do", "must")]
        plain += [f"{w.capitalize()} {case}, what should I do?" for w in swaps]
        plain += [f"{when.capitalize() if case.islower() else sentence(when, end='')}, what has to be done?"]
        short = [sentence(f"{case}. What now"), sentence(f"{case}, what do I do")] if len(swaps) > 1 else []
        short += [f"{when} what do i do"]
    how = "how" if word == "to" else "what to do"
    whole = _ways(act, plain, short, [f"Tell me {how} {when}.", f"Remind me {how} {when}."])
    named = {"first": steps[0], **({"second": steps[1]} if len(steps) > 1 else {}), "last": steps[-1]}
    asks = ("What do I do {} {}?", "What is the {} step {}?")
    order = [Asked(q.format(n, when), "plain", s) for n, s in named.items() for q in asks] if len(steps) > 1 else []
    asked = [a for a in chain.from_iterable(zip_longest(whole, order)) if a]
    if word == "to":
        return asked, []
    back = [Asked(f"{q} I {steps[0]}?", "reversed", f"{m[1]} {m[2]}") for q in ("When should", "When do")]
    return asked, back + [Asked(f"What comes after I {a}?", "reversed", b) for a, b in pairwise(steps[:3])]


def _preference(clause: Clause) -> list[Asked]:
    """ "S prefers V to W", in its usual wordings."""
    base = base_form(clause.verb.split()[0])[0] if clause.verb and not clause.auxiliary else ""
    pattern = {"prefer": r"(.+?) (?:over|to|rather than) (.+)", "like": r"(.+?) (?:better|more) than (.+)"}.get(base)
    if pattern is None or not (m := re.fullmatch(pattern, " ".join(map(str, clause.parts)))):
        return []
    if clause.subject == "I":  # the user asks of "I", and whoever works for the user of "the user"
        mine, theirs = (_preferred(who, m[1], m[2]) for who in ("I", "the user"))
        turns = [a for a in chain.from_iterable(zip_longest(mine, theirs)) if a]
        first, *_, last = (a for a in turns if a.kind == "request")
        return [a for a in turns if a.kind != "request" or a in (first, last)]
    return _preferred(clause.subject, m[1], m[2], plural=base_form(clause.verb)[1] == "do")


def _preferred(subject: str, value: str, other: str, *, plural: bool = False) -> list[Asked]:
    """Ways to ask what somebody prefers to another thing."""
    do, prefer = ("do", "prefer") if plural or subject == "I" else ("does", "prefers")
    likes = ("prefer to", "prefer over", "like better than", "like more than", "choose over")
    plain = [f"What {do} {subject} {like} {other}?" for like in likes]
    plain += [f"Instead of {other}, what {do} {subject} prefer?", f"What would {subject} rather have than {other}?"]
    plain += [f"Rather than {other}, what {do} {subject} want?", f"What is it that {subject} {prefer} to {other}?"]
    told = f"what {subject} {prefer}"
    short = [sentence(f"{subject} {prefer} what to {other}")]
    return _ways(value, plain, short, [f"Tell me {told} to {other}.", f"Can you tell me {told} over {other}?"])
