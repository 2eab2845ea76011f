"""The queue: one open job a user, one running a home, and a dead worker's job goes to the next."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engrain.errors import NotFound
from engrain.records import Scope
from engrain.store import Job, SqlStore

ADA, BEN = Scope(user="ada"), Scope(user="ben")


@pytest.fixture
def store(tmp_path: Path, database: str) -> Iterator[SqlStore]:
    with closing(SqlStore(tmp_path / "home", database=database)) as made:
        yield made


def claimed(store: SqlStore, worker: str, lease_s: float = 60.0) -> Job:
    job = store.claim_job(worker, lease_s=lease_s)
    assert job is not None
    return job


def test_a_user_has_one_open_job_however_often_it_is_asked_for(store: SqlStore) -> None:
    first = store.add_job(ADA, "eight new memories")
    assert store.add_job(ADA, "again") == first
    assert claimed(store, "w").id == first.id == store.add_job(ADA, "while it runs").id
    assert store.end_job(first.id, "w", "done", "promote: better")
    assert store.add_job(ADA, "later").id != first.id
    assert store.last_job(ADA) == next(j for j in store.jobs(scope=ADA) if j.id == first.id)
    assert store.last_job(BEN) is None


def test_the_oldest_is_run_first_and_one_at_a_time(store: SqlStore) -> None:
    for scope in (ADA, BEN):
        store.add_job(scope, "x")
    job = claimed(store, "one")
    assert (job.scope, job.state, job.attempts) == (ADA, "running", 1)
    assert store.claim_job("two", lease_s=60.0) is None
    assert store.end_job(job.id, "one", "done", "") and claimed(store, "two").scope == BEN


def test_a_silent_worker_loses_its_job_and_cannot_end_it_any_more(store: SqlStore) -> None:
    store.add_job(ADA, "x")
    job = claimed(store, "dead")
    time.sleep(0.02)
    again = claimed(store, "next", lease_s=0.01)
    assert (again.id, again.attempts, again.worker) == (job.id, 2, "next")
    assert not store.beat_job(job.id, "dead", "learning", 0.5) and not store.end_job(job.id, "dead", "done", "")
    assert store.beat_job(job.id, "next", "learning", 0.5)
    assert [(j.stage, j.share) for j in store.jobs()] == [("learning", 0.5)]


def test_a_cancelled_job_is_not_the_workers_any_more(store: SqlStore) -> None:
    job = store.add_job(ADA, "x")
    with pytest.raises(NotFound, match="no job"):
        store.cancel_job(job.id, scope=BEN)
    claimed(store, "w")
    assert store.cancel_job(job.id, scope=ADA).state == "cancelled"
    assert not store.beat_job(job.id, "w", "", 0.0) and not store.put_back_job(job.id, "w")
    with pytest.raises(NotFound, match="waits or runs"):
        store.cancel_job(job.id, scope=ADA)


def test_what_is_put_back_was_never_begun(store: SqlStore) -> None:
    job = store.add_job(ADA, "x")
    claimed(store, "w")
    assert store.put_back_job(job.id, "w")
    assert claimed(store, "v").attempts == 1


def test_a_tenant_sees_its_own(store: SqlStore) -> None:
    store.add_job(ADA, "x")
    store.add_job(Scope(tenant="acme", user="ada"), "x")
    assert [j.scope.tenant for j in store.jobs(tenant="acme")] == ["acme"]
    assert len(store.jobs()) == 2 and len(store.jobs(limit=1)) == 1


def test_of_many_workers_at_once_one_gets_the_job(store: SqlStore) -> None:
    store.add_job(ADA, "x")
    got: list[Job | None] = []
    threads = [
        threading.Thread(target=lambda n=n: got.append(store.claim_job(f"w{n}", lease_s=60.0)))  # type: ignore[misc]
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8 and sum(job is not None for job in got) == 1
