"""Curate the playbook: changes that a model or a person proposes, each held against what must not be lost, all together against the user's own tasks.

ACE's curator (Zhang et al., arXiv 2510.04618) with all of its operations: add, update, merge, retire, tag. (In its public code all but ADD are dropped
without a word.) Nothing is dropped here: an operation that would lose a detail, or names what is not there, is refused with its reason. What is
left takes effect as a whole or not at all; it is refused where the user's tasks (`Task`) show that answers get worse by it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from engrain.errors import Conflict, FormatError
from engrain.evaluation.gates import judge_words
from engrain.evaluation.statistics import Paired
from engrain.evaluation.suites import last_question, scored
from engrain.loops.change import TAGS, delta
from engrain.loops.consolidate import tasks
from engrain.loops.remember import LONGEST_NOTE, now_of
from engrain.loops.tidy import Tidying, tidy
from engrain.memory.filing import of_kinds
from engrain.memory.held import Shelf
from engrain.memory.history import LESSONS
from engrain.memory.merging import lost
from engrain.memory.playbook import rendered
from engrain.memory.recall import recall
from engrain.memory.worth import worths
from engrain.prompts import curate_request
from engrain.protocols import Conversation, Embedder, Sampler
from engrain.records import Decision, Delta, Example, Memory, Message, Scope
from engrain.store import SqlStore

SOURCE = "curate"
TYPES = ("ADD", "UPDATE", "MERGE", "RETIRE", "TAG")
REFLECTIONS = 8
"""That a model curates at once, the latest."""
FITTING = 4
"""Lessons that it is shown for each of them."""
ASKED_AT_ONCE = 64
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
        return " ".join([self.type, *self.ids, *filter(None, [self.value, self.content])])


@dataclass(slots=True, kw_only=True)
class Curated:
    """What came of it."""

    decision: Decision
    """`promote`: it helps, and holds; `hold`: neither help nor harm is shown, and it holds unless it was to wait; `reject`: it does harm, and
    nothing has changed."""
    reason: str
    lessons: list[str] = field(default_factory=list[str])
    """Ids of the new lessons; where they wait, they are to be accepted (`change`)."""
    deltas: list[str] = field(default_factory=list[str])
    refused: list[str] = field(default_factory=list[str])
    """Operations that were not even tried, each with its reason."""
    broke: list[str] = field(default_factory=list[str])
    """Questions of the user's tasks that are answered wrongly with the change and rightly without."""
    mended: list[str] = field(default_factory=list[str])
    waits: bool = False


def operations(text: str) -> list[Operation]:
    """The operations in a model's answer: a JSON object with a list `operations`, or the list itself, a code fence around it or not. FormatError, with
    the remedy, for anything else."""
    fenced = re.search(r"```(?:json)?\s*\n(.*?)```", text, re.DOTALL)
    try:
        found = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the operations are no JSON ({error}); {_FORM}") from error
    listed = found.get("operations") if isinstance(found, dict) else found
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise FormatError(f"there is no list of operations; {_FORM}")
    return [_operation(one) for one in listed]


_FORM = 'it has the form {"operations": [{"type": "ADD", "section": "…", "content": "…"}, …]}, with types ' + ", ".join(
    TYPES
)


def _operation(given: dict[str, Any]) -> Operation:
    def word(name: str) -> str:
        value = given.get(name, "")
        return " ".join(value.split()) if isinstance(value, str) else ""

    ids = given.get("ids", [given["id"]] if "id" in given else [])
    return Operation(
        type=word("type").upper(), content=word("content"), section=word("section"), value=word("value").lower(), reason=word("reason"),
        ids=tuple(dict.fromkeys(i for i in ids if isinstance(i, str))) if isinstance(ids, list) else (),
    )  # fmt: skip


def curate(
    store: SqlStore,
    embedder: Embedder,
    proposed: Sequence[Operation],
    *,
    scope: Scope,
    sampler: Callable[[], Sampler] | None = None,
    adapter: str = "",
    show: Show | None = None,
    wait: bool = False,
    by: str = "user",
    causes: Sequence[str] = (),
    shelf: Shelf | None = None,
) -> Curated:
    """Make these changes of the playbook, if the user's tasks do not show that they do harm.

    With a `sampler` (opened when needed) and `show`, each task is answered with the playbook as it is and as it would be. With `wait`, what is not shown to
    help waits to be accepted. Conflict, and what was proposed waits, if somebody changed the same lessons meanwhile.
    """
    shelf = shelf or Shelf()
    there = of_kinds(store, scope, LESSONS)
    plan = _Plan(there, scope, now_of(store, scope), by, causes)
    for operation in proposed:
        plan.take(operation)
    if not plan.new and not plan.deltas:
        return Curated(decision="hold", reason="no operation is left to carry out", refused=plan.refused)
    store.append_all(plan.new)
    items, broke, mended = list[Example](), list[str](), list[str]()
    if plan.changes_text and sampler and show:
        items = tasks(store, scope, now_of(store, scope))
        broke, mended = _compared(sampler(), adapter, items, there, plan.after, show) if items else ([], [])
    decision, reason = judge_words(Paired(n=len(items), broke=len(broke), fixed=len(mended)))
    made = Curated(
        decision=decision, reason=reason, lessons=[m.id for m in plan.new], refused=plan.refused, broke=broke, mended=mended,
        waits=wait and decision == "hold" and plan.changes_text,
    )  # fmt: skip
    if made.waits:
        return made
    state = store.state(scope=scope)
    if gone := plan.named - {m.id for m in of_kinds(store, scope, LESSONS)}:
        raise Conflict(f"{', '.join(sorted(gone))} changed meanwhile; what was proposed waits to be accepted")
    deltas = plan.refusing(reason) if decision == "reject" else plan.accepting(reason)
    store.append_all(deltas, seen=state)
    made.deltas = [d.id for d in deltas]
    if decision != "reject" and plan.new:
        tidy(store, embedder, scope=scope, only=made.lessons, settings=Tidying(), shelf=shelf)
    return made


def proposed_by(
    store: SqlStore,
    embedder: Embedder,
    sampler: Sampler,
    *,
    scope: Scope,
    adapter: str = "",
    shelf: Shelf | None = None,
) -> tuple[list[Operation], list[str], int]:
    """What a model would change after the latest reflections, in one call: the operations, the ids of all that it was shown, and tokens in and out.

    Without any reflection nothing is asked. FormatError where its answer holds no operations.
    """
    reflections = of_kinds(store, scope, ("reflection",))[-REFLECTIONS:]
    if not reflections:
        return [], [], 0
    found: dict[str, Memory] = {}
    for reflection in reflections:
        hits = recall(
            reflection.text, index=store, embedder=embedder, scope=scope, kinds=("lesson",), limit=FITTING, shelf=shelf
        )  # fmt: skip
        found |= {m.id: m for m, _ in hits}
    known = worths(store, scope, list(found))
    asked = curate_request(rendered(list(found.values()), known), [m.text for m in reflections])
    said = sampler.sample([[Message(role="user", content=asked)]], adapter=adapter, max_tokens=1024)[0]
    tokens = said.input_tokens + (len(said.token_ids) if said.output_tokens is None else said.output_tokens)
    return operations(said.text), [*found, *(m.id for m in reflections)], tokens


class _Plan:
    """The operations worked out: new lessons, which wait until all of it is accepted, and what becomes of the old ones."""

    def __init__(self, lessons: Sequence[Memory], scope: Scope, now: float, by: str, causes: Sequence[str]) -> None:
        self.lessons = {m.id: m for m in lessons}
        self.scope, self.now, self.by, self.causes = scope, now, by, tuple(causes)
        self.new: list[Memory] = []
        self.deltas: list[Delta] = []
        self.refused: list[str] = []
        self.named: set[str] = set()
        """Lessons that are changed."""
        self.away: set[str] = set()
        """Of those, the ones that are not shown any more."""

    @property
    def changes_text(self) -> bool:
        return bool(self.new or self.away)

    @property
    def after(self) -> list[Memory]:
        """The lessons that there would be."""
        return [*(m for name, m in self.lessons.items() if name not in self.away), *self.new]

    def take(self, operation: Operation) -> None:
        """Work one out, or refuse it."""
        if why := "; ".join(self._against(operation)):
            self.refused.append(f"{operation}: {why}")
            return
        told = operation.reason or f"curated: {operation.type.lower()}"
        self.named |= {*operation.ids}
        if operation.type == "TAG":
            self.deltas.append(self._delta("tag", *operation.ids, reason=told, value=operation.value))
            return
        self.away |= {*operation.ids}
        if operation.type == "RETIRE":
            self.deltas.append(self._delta("archive", *operation.ids, reason=told))
            return
        made = self._lesson(operation)
        self.new.append(made)
        if operation.type == "MERGE":
            self.deltas += [self._delta("merge", name, into=made.id, reason=told) for name in operation.ids]

    def _against(self, operation: Operation) -> Iterator[str]:
        """What speaks against it."""
        kind, ids, content = operation.type, operation.ids, operation.content
        if kind not in TYPES:
            yield f"there is no operation {kind or 'without a type'}; there are {', '.join(TYPES)}"
            return
        if unknown := [name for name in ids if name not in self.lessons]:
            yield f"{', '.join(unknown)} is no lesson that holds"
        if twice := self.named & {*ids}:
            yield f"{', '.join(sorted(twice))} is changed by another operation already"
        if len(ids) != {"ADD": 0, "MERGE": max(2, len(ids))}.get(kind, 1):
            yield f"it names {len(ids)} lessons; ADD names none, MERGE two or more (ids), the others one (id)"
        if kind == "TAG" and operation.value not in TAGS:
            yield f"a lesson is tagged {', '.join(TAGS)} (value)"
        if kind in ("ADD", "UPDATE", "MERGE"):
            if not content or len(content) > LONGEST_NOTE:
                yield f"its content has {len(content)} characters; 1 to {LONGEST_NOTE} are taken"
            elif missing := lost([self.lessons[name].text for name in ids if name in self.lessons], content):
                yield f"it would lose {', '.join(missing)}; keep that, or retire the lesson and add another where it was wrong"

    def _lesson(self, operation: Operation) -> Memory:
        old = self.lessons[operation.ids[0]] if operation.ids else None
        section = operation.section or (old.attribute("section") if old else "")
        return Memory(
            scope=self.scope, kind="lesson", text=operation.content, source=SOURCE, valid_from=self.now, recorded_at=self.now, proposed=True,
            attributes=(("section", section),) if section else (), supersedes=operation.ids if operation.type == "UPDATE" else (),
            causes=tuple(dict.fromkeys((*operation.ids, *self.causes))),
        )  # fmt: skip

    def _delta(self, operator: Any, *targets: str, reason: str, into: str = "", value: str = "") -> Delta:
        return delta(
            operator, *targets, scope=self.scope, now=self.now, reason=reason, into=into, value=value, by=self.by, causes=self.causes
        )  # fmt: skip

    def accepting(self, reason: str) -> list[Delta]:
        return [*(self._delta("accept", m.id, reason=reason) for m in self.new), *self.deltas]

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
        shown = [show(last_question(e), lessons) for e in items]
        said = [
            completion
            for at in range(0, len(shown), ASKED_AT_ONCE)
            for completion in sampler.sample(shown[at : at + ASKED_AT_ONCE], adapter=adapter, max_tokens=64)
        ]
        return [scored(e, s.text, styled=True) for e, s in zip(items, said, strict=True)]

    pairs = list(zip(map(last_question, items), right(before), right(after), strict=True))
    return [q for q, b, a in pairs if b and not a], [q for q, b, a in pairs if a and not b]
