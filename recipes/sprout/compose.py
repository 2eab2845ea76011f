"""Frames made by rule: subjects, predicates and their questions put together, so that reading is learned as grammar.

The hand-written frames are broad but each is one of its kind; a network that has never seen English cannot tell from a few sightings
what "sold" has to do with "who bought". Here every verb goes with every adjunct, tense, voice and order, and each role of a sentence has
its question word: what is learned about one is learned about all. The hand-written frames then stretch it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import pairwise

from fill import WORDS, held_out, listed
from frames import Frame, kind_of

_FORMS = listed(
    "buy/bought/bought|sell/sold/sold|find/found/found|bring/brought/brought|take/took/taken|give/gave/given|"
    "lend/lent/lent|send/sent/sent|hide/hid/hidden|see/saw/seen|break/broke/broken|build/built/built|draw/drew/drawn|"
    "drive/drove/driven|eat/ate/eaten|feed/fed/fed|get/got/got|grow/grew/grown|hang/hung/hung|hear/heard/heard|"
    "hold/held/held|keep/kept/kept|lay/laid/laid|lead/led/led|leave/left/left|lose/lost/lost|make/made/made|"
    "meet/met/met|pay/paid/paid|put/put/put|read/read/read|ride/rode/ridden|ring/rang/rung|run/ran/run|"
    "say/said/said|set/set/set|shake/shook/shaken|shut/shut/shut|sing/sang/sung|speak/spoke/spoken|"
    "steal/stole/stolen|sweep/swept/swept|teach/taught/taught|tear/tore/torn|tell/told/told|think/thought/thought|"
    "throw/threw/thrown|wake/woke/woken|wear/wore/worn|win/won/won|write/wrote/written|bend/bent/bent|"
    "bind/bound/bound|blow/blew/blown|catch/caught/caught|choose/chose/chosen|cut/cut/cut|dig/dug/dug|"
    "drink/drank/drunk|fight/fought/fought|fly/flew/flown|forget/forgot/forgotten|forgive/forgave/forgiven|"
    "freeze/froze/frozen|hit/hit/hit|hurt/hurt/hurt|know/knew/known|let/let/let|seek/sought/sought|spin/spun/spun|"
    "split/split/split|spread/spread/spread|strike/struck/struck|swing/swung/swung|understand/understood/understood|"
    "begin/began/begun|bite/bit/bitten|burst/burst/burst|cast/cast/cast|cling/clung/clung|come/came/come|"
    "cost/cost/cost|deal/dealt/dealt|fall/fell/fallen|feel/felt/felt|go/went/gone|grind/ground/ground|"
    "mean/meant/meant|rise/rose/risen|shine/shone/shone|shoot/shot/shot|show/showed/shown|sit/sat/sat|"
    "sleep/slept/slept|spend/spent/spent|stand/stood/stood|swim/swam/swum|swear/swore/sworn|weave/wove/woven|"
    "wind/wound/wound|withdraw/withdrew/withdrawn|do/did/done|have/had/had|be/was/been|become/became/become"
)
IRREGULAR = {a: (b, c) for a, b, c in (x.split("/") for x in _FORMS)}
VERBS = listed(
    "buy|sell|find|bring|take|lend|send|hide|break|build|draw|eat|feed|hang|hear|keep|lead|lose|make|"
    "paint|clean|wash|repair|fix|open|close|lock|check|fill|empty|lift|move|remove|replace|cover|fold|"
    "wrap|label|count|weigh|measure|heat|cool|mix|polish|oil|order|cancel|book|test|drain|stack|load|pack|"
    "carry|drop|sign|copy|print|scan|post|read|write|burn|bury|borrow|rent|deliver|collect|design|invent|"
    "plant|water|cut|cook|bake|serve|teach|visit|meet|call|help|invite|choose|win|steal|drive|ride|wear|"
    "use|own|need|want|like|love|hate|prefer|miss|guard|manage|supply|sponsor|inspect|record|film|"
    "photograph|study|sort|tidy|decorate|restore|recycle|donate|return|weigh|train|examine|approve|check|"
    "change"
)
KIN = listed(
    "sister|brother|cousin|uncle|aunt|son|daughter|mother|father|nephew|niece|friend|neighbour|boss|"
    "colleague|teacher|doctor|dentist|husband|wife"
)
STATES = listed(
    "is kept|is stored|stands|hangs|lies|is hidden|is parked|sits|is|can be found|is locked away|waits|"
    "was left|was found|lives|was put|rests"
)
PREPOSITIONS = listed(
    "in|in|in|behind|under|next to|above|near|on top of|inside|beside|opposite|below|outside|to the left of"
)
FEELINGS = listed(
    "likes/like|hates/hate|loves/love|prefers/prefer|needs/need|wants/want|collects/collect|studies/study|"
    "enjoys/enjoy|fears/fear|misses/miss|owns/own|drinks/drink|eats/eat|sells/sell|makes/make|plays/play|"
    "speaks/speak|teaches/teach|grows/grow|wears/wear|drives/drive|uses/use|repairs/repair|avoids/avoid|"
    "recommends/recommend|orders/order|takes/take|keeps/keep|supports/support|carries/carry|runs/run|reads/read|"
    "rents/rent"
)
MOMENTS = listed(
    "opens/open|closes/close|starts/start|ends/end|leaves/leave|arrives/arrive|begins/begin|stops/stop|comes/come|"
    "returns/return|meets/meet|finishes/finish|rings/ring|runs/run|changes/change|expires/expire|lands/land|"
    "departs/depart|reopens/reopen|wakes/wake"
)
MEASURES = (
    ("costs", "How much does {S} cost?", "money"), ("weighs", "How much does {S} weigh?", "qty"), ("lasts", "How long does {S} last?", "duration"),
    ("takes", "How long does {S} take?", "duration"), ("holds", "How much does {S} hold?", "qty"), ("seats", "How many people does {S} seat?", "num"),
    ("needs", "How much does {S} need?", "qty"), ("uses", "How much does {S} use?", "qty"), ("has", "What does {S} have?", "qty"),
    ("measures", "How big is {S}?", "qty"), ("contains", "What does {S} contain?", "qty"), ("is worth", "How much is {S} worth?", "money"),
    ("was built in", "When was {S} built?", "year"), ("was born in", "When was {S} born?", "year"), ("comes from", "Where does {S} come from?", "town"),
    ("is made of", "What is {S} made of?", "material"), ("is made by", "Who makes {S}?", "org"), ("belongs to", "Who owns {S}?", "person"),
    ("was made by", "Who made {S}?", "person"), ("is allergic to", "What is {S} allergic to?", "food"), ("is afraid of", "What is {S} afraid of?", "animal"),
    ("works at", "Where does {S} work?", "org"), ("lives in", "Where does {S} live?", "town"), ("grew up in", "Where did {S} grow up?", "town"),
    ("is married to", "Who is {S} married to?", "person"), ("is called", "What is {S} called?", "word"), ("moved to", "Where did {S} move to?", "town"),
    ("was born on", "When was {S} born?", "date"), ("is painted", "What colour is {S}?", "color"), ("is", "What colour is {S}?", "color"),
    ("works as a", "What does {S} do for a living?", "job"), ("is due on", "When is {S} due?", "date"), ("depends on", "What does {S} depend on?", "noun"),
    ("runs on", "What does {S} run on?", "noun"), ("tastes of", "What does {S} taste of?", "food"), ("smells of", "What does {S} smell of?", "food"),
    ("is good at", "What is {S} good at?", "hobby"), ("is famous for", "What is {S} famous for?", "noun"), ("is full of", "What is {S} full of?", "noun"),
    ("is kept at", "What is {S} kept at?", "qty"), ("is called after", "Who is {S} called after?", "person"), ("is looked after by", "Who looks after {S}?", "person"),
    ("is shared with", "Who is {S} shared with?", "person"), ("is paid by", "Who pays {S}?", "org"), ("is used for", "What is {S} used for?", "hobby"),
    ("closes at", "What time does {S} close?", "time"), ("opens at", "What time does {S} open?", "time"), ("got married to", "Who did {S} marry?", "person"),
)  # fmt: skip
"""(what the note says, the question, the type of the value)"""


@dataclass(slots=True)
class Subject:
    """Who or what a sentence is about; templates of how notes and questions name it."""

    says: str
    asks: tuple[str, ...]
    answer: str
    slots: dict[str, str]
    person: bool
    pronoun: str


@dataclass(slots=True)
class Predicate:
    """What is said of a subject: `says` follows it, `whole` are sentences around {S}; questions are about {S} or ask for it."""

    says: list[str]
    asks: list[tuple[str, str]]
    slots: dict[str, str]
    whole: list[str] = field(default_factory=list)
    who: list[str] = field(default_factory=list)
    """questions whose answer is the subject, with {W} for Who or What"""
    yes: list[str] = field(default_factory=list)
    """yes/no questions to which the answer is yes"""


def inflect(verb: str) -> tuple[str, str, str]:
    """(third person singular, past, past participle)"""
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        third = verb + "es"
    elif verb.endswith("y") and verb[-2:-1] not in "aeiou":
        third = verb[:-1] + "ies"
    else:
        third = {"have": "has", "be": "is"}.get(verb, verb + "s")
    if verb in IRREGULAR:
        return third, *IRREGULAR[verb]
    if verb.endswith("e"):
        past = verb + "d"
    elif verb.endswith("y") and verb[-2:-1] not in "aeiou":
        past = verb[:-1] + "ied"
    elif (
        len(verb) < 5
        and verb[-1] in "bdgklmnprt"
        and verb[-2] in "aeiou"
        and verb[-3:-2] not in "aeiou"
        and len(verb) > 2
    ):
        past = verb + verb[-1] + "ed"
    else:
        past = verb + "ed"
    return third, past, past


class Composer:
    """Makes frames from one random stream; `held` uses the held-out verbs and nouns."""

    def __init__(self, rng: random.Random, *, held: bool = False) -> None:
        self.rng, self.held = rng, held
        self.verbs = [v for v in dict.fromkeys(VERBS) if held_out(v) == held]
        self.rare = [v for v in WORDS["verb"] if held_out(v) == held]
        self.measures = [m for m in MEASURES if held_out(m[0] + m[1]) == held]
        self.kin = [k for k in KIN if held_out(k) == held] or KIN
        self.n = 0

    def pick(self, *options: str) -> str:
        return self.rng.choice(options)

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def slot(self, slots: dict[str, str], kind: str) -> str:
        """A fresh slot of this type, as it stands in a template."""
        self.n += 1
        name = f"v{self.n}"
        slots[name] = kind
        return "{" + name + "}"

    def subject(self, person: bool | None = None) -> Subject:
        slots: dict[str, str] = {}
        person = self.chance(0.5) if person is None else person
        roll = self.rng.random()
        if person:
            s = self.slot(slots, "person")
            he = self.pick("He", "She", "He", "She", "They") if self.chance(0.9) else "He"
            if roll < 0.62:
                return Subject(s, (s,), s, slots, True, he)
            if roll < 0.80:
                kin = self.rng.choice(self.kin)
                return Subject(f"my {kin} {s}", (f"my {kin}", s, f"my {kin} {s}"), s, slots, True, he)
            slots[s[1:-1]] = "job"
            name = f"{self.pick('our', 'the', 'my')} {s}"
            return Subject(name, (name,), name, slots, True, he)
        s = self.slot(slots, "thing")
        if roll < 0.45:
            return Subject(f"the {s}", (f"the {s}",), f"the {s}", slots, False, "It")
        if roll < 0.58:
            p = self.slot(slots, "place")
            how = self.pick("in", "in", "by", "near", "behind")
            return Subject(
                f"the {s} {how} the {p}", (f"the {s} {how} the {p}", f"the {s}"), f"the {s}", slots, False, "It"
            )
        if roll < 0.70:
            p = self.slot(slots, "person")
            return Subject(f"{p}'s {s}", (f"{p}'s {s}",), f"{p}'s {s}", slots, False, "It")
        if roll < 0.80:
            whose = self.pick("my", "our", "our")
            return Subject(f"{whose} {s}", (f"{whose} {s}", f"the {s}"), f"{whose} {s}", slots, False, "It")
        if roll < 0.92:
            slots[s[1:-1]] = "place"
            return Subject(f"the {s}", (f"the {s}",), f"the {s}", slots, False, "It")
        slots[s[1:-1]] = "org"
        return Subject(s, (s,), s, slots, False, "It")

    # -- predicates ---------------------------------------------------------------------------------------------------

    def adjunct(self, slots: dict[str, str], used: set[str]) -> tuple[str, str, str]:
        """(the words, the answer, the question word); each kind once."""
        while True:
            kind = self.pick(
                "place", "place", "day", "day", "time", "month", "with", "companion", "why", "often", "for", "long"
            )
            family = "when" if kind in {"day", "time", "month", "often"} else kind
            if family not in used:
                used.add(family)
                break
        if kind == "place":
            how = self.pick("in", "in", "in", "behind", "near", "next to", "under")
            p = self.slot(slots, "place")
            return f"{how} the {p}", f"the {p}" if how == "in" else f"{how} the {p}", "Where"
        if kind == "day":
            d = self.slot(slots, self.pick("weekday", "date"))
            return f"on {d}", d, self.pick("When", "When", "On which day")
        if kind == "time":
            t = self.slot(slots, "time")
            return f"at {t}", t, self.pick("When", "What time", "At what time")
        if kind == "month":
            t = self.slot(slots, self.pick("month", "year"))
            return f"in {t}", t, "When"
        if kind == "often":
            words = self.pick(
                "every {d}",
                "every {d}",
                "once a week",
                "twice a day",
                "every second {d}",
                "every morning",
                "every two weeks",
                "three times a year",
            )
            if "{d}" in words:
                words = words.replace("{d}", self.slot(slots, "weekday"))
            return words, words, self.pick("How often", "When")
        if kind == "with":
            x = self.slot(slots, "thing")
            return f"with the {x}", f"the {x}", "With what"
        if kind == "companion":
            p = self.slot(slots, "person")
            return f"with {p}", p, "With whom"
        if kind == "why":
            r = self.slot(slots, "reason")
            return f"because {r}", f"because {r}", "Why"
        if kind == "for":
            p = self.slot(slots, "person")
            return f"for {p}", p, "For whom"
        d = self.slot(slots, "duration")
        return f"for {d}", d, "How long"

    def event(self) -> Predicate:
        """Somebody does something, with up to two adjuncts; in four tenses, fronted or passive."""
        slots: dict[str, str] = {}
        base = self.rng.choice(self.verbs if self.chance(0.75) else self.rare)
        third, past, participle = inflect(base)
        verb, aux, was = self.rng.choice(
            (
                (past, "did", "was"),
                (past, "did", "was"),
                (third, "does", "is"),
                (f"will {base}", "will", "will be"),
                (f"must {base}", "must", "must be"),
            )
        )
        x = self.slot(slots, "thing")
        o = f"{self.pick('the', 'the', 'the', 'a')} {x}"
        used: set[str] = set()
        adjuncts = [self.adjunct(slots, used) for _ in range(self.rng.choice((0, 1, 1, 2)))]
        tail = "".join(f" {a[0]}" for a in adjuncts)
        p = Predicate([f"{verb} {o}{tail}"], [(o, f"What {aux} {{S}} {base}?")], slots)
        p.whole = [f"{o} {was} {participle} by {{S}}{tail}"]
        p.yes = [f"{aux.capitalize()} {{S}} {base} the {x}?"]
        if adjuncts:
            first, rest = adjuncts[0], "".join(f" {a[0]}" for a in adjuncts[1:])
            p.whole.append(f"{first[0]}, {{S}} {verb} {o}{rest}")
        p.who = [
            f"{{W}} {verb} the {x}?",
            f"By whom {was.split()[0]} the {x}{' be' if ' be' in was else ''} {participle}?",
        ]
        if adjuncts and self.chance(0.4):
            p.who.append(f"{{W}} {verb} the {x} {adjuncts[0][0]}?")
        for _, answer, wh in adjuncts:
            tail_wh = {"With what": ("What", " with"), "With whom": ("Who", " with"), "For whom": ("Who", " for")}.get(
                wh
            )
            if tail_wh and self.chance(0.7):
                p.asks.append((answer, f"{tail_wh[0]} {aux} {{S}} {base} the {x}{tail_wh[1]}?"))
            else:
                p.asks.append((answer, f"{wh} {aux} {{S}} {base} the {x}?"))
            if self.chance(0.5):
                be, _, more = was.partition(" ")
                p.asks.append((answer, f"{wh} {be} the {x}{' ' + more if more else ''} {participle}?"))
        return p

    def feeling(self) -> Predicate:
        slots: dict[str, str] = {}
        third, base = self.rng.choice(FEELINGS).split("/")
        kind = self.pick("noun", "food", "drink", "animal", "hobby", "language", "thing")
        o = self.slot(slots, kind)
        o = f"the {o}" if kind == "thing" else o
        p = Predicate([f"{third} {o}"], [(o, f"What does {{S}} {base}?")], slots)
        p.who = [f"{{W}} {third} {o}?"]
        p.yes = [f"Does {{S}} {base} {o}?"]
        return p

    def moment(self) -> Predicate:
        slots: dict[str, str] = {}
        third, base = self.rng.choice(MOMENTS).split("/")
        t = self.slot(slots, "time")
        p = Predicate(
            [f"{third} at {t}"], [(t, f"When does {{S}} {base}?"), (t, f"What time does {{S}} {base}?")], slots
        )
        p.who = [f"{{W}} {third} at {t}?"]
        p.yes = [f"Does {{S}} {base} at {t}?"]
        if self.chance(0.5):
            d = self.slot(slots, self.pick("weekday", "date", "month"))
            at = f"{'in' if slots[d[1:-1]] == 'month' else 'on'} {d}"
            p.says = [f"{third} at {t} {at}", f"{third} {at} at {t}"]
            p.whole = [f"{at}, {{S}} {third} at {t}"]
            p.asks += [(d, f"On which day does {{S}} {base}?" if "on " in at else f"In which month does {{S}} {base}?")]
            p.asks[0] = (t, f"What time does {{S}} {base} {at}?")
        if self.chance(0.3):
            q = self.slot(slots, self.pick("place", "town"))
            where = f"in {q}" if slots[q[1:-1]] == "town" else f"in the {q}"
            p.says = [f"{x} {where}" for x in p.says]
            p.whole = []
            p.asks.append((where.removeprefix("in "), f"Where does {{S}} {base}?"))
        return p

    def place(self) -> Predicate:
        slots: dict[str, str] = {}
        state, how = self.rng.choice(STATES), self.rng.choice(PREPOSITIONS)
        p = self.slot(slots, "place")
        where = f"{how} the {p}"
        answer = f"the {p}" if how == "in" else where
        asks = [(answer, "Where is {S}?"), (answer, "Where can I find {S}?")]
        if state.startswith(("is ", "was ")):
            be, _, rest = state.partition(" ")
            asks.append((answer, f"Where {be} {{S}} {rest}?"))
        out = Predicate([f"{state} {where}"], asks, slots)
        out.who = [f"{{W}} {state} {where}?", f"{{W}} is {where}?"]
        out.yes = [f"Is {{S}} {where}?"]
        if state.startswith(("stands", "hangs", "lies", "sits", "is", "lives")):
            out.whole = [f"{where} {state} {{S}}"]
        return out

    def measure(self) -> Predicate:
        slots: dict[str, str] = {}
        says, asks, kind = self.rng.choice(self.measures)
        v = self.slot(slots, kind)
        more = f"{{W}} {says} {v}?"
        return Predicate([f"{says} {v}"], [(v, asks)], slots, who=[more])

    def predicate(self, person: bool) -> Predicate:
        roll = self.rng.random()
        if person:
            return (
                self.event()
                if roll < 0.5
                else self.feeling()
                if roll < 0.7
                else self.measure()
                if roll < 0.88
                else self.moment()
            )
        return (
            self.place()
            if roll < 0.32
            else self.measure()
            if roll < 0.66
            else self.moment()
            if roll < 0.84
            else self.feeling()
            if roll < 0.9
            else self.event()
        )

    # -- frames -------------------------------------------------------------------------------------------------------

    def sentence(self) -> Frame:
        """One subject and one or two predicates: plain, fronted, passive, joined, by pronoun, by relative clause."""
        s = self.subject()
        first = self.predicate(s.person)
        parts = [first]
        notes = [f"{s.says} {x}." for x in first.says]
        notes += [x.replace("{S}", s.says) + "." for x in first.whole] if self.chance(0.6) else []
        if self.chance(0.35):
            second = self.predicate(s.person)
            parts.append(second)
            a, b = self.rng.choice(first.says), self.rng.choice(second.says)
            who = "who" if s.person else "which"
            it = s.pronoun if s.pronoun != "They" or b.split()[0].endswith("ed") else "She"
            notes = [
                f"{s.says} {a} and {b}.",
                f"{s.says} {a}. {it} {b}.",
                f"{s.says}, {who} {a}, {b}.",
                f"{s.says} {a}, and {it.lower()} {b}.",
            ]
        asks = [
            (answer, question.replace("{S}", self.rng.choice(s.asks)))
            for part in parts
            for answer, question in part.asks
        ]
        back = [
            (s.answer, question.replace("{W}", "Who" if s.person else "What"))
            for part in parts
            for question in part.who[: 1 if self.chance(0.7) else 3]
        ]
        yes = [question.replace("{S}", self.rng.choice(s.asks)) for part in parts for question in part.yes]
        return self.frame(s.slots | {k: v for part in parts for k, v in part.slots.items()}, notes, asks, back, yes)

    def attribute(self) -> Frame:
        """The ATTRIBUTE of ENTITY is VALUE."""
        slots: dict[str, str] = {}
        s = self.subject(self.chance(0.3))
        a = self.slot(slots, "attr")
        v = self.slot(
            slots,
            self.pick(
                "code",
                "code",
                "num",
                "qty",
                "money",
                "time",
                "date",
                "color",
                "word",
                "noun",
                "person",
                "weekday",
                "phone",
                "phrase",
                "org",
            ),
        )
        e = s.says
        owner = f"{e}'s" if s.person or self.chance(0.3) else ""
        notes = [
            f"the {a} of {e} is {v}.",
            f"{e} has the {a} {v}.",
            f"{a} of {e}: {v}.",
            f"for {e}, the {a} is {v}.",
            f"{v} is the {a} of {e}.",
        ]
        notes += [f"{owner} {a} is {v}."] * 3 if owner else [f"the {a} for {e} is {v}."]
        q = self.rng.choice(s.asks)
        asks = [
            (v, f"What is the {a} of {q}?"),
            (v, f"What is the {a} for {q}?"),
            (v, f"Which {a} does {q} have?"),
            (v, f"{q} {a}?"),
            (v, f"What {a} does {q} have?"),
        ]
        if owner:
            asks += [(v, f"What is {q}'s {a}?"), (v, f"Tell me {q}'s {a}."), (v, f"{q}'s {a}?")]
        back = [(s.answer, f"{'Who' if s.person else 'What'} has the {a} {v}?")]
        if s.person:
            back.append((s.answer, f"Whose {a} is {v}?"))
        if self.chance(0.3):
            b, w = (
                self.slot(slots, "attr"),
                self.slot(slots, self.pick("code", "num", "color", "word", "person", "date")),
            )
            notes = [
                f"the {a} of {e} is {v} and the {b} is {w}.",
                f"{e} has the {a} {v} and the {b} {w}.",
                f"the {a} of {e} is {v}, its {b} {w}.",
                f"the {a} of {e} is {v}. Its {b} is {w}.",
            ]
            asks += [(w, f"What is the {b} of {q}?"), (w, f"Which {b} does {q} have?")]
        return self.frame(s.slots | slots, notes, asks, back, [f"Is the {a} of {q} {v}?", f"Is {v} the {a} of {q}?"])

    def who_is(self) -> Frame:
        """Our ROLE is NAME, and something about them."""
        slots: dict[str, str] = {}
        r = self.slot(slots, "job") if self.chance(0.7) else self.rng.choice(self.kin)
        p = self.slot(slots, "person")
        whose = self.pick("our", "my", "the", "their", "Tom's" if not self.held else "Anna's")
        role = f"{whose} {r}"
        notes = [f"{role} is {p}.", f"{role} is called {p}.", f"{p} is {role}."]
        asks = [(p, f"Who is {role}?"), (p, f"What is {role} called?"), (p, f"What is the name of {role}?")]
        back = [(role, f"Who is {p}?")]
        if self.chance(0.5):
            more = self.predicate(True)
            b = self.rng.choice(more.says)
            he = self.pick("He", "She")
            notes = [
                f"{role} is {p}. {he} {b}.",
                f"{role}, {p}, {b}.",
                f"{role} is {p}, who {b}.",
                f"{p}, {role}, {b}.",
            ]
            slots |= more.slots
            asks += [(a, q.replace("{S}", self.pick(role, p))) for a, q in more.asks]
        elif self.chance(0.4):
            v = self.slot(slots, self.pick("phone", "email", "num", "town", "color"))
            a = {
                "phone": "number",
                "email": "email address",
                "num": "room",
                "town": "home town",
                "color": "favourite colour",
            }[slots[v[1:-1]]]
            her = self.pick("his", "her")
            notes = [
                f"{role} is {p} and {her} {a} is {v}.",
                f"{role} is {p}. {her} {a} is {v}.",
                f"{role} is {p} ({a} {v}).",
            ]
            asks += [(v, f"What is {role}'s {a}?"), (v, f"What is the {a} of {role}?"), (v, f"What is {p}'s {a}?")]
        return self.frame(slots, notes, asks, back, [f"Is {role} {p}?"])

    def amount(self) -> Frame:
        slots: dict[str, str] = {}
        n, p = self.slot(slots, "num"), self.slot(slots, "place")
        x = (
            self.rng.choice([w for w in self.rng.sample(WORDS["noun"], 20) if held_out(w) == self.held] or ["chair"])
            + "s"
        )
        notes = [
            f"there are {n} {x} in the {p}.",
            f"the {p} has {n} {x}.",
            f"the {p} holds {n} {x}.",
            f"in the {p} there are {n} {x}.",
            f"we keep {n} {x} in the {p}.",
        ]
        asks = [
            (n, f"How many {x} are in the {p}?"),
            (n, f"How many {x} are there in the {p}?"),
            (n, f"How many {x} does the {p} have?"),
        ]
        return self.frame(
            slots, notes, asks, [(f"the {p}", f"Where are the {n} {x}?")], [f"Does the {p} have {n} {x}?"]
        )

    def procedure(self) -> Frame:
        """When CONDITION, ACT, then ACT; or: to ACT, ACT and ACT; or: before you ACT, ACT."""
        slots: dict[str, str] = {}
        n = self.rng.choice((1, 2, 2, 3, 3, 4))
        acts = [self.slot(slots, self.pick("act", "act", "act2")) for _ in range(n)]
        joint = self.pick(", then ", " and then ", " and ", ", and ")
        steps = ", ".join(acts[:-1]) + joint + acts[-1] if n > 1 else acts[0]
        if n == 2:
            steps = acts[0] + joint + acts[1]
        if self.chance(0.6):
            c = self.slot(slots, "cond")
            when = self.pick("when", "if", "if", "when", "whenever")
            notes = [
                f"{when} {c}, {steps}.",
                f"{when} {c}, {steps}.",
                f"{steps} {when} {c}." if n == 1 else f"{when} {c}: {steps}.",
                f"{when} {c}, you must {steps}.",
            ]
            asks = [
                (steps, f"What should I do if {c}?"), (steps, f"What should I do when {c}?"), (steps, f"What do I do if {c}?"), (steps, f"{c}. What now?"),
                (steps, f"What must be done when {c}?"),
            ]  # fmt: skip
            back = [(c, f"When should I {acts[0]}?"), (c, f"When do I {acts[-1]}?")]
        else:
            g = self.slot(slots, "act")
            notes = [
                f"to {g}, {steps}.",
                f"to {g}: {steps}.",
                f"if you want to {g}, {steps}.",
                f"in order to {g}, {steps}.",
            ]
            asks = [
                (steps, f"How do I {g}?"),
                (steps, f"How can I {g}?"),
                (steps, f"What must I do to {g}?"),
                (steps, f"I want to {g}. How?"),
            ]
            back = [(g, f"Why should I {acts[0]}?")]
            if n == 1 and self.chance(0.6):
                notes = [f"before you {g}, {steps}.", f"{steps} before you {g}.", f"always {steps} before you {g}."]
                asks = [(steps, f"What should I do before I {g}?"), (steps, f"What do I do before I {g}?")]
                back = [(g, f"Before what should I {acts[0]}?")]
        if n > 1:
            asks += [(b, f"What do I do after I {a}?") for a, b in pairwise(acts)]
            asks.append((acts[0], f"What do I do before I {acts[1]}?"))
        return self.frame(slots, notes, asks, back, [])

    def rule(self) -> Frame:
        slots: dict[str, str] = {}
        a, p = self.slot(slots, "act"), self.slot(slots, "place")
        who = self.pick("nobody", "visitors", "children", "you", "we", "guests", "members")
        may = self.pick("must never", "must not", "may not", "must always", "may", "have to", "should")
        no = may in {"must never", "must not", "may not"}
        where = self.pick(
            f"in the {p}", f"in the {p}", f"near the {p}", f"before entering the {p}", f"after leaving the {p}"
        )
        if who == "nobody":
            may, no = "may", True
        notes = [
            f"{who} {may} {a} {where}.",
            f"{where}, {who} {may} {a}.",
            f"the rule of the {p} is that {who} {may} {a} {where}.",
        ]
        if who == "you" and no:
            notes += [f"never {a} {where}.", f"do not {a} {where}."]
        aux = "may" if may == "may" else "must"
        i = {"you": "I", "nobody": "nobody"}.get(who, who)
        asks = [
            (a, f"What {aux} {i} {'not ' if no and who != 'nobody' else ''}do {where}?"),
            (a, f"What is the rule {where}?"),
        ]
        back = [] if no else [(where, f"Where {aux} {i} {a}?")]
        return self.frame(slots, notes, asks, back, [])

    def frame(
        self,
        slots: dict[str, str],
        notes: list[str],
        asks: list[tuple[str, str]],
        back: list[tuple[str, str]],
        yes: list[str],
    ) -> Frame:
        """A frame of these; `back` are questions from the value to whom or what it belongs to."""
        self.rng.shuffle(notes)
        every = [(a, q, kind_of(a, q, a)) for a, q in asks] + [(a, q, "reversed") for a, q in back]
        return Frame(slots=slots, notes=notes[:3], asks=every, yes=yes)

    def __call__(self) -> Frame:
        roll = self.rng.random()
        if roll < 0.50:
            return self.sentence()
        if roll < 0.68:
            return self.attribute()
        if roll < 0.78:
            return self.who_is()
        if roll < 0.83:
            return self.amount()
        return self.procedure() if roll < 0.95 else self.rule()
