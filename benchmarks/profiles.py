"""Made-up users for the benchmarks: facts, procedures and preferences, each with the questions that test them.

relations.txt and the lists below were written for the benchmarks alone and without a look at sprout's frames (a plain question
such as "When was … founded?" stands in both, one line in ten), and names and codes are built anew for every seed. One question wording of each item is reserved for evaluation. engrain is only ever
given the notes; it trains on questions that it asks itself, and `evaluation_items` leaves out a wording that it happened to ask.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engrain.evaluation import near_duplicate
from engrain.evaluation.probes import probe_group
from engrain.memory import is_answer_style
from engrain.prompts import UNKNOWN, render_notes
from engrain.records import Batch, Example, Message

Kind = Literal["fact", "procedure", "preference"]


def _list(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split("|"))


FIRST = _list(
    "Agatha|Barnaby|Cordelia|Desmond|Esther|Florian|Georgina|Humphrey|Imogen|Jasper|Kerstin|Lionel|Mabel|Nestor|Ottilie|"
    "Percy|Rosalind|Silas|Tabitha|Ulrich|Verity|Winston|Beatrix|Casper|Dorothea|Edmund|Freda|Gilbert|Hester|Ignatius"
)
PLACE = _list(
    "hen house|tea room|wine cellar|music room|boat shed|milk room|print room|rest room|ticket hall|map room|coal store|watch house"
)
DEVICE = _list(
    "water heater|band saw|milk separator|floor polisher|label machine|hay baler|dough mixer|pottery wheel|snow blower|paint sprayer|wood chipper|ice maker"
)
SHOP = _list("Traders|Timber|Dairy|Hardware|Nursery|Fabrics|Seeds|Paints|Ironworks|Glass")
EVENT = _list(
    "summer fair|choir night|book swap|boat race|barn dance|quiz night|harvest supper|craft market|film evening|garden walk"
)
VALUES = {
    "drink": _list("plum juice|malt beer|almond milk|white tea|cold brew|pear cider|tonic water|carrot juice|buttermilk|birch water"),
    "trade": _list("locksmith|bookbinder|saddler|stonemason|watchmaker|glassblower|shepherd|cartographer|optician|upholsterer"),
    "day": _list("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"),
    "animal": _list("parrot|tortoise|hamster|goldfish|greyhound|poodle|gecko|canary|ferret|rabbit"),
    "instrument": _list("oboe|harp|trombone|banjo|clarinet|viola|accordion|bassoon|lute|trumpet"),
    "colour": _list("ochre|indigo|magenta|rust red|pearl grey|moss green|lemon yellow|midnight blue|salmon|chestnut"),
    "material": _list("granite|larch|terrazzo|brick|linoleum|asphalt|sandstone|chestnut wood|gravel|tile"),
    "item": _list("flower pot|bread bin|rain barrel|tool chest|coat rack|wicker basket|hat box|milk churn|letter tray|tea tin"),
    "maker": _list("Works|Engines|Tools|Machines|Brothers"),
    "fuel": _list("diesel|propane|solar power|wood pellets|kerosene|heating oil|compressed air|steam|charcoal|petrol"),
    "month": _list("January|February|March|April|May|June|July|August|September|October|November|December"),
    "goods": _list("candles|twine|beeswax|flour|nails|tablecloths|lanterns|pickles|blankets|rope|envelopes|apples"),
}  # fmt: skip
CONDITION = _list(
    "the {x} starts to hum|the {x} will not switch on|the {x} smells of smoke|the light on the {x} blinks|the {x} drips|"
    "the lid of the {x} sticks|the {x} shows a zero|the {x} gets stuck|the belt of the {x} slips|the {x} stays cold"
)
ACTION = _list(
    "pull the red lever|shut the side valve|empty the lower tray|ring the porter|write it in the log book|wipe the sensor|"
    "open both windows|swap the filter|wait for ten minutes|press the round button|loosen the clamp|take out the plug|"
    "lower the curtain|fetch a dry towel|check the gauge|send a note to the office|turn the key to the left|lift the cover"
)
PROCEDURE_NOTES = ("When {c}, {a}, then {b}.", "If {c}, the rule is this: {a}, then {b}.")
PROCEDURE_QUESTIONS = (
    ("a", "What must be done first when {c}?"),
    ("a", "What is the first step if {c}?"),
    ("b", "When {c}, what is the second step?"),
    ("a", "How do I begin when {c}?"),
    ("b", "What comes last when {c}?"),
)
PAIRS = (
    ("dish", _list("barley stew|leek pie|onion tart|bean soup|corn bread|beet salad")),
    ("drink in the morning", _list("matcha|barley coffee|warm milk|elderflower tea|grape juice")),
    ("way to travel", _list("the night train|the tram|the ferry|the coach|the scooter")),
    ("pastime", _list("crosswords|darts|bowling|kite flying|whittling|astronomy")),
    ("kind of book", _list("spy novels|travel diaries|ghost stories|biographies|poetry")),
    ("seat", _list("a window seat|a back seat|an aisle seat|a corner table")),
    ("time for meetings", _list("early mornings|late afternoons|lunch breaks|evenings")),
    ("pet", _list("cats|budgies|terriers|ponies|snails")),
    ("music", _list("jazz|brass bands|folk songs|organ music|swing")),
    ("place for a holiday", _list("the coast|the moors|the alps|the lakes|an island")),
    ("sort of weather", _list("fog|snow|a breeze|drizzle|frost")),
    ("writing tool", _list("fountain pens|pencils|chalk|felt pens|typewriters")),
)
PREFERENCE_NOTES = ("The user prefers {v} over {w}.", "For the user, {v} is better than {w}.")
PREFERENCE_QUESTIONS = (
    "What does the user prefer over {w}?",
    "What does the user like more than {w}?",
    "Instead of {w}, what would the user rather have?",
    "What is it that the user puts before {w}?",
    "What would the user choose over {w}?",
)
CALL = _list("Captain|Boss|Chief|Skipper|Doctor|Commander")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that a user tells, with five wordings of a question about it; the first is reserved for evaluation."""

    kind: Kind
    note: str
    asks: tuple[tuple[str, str], ...]
    """(question, answer)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One user: what is told, and questions that nothing told answers."""

    items: tuple[Item, ...]
    near: tuple[str, ...]
    """About a subject that was told of, or of a kind that was told; the answer was not."""
    foreign: tuple[str, ...]
    """About subjects and in relations that were never told."""
    call: str
    """How the user wants to be called: a style."""

    @property
    def style_note(self) -> str:
        return f"Call me {self.call}."

    def of(self, *kinds: Kind) -> tuple[Item, ...]:
        return tuple(i for i in self.items if i.kind in kinds)


@dataclass(frozen=True, slots=True)
class _Relation:
    subject: str
    value: str
    notes: tuple[str, ...]
    questions: tuple[str, ...]


def _relations() -> tuple[_Relation, ...]:
    text = (Path(__file__).parent / "relations.txt").read_text(encoding="utf-8")
    found: list[_Relation] = []
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if lines:
            subject, value = lines[0].split()
            assert len(lines) == 8, lines
            found.append(_Relation(subject, value, tuple(lines[1:3]), tuple(lines[3:])))
    return tuple(found)


RELATIONS = _relations()


def profile(
    seed: int, facts: int = 64, procedures: int = 8, preferences: int = 8, *, unknown: int = 64, per_subject: int = 3
) -> Profile:
    """A user drawn from a seed; different seeds share relations but hardly a name or a value.

    About `per_subject` facts (8 at most) are told of each subject, so that neither it nor the relation alone tells the answer.
    """
    return _Maker(seed).profile(facts, procedures, preferences, unknown, per_subject)


class _Maker:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"benchmark/{seed}")
        self.used: set[str] = set()

    def profile(self, facts: int, procedures: int, preferences: int, unknown: int, per_subject: int) -> Profile:
        told: dict[tuple[int, str], Item] = {}
        kinds = dict.fromkeys(r.subject for r in RELATIONS)
        count = max(1, round(facts / per_subject / len(kinds)))
        subjects = {k: [self.subject(k) for _ in range(count)] for k in kinds}
        order: list[int] = []
        while len(told) < facts:
            order = order or self.rng.sample(range(len(RELATIONS)), len(RELATIONS))
            number = order.pop()
            relation = RELATIONS[number]
            free = [x for x in subjects[relation.subject] if (number, x) not in told]
            if not free:
                subjects[relation.subject].append(self.subject(relation.subject))
                free = subjects[relation.subject][-1:]
            x = self.rng.choice(free)
            told[number, x] = self.fact(relation, x)
        near: list[str] = []
        every = [(n, x) for n, r in enumerate(RELATIONS) for x in subjects[r.subject] if (n, x) not in told]
        if told:
            for number, x in self.rng.sample(every, min(len(every), unknown // 4)):
                near.append(self.rng.choice(RELATIONS[number].questions).format(x=x))
            while len(near) < unknown // 2:
                relation = RELATIONS[self.rng.choice(sorted({n for n, _ in told}))]
                near.append(self.rng.choice(relation.questions).format(x=self.subject(relation.subject)))
        elif procedures:  # the same kinds of trouble with a device that no procedure is about
            while len(near) < unknown // 2:
                c = self.rng.choice(CONDITION).format(x=self.subject("device"))
                near.append(self.rng.choice(PROCEDURE_QUESTIONS)[1].format(c=c))
        elif preferences:  # things that the user was never heard to compare
            while len(near) < unknown // 2:
                near.append(
                    self.rng.choice(PREFERENCE_QUESTIONS).format(w=f"{self.word()} {self.rng.choice(VALUES['goods'])}")
                )
        foreign: list[str] = []
        while len(foreign) < unknown - len(near):
            foreign.append(self.rng.choice(FOREIGN).format(p=self.name(), q=self.name(), t=self.word()))
        items = [*told.values(), *self.procedures(procedures), *self.preferences(preferences)]
        return Profile(items=tuple(items), near=tuple(near), foreign=tuple(foreign), call=self.rng.choice(CALL))

    def fact(self, relation: _Relation, x: str) -> Item:
        v = self.value(relation.value)
        note = self.rng.choice(relation.notes).format(x=x, v=v)
        asks = [(_capital(q.format(x=x)), v) for q in relation.questions]
        return Item(kind="fact", note=_capital(note), asks=self.reserved(asks))

    def procedures(self, count: int) -> list[Item]:
        conditions = [
            c.format(x=d) for d in self.rng.sample(DEVICE, len(DEVICE)) for c in self.rng.sample(CONDITION, 10)
        ]
        found: list[Item] = []
        for c in self.rng.sample(conditions, count):
            a, b = self.rng.sample(ACTION, 2)
            said = {"a": a, "b": b}
            note = self.rng.choice(PROCEDURE_NOTES).format(c=c, a=a, b=b)
            found.append(
                Item(
                    kind="procedure",
                    note=note,
                    asks=self.reserved([(q.format(c=c), said[s]) for s, q in PROCEDURE_QUESTIONS]),
                )
            )
        return found

    def preferences(self, count: int) -> list[Item]:
        """Each thing is named once, so that a question about the worse one of a pair has one answer."""
        pairs: list[tuple[str, str]] = []
        for _, words in self.rng.sample(PAIRS, len(PAIRS)):
            left = self.rng.sample(words, len(words))
            pairs.extend(zip(left[::2], left[1::2], strict=False))
        pairs = pairs[:: max(1, len(pairs) // max(1, count))][:count]
        if len(pairs) < count:
            raise SystemExit(f"{count} preferences were asked for; the lists have {len(pairs)}: extend PAIRS")
        found: list[Item] = []
        for v, w in pairs:
            note = self.rng.choice(PREFERENCE_NOTES).format(v=v, w=w)
            asks = [(_capital(q.format(w=w)), v) for q in PREFERENCE_QUESTIONS]
            found.append(Item(kind="preference", note=note, asks=self.reserved(asks)))
        return found

    def reserved(self, asks: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        self.rng.shuffle(asks)
        return tuple(asks)

    def subject(self, kind: str) -> str:
        return {
            "person": lambda: f"{self.rng.choice(FIRST)} {self.word()}",
            "place": lambda: f"{self.word()} {self.rng.choice(PLACE)}",
            "device": lambda: f"{self.word()} {self.rng.choice(DEVICE)}",
            "shop": lambda: f"{self.word()} {self.rng.choice(SHOP)}",
            "event": lambda: f"{self.word()} {self.rng.choice(EVENT)}",
        }[kind]()

    def value(self, kind: str) -> str:
        rng = self.rng
        match kind:
            case "person":
                return self.name()
            case "town":
                return self.word()
            case "code":
                return self.fresh(
                    lambda: rng.choice(
                        (
                            f"{rng.randrange(1000, 99999)}",
                            f"{rng.choice('BDFHKMRTX')}{rng.randrange(10, 99)}-{rng.randrange(100, 999)}",
                        )
                    )
                )
            case "date":
                return f"{rng.randint(1, 28)} {rng.choice(VALUES['month'])}"
            case "time":
                return f"{rng.randint(6, 22)}:{rng.choice(('05', '10', '15', '20', '35', '40', '45', '50'))}"
            case "count":
                return str(rng.randint(11, 290))
            case "money":
                return f"{rng.randint(3, 980)} {rng.choice(('euros', 'dollars', 'pounds'))}"
            case "weight":
                return f"{rng.randint(3, 480)} {rng.choice(('kilos', 'pounds'))}"
            case "year":
                return str(rng.randint(1790, 2021))
            case "maker":
                return f"{self.word()} {rng.choice(VALUES['maker'])}"
            case _:
                return rng.choice(VALUES[kind])

    def name(self) -> str:
        return f"{self.rng.choice(FIRST)} {self.word()}"

    def word(self) -> str:
        """A name that no list holds, never twice in one profile."""
        rng = self.rng
        return self.fresh(
            lambda: (
                "".join(
                    rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.choice((1, 2)))
                ).capitalize()
                + rng.choice(
                    ("rick", "wold", "sted", "mond", "lund", "vik", "gate", "moor", "sey", "nath", "bur", "dell")
                )
            )
        )

    def fresh(self, draw: object) -> str:
        assert callable(draw)
        while True:
            word = str(draw())
            if word not in self.used:
                self.used.add(word)
                return word


FOREIGN = (
    "How tall is {p}?",
    "What is the middle name of {p}?",
    "Which bus goes to {t}?",
    "Who won the match between {p} and {q}?",
    "What is the tax number of {p}?",
    "How deep is the lake of {t}?",
    "Who is the mayor of {t}?",
    "What did {p} say to {q}?",
    "What shoe size does {p} wear?",
    "How many people live in {t}?",
    "Which song did {p} sing?",
    "What is the web address of {t} Bank?",
)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# -- items as engrain's evaluation takes them -----------------------------------------------------------------------------


def ask(question: str) -> tuple[Message, ...]:
    return (Message(role="user", content=question),)


def trained_queries(*batches: Batch) -> list[str]:
    """Every question that something was trained on, but for engrain's fixed probes: also those about what no note tells, which
    engrain makes up beside its own."""
    return sorted({e.query[-1].content for b in batches for e in b.train if probe_group(e) is None})


def evaluation_items(
    items: Iterable[Item], trained: Sequence[str] = (), notes: Sequence[str] = ()
) -> tuple[list[Example], int]:
    """One question for each item and how many wordings had to be passed over.

    It is the item's reserved wording, or the next one where a training query happens to be a near-duplicate of it; an item
    all of whose wordings were trained on is left out. The context (for the in-context column) is the item's note among four
    of `notes`, picked by place.
    """
    found: dict[str, Example] = {}
    passed = 0
    for place, item in enumerate(items):
        others = [n for n in notes if n != item.note]
        start = (7 * place) % max(1, len(others))
        shown = [*others[start : start + 4]]
        shown.insert(place % (len(shown) + 1), item.note)
        for question, answer in item.asks:
            if any(near_duplicate(question, query) for query in trained):
                passed += 1
                continue
            example = Example(query=ask(question), context=render_notes(shown), reference=answer)
            found.setdefault(example.hash, example)
            break
    return list(found.values()), passed


def unknown_items(questions: Iterable[str], trained: Sequence[str] = ()) -> list[Example]:
    """Questions whose right answer is that it is not known; without those that something happened to be trained on."""
    fresh = [q for q in questions if not any(near_duplicate(q, query) for query in trained)]
    every = [Example(query=ask(_capital(q)), reference=UNKNOWN, role="guard") for q in fresh]
    return list({e.hash: e for e in every}.values())


def styled(items: Sequence[Example], user: Profile, *, shown: bool = False) -> list[Example]:
    """The same questions, answered right only in the form that the user asked for; `shown` puts the notes, and the one that
    says so, into the query."""
    assert is_answer_style(user.style_note), user.style_note
    return [
        Example(
            query=(Message(role="system", content=f"{e.context}\n- {user.style_note}"), *e.query) if shown else e.query,
            reference=f"{e.reference}, {user.call}",
        )
        for e in items
    ]
