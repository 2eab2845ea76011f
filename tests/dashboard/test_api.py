"""The operator's levers as JSON: each does what the terminal's command does, for the key's own tenant alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from engrain.adapters.canary import on_trial
from engrain.evaluation.canary import Trial
from engrain.loops import remember
from engrain.loops.trial import begin
from engrain.records import Adapter, Batch, Memory, Scope, Verdict
from engrain.service import application
from engrain.store import SqlStore

sys.path.insert(0, str(Path(__file__).parents[1]))

ADA = Scope(tenant="acme", user="ada")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_models

    return tiny_models.llama(tmp_path_factory.mktemp("base") / "llama")


@pytest.fixture
def house(base: Path, tmp_path: Path) -> Iterator[tuple[TestClient, SqlStore, dict[str, Any]]]:
    app, service = application(tmp_path / "home", base, rows=2)
    store = service.store
    remember.tell(store, "The gate code of the north barn is 4417.", scope=ADA)
    keys = {
        name: {"authorization": f"Bearer {store.new_key(tenant, rights)[1]}"}
        for name, tenant, rights in (
            ("admin", "acme", ["admin"]), ("serve", "acme", ["serve", "feedback"]), ("other", "umbrella", ["admin"]),
        )
    }  # fmt: skip
    with TestClient(app, base_url="http://127.0.0.1", headers=keys["admin"]) as client:
        client.params = {"user": "ada"}  # type: ignore[assignment]
        yield client, store, keys


def candidate(store: SqlStore, seed: int) -> Verdict:
    """A version with the gate's verdict that it may go live."""
    batch = Batch(scope=ADA, parent=store.live(ADA), train=(), holdout=(), memory_ids=(), seed=seed)
    name = f"{seed:032x}"
    adapter = Adapter(id=name, scope=ADA, base="b", parent=store.live(ADA), batch=batch.id, causes=(batch.id,))
    store.append_all([batch, adapter])
    return Verdict(
        scope=ADA, decision="promote", reasons=("better",), candidate=name, against=store.live(ADA), causes=(name,)
    )


def test_memories_and_users_are_listed_with_how_they_stand(
    house: tuple[TestClient, SqlStore, dict[str, Any]],
) -> None:
    client, store, _ = house
    remember.tell(store, "The gate code of the north barn is now 5521.", scope=ADA)
    rows = client.get("/v1/engrain/memories").json()["data"]
    assert [(r["text"][-5:-1], r["state"]) for r in rows] == [("4417", "superseded"), ("5521", "active")]
    assert [p["scope"]["user"] for p in client.get("/v1/engrain/users").json()["data"]] == ["ada"]


def test_a_trial_is_shown_and_ended_and_a_version_rolled_back(
    house: tuple[TestClient, SqlStore, dict[str, Any]],
) -> None:
    client, store, _ = house
    assert client.get("/v1/engrain/canary").status_code == 404
    trial = begin(store, candidate(store, 1), Trial())
    assert client.get("/v1/engrain/canary").json()["candidate"] == trial.candidate
    ended = client.post("/v1/engrain/canary", json={"approve": True, "reason": "seen"}).json()
    assert ended["decision"] == "promote" and "by hand (seen)" in ended["reasons"][0]
    assert store.live(ADA) == trial.candidate and on_trial(store, ADA) is None
    assert [v["live"] for v in client.get("/v1/engrain/versions").json()["data"]] == [False, True]
    assert client.post("/v1/engrain/rollback", json={}).json() == {"live": ""}
    assert client.post("/v1/engrain/rollback", json={}).status_code == 400


def test_a_job_is_asked_for_and_cancelled(house: tuple[TestClient, SqlStore, dict[str, Any]]) -> None:
    client, _, keys = house
    job = client.post("/v1/engrain/jobs").json()
    assert (job["state"], client.post("/v1/engrain/jobs").json()["id"]) == ("waiting", job["id"])
    assert client.get("/v1/engrain/jobs", headers=keys["other"]).json()["data"] == []
    assert client.delete(f"/v1/engrain/jobs/{job['id']}", headers=keys["other"]).status_code == 404
    assert client.delete(f"/v1/engrain/jobs/{job['id']}").json()["state"] == "cancelled"


def test_a_forgetting_is_looked_at_and_done(house: tuple[TestClient, SqlStore, dict[str, Any]]) -> None:
    client, store, _ = house
    (memory,) = store.select(Memory, scope=ADA)
    body = {"what": memory.id}
    assert client.post("/v1/engrain/forget/preview", json=body).json()["memories"] == [memory.id]
    assert client.get("/v1/engrain/forget").status_code == 404
    assert client.post("/v1/engrain/forget", json=body).status_code == 202
    deadline = time.monotonic() + 60
    while client.get("/v1/engrain/forget").json()["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not list(store.select(Memory, scope=ADA))
    assert client.post("/v1/engrain/forget", json=body).status_code == 404
    assert client.post("/v1/engrain/verify").json()["error"] == ""


def test_a_record_is_walked_both_ways_and_only_by_its_own_tenant(
    house: tuple[TestClient, SqlStore, dict[str, Any]],
) -> None:
    client, store, keys = house
    (memory,) = store.select(Memory, scope=ADA)
    found = client.get(f"/v1/engrain/records/{memory.id}").json()
    assert (found["kind"], found["record"]["text"]) == ("memory", memory.text)
    for key, status in (("other", 404), ("serve", 403)):
        assert client.get(f"/v1/engrain/records/{memory.id}", headers=keys[key]).status_code == status
    assert client.get("/v1/engrain/users", headers=keys["other"]).json()["data"] == []
    assert client.get("/v1/engrain/users", headers={"authorization": "Bearer wrong"}).status_code == 401
