"""The playbook kept in order: what does more harm than good is retired, and the whole stays within its budget; each with its grounds."""

from __future__ import annotations

from collections.abc import Callable

from engrain.evaluation.statistics import wilson
from engrain.loops.change import delta
from engrain.loops.remember import now_of
from engrain.memory.filing import of_kinds
from engrain.memory.history import LESSONS
from engrain.memory.playbook import Playbook, retired
from engrain.memory.worth import worths
from engrain.records import Delta, Scope
from engrain.store import SqlStore


def prune(
    store: SqlStore,
    count_tokens: Callable[[str], int],
    *,
    scope: Scope,
    settings: Playbook = Playbook(),
    by: str = "rules",
) -> list[Delta]:
    """Archive the lessons that have done more harm than good, and those beyond the budget; returns what was done, which can be undone.

    Only bounds decide: a lesson that was shown for one bad answer stays. What was taken back by hand (its archiving undone) is left alone.
    Conflict, and nothing is done, if the memory changed meanwhile.
    """
    seen = store.state(scope=scope)
    lessons = of_kinds(store, scope, LESSONS)
    gone = retired(lessons, worths(store, scope, [m.id for m in lessons]), wilson, count_tokens, settings=settings)
    before = {d.targets[0] for d in store.deltas(list(gone), scope=scope) if d.operator == "archive"}
    now = now_of(store, scope)
    made = [
        delta("archive", name, scope=scope, now=now, reason=reason, by=by)
        for name, reason in gone.items()
        if name not in before
    ]
    store.append_all(made, seen=seen)
    return made
