"""Curate the playbook: changes that a model or a person proposes, each held against what must not be lost, all together against the user's own tasks.

ACE's curator (Zhang et al., arXiv 2510.04618) with all of its operations: add, update, merge, retire, tag. (In its public code all but ADD are dropped
without a word.) Nothing is dropped here: an operation that would lose a detail, or names what is not there, is refused with its reason. What is
left takes effect as a whole or not at all; it is refused where the user's tasks (`Task`) show that answers get worse by it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from engrain.errors import Conflict, FormatError
from engrain.evaluation.gates import judge_words
from engrain.evaluation.statistics import Paired
from engrain.evaluation.suites import last_question, scored
from engrain.loops.change import TAGS, TRIES, accepting, delta
from engrain.loops.consolidate import tasks
from engrain.loops.notes import linked
from engrain.loops.remember import LONGEST_NOTE, now_of
from engrain.memory.extract import content_words
from engrain.memory.filing import of_kinds
from engrain.memory.held import Shelf
from engrain.memory.history import LESSONS, claim_in, derive
from engrain.memory.merging import contradict, lost
from engrain.memory.playbook import rendered
from engrain.memory.recall import recall
from engrain.memory.worth import worths
from engrain.prompts import curate_request
from engrain.protocols import Conversation, Embedder, Sampler
from engrain.records import Decision, Delta, Example, Memory, MemoryKind, Message, Operator, Scope
from engrain.store import SqlStore

SOURCE = "curate"
"""Of a text that was written anew: it goes when what it was made of is forgotten."""
TYPES = ("ADD", "UPDATE", "MERGE", "RETIRE", "TAG")
REFLECTIONS = 8
"""That a model curates at once, the latest."""
FITTING = 4
"""Lessons that it is shown for each of them."""
MOST = 100
"""Operations that are worked out at once."""
MOST_TASKS = 200
"""Of the user's tasks, the latest, that judge a change."""
LONGEST_SECTION = 200
KEPT = 0.5
"""Share of its telling words that what stands for a lesson must still have."""
Show = Callable[[str, Sequence[Memory]], Conversation]
"""What the model is shown for a question, if these were the lessons of the playbook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One change that is proposed."""

    type: str
    """ADD (`content`), UPDATE (one id, `content`), MERGE (several ids, `content`), RETIRE (one id, `reason`), TAG (one id, `value`)."""
    ids: tuple[str, ...] = ()
    content: str = ""
    section: str = ""
    value: str = ""
    reason: str = ""

    def __str__(self) -> str:
        content = self.content if len(self.content) <= 200 else f"{self.content[:200]}…"
        return " ".join([self.type, *self.ids, *filter(None, [self.value, content])])


@dataclass(slots=True, kw_only=True)
class Curated:
    """What came of it."""

    decision: Decision
    """`promote`: it helps, and holds; `hold`: neither help nor harm is shown, and it holds unless it was to wait; `reject`: it does harm, and
    nothing has changed."""
    reason: str
    lessons: list[str] = field(default_factory=list[str])
    """Ids of the new lessons; where they wait, they are to be accepted (`change`); where the change was refused, they are archived."""
    deltas: list[str] = field(default_factory=list[str])
    """Ids of what was done; undone in the opposite order, all is as it was."""
    refused: list[str] = field(default_factory=list[str])
    """Operations that were not even tried, each with its reason."""
    broke: list[str] = field(default_factory=list[str])
    """Questions of the user's tasks that are answered wrongly with the change and rightly without."""
    mended: list[str] = field(default_factory=list[str])
    waits: bool = False
    calls: int = 0
    """Of the model, for what it proposed and for the tasks that judge."""
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """What a model would change."""

    operations: tuple[Operation, ...] = ()
    shown: tuple[str, ...] = ()
    """Ids of all that it was shown, of which its words may be made."""
    reflections: tuple[str, ...] = ()
    """Of those, the reflections."""


def operations(text: str) -> list[Operation]:
    """The operations in a model's answer: a JSON object with a list `operations`, or the list itself, whatever stands around it. FormatError, with the
    remedy, where there is none."""
    decoder, found = json.JSONDecoder(), None
    for start in [m.start() for m in re.finditer(r"[\[{]", text)][:20]:
        try:
            found, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        listed = found.get("operations") if isinstance(found, dict) else found
        bare = isinstance(found, list)  # an empty one is but a bracket in prose
        if isinstance(listed, list) and all(isinstance(one, dict) for one in listed) and (listed or not bare):
            return [_operation(one) for one in listed]
    raise FormatError(
        'there is no list of operations; it has the form {"operations": [{"type": "ADD", "section": "…", "content": "…"}, …]}, with types '
        + ", ".join(TYPES)
    )


def _operation(given: dict[str, Any]) -> Operation:
    def word(name: str) -> str:
        value = given.get(name, "")
        return value if isinstance(value, str) else ""

    ids = given.get("ids", [given["id"]] if "id" in given else [])
    return Operation(
        type=word("type"), content=word("content"), section=word("section"), value=word("value"), reason=word("reason"),
        ids=tuple(i for i in ids if isinstance(i, str)) if isinstance(ids, list) else (),
    )  # fmt: skip


def curate(
    store: SqlStore,
    proposed: Sequence[Operation],
    *,
    scope: Scope,
    sampler: Callable[[], Sampler] | None = None,
    adapter: str = "",
    show: Show | None = None,
    wait: bool = False,
    by: str = "user",
    kinds: Sequence[MemoryKind] = LESSONS,
    shown: Sequence[str] = (),
    grounds: Sequence[str] = (),
) -> Curated:
    """Make these changes of the playbook, if the user's tasks do not show that they do harm; or, with other `kinds`, of the memories of that kind
    (such as notes, which are compressed so), whose effect is not tried.

    With a `sampler` (opened when needed) and `show`, each task is answered with the playbook as it is and as it would be. With `wait`, new texts
    that are not shown to help wait to be accepted. `shown` is what the new texts may be made of, `grounds` what the changes rest on. Conflict
    if somebody changed the same lessons meanwhile; the new texts wait then.
    """
    there = of_kinds(store, scope, kinds)
    plan = _Plan(there, kinds[0], scope, now_of(store, scope), by, shown, grounds)
    for operation in proposed:
        plan.take(operation)
    if not plan.new and not plan.deltas:
        return Curated(decision="hold", reason="no operation is left to carry out", refused=plan.refused)
    store.append_all(plan.new)
    tried, broke, mended = list[Example](), list[str](), list[str]()
    try:
        if plan.changes_text and sampler and show and set(kinds) == set(LESSONS):
            tried = tasks(store, scope, now_of(store, scope))[-MOST_TASKS:]
            if tried:
                broke, mended = _compared(sampler(), adapter, tried, there, plan.after, show)
    except Exception as error:
        store.append_all(plan.refusing(f"it could not be tried: {type(error).__name__}"))
        raise
    decision, reason = judge_words(Paired(n=len(tried), broke=len(broke), fixed=len(mended)))
    made = Curated(
        decision=decision, reason=reason, lessons=[m.id for m in plan.new], refused=plan.refused, broke=broke, mended=mended,
        waits=wait and decision == "hold" and bool(plan.new),
    )  # fmt: skip
    if wait and decision == "hold":
        plan.leave_texts()
    if decision == "reject":
        deltas = plan.refusing(reason)
        store.append_all(deltas)
    else:
        deltas = _written(store, plan, scope, kinds, reason)
    made.deltas = [d.id for d in deltas]
    return made


def _written(store: SqlStore, plan: _Plan, scope: Scope, kinds: Sequence[MemoryKind], reason: str) -> list[Delta]:
    """The changes, written if what they change still stands."""
    for tries_left in reversed(range(TRIES)):
        state = store.state(scope=scope)
        if gone := plan.named - {m.id for m in of_kinds(store, scope, kinds)}:
            raise Conflict(
                f"{', '.join(sorted(gone))} changed meanwhile; new texts wait to be accepted, and nothing else was done"
            )
        deltas = plan.accepting(store, reason)
        try:
            store.append_all(deltas, seen=state)
        except Conflict:
            if not tries_left:
                raise
            continue
        return deltas
    raise AssertionError("TRIES is 0")


def proposed_by(
    store: SqlStore,
    embedder: Embedder,
    sampler: Sampler,
    *,
    scope: Scope,
    adapter: str = "",
    shelf: Shelf | None = None,
) -> Proposed:
    """What a model would change after the latest reflections, in one call; without any reflection nothing is asked. FormatError where its answer
    holds no operations."""
    reflections = of_kinds(store, scope, ("reflection",))[-REFLECTIONS:]
    if not reflections:
        return Proposed()
    found: dict[str, Memory] = {}
    for reflection in reflections:
        hits = recall(
            reflection.text, index=store, embedder=embedder, scope=scope, kinds=("lesson",), limit=FITTING, shelf=shelf
        )  # fmt: skip
        found |= {m.id: m for m, _ in hits}
    known = worths(store, scope, list(found))
    asked = curate_request(rendered(list(found.values()), known), [m.text for m in reflections])
    said = sampler.sample([[Message(role="user", content=asked)]], adapter=adapter, max_tokens=1024)[0]
    grounds = tuple(m.id for m in reflections)
    return Proposed(operations=tuple(operations(said.text)), shown=(*found, *grounds), reflections=grounds)


class _Plan:
    """The operations worked out: new lessons, which wait until all of it is accepted, and what becomes of the old ones."""

    def __init__(
        self, lessons: Sequence[Memory], kind: MemoryKind, scope: Scope, now: float, by: str, shown: Sequence[str], grounds: Sequence[str],
    ) -> None:  # fmt: skip
        self.lessons, self.kind = {m.id: m for m in lessons}, kind
        self.scope, self.now, self.by, self.shown, self.grounds = scope, now, by, tuple(shown), tuple(grounds)
        self.new: list[Memory] = []
        self.deltas: list[Delta] = []
        self.refused: list[str] = []
        self.named: set[str] = set()
        """Lessons that are changed."""
        self.away: set[str] = set()
        """Of those, the ones that are not shown any more."""
        self.seen = 0

    @property
    def changes_text(self) -> bool:
        return bool(self.new or self.away)

    @property
    def after(self) -> list[Memory]:
        """The lessons that there would be."""
        return [*(m for name, m in self.lessons.items() if name not in self.away), *self.new]

    def take(self, proposed: Operation) -> None:
        """Work one out, or refuse it."""
        self.seen += 1
        words = {name: " ".join(getattr(proposed, name).split()) for name in ("content", "section", "reason")}
        operation = replace(
            proposed, type=proposed.type.strip().upper(), value=proposed.value.strip().lower(), ids=tuple(dict.fromkeys(proposed.ids)), **words
        )  # fmt: skip
        if why := "; ".join(self._against(operation)):
            self.refused.append(f"{operation}: {why}")
            return
        told = (
            operation.reason if operation.reason and not self.shown else f"curated: {operation.type.lower()}"
        )  # a model's may quote what it was shown
        self.named |= {*operation.ids}
        if operation.type == "TAG":
            self.deltas.append(self._delta("tag", *operation.ids, reason=told, value=operation.value))
            return
        self.away |= {*operation.ids}
        if operation.type == "RETIRE":
            self.deltas.append(self._delta("archive", *operation.ids, reason=told))
        else:
            self.new.append(self._lesson(operation))

    def _against(self, operation: Operation) -> Iterator[str]:
        """What speaks against it."""
        kind, ids, content = operation.type, operation.ids, operation.content
        if kind not in TYPES:
            yield f"there is no operation {kind or 'without a type'}; there are {', '.join(TYPES)}"
            return
        if self.seen > MOST:
            yield f"{MOST} operations are carried out at once; give the others afterwards"
        if unknown := [name for name in ids if name not in self.lessons]:
            yield f"{', '.join(unknown)} is no lesson that holds"
        if twice := self.named & {*ids}:
            yield f"{', '.join(sorted(twice))} is changed by another operation already"
        if len(ids) != {"ADD": 0, "MERGE": max(2, len(ids))}.get(kind, 1):
            yield f"it names {len(ids)} lessons; ADD names none, MERGE two or more (ids), the others one (id)"
        if kind == "TAG" and operation.value not in TAGS:
            yield f"a lesson is tagged {', '.join(TAGS)} (value)"
        if len(operation.section) > LONGEST_SECTION or len(operation.reason) > LONGEST_NOTE:
            yield f"a section has at most {LONGEST_SECTION} characters, a reason {LONGEST_NOTE}"
        if kind in ("ADD", "UPDATE", "MERGE"):
            if not content or len(content) > LONGEST_NOTE:
                yield f"its content has {len(content)} characters; 1 to {LONGEST_NOTE} are taken"
            else:
                yield from self._ended(operation)
                yield from self._lost([self.lessons[name].text for name in ids if name in self.lessons], content)

    def _ended(self, operation: Operation) -> Iterator[str]:
        """What could no more be ended by another value: that of a note which gives a thing a value, in a text that gives it none."""
        for lesson in (self.lessons[name] for name in operation.ids if name in self.lessons):
            old, new = claim_in(lesson), claim_in(replace(lesson, text=operation.content))
            if old is not None and (new is None or new.topic != old.topic):
                yield f"{lesson.id} gives a thing a value, which another value is to end; say that in a sentence by itself"

    def _lost(self, olds: Sequence[str], content: str) -> Iterator[str]:
        """What a new text does not keep of those that it is to stand for."""
        if missing := lost(olds, content):
            yield f"it would lose {', '.join(missing)}; keep that, or retire the lesson and add another where it was wrong"
        telling = content_words(content)
        for old in olds:
            words = content_words(old)
            if contradict(old, content):
                yield f'it says the opposite of "{old}"; retire that and add another where it was wrong'
            elif len(words & telling) < KEPT * len(words):
                yield f'of the {len(words)} telling words of "{old}" it keeps {len(words & telling)}'

    def _lesson(self, operation: Operation) -> Memory:
        old = self.lessons[operation.ids[0]] if operation.ids else None
        about = {name: value for name in reversed(operation.ids) for name, value in self.lessons[name].attributes}
        about |= {"section": operation.section} if operation.section else {}
        return Memory(
            scope=self.scope, kind=old.kind if old and operation.type == "UPDATE" else self.kind, text=operation.content, source=SOURCE,
            valid_from=self.now, recorded_at=self.now, proposed=True, attributes=tuple(about.items()),
            supersedes=operation.ids, causes=tuple(dict.fromkeys((*operation.ids, *self.shown))),
        )  # fmt: skip

    def _delta(self, operator: Operator, *targets: str, reason: str, into: str = "", value: str = "") -> Delta:
        return delta(
            operator, *targets, scope=self.scope, now=self.now, reason=reason, into=into, value=value, by=self.by, causes=self.grounds
        )  # fmt: skip

    def leave_texts(self) -> None:
        """New texts are to wait, and tags to count; what would take a lesson away without any sign that it helps is refused."""
        for d in self.deltas:
            if d.operator == "archive":
                self.refused.append(f"RETIRE {d.targets[0]}: it is not shown to help; engrain change archive does it")
        self.deltas = [d for d in self.deltas if d.operator == "tag"]
        self.named = {d.targets[0] for d in self.deltas}
        self.new = []

    def accepting(self, store: SqlStore, reason: str) -> list[Delta]:
        """What it takes that all of it holds."""
        standings = derive(store.history(scope=self.scope)) if self.new else {}
        made = partial(self._delta, reason=reason)
        links = [
            self._delta("link", m.id, other, reason=f"{old} was linked with it", value="alike")
            for m in self.new for old in m.supersedes for other in linked(store, old, scope=self.scope) if other not in m.supersedes
        ]  # fmt: skip
        return [*(d for m in self.new for d in accepting(m, standings, made)), *links, *self.deltas]

    def refusing(self, reason: str) -> list[Delta]:
        return [self._delta("archive", m.id, reason=reason) for m in self.new]


def _compared(
    sampler: Sampler,
    adapter: str,
    items: Sequence[Example],
    before: Sequence[Memory],
    after: Sequence[Memory],
    show: Show,
) -> tuple[list[str], list[str]]:
    """The questions of the tasks that are answered wrongly after and rightly before; and the other way round."""

    def right(lessons: Sequence[Memory]) -> list[bool]:
        said = sampler.sample([show(last_question(e), lessons) for e in items], adapter=adapter, max_tokens=64)
        return [scored(e, s.text, styled=True) for e, s in zip(items, said, strict=True)]

    pairs = list(zip(map(last_question, items), right(before), right(after), strict=True))
    return [q for q, b, a in pairs if b and not a], [q for q, b, a in pairs if a and not b]
