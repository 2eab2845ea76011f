"""Versions: the pointer moves by a verdict and goes back by one move; names mean one version or none."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engrain.adapters import promote, rollback, versions
from engrain.adapters.versions import affected, resolve, stale
from engrain.errors import InputError, NotFound
from engrain.records import Adapter, Decision, Receipt, Scope, Verdict
from engrain.store import SqlStore

SCOPE = Scope()
A, B = "a" * 32, "ab" * 16


@pytest.fixture
def store(tmp_path: Path) -> SqlStore:
    store = SqlStore(tmp_path)
    store.append(Adapter(id=A, scope=SCOPE, base="base", memory_ids=("mem_1",)))
    store.append(Adapter(id=B, scope=SCOPE, base="base", parent=A, memory_ids=("mem_1", "mem_2")))
    return store


def verdict(store: SqlStore, candidate: str, against: str, decision: Decision = "promote") -> Verdict:
    made = Verdict(scope=SCOPE, decision=decision, reasons=("because",), candidate=candidate, against=against)
    store.append(made)
    return made


def test_only_a_verdict_that_says_promote_moves_the_pointer(store: SqlStore) -> None:
    with pytest.raises(InputError, match="says hold"):
        promote(store, SCOPE, verdict(store, A, "", "hold"))
    promote(store, SCOPE, verdict(store, A, ""))
    assert store.live(SCOPE) == A


def test_a_verdict_against_a_version_that_is_no_longer_live_is_refused(store: SqlStore) -> None:
    late = verdict(store, B, "")
    promote(store, SCOPE, verdict(store, A, ""))
    with pytest.raises(InputError, match="moved meanwhile"):
        promote(store, SCOPE, late)
    assert store.live(SCOPE) == A


def test_rollback_goes_to_the_parent_and_then_to_the_base(store: SqlStore) -> None:
    promote(store, SCOPE, verdict(store, A, ""))
    promote(store, SCOPE, verdict(store, B, A))
    assert rollback(store, SCOPE) == A
    assert rollback(store, SCOPE) == ""
    with pytest.raises(InputError, match="nothing to roll back"):
        rollback(store, SCOPE)
    assert rollback(store, SCOPE, "2") == B
    assert [v.live for v in versions(store, SCOPE)] == [False, False, True]


def test_rollback_goes_to_what_was_live_before_and_not_to_what_was_trained_on(store: SqlStore) -> None:
    fresh = "c" * 32  # trained from the base, because A was stale, and promoted over A
    store.append(Adapter(id=fresh, scope=SCOPE, base="base"))
    promote(store, SCOPE, verdict(store, A, ""))
    promote(store, SCOPE, verdict(store, fresh, A))
    assert rollback(store, SCOPE) == A
    assert rollback(store, SCOPE) == ""


def test_a_version_that_was_never_let_through_is_not_rolled_back_to(store: SqlStore) -> None:
    assert [v.decision for v in versions(store, SCOPE)] == [
        "",
        "",
        "",
    ]  # as a run leaves them that is killed while evaluating
    with pytest.raises(InputError, match=r"never was let through .verdict: none"):
        rollback(store, SCOPE, A)
    verdict(store, A, "", "hold")
    with pytest.raises(InputError, match=r"never was let through .verdict: hold"):
        rollback(store, SCOPE, A)
    assert store.live(SCOPE) == ""


def test_a_version_that_a_forgetting_rebuilt_is_rolled_back_to_without_a_verdict(store: SqlStore) -> None:
    store.append(Receipt(scope=SCOPE, asked="mem_3", removed=("mem_3",), rebuilt=(("f" * 32, A),)))
    assert [v.decision for v in versions(store, SCOPE)] == ["", "rebuilt", ""]
    assert rollback(store, SCOPE, A) == A


def test_a_name_means_one_version_or_is_refused(store: SqlStore) -> None:
    assert resolve(store, SCOPE, "base") == ""
    assert resolve(store, SCOPE, "1") == A
    assert resolve(store, SCOPE, "abab") == B
    for unclear in ("a", "f00", "17"):
        with pytest.raises(NotFound):
            resolve(store, SCOPE, unclear)


def test_a_version_is_affected_by_what_it_was_trained_on_and_stale_when_that_no_longer_holds(store: SqlStore) -> None:
    assert [a.id for a in affected(store, SCOPE, {"mem_2"})] == [B]
    assert [a.id for a in affected(store, SCOPE, {"mem_1"})] == [A, B]
    (_, newest) = store.select(Adapter, scope=SCOPE)
    assert stale(newest, {"mem_2"}) == ("mem_1",)
    assert stale(None, set()) == ()


PROMOTE = """
import os, signal, sys
from sqlalchemy import event
from engrain.adapters import promote
from engrain.records import Scope
from engrain.store import SqlStore
home, verdict, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
store, scope, done = SqlStore(home), Scope(), 0
decided = store.get(verdict, scope=scope)

def killed(*_):
    global done
    done += 1
    if done == last:
        os.kill(os.getpid(), signal.SIGKILL)

event.listen(store._db.engine, "after_cursor_execute", killed)
event.listen(store._db.engine, "commit", killed)
promote(store, scope, decided)
"""


def test_a_promotion_killed_after_any_statement_leaves_the_old_version_live(store: SqlStore, tmp_path: Path) -> None:
    said = verdict(store, A, "")
    entries = store.verify()
    store.close()
    for last in range(1, 40):
        run = subprocess.run([sys.executable, "-c", PROMOTE, tmp_path, said.id, str(last)], check=False)
        with contextlib.closing(SqlStore(tmp_path)) as again:
            if run.returncode == 0:
                assert last > 4  # it was killed in the middle, and more than once
                assert (again.live(SCOPE), again.verify()) == (A, entries + 1)
                return
            assert run.returncode == -signal.SIGKILL
            assert (again.live(SCOPE), again.verify()) == ("", entries)
    raise AssertionError("the promotion never came to its end")
