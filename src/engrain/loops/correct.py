"""Correct: a memory that is said to be wrong is marked so at once, and what is right takes its place."""

from __future__ import annotations

from dataclasses import replace

from engrain.errors import InputError
from engrain.loops.remember import ending, memory_of, now_of
from engrain.memory import derive, is_bare
from engrain.records import KEY, Memory, Scope
from engrain.store import SqlStore


def correct(store: SqlStore, memory: str, text: str = "", *, scope: Scope, source: str = "correction") -> Memory:
    """The memory that marks this one wrong and, with `text`, says in a sentence of its own what is right.

    Wrong is not old: of what merely changed, tell the new value. Said again in the same words it is recorded once. Raises InputError with the
    remedy for what is no memory, for a bare value, and for a memory that was marked wrong before by something else.
    """
    wrong = store.get(memory, scope=scope)
    if not isinstance(wrong, Memory):
        raise InputError(
            f"{memory} is a {type(wrong).__name__.lower()}; give the id of the memory that is wrong (mem_…)"
        )
    text = " ".join(text.split())
    if text and is_bare(text, wrong.text):
        raise InputError(
            "the correction is a bare value and could not be read by itself later; say it in a whole sentence, as the memory does"
        )
    now = now_of(store, scope)
    said = memory_of(text, scope=scope, source=source, now=now) if text else ending(scope, source, now)
    standing = derive(store.history(scope=scope))[memory]
    if standing.state == "retracted":
        before = store.get(standing.by, scope=scope)
        assert isinstance(before, Memory)
        if memory in before.retracts and said.text in ("", before.text):
            return before
        raise InputError(f"{memory} was marked wrong by {before.id} already; correct that one, or tell what is right")
    key = zip(KEY, wrong.key, strict=True) if wrong.key else ()
    correction = replace(said, retracts=(memory,), causes=(memory,), attributes=(*said.attributes, *key))
    store.append(correction)
    return correction
