"""Prepare a batch: everything one consolidation learns from and is judged by, fixed, hashed and stored before it starts.

A pure function of the memories (their texts), the user's queries, the parent version and the settings: ids, times and order
do not enter. That is what lets `forget` rebuild exactly the adapter of a history in which a record never was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from engrain.errors import BatchRefused
from engrain.evaluation.probes import guard_probes, probe_group
from engrain.evaluation.suites import check_holdout, in_context, is_unknown, last_question, near_any, scored
from engrain.loops.reword import rewordings
from engrain.loops.study import ANSWER_TOKENS, Question, Study, hold_out
from engrain.memory import is_answer_style
from engrain.prompts import render_notes
from engrain.protocols import Engine
from engrain.records import Batch, Example, Memory, Message, Scope, content_hash

COMPANY = 3
"""Unrelated notes that the student is shown where it is to answer from weights among notes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What goes into a batch."""

    study: Study = field(default_factory=Study)
    rewordings: int = 4
    """Other typings of each training question, as far as the teacher understands them."""
    distractors: int = 4
    """Other notes that stand beside the right one where the holdout is answered in context."""
    in_company: float = 0.1
    """Share of the training questions whose student is shown unrelated notes, so that it answers from weights among notes. At a
    third, other wordings with nothing shown were learned far less well (docs/lab-log.md, 2026-11-25)."""
    in_style: float = 0.2
    """Share of them whose student is shown how to answer, as it is when the user has said so, and must know what it knows there too."""
    near_misses: int = 12
    """Questions for each memory about something that its note does not tell."""
    newer: int = 8
    """Questions for each memory that are shown its note with another value in it: what is shown comes before what is known."""
    guards: int = 2600
    """Unrelated prompts that hold the student to its accepted version."""
    least_questions: int = 2
    """A memory with fewer training questions stays in text; such as ask for the subject do not count without others."""
    holdout_share: float = 0.25
    least_memories: int = 4


def prepare(
    engine: Engine,
    memories: Sequence[Memory],
    *,
    scope: Scope,
    parent: str,
    earlier: Batch | None = None,
    still: Mapping[str, str] | None = None,
    asked: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
    apart: Sequence[str] = (),
    preparation: Preparation | None = None,
    seed: int = 0,
    on_share: Callable[[float], None] | None = None,
) -> Batch:
    """The batch that teaches these memories to the parent version.

    `earlier` is the parent's batch: what it taught is replayed, as far as its memories still hold (`still`: id -> text).
    Questions like those of `apart` are not trained on. `asked` maps a note's text to queries of the user's own, each with the interactions that it was asked in. Raises
    BatchRefused where too little can be learned or judged. `on_share` is told what share is done.
    """
    settings = preparation or Preparation()
    done = on_share or (lambda _share: None)
    if not memories:
        raise BatchRefused("0 memories are to be learned; tell engrain something durable first")
    notes = {m.text: m for m in sorted(memories, key=lambda m: m.text)}
    # The bare base studies: what was learned before leaves no mark on the questions.
    studied = settings.study.questions(engine, list(notes), asked=asked)
    done(0.4)
    styles = _styles(settings.guards)
    replayed, replay_holdout = _replay(earlier, still or {}, styles)
    split = {text: hold_out(questions, share=settings.holdout_share) for text, questions in studied.items()}
    held = [*apart, *(last_question(e) for e in replay_holdout), *(q.text for _, some in split.values() for q in some)]
    reworded = _reworded(split, held, settings)
    new_examples = _lessons(engine, reworded, notes, asked or {}, parent, styles, settings)
    done(0.7)
    learnable = sorted(new_examples)
    train: list[Example] = [e for mine in new_examples.values() for e in mine]
    holdout: list[Example] = []
    learned: list[str] = []
    for text in learnable:
        learned.append(notes[text].id)
        own = (asked or {}).get(text, {})
        context = [text, *_nearest(text, learnable, settings.distractors)]
        holdout += [
            Example(
                query=_ask(q.text),
                context=_context(context, q.text),
                reference=q.answer,
                memory_ids=(notes[text].id,),
                interaction_ids=tuple(own.get(q.text, ())),
            )
            for q in split[text][1]
        ]
    held_now = [*apart, *(last_question(e) for e in holdout)]
    near = near_any([last_question(e) for e in replayed], held_now)
    train += [e for e, close in zip(replayed, near, strict=True) if not close]
    taken = [*apart, *(q.text for some in split.values() for questions in some for q in questions)]
    taken += [last_question(e) for e in (*replayed, *replay_holdout)]
    asking = {t: split[t][0] for t in learnable}
    train += _near_misses(engine, asking, taken, parent, settings)
    train += _newer(engine, asking, parent, settings)
    done(0.9)
    kept_apart = set(apart)
    train += [e for e in guard_probes(settings.guards, seed=seed, engine=engine) if last_question(e) not in kept_apart]
    held_queries = {e.query for e in (*holdout, *replay_holdout)}
    train = [e for e in train if e.query not in held_queries]
    learned += [i for e in (*replayed, *replay_holdout) for i in e.memory_ids]
    asked_in = {i for e in (*train, *holdout, *replay_holdout) for i in e.interaction_ids}
    batch = Batch(
        scope=scope,
        parent=parent,
        train=tuple(sorted({e.hash: e for e in train}.values(), key=lambda e: e.hash)),
        holdout=tuple(sorted({e.hash: e for e in (*holdout, *replay_holdout)}.values(), key=lambda e: e.hash)),
        memory_ids=tuple(sorted(set(learned))),
        settings={**asdict(settings), "base": engine.base},
        seed=seed,
        causes=(*sorted(set(learned)), *sorted(asked_in), *((parent,) if parent else ())),
    )
    check(batch, settings)
    return batch


def check(batch: Batch, settings: Preparation) -> None:
    """Refuse a batch that cannot teach or cannot be judged. Raises BatchRefused with the figure and the remedy."""
    taught = {i for e in (*batch.train, *batch.holdout) if e.role == "new" for i in e.memory_ids}
    if len(taught) < settings.least_memories:
        raise BatchRefused(
            f"{len(taught)} memories have questions enough to be learned and judged; it takes at least {settings.least_memories}, "
            "and more by the gate. They stay in text; tell more, or consolidate later"
        )
    if empty := [e.hash for e in (*batch.train, *batch.holdout) if not any(m.content.strip() for m in e.query)]:
        raise BatchRefused(f"examples {empty[:3]} have an empty query; remove the memories that they came from")
    check_holdout([e for e in batch.train if probe_group(e) is None], batch.holdout)


def _reworded(
    split: Mapping[str, tuple[list[Question], list[Question]]], held: Sequence[str], settings: Preparation
) -> dict[str, list[Question]]:
    """Each note's training questions with their rewordings, without those that nearly repeat a held-out one of any note ("… in hall
    2?", "… in hall 3?"); none for a note that nothing is held out of."""
    every = [
        (note, replace(question, text=text, of=question.text))
        for note, (mine, held_out) in split.items()
        if held_out
        for question in mine
        for text in (question.text, *rewordings(question.text, settings.rewordings))
    ]
    found: dict[str, dict[str, Question]] = {}
    for (note, question), close in zip(every, near_any([q.text for _, q in every], held), strict=True):
        if not close:
            found.setdefault(note, {}).setdefault(question.text, question)
    return {note: list(questions.values()) for note, questions in found.items()}


def _lessons(
    engine: Engine,
    questions: Mapping[str, Sequence[Question]],
    notes: Mapping[str, Memory],
    asked: Mapping[str, Mapping[str, Sequence[str]]],
    parent: str,
    styles: Sequence[str],
    settings: Preparation,
) -> dict[str, list[Example]]:
    """The training examples of each note: its questions that the teacher, shown the note, answers as the note does.

    A teacher that reads the wrong one of its notes gives a wrong lesson, and the student learns that as readily as a right one. So
    it is shown the note alone, and where it errs even then the question is dropped; a note with too few lessons left stays in text.
    Only what is itself learned may stand beside what is learned: a note that the batch does not answer for, and that the adapter's
    record does not name, must leave no trace in the weights.
    """

    def lessons(
        asking: Mapping[str, Sequence[Question]], company: Sequence[str], sayings: Sequence[str]
    ) -> dict[str, list[Example]]:
        made: dict[str, list[Example]] = {}
        for text, mine in asking.items():
            others, own = _nearest(text, company, COMPANY), asked.get(text, {})
            made[text] = [_example(q, text, others, sayings, notes[text].id, own, settings) for q in mine]
        return made

    alone = [e for mine in lessons(questions, (), ()).values() for e in mine]
    prompts = [in_context(e) for e in alone]
    answers = engine.sample(prompts, adapter=parent, max_tokens=ANSWER_TOKENS) if prompts else []
    told = iter(a.finish_reason == "stop" and scored(e, a.text) for e, a in zip(alone, answers, strict=True))
    read = {text: [q for q in mine if next(told)] for text, mine in questions.items()}
    fair = {text: _mostly_forward(mine) for text, mine in read.items()}
    kept = {text: mine for text, mine in fair.items() if len(mine) >= settings.least_questions}
    return lessons(kept, sorted(kept), styles)


def _mostly_forward(questions: Sequence[Question]) -> list[Question]:
    """The questions without those asked the other way round that are more than a quarter of the others, rounded up: a note that
    is only asked "Who …?" is not known by its value. None if no other is left."""
    forward = [q for q in questions if q.kind != "reversed"]
    backward = sorted((q for q in questions if q.kind == "reversed"), key=lambda q: content_hash([q.text]))
    return [*forward, *backward[: math.ceil(len(forward) / 4)]]


def _example(
    question: Question,
    note: str,
    others: Sequence[str],
    styles: Sequence[str],
    memory: str,
    own: Mapping[str, Sequence[str]],
    settings: Preparation,
) -> Example:
    """A training question; by its content some are asked among unrelated notes, others where it is said how to answer."""
    draw = int(content_hash(["company", note, question.text], length=8), 16) / 16**8
    query = _ask(question.text)
    if draw < settings.in_company and others:
        query = (Message(role="system", content=render_notes(others)), *query)
    elif draw > 1 - settings.in_style and styles:
        style = min(styles, key=lambda s: content_hash(["style", note, question.text, s]))
        query = (Message(role="system", content=render_notes([style])), *query)
    return Example(
        query=query, context=render_notes([note]), reference=question.answer, role="new", memory_ids=(memory,),
        interaction_ids=tuple(own.get(question.of or question.text, ())),
    )  # fmt: skip


def _styles(guards: int) -> list[str]:
    """How to answer, as guards say it: never the user's own words, which would then stay in the weights when they are forgotten."""
    stating = (e for e in guard_probes(guards) if probe_group(e) == "style")
    lines = {line for e in stating for m in e.query if m.role == "system" for line in _lines(m.content)}
    return sorted(line for line in lines if is_answer_style(line))


def _replay(
    earlier: Batch | None, still: Mapping[str, str], styles: Sequence[str]
) -> tuple[list[Example], list[Example]]:
    """What the parent was taught, as far as it still holds."""
    if earlier is None:
        return [], []
    held = {line for text in still.values() for line in text.split("\n")}.union(styles)

    def again(example: Example) -> Example | None:
        if example.role == "guard" or not all(i in still for i in example.memory_ids):
            return None
        query = tuple(
            Message(role=m.role, content=_without(m.content, held)) if m.role == "system" else m for m in example.query
        )
        return replace(
            example, query=tuple(m for m in query if m.content), context=_without(example.context, held), role="replay"
        )

    train, holdout = ([again(e) for e in some] for some in (earlier.train, earlier.holdout))
    return [e for e in train if e], [e for e in holdout if e]


def _without(notes: str, held: Collection[str]) -> str:
    """Rendered notes without those that hold no longer: what was corrected must not be shown to a teacher again."""
    return render_notes([line for line in _lines(notes) if line in held])


def _near_misses(
    engine: Engine,
    learnable: Mapping[str, Sequence[Question]],
    taken: Sequence[str],
    parent: str,
    settings: Preparation,
) -> list[Example]:
    """Training questions with one word exchanged, which no note answers: the bare teacher says that it does not know, and the
    student must go on saying so. They teach it to tell its facts from their neighbours (the word is one of another note)
    and from what it never heard of. None is nearly one of the questions `taken`.

    No note is shown: a small model that sees the one that was meant answers from it, whatever word was exchanged."""
    heard = {note: frozenset(_content_words(note)) for note in sorted(learnable)}
    every = frozenset(w for words in heard.values() for w in words)
    unheard = sorted({w for e in guard_probes(settings.guards) for w in _content_words(last_question(e))} - every)
    candidates: list[tuple[str, str]] = []
    for note, questions in learnable.items():
        pools = unheard, sorted(every - heard[note])
        ordered = sorted(questions, key=lambda q: content_hash(["near", q.text]))
        for number, question in enumerate(ordered[: 2 * settings.near_misses]):
            shared = [w for w in _content_words(question.text) if w in heard[note]]
            if not shared:
                continue
            draw = int(content_hash([note, question.text], length=12), 16)
            named = [w for w in shared if w[0].isupper()] or shared
            old = named[draw % len(named)]
            fitting = [w for w in pools[number % 2] if w[0].isupper() == old[0].isupper()]
            if not fitting:
                continue
            new = fitting[(draw // 97) % len(fitting)]
            changed = re.sub(rf"\b{re.escape(old)}\b", new, question.text)
            told = every.intersection(_content_words(changed))
            if new not in told or not any(told <= words for words in heard.values()):
                candidates.append((note, changed))
    near = near_any([changed for _, changed in candidates], taken)
    candidates = [c for c, close in zip(candidates, near, strict=True) if not close]
    answers = engine.sample([_ask(q) for _, q in candidates], adapter=parent, max_tokens=24) if candidates else []
    kept = [
        (note, Example(query=_ask(changed), reference=completion.text, role="guard"))
        for (note, changed), completion in zip(candidates, answers, strict=True)
        if is_unknown(completion.text)
    ]
    return _some_of_each(kept, settings.near_misses)


def _newer(
    engine: Engine, learnable: Mapping[str, Sequence[Question]], parent: str, settings: Preparation
) -> list[Example]:
    """Training questions whose student is shown the note with a value of another note in it, which it must answer with.

    A note that is shown is newer than what the weights know, and a student that has only learned to answer from memory
    reads others' notes worse too. Kept where the teacher, which learned nothing of this, reads them right."""
    values = sorted({q.answer for mine in learnable.values() for q in mine if q.kind != "reversed"})
    made: list[tuple[str, Example]] = []
    for note, questions in learnable.items():
        asked = (q for q in questions if q.kind != "reversed" and note.count(q.answer) == 1)
        for question in sorted(asked, key=lambda q: content_hash(["newer", q.text]))[: 2 * settings.newer]:
            fitting = [v for v in values if _looks(v) == _looks(question.answer) and v not in note]
            if fitting:
                value = fitting[int(content_hash([note, question.text], length=12), 16) % len(fitting)]
                others = _nearest(note, sorted(learnable), COMPANY)
                shown = _context([note.replace(question.answer, value), *others], question.text)
                query = (Message(role="system", content=shown), *_ask(question.text))
                made.append((note, Example(query=query, reference=value, role="guard")))
    answers = engine.sample([e.query for _, e in made], adapter=parent, max_tokens=ANSWER_TOKENS) if made else []
    return _some_of_each([m for m, a in zip(made, answers, strict=True) if scored(m[1], a.text)], settings.newer)


def _some_of_each(found: Sequence[tuple[str, Example]], count: int) -> list[Example]:
    """The first `count` examples of each note."""
    of: dict[str, list[Example]] = {}
    for note, example in found:
        of.setdefault(note, []).append(example)
    return [e for some in of.values() for e in some[:count]]


def _looks(value: str) -> tuple[bool, bool, int]:
    """What a value must share with the one that it stands for: digits, a capital, its length in words (up to three)."""
    return any(c.isdigit() for c in value), value[:1].isupper(), min(3, len(value.split()))


def _ask(question: str) -> tuple[Message, ...]:
    return (Message(role="user", content=question),)


def _lines(notes: str) -> list[str]:
    """The notes that `render_notes` rendered."""
    return [line.removeprefix("- ") for line in notes.split("\n")[1:]]


def _context(notes: Sequence[str], salt: str) -> str:
    """The notes in an order that depends on the question's content alone."""
    return render_notes(sorted(notes, key=lambda n: content_hash([salt, n])))


def _nearest(note: str, everything: Sequence[str], count: int) -> list[str]:
    """Other notes to stand beside this one, picked by content."""
    return sorted((n for n in everything if n != note), key=lambda n: content_hash([note, n]))[:count]


def _content_words(text: str) -> list[str]:
    return [w for w in re.findall(r"[A-Za-z]{4,}", text) if w.lower() not in _COMMON]


_COMMON = frozenset(
    [
        "what",
        "which",
        "when",
        "where",
        "whose",
        "whom",
        "tell",
        "about",
        "does",
        "have",
        "this",
        "that",
        "with",
        "from",
        "your",
        "user",
        "they",
        "them",
        "their",
        "there",
        "then",
        "should",
        "must",
        "could",
        "would",
        "will",
        "been",
        "were",
        "into",
        "over",
        "after",
        "before",
        "many",
        "much",
        "long",
        "often",
        "first",
        "last",
        "every",
        "each",
        "some",
    ]
)
