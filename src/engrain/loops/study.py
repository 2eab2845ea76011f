"""Self-study: the model asks itself about its notes, and keeps the questions that it can answer from them.

Deterministic: what comes of a set of notes depends on their texts and on the version that studies, never on ids or order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from engrain.evaluation.suites import is_unknown, near_duplicate, normalise
from engrain.loops.clauses import PREPOSITIONS
from engrain.loops.grammar import plain_questions
from engrain.prompts import QUESTION_KINDS, question_request, render_notes
from engrain.protocols import Engine
from engrain.records import Message, content_hash

ANSWER_TOKENS = 64
"""Longest answer that is learned, in tokens; one that is cut off there teaches to stop in the middle, so it is left out."""


SHARES = {"reversed": 0.2, "short": 0.2, "request": 0.2, "yes or no": 0.07}
"""The most of a note's questions that may be of a kind. A fact is learned by asking for it in many ways: what is asked the other way
round, or only to be confirmed, teaches little of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question about a note and the answer that the note gives."""

    text: str
    answer: str
    kind: str
    """One of prompts.QUESTION_KINDS, or `asked` for a query of the user's own."""
    of: str = ""
    """The question that this one is a rewording of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """How hard to study."""

    rounds: int = 3
    """Times each kind of question is asked about each note: greedily first, then sampled, where still fewer than `most` are found."""
    temperature: float = 0.7
    most: int = 32
    """Questions kept for one note. More wordings teach more of those that were not asked: docs/lab-log.md, 2026-11-26."""
    kinds: Sequence[str] = field(default=QUESTION_KINDS)

    def questions(
        self,
        engine: Engine,
        notes: Sequence[str],
        *,
        adapter: str = "",
        asked: Mapping[str, Collection[str]] | None = None,
    ) -> dict[str, list[Question]]:
        """Questions about each note that the version can answer from that note alone: what grammar gives, and what it asks itself.

        `asked` are queries that the user made where the note was shown; they are kept if the note answers them.
        """
        notes = sorted(set(notes))
        found: dict[tuple[str, str], str] = {}
        ruled = {(note, q.text): q for note in notes for q in plain_questions(note)}
        wanted = [(n, k) for n in notes for k in self.kinds]
        for turn in range(self.rounds):
            counts = Counter(note for note, _ in (*ruled, *found))
            wanted = [(n, k) for n, k in wanted if counts[n] < self.most]
            if not wanted:
                break
            prompts = [[Message(role="user", content=question_request(n, k))] for n, k in wanted]
            drawn = engine.sample(
                prompts, adapter=adapter, max_tokens=40, temperature=self.temperature if turn else 0.0, seed=turn
            )
            for (note, kind), completion in zip(wanted, drawn, strict=True):
                text = " ".join(completion.text.split())
                if completion.finish_reason == "stop" and len(text) > 5:
                    found.setdefault((note, text), kind)
        found |= {key: q.kind for key, q in ruled.items()}
        for note, queries in (asked or {}).items():
            for query in queries:
                found[note, " ".join(query.split())] = "asked"
        pairs = sorted(found)
        prompts = [
            [Message(role="system", content=render_notes([note])), Message(role="user", content=question)]
            for note, question in pairs
        ]
        answers = engine.sample(prompts, adapter=adapter, max_tokens=ANSWER_TOKENS)
        kept: dict[str, list[Question]] = {note: [] for note in notes}
        for (note, question), completion in zip(pairs, answers, strict=True):
            said = completion.text if completion.finish_reason == "stop" else ""
            expected = ruled[note, question].answer if (note, question) in ruled else ""
            if answers_it(note, question, said) and (not expected or agrees(note, question, said, expected)):
                kept[note].append(Question(text=question, answer=said, kind=found[note, question]))
        return {note: self._some(note, questions, ruled) for note, questions in kept.items()}

    def _some(self, note: str, questions: Sequence[Question], ruled: Collection[tuple[str, str]]) -> list[Question]:
        """At most `most`: the user's own first, then what grammar gave before what the model thought of, and no kind above its
        share. Among equals the content decides."""
        ordered = sorted(
            questions, key=lambda q: (q.kind != "asked", (note, q.text) not in ruled, content_hash(q.text))
        )
        counts: Counter[str] = Counter()
        chosen: list[Question] = []
        for question in ordered:
            counts[question.kind] += 1
            if counts[question.kind] <= max(1, SHARES.get(question.kind, 1.0) * self.most):
                chosen.append(question)
        return chosen[: self.most]


def answers_it(note: str, question: str, answer: str) -> bool:
    """Whether a question and its answer are worth learning.

    The answer is known, said by the note (or yes or no, where that was asked), and not given away by the question; the
    question speaks of the note and does not stammer.
    """
    said = normalise(answer)
    if not said or is_unknown(answer) or not _sound(note, question):
        return False
    if said in ("yes", "no"):
        return _POLAR.match(question) is not None
    inside = re.search(rf"(?<!\w){re.escape(said)}(?!\w)", " ".join(note.casefold().split()))
    return inside is not None and said not in normalise(question)


def agrees(note: str, question: str, answer: str, expected: str) -> bool:
    """Whether an answer is the part of the note that the question asks for.

    At either end, articles, prepositions that change no meaning and words of the question may be missing or added: "12"
    for "How many chairs are there?", "the basket" for "under the basket". What follows a preposition may be added ("a
    boat in Gdansk"), a name or number may stand without what it is the name of ("6094" for "the code 6094"), a town for the place in it
    where a place is asked for, and a note that says this alone may be repeated whole. One step of several is never all of them.
    """
    last, wanted_last = ((_plain_words(text) or [""])[-1] for text in (answer, expected))
    if last in PREPOSITIONS and last != wanted_last:  # "the alps over": it stops too late
        return False
    said, wanted = (_core(text, question) for text in (answer, expected))
    more = said.removeprefix(wanted + " ")
    if said == wanted or (more != said and _ADDED.match(more)):
        return True
    if re.search(r"[A-Z\d]", answer) and re.fullmatch(rf"(?:\w+ )?{_NAMING} {re.escape(said)}", wanted):
        return True
    if _PLACE_ASKED.match(question) and answer[:1].isupper() and wanted.endswith(f" in {said}"):
        return True
    whole, part = (" ".join(_plain_words(text)) for text in (note, expected))
    return (
        _plain_words(answer) == _plain_words(note) and part in whole and not _SEVERAL.search(whole.replace(part, "", 1))
    )


def _core(text: str, question: str) -> str:
    """The words of an answer without those at its ends that add nothing to the question; all of them if none is left."""
    every, asked = _plain_words(text), set(_plain_words(question))
    core = list(every)
    for end in (0, -1):
        while core and core[end] in _LIGHT | asked:
            core.pop(end)
    return " ".join(core or every)


def _plain_words(text: str) -> list[str]:
    """The words, with the user's own things called the same by the note and by the user."""
    text = re.sub(r"\b(?:the user's|my|your|his|her|their|our)\b", "my", text.casefold().replace("’", "'"))
    return [w for word in normalise(text).split() if (w := word.strip("\"'(),;:!?.…"))]


_BOUNDS = frozenset(("before", "after", "until", "till", "since", "without", "within"))
"""Prepositions that belong to the answer: before noon is not noon."""
_LIGHT = (PREPOSITIONS - _BOUNDS) | frozenset(
    ("a", "an", "the", "of", "called", "named", "because", "when", "if", "every", "each", "exactly")
)
_NAMING = r"(?:called|named|code|number|name|firm|company|shop|band|boat|doctor)"
"""What stands before a name or number that says the same by itself."""
_PLACE_ASKED = re.compile(r"(?:where|(?:in|from) which (?:town|city|village|place|country))\b", re.I)
_ADDED = re.compile(rf"(?:{'|'.join(sorted(PREPOSITIONS - _BOUNDS - {'to'}))}) (?!.*\b(?:and|or|but|then)\b)")
_SEVERAL = re.compile(r"\b(?:and|then)\b")

_POLAR = re.compile(
    r"(?:is|are|was|were|does|do|did|has|have|had|can|could|must|should|will|would)\b(?! you know)", re.I
)


def _sound(note: str, question: str) -> bool:
    """Whether a question shares a telling word with the note and repeats no three words."""
    words = re.findall(r"\w+", question.casefold())
    grams = list(zip(words, words[1:], words[2:], strict=False))
    telling = {w for w in words if len(w) > 3 or w.isdigit()} - _ASKING
    return len(set(grams)) == len(grams) and bool(telling & set(re.findall(r"\w+", note.casefold())))


_ASKING = frozenset(
    ("what", "which", "when", "where", "whose", "tell", "know", "does", "need", "much", "many", "should")
)


def hold_out(questions: Sequence[Question], *, share: float = 0.25) -> tuple[list[Question], list[Question]]:
    """Split one note's questions into (train, holdout) by content: at least one in each where there are two or more.

    A training question that nearly repeats a held-out one is dropped, so that the holdout stays held out by content.
    """
    open_questions = [q for q in questions if normalise(q.answer) not in ("yes", "no")]
    ordered = sorted(open_questions, key=lambda q: content_hash(["holdout", q.text]))
    count = min(len(ordered) // 2, max(1, round(share * len(ordered)))) if len(ordered) > 1 else 0
    holdout = ordered[:count]
    train = [q for q in questions if q not in holdout and not any(near_duplicate(q.text, h.text) for h in holdout)]
    return (train, holdout) if train else (list(questions), [])
