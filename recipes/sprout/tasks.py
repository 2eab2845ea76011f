"""Documents that teach sprout its abilities: notes with many questions, styles, dates, extraction, self-study, small talk.

A document is a shared prefix (usually the notes) and several branches (a question and its answer) that see the prefix but not one
another: ten questions cost one reading of the notes, and each still looks exactly like a conversation of its own.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from compose import Composer
from engrain.prompts import NOTHING, QUESTION_KINDS, UNKNOWN, extract_request, question_request
from fill import Fill
from frames import SLOT, Fact, Frame, draw, groups

ACK = "Noted."
HEADERS = (
    "Notes:",
    "Notes:",
    "Notes:",
    "Notes:",
    "Notes:",
    "What you know:",
    "Memory:",
    "Facts:",
    "Here are some notes:",
    "Use these notes:",
    "Things to remember:",
)
LOWERABLE = {"The", "A", "An", "There", "On", "In", "At", "For", "When", "If", "It", "We", "My", "Our"}
MINE = re.compile(r"\b(?:I|me|my|we|us|our)\b", re.I)
NAMING = frozenset(("thing", "place", "attr", "person", "org"))
"""Types of slots whose values name something, often in several words."""
Turn = tuple[str, str]


@dataclass(slots=True)
class Doc:
    """A shared prefix and branches; each branch is a list of (role, text) turns that ends with the assistant."""

    prefix: list[Turn] = field(default_factory=list)
    branches: list[list[Turn]] = field(default_factory=list)
    kind: str = "read"


def part(lines: list[str], held: bool) -> list[str]:
    """The training or the held-out fifth of hand-written lines, by hash."""
    out = [x for x in lines if (zlib.crc32(x.encode()) % 5 == 0) == held]
    return out or lines


def tagged(text: str, tag: str) -> str:
    """The sentence with a tag of chatter.txt: a part of it that begins with a comma, words that go on, or a sentence more."""
    return f"{text.rstrip('.!')}{tag}" if tag[0] == "," else f"{text if tag[0].isupper() else text.rstrip('.!')} {tag}"


def style_of(name: str, text: str) -> Callable[[str, str], str]:
    """What a style does to (answer, the note behind it)."""
    return {
        "upper": lambda a, n: a.upper(),
        "lower": lambda a, n: a.lower(),
        "call": lambda a, n: f"{a.rstrip('.')}, {text}",
        "end": lambda a, n: f"{a.rstrip('.')}. {text}",
        "start": lambda a, n: f"{text}: {a}" if text[-1].isalnum() else f"{text} {a}",
        "brief": lambda a, n: a,
        "sentence": lambda a, n: n or a,
        "exclaim": lambda a, n: f"{a.rstrip('.')}!",
        "quote": lambda a, n: f'"{a}"',
        "stars": lambda a, n: f"*{a}*",
    }[name]


STYLE_ORDER = ("sentence", "brief", "lower", "upper", "start", "end", "call", "exclaim", "quote", "stars")
"""The order in which two styles apply."""
STYLE_WEIGHTS = {
    "upper": 5,
    "lower": 2,
    "call": 4,
    "end": 4,
    "start": 2,
    "brief": 3,
    "sentence": 2,
    "exclaim": 1,
    "quote": 1,
    "stars": 1,
}


WORLD = 1000
"""Facts that sprout knows by heart. They are of no use in themselves: a model that has never known anything answers every bare
question with a don't-know, and has no place in which to look a fact up. What is taught to it later needs that place."""


class Maker:
    """Makes documents from one random stream; `held` draws every word, frame and phrasing from the held-out parts.

    `composed` is the share of facts whose frame is put together by rule, `plain` the share of documents without slips and odd
    forms. With `world` some bare questions are about the same so many facts each time, and are to be answered.
    """

    def __init__(
        self,
        rng: random.Random,
        frames: list[Frame],
        *,
        held: bool = False,
        composed: float = 0.5,
        plain: float = 0.3,
        world: int = 0,
    ) -> None:
        self.rng, self.frames, self.composed, self.plain = rng, frames, composed, plain
        self.compose = Composer(rng, held=held)
        self.fill = Fill(rng, held=held)
        self.styles = {k: part(v, held) for k, v in groups("styles").items()}
        self.chatter = {k: part(v, held) for k, v in groups("chatter").items()}
        self.by_type: dict[str, list[Frame]] = {}
        for frame in frames:
            for kind in frame.slots.values():
                self.by_type.setdefault(kind.rstrip("23"), []).append(frame)
        self.personal = [f for f in frames if f.first_person]
        self.world = Maker(random.Random(2026), frames, held=held).about(world) if world else []
        self.known = self.told([fact for fact, _ in self.world])

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    # -- surfaces ---------------------------------------------------------------------------------------------------

    def typo(self, text: str) -> str:
        """One word of the text with one slip of the finger."""
        words = text.split(" ")
        places = [i for i, w in enumerate(words) if len(w) > 3 and w.isalpha()]
        if not places:
            return text
        i = self.rng.choice(places)
        w = words[i]
        j = self.rng.randrange(len(w) - 1)
        words[i] = self.rng.choice(
            (
                w[:j] + w[j + 1] + w[j] + w[j + 2 :],
                w[:j] + w[j + 1 :],
                w[:j] + w[j] + w[j:],
                w[: j + 1] + self.rng.choice("aeiourstln") + w[j + 2 :],
            )
        )
        return " ".join(words)

    def question(self, text: str) -> str:
        roll = self.rng.random()
        if roll < 0.64:
            return text
        if roll < 0.78:
            return self.typo(text)
        if roll < 0.84:
            return text[:1].lower() + text[1:] if not text.startswith("I") else text
        if roll < 0.90:
            return text.rstrip("?.")
        if roll < 0.93:
            return (text[:1].lower() + text[1:] if not text.startswith("I") else text).rstrip("?.")
        if roll < 0.99:
            return self.rng.choice(self.chatter["ask"]).replace("{q}", text)
        return text.upper()

    def noted(self, text: str) -> str:
        """How a note may look when somebody jots it down."""
        roll = self.rng.random()
        if roll < 0.80:
            return text
        if roll < 0.88:
            return text.rstrip(".")
        if roll < 0.92:
            return text[:1].lower() + text[1:]
        if roll < 0.95:
            return self.typo(text)
        return self.rng.choice(("Note: ", "Reminder: ", "FYI: ", "Important: ", "NB ")) + text

    # -- facts --------------------------------------------------------------------------------------------------------

    def fact(self) -> Fact:
        """A new fact, of a composed or a hand-written frame."""
        return draw(self.compose() if self.chance(self.composed) else self.rng.choice(self.frames), self.fill)

    def facts(self, n: int) -> list[Fact]:
        """n facts: all unlike, or many that share a frame, a subject or a value with an earlier one, so that skimming does not suffice."""
        out: list[Fact] = []
        unlike = self.chance(0.4)
        while len(out) < n:
            roll = 1.0 if unlike else self.rng.random()
            if out and roll < 0.30:
                out.append(self.sibling(self.rng.choice(out)))
            elif out and roll < 0.48:
                out.append(self.cousin(self.rng.choice(out)))
            else:
                out.append(self.fact())
        return out

    def about(self, n: int) -> list[tuple[Fact, str]]:
        """n facts, each with the slot that names what it is about, in two words at least: nobody will ask of that by chance."""
        out: list[tuple[Fact, str]] = []
        while len(out) < n:
            fact = self.fact()
            frame = fact.frame
            if any(MINE.search(q) for _, q, _ in frame.asks):
                continue
            slots = {s: kind.rstrip("23") for s, kind in frame.slots.items()}
            named = [s for s, kind in slots.items() if kind in ("person", "org", "town")]
            if named and self.chance(0.5):
                name = f"{self.fill.built().capitalize()} {self.fill.built().capitalize()}"
                fact = draw(frame, self.fill, {named[0]: name})
            else:
                named = [s for s, kind in slots.items() if kind in NAMING and " " in fact.values[s]]
            if named and sum(f"{{{named[0]}}}" in q for _, q, _ in frame.asks) > 1:
                out.append((fact, named[0]))
        return out

    def near(self, value: str, kind: str) -> str | None:
        """Another value of this kind that differs in one of its words: the brass lamp for the copper lamp, gate 3 for gate 2."""
        words = value.split()
        if len(words) < 2 or kind not in NAMING:
            return None
        i = self.rng.randrange(len(words))
        for _ in range(8):
            other = self.fill(kind).split()
            if len(other) == len(words) and other[i].lower() != words[i].lower():
                return " ".join([*words[:i], other[i], *words[i + 1 :]])
        return None

    def sibling(self, fact: Fact) -> Fact:
        """The same kind of fact about another subject, perhaps one that is named almost alike: some slots shared."""
        shared = {s: v for s, v in fact.values.items() if self.chance(0.4)}
        if len(shared) == len(fact.values):
            shared.pop(self.rng.choice(list(shared)))
        for slot, value in fact.values.items():
            if slot not in shared and self.chance(0.4):
                almost = self.near(value, fact.frame.slots[slot].rstrip("23"))
                shared |= {slot: almost} if almost else {}
        return draw(fact.frame, self.fill, shared)

    def cousin(self, fact: Fact) -> Fact:
        """Another kind of fact about the same person or thing."""
        slot = self.rng.choice(list(fact.values))
        kind = fact.frame.slots[slot].rstrip("23")
        frame = self.rng.choice(self.by_type.get(kind) or self.frames)
        for _ in range(3 if self.chance(self.composed) else 0):
            other = self.compose()
            if any(k.rstrip("23") == kind for k in other.slots.values()):
                frame = other
                break
        if not any(k.rstrip("23") == kind for k in frame.slots.values()):
            return draw(frame, self.fill)
        name = self.rng.choice([s for s, k in frame.slots.items() if k.rstrip("23") == kind])
        return draw(frame, self.fill, {name: fact.values[slot]})

    @staticmethod
    def tells(facts: list[Fact], frame: Frame, question: str, values: dict[str, str], answer: str | None) -> bool:
        """Whether another of these facts fits the question's slots with a different answer."""
        asked = [s for s in SLOT.findall(question) if s in values]
        for other in facts:
            if other.frame is frame and all(other.values[s].lower() == values[s].lower() for s in asked):
                mine = Fact(frame, values, other.pronouns)
                if answer is None or other.say(answer, sentence=False) != mine.say(answer, sentence=False):
                    return True
        return False

    @staticmethod
    def told(facts: list[Fact]) -> dict[str, set[str]]:
        """Every question that these facts answer, as asked, with its answers: more than one answer is one too many."""
        out: dict[str, set[str]] = {}
        for fact in facts:
            for answer, question, _ in fact.frame.asks:
                out.setdefault(fact.say(question).lower(), set()).add(fact.say(answer, sentence=False).lower())
        return out

    def ask(self, fact: Fact, facts: list[Fact], note: str) -> tuple[str, str] | None:
        """A question about the fact and its answer as a span of the note."""
        if fact.frame.yes and self.chance(0.06):
            template = self.rng.choice(fact.frame.yes)
            slots = [s for s in SLOT.findall(template) if s in fact.values]
            if slots and len(set(slots)) > 1:
                if self.chance(0.5):
                    return fact.say(template), "Yes"
                last = slots[-1]
                other = draw(fact.frame, self.fill, {s: v for s, v in fact.values.items() if s != last})
                if not self.tells([f for f in facts if f is not fact], fact.frame, template, other.values, None):
                    return other.say(template), "No"
        answer, question, _ = self.rng.choice(fact.frame.asks)
        if self.tells([f for f in facts if f is not fact], fact.frame, question, fact.values, answer):
            return None
        text = fact.answer(answer, note)
        return (fact.say(question), text) if text else None

    def unknown(self, facts: list[Fact]) -> str | None:
        """A question that none of the facts answers; often a near miss."""
        roll = self.rng.random()
        if facts and roll < 0.35:
            fact = self.rng.choice(facts)
            _, question, _ = self.rng.choice(fact.frame.asks)
            asked = [s for s in SLOT.findall(question) if s in fact.values]
            if not asked:
                return None
            change = self.rng.choice(asked)
            kept = {s: v for s, v in fact.values.items() if s != change}
            almost = self.near(fact.values[change], fact.frame.slots[change].rstrip("23")) if self.chance(0.6) else None
            fact = draw(fact.frame, self.fill, kept | ({change: almost} if almost else {}))
        elif facts and roll < 0.75:
            fact = self.cousin(self.rng.choice(facts))
            _, question, _ = self.rng.choice(fact.frame.asks)
        else:
            fact = self.fact()
            _, question, _ = self.rng.choice(fact.frame.asks)
        asked = [s for s in SLOT.findall(question) if s in fact.values]
        if not asked or self.tells(facts, fact.frame, question, fact.values, None):
            return None
        return fact.say(question)

    # -- documents ------------------------------------------------------------------------------------------------------

    def date(self, days: int) -> str:
        year, rest = divmod(days, 360)
        month, day = divmod(rest, 30)
        return f"{2024 + year}-{month + 1:02d}-{min(day, 27) + 1:02d}"

    def stated(self, wish: str) -> str:
        """A wish with words around it, as people say one."""
        roll = self.rng.random()
        if roll < 0.65:
            return wish
        first = self.rng.choice(self.chatter["wish"]) if roll < 0.9 else ""
        if first and not first.endswith((".", ":")) and not wish.startswith(("I ", "I'", "{")):
            wish = wish[:1].lower() + wish[1:]
        wish = f"{first} {wish}".strip()
        return tagged(wish, self.rng.choice(self.chatter["wished"])) if roll > 0.8 else wish

    def style(self) -> tuple[list[str], Callable[[str, str], str], list[str]]:
        """One or two style notes, what they do together, and their names."""
        names = self.rng.choices(
            list(STYLE_WEIGHTS), weights=list(STYLE_WEIGHTS.values()), k=2 if self.chance(0.15) else 1
        )
        if len(set(names)) < len(names) or {"upper", "lower"} <= set(names) or {"brief", "sentence"} <= set(names):
            names = names[:1]
        names.sort(key=STYLE_ORDER.index)
        notes: list[str] = []
        steps: list[Callable[[str, str], str]] = []
        for name in names:
            text = ""
            phrasing = self.rng.choice(self.styles[name])
            if name == "call":
                text = self.rng.choice(
                    (
                        self.fill.person(),
                        self.fill.word().capitalize(),
                        self.rng.choice(
                            ("Captain", "Boss", "Chief", "Doctor", "Your Majesty", "Skipper", "Coach", "Professor")
                        ),
                    )
                )
            elif name in ("end", "start"):
                text = self.rng.choice(
                    (
                        self.fill.phrase(),
                        self.fill.word(),
                        self.fill.phrase().capitalize(),
                        self.rng.choice(
                            (
                                "over and out",
                                "Thank you",
                                "cheers",
                                "amen",
                                "as you wish",
                                "Done",
                                "Hello",
                                "All the best",
                                "stay safe",
                                "Right",
                                "OK",
                                "Well",
                            )
                        ),
                    )
                )
            notes.append(phrasing.replace("{name}", text).replace("{text}", text))
            steps.append(style_of(name, text))

        def apply(answer: str, note: str) -> str:
            for step in steps:
                answer = step(answer, note)
            return answer

        return notes, apply, names

    def read(
        self,
        n: int,
        questions: int,
        *,
        plain: bool = False,
        style: bool | None = None,
        dated: bool | None = None,
        conflict: bool = False,
    ) -> Doc:
        """Notes, and questions about them: known and unknown, under a style where one is stated, the newest date first."""
        facts = self.facts(n)
        texts = [f.note for f in facts]
        shown = [t if plain else self.noted(t) for t in texts]
        is_dated = conflict or (self.chance(0.25) if dated is None else dated)
        old: list[tuple[Fact, str, str]] = []
        if is_dated:
            days = [self.rng.randrange(1080) for _ in facts]
            wanted = self.rng.randint(1, max(3, n // 2)) if conflict or self.chance(0.8) else 0
            for i in self.rng.sample(range(n), min(n, wanted)):
                answer, question, _ = self.rng.choice(facts[i].frame.asks)
                slots = [s for s in SLOT.findall(answer) if s in facts[i].values]
                if not slots or set(slots) & set(SLOT.findall(question)):
                    continue
                before = draw(facts[i].frame, self.fill, {s: v for s, v in facts[i].values.items() if s not in slots})
                before.pronouns = facts[i].pronouns
                before.wording = facts[i].wording if self.chance(0.5) else before.wording
                if self.tells(
                    [f for j, f in enumerate(facts) if j != i], facts[i].frame, question, facts[i].values, None
                ):
                    continue
                if days[i] == 0:
                    days[i] = 5
                roll = self.rng.random()
                if roll < 0.25 and days[i] >= 360:
                    earlier = days[i] - 360 * self.rng.randint(1, days[i] // 360)
                elif roll < 0.65:
                    earlier = self.rng.randrange(days[i])
                else:
                    earlier = max(0, days[i] - self.rng.randint(1, 40))
                old.append((before, before.note, self.date(earlier)))
                text = facts[i].answer(answer, texts[i])
                if text:
                    old[-1] = (before, before.note, self.date(earlier))
                    facts[i].values["_ask"] = question
                    facts[i].values["_answer"] = text
            form = self.rng.choice(("[{}] ",) * 6 + ("{}: ", "({}) ", "As of {}: ", "{} - ", "On {}: "))
            shown = [form.format(self.date(d)) + s for d, s in zip(days, shown, strict=True)]
            shown += [form.format(d) + (t if plain else self.noted(t)) for _, t, d in old]
        stale = {id(f.frame) for f, _, _ in old}
        asked: list[tuple[str, str, str]] = []
        for fact, text in zip(facts, texts, strict=True):
            if "_ask" in fact.values:
                q, a = fact.values.pop("_ask"), fact.values.pop("_answer")
                asked.append((fact.say(q), a, text))
        everything = facts + [f for f, _, _ in old]
        told = self.told(everything)
        tries = 0
        while len(asked) < questions and tries < 4 * questions and not (conflict and asked):
            tries += 1
            if self.world and self.chance(0.06):
                pair = self.of_world()
                if pair and pair[0].lower() not in told and all(pair[0] != x for x, _, _ in asked):
                    asked.append((*pair, ""))
                continue
            if self.chance(0.33):
                q = self.unknown(everything)
                if q and q.lower() not in told and all(q != x for x, _, _ in asked):
                    asked.append((q, UNKNOWN, ""))
                continue
            i = self.rng.randrange(n)
            if id(facts[i].frame) in stale:
                continue
            qa = self.ask(facts[i], facts, texts[i])
            if (
                qa
                and all(qa[0] != x for x, _, _ in asked)
                and len(told.get(qa[0].lower(), ())) < 2
                and (qa[1] in ("Yes", "No") or qa[1].lower() in shown[i].lower())
            ):
                asked.append((*qa, texts[i]))
        # several facts in one line
        order = list(range(len(shown)))
        self.rng.shuffle(order)
        lines = [shown[i] for i in order]
        if not is_dated and len(lines) > 2 and self.chance(0.3):
            for _ in range(self.rng.randint(1, max(1, len(lines) // 4))):
                i = self.rng.randrange(len(lines) - 1)
                second = lines.pop(i + 1)
                joint = self.rng.choice((". ", ". ", "; "))
                if second.split(" ")[0] in LOWERABLE:
                    joint, second = self.rng.choice((" and ", ", and ", ", but ", "; ", ". ")), second
                    second = second if joint == ". " else second[:1].lower() + second[1:]
                lines[i] = f"{lines[i].rstrip('.')}{joint}{second}"
        notes, apply, _ = self.style() if (self.chance(0.22) if style is None else style) else ([], lambda a, n: a, [])
        for note in notes:
            lines.insert(self.rng.randint(0, len(lines)), note if plain else self.stated(note))
        turns = [(self.question(q) if not plain else q, apply(a, t)) for q, a, t in asked]
        header = "Notes:" if plain else self.rng.choice(HEADERS)
        roll = 0.0 if plain else self.rng.random()
        if roll < 0.80 or n > 6:
            bullet = "- " if roll < 0.72 else self.rng.choice(("* ", "", "1. "))
            system = "\n".join([header, *(f"{bullet}{x}" for x in lines)])
            prefix = [("system", system)]
        elif roll < 0.86:
            prefix = [("system", header + " " + " ".join(x if x.endswith((".", "!", "?")) else x + "." for x in lines))]
        elif roll < 0.95:
            prefix = [t for x in lines for t in (("user", x), ("assistant", apply(ACK, "") if len(lines) < 2 else ACK))]
            if notes:
                turns = [(q, a) for q, a in turns]
        else:
            prefix = []
            block = "\n".join(f"- {x}" for x in lines)
            turns = [(f"{block}\n\n{q}", a) for q, a in turns[:2]]
        if notes and prefix and prefix[0][0] == "user":
            prefix = [("system", "\n".join([header, *(f"- {x}" for x in lines)]))]
        branches: list[list[Turn]] = []
        while turns:
            k = self.rng.choice((1, 1, 1, 1, 2, 3)) if not plain else 1
            branches.append([t for q, a in turns[:k] for t in (("user", q), ("assistant", a))])
            turns = turns[k:]
        return Doc(prefix, branches, "newest" if conflict else "style" if notes else "read")

    def bare(self, questions: int = 1) -> Doc:
        """Questions with nothing shown: not known, but for those about the world."""
        branches: list[list[Turn]] = []
        while len(branches) < questions:
            pair = self.of_world() if self.world and self.chance(0.6) else None
            if pair is None:
                fact = self.fact()
                pair = fact.say(self.rng.choice([a[1] for a in fact.frame.asks] + fact.frame.yes)), UNKNOWN
            if pair[1] == UNKNOWN and pair[0].lower() in self.known:
                continue
            branches.append([("user", self.question(pair[0])), ("assistant", pair[1])])
        return Doc([], branches, "bare")

    def of_world(self) -> tuple[str, str] | None:
        """A question about a fact of the world with its answer, or one that only seems to be."""
        fact, name = self.rng.choice(self.world)
        if self.chance(0.25):
            question = self.unknown([fact])
            return (question, UNKNOWN) if question else None
        pair = self.ask(fact, [fact], fact.note)
        named = pair and fact.values[name].lower() in pair[0].lower()
        return pair if pair and named and len(self.known.get(pair[0].lower(), ())) < 2 else None

    def statement(self, fact: Fact) -> tuple[str, str, bool]:
        """(how a user says it, the note it leaves, whether its first word keeps its capital)"""
        i = fact.wording
        me = fact.frame.first_person.get(i)
        template = me or fact.frame.notes[i]
        return fact.say(template), fact.note, fact.starts_proper(template)

    def message(self) -> tuple[str, list[str]]:
        """A chat message with chatter around, and the notes worth keeping from it."""
        if self.chance(0.30):
            roll = self.rng.random()
            if roll < 0.65:
                lines = [
                    self.rng.choice(self.chatter["talk"]).split("=>")[0].strip()
                    for _ in range(self.rng.choice((1, 1, 2)))
                ]
                return " ".join(lines), []
            if roll < 0.9:
                fact = self.fact()
                return self.question(fact.say(self.rng.choice(fact.frame.asks)[1])), []
            return (
                f"{self.rng.choice(self.chatter['talk']).split('=>')[0].strip()} {self.rng.choice(self.chatter['close'])}",
                [],
            )
        notes: list[str] = []
        said: list[str] = []
        last_style = False
        for _ in range(self.rng.choice((1, 1, 1, 2, 2, 3))):
            if self.chance(0.15):
                style = self.style()[0][0]
                said.append(self.stated(style))
                notes.append(style)
                last_style = True
                continue
            personal = self.personal and self.chance(0.35)
            fact = draw(self.rng.choice(self.personal), self.fill) if personal else self.fact()
            text, note, proper = self.statement(fact)
            if self.chance(0.45):
                opener = self.rng.choice(self.chatter["open"])
                if opener.endswith((",", ":", " that", "—")) or opener[-1].isalpha():
                    text = f"{opener} {text if proper else text[:1].lower() + text[1:]}"
                else:
                    text = f"{opener} {text}"
            if self.chance(0.2):
                text = tagged(text, self.rng.choice(self.chatter["tag"]))
            if said and said[-1].endswith(".") and not last_style and self.chance(0.2):
                text = text if proper or text[:2] == "I " else text[:1].lower() + text[1:]
                said[-1] = said[-1].rstrip(".") + self.rng.choice((" and ", ", and ", ", but ", "; ", " while ")) + text
            else:
                said.append(text)
            last_style = False
            notes.append(note)
        if self.chance(0.3):
            said.append(self.rng.choice(self.chatter["close"]))
        if self.chance(0.1):
            said.insert(0, self.rng.choice(self.chatter["talk"]).split("=>")[0].strip())
        return " ".join(x if x.endswith((".", "!", "?")) else x + "." for x in said), notes

    def extract(self) -> Doc:
        message, notes = self.message()
        if self.chance(0.05):
            message = self.typo(message)
        answer = "\n".join(f"- {x}" for x in notes) if notes else NOTHING
        return Doc([], [[("user", extract_request(message)), ("assistant", answer)]], "extract")

    def acknowledge(self) -> Doc:
        message, notes = self.message()
        if notes:
            reply = ACK
        else:
            line = self.rng.choice(self.chatter["talk"])
            message, _, reply = (x.strip() for x in line.partition("=>"))
        prefix = self.read(self.rng.randint(1, 5), 0, style=False).prefix if self.chance(0.3) else []
        return Doc(prefix, [[("user", message), ("assistant", reply)]], "ack")

    def study(self, questions: int = 4) -> Doc | None:
        """Questions of each kind that a note answers."""
        fact = self.fact()
        kinds: dict[str, list[str]] = {}
        for answer, question, kind in fact.frame.asks:
            if fact.answer(answer, fact.note):
                kinds.setdefault(kind, []).append(question)
        plain = kinds.get("plain", [])
        if plain and "request" not in kinds and self.chance(0.5):
            q = self.rng.choice(plain)
            kinds["request"] = [
                f"{self.rng.choice(('Tell me:', 'Please tell me:', 'I need to know:', 'Remind me:', 'Can you tell me:'))} {q[:1].lower() + q[1:]}"
            ]
        kinds["yes or no"] = fact.frame.yes
        branches: list[list[Turn]] = []
        for kind in QUESTION_KINDS:
            if kinds.get(kind):
                q = fact.say(self.rng.choice(kinds[kind]))
                branches.append([("user", question_request(fact.note, kind)), ("assistant", q)])
        self.rng.shuffle(branches)
        return Doc([], branches[:questions], "study") if branches else None

    def repeat(self) -> Doc:
        """Say a text again, as it is or in another case: the plainest way to learn to copy, which all reading rests on."""
        text = (
            " ".join(f.note for f in self.facts(self.rng.choice((1, 1, 2))))
            if self.chance(0.4)
            else " ".join(
                self.fill(self.rng.choice(("thing", "person", "code", "word", "act", "phrase", "attr", "place")))
                for _ in range(self.rng.randint(2, 6))
            )
        )
        ask = self.rng.choice(("Repeat", "Say this again", "Copy this", "Repeat after me"))
        roll = self.rng.random()
        if roll < 0.45:
            ask, text_out = ask + self.rng.choice((" in upper case", " in capitals")), text.upper()
        elif roll < 0.65:
            ask, text_out = ask + " in lower case", text.lower()
        else:
            text_out = text
        return Doc([], [[("user", f"{ask}: {text}"), ("assistant", text_out)]], "repeat")

    def any(self, low: int, high: int, *, budget: int = 10, only_read: float = 0.0) -> Doc:
        """One document of a random kind, with low to high notes where it has notes; `only_read` is a share of plain reading on top."""
        if self.chance(only_read):
            n = self.rng.randint(low, high)
            return self.read(n, min(budget, 3 + n), plain=True, style=False, dated=False)
        roll = self.rng.random()
        n = self.rng.randint(low, self.rng.randint(low, high)) if high > 8 else self.rng.randint(low, high)
        if roll < 0.42:
            plain = self.chance(self.plain)
            return self.read(n, min(budget, 3 + n), plain=plain, style=None)
        if roll < 0.54:
            return self.read(n, min(budget, 3 + n), style=True)
        if roll < 0.68:
            return self.read(n, min(budget, 3 + n), conflict=self.chance(0.7), dated=True)
        if roll < 0.74:
            return self.bare(budget)
        if roll < 0.83:
            return self.extract()
        if roll < 0.88:
            return self.acknowledge()
        if roll < 0.91:
            return self.repeat()
        return self.study() or self.bare()
