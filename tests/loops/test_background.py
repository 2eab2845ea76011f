"""Who is due, who is not, and what a worker does with a job that fails, is cancelled or was another's."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engrain.errors import StoreError
from engrain.loops import background as room
from engrain.loops import remember
from engrain.loops.background import Background, Stopped, Watch, due, run, work
from engrain.loops.consolidate import Consolidation, Outcome
from engrain.records import Scope
from engrain.store import Job, SqlStore

ADA = Scope(user="ada")
NOW = Background(idle_s=0.0, poll_s=0.01, beat_s=0.01)


@pytest.fixture
def store(tmp_path: Path) -> SqlStore:
    return SqlStore(tmp_path / "home")


def told(store: SqlStore, count: int, scope: Scope = ADA, start: int = 0) -> None:
    for n in range(start, start + count):
        remember.tell(store, f"The code of shed {n} is {4000 + n}.", scope=scope)


def is_due(store: SqlStore, scope: Scope = ADA) -> str:
    return due(store, scope, Consolidation(), NOW, time.time())


def test_a_user_is_due_who_has_told_enough_since_the_last_run(store: SqlStore) -> None:
    told(store, 7)
    assert not is_due(store)
    told(store, 1, start=7)
    assert is_due(store) == "8 memories have become durable"
    job = store.add_job(ADA, "x")
    store.claim_job("w", lease_s=60.0)
    store.end_job(job.id, "w", "done", "reject: it broke too much")
    assert not is_due(store)  # what was tried is not tried again for itself
    told(store, 8, start=8)
    assert is_due(store)


def test_what_is_expected_to_change_makes_nobody_due(store: SqlStore) -> None:
    for n in range(20):
        remember.tell(store, f"Today the shop closes at {n}:30.", scope=ADA)
    assert not is_due(store)


def test_a_watch_waits_until_a_user_is_quiet(store: SqlStore) -> None:
    watch = Watch(store, Consolidation(), Background(idle_s=0.2))
    told(store, 9)
    told(store, 2, Scope(user="ben"))
    assert watch.look() == []
    time.sleep(0.25)
    assert [j.scope for j in watch.look()] == [ADA]
    assert watch.look() == []


def begun(store: SqlStore, worker: str = "w") -> Job:
    store.add_job(ADA, "x")
    job = store.claim_job(worker, lease_s=60.0)
    assert job is not None
    return job


def outcome_of(store: SqlStore, monkeypatch: pytest.MonkeyPatch, consolidate: object) -> tuple[str, Job]:
    """What `run` says of a job of which the consolidation does this, and how the job then stands."""
    monkeypatch.setattr(room, "consolidate", consolidate)
    monkeypatch.setattr(room, "go_on", lambda *_, **__: None)
    job = begun(store)
    said = run(
        store, lambda: None, job, home=store.home, worker="w", settings=Consolidation(), background=NOW, stop=threading.Event()  # type: ignore[arg-type, return-value]
    )  # fmt: skip
    return said, store.jobs()[0]


def test_an_error_is_tried_again_and_then_named(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> Outcome:
        raise StoreError("the disk is full; free space there and repeat")

    for attempt in range(1, NOW.attempts + 1):
        said, job = outcome_of(store, monkeypatch, fails)
        assert "disk is full" in said and job.attempts == attempt
        assert job.state == ("failed" if attempt == NOW.attempts else "waiting")


def test_what_is_no_error_of_ours_is_not_quoted(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> Outcome:
        raise ValueError("the gate code is 4417")

    said, job = outcome_of(store, monkeypatch, fails)
    assert "4417" not in said + job.outcome and "ValueError" in said


def test_a_cancelled_job_stops_at_its_next_step(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def goes_on(*_: object, progress: room.Progress, **__: object) -> Outcome:
        store.cancel_job(store.jobs()[0].id, scope=ADA)
        for _ in range(500):
            progress("learning", 0.5)
            time.sleep(0.01)
        raise AssertionError("it was not stopped")

    said, job = outcome_of(store, monkeypatch, goes_on)
    assert "stopped" in said and job.state == "cancelled"


def test_a_worker_that_is_stopped_leaves_its_job_as_if_it_had_never_begun_it(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = threading.Event()

    def goes_on(*_: object, progress: room.Progress, **__: object) -> Outcome:
        stopping.set()
        progress("learning", 0.5)
        raise AssertionError("it was not stopped")

    monkeypatch.setattr(room, "consolidate", goes_on)
    monkeypatch.setattr(room, "go_on", lambda *_, **__: None)
    told(store, 8)
    work(store, lambda: None, home=store.home, worker="w", background=NOW, stop=stopping)  # type: ignore[arg-type, return-value]
    assert [(j.state, j.attempts) for j in store.jobs()] == [("waiting", 0)]


def test_a_database_that_fails_for_a_while_ends_no_worker(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    stopping, failed = threading.Event(), list[str]()

    def goes_on(*_: object, progress: room.Progress, **__: object) -> Outcome:
        stopping.set()
        progress("learning", 0.5)
        raise AssertionError("it was not stopped")

    def failing_once(on: object, name: str) -> None:
        real = getattr(on, name)

        def fails(*args: object, **named: object) -> object:
            if name not in failed:
                failed.append(name)
                raise StoreError("the disk is full; free space there and repeat")
            return real(*args, **named)

        monkeypatch.setattr(on, name, fails)

    monkeypatch.setattr(room, "consolidate", goes_on)
    monkeypatch.setattr(room, "go_on", lambda *_, **__: None)
    for on, name in ((store, "changed_scopes"), (room, "due"), (room, "abandoned"), (store, "claim_job")):
        failing_once(on, name)
    told(store, 8)
    quick = replace(NOW, silent_s=0.0)
    work(store, lambda: None, home=store.home, worker="w", background=quick, stop=stopping)  # type: ignore[arg-type, return-value]
    assert sorted(failed) == ["abandoned", "changed_scopes", "claim_job", "due"] and store.jobs()[0].state == "waiting"


def test_a_job_whose_workers_die_is_not_begun_for_ever(store: SqlStore) -> None:
    begun(store, "0")
    for n in range(1, NOW.attempts + 1):
        time.sleep(0.02)
        job = store.claim_job(str(n), lease_s=0.01)
    assert job is not None
    said = run(
        store, lambda: None, job, home=store.home, worker=str(n), settings=Consolidation(), background=NOW, stop=threading.Event()  # type: ignore[arg-type, return-value]
    )  # fmt: skip
    assert "died each time" in said and store.jobs()[0].state == "failed"


def test_stopped_is_not_swallowed_as_an_error() -> None:
    assert not issubclass(Stopped, Exception)
