"""A database that another process holds, and what the log of a request says."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from starlette.testclient import TestClient

from engrain import service
from engrain.engines.batching import Ticket
from engrain.errors import InputError, NotFound, StoreError
from engrain.gateway import server
from engrain.gateway.reply import Answer, Service, ready
from engrain.gateway.wire import ChatRequest
from engrain.records import Feedback, Interaction, Memory, Scope
from engrain.service import application
from engrain.store import SqlStore
from engrain.store.sql import PROBE_S
from engrain.telemetry.logs import JsonLines

sys.path.insert(0, str(Path(__file__).parents[1]))
ADA = Scope(user="ada")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_models

    return tiny_models.llama(tmp_path_factory.mktemp("base") / "llama")


@pytest.fixture
def served(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TestClient, Service]]:
    monkeypatch.setattr(service, "SqlStore", partial(SqlStore, busy_timeout_s=0.2))
    app, made = application(tmp_path / "home", base, rows=2, device="cpu")
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client, made


def say(client: TestClient, text: str, **more: Any) -> Any:
    body = {"model": "engrain", "user": "ada", "max_tokens": 4, "messages": [{"role": "user", "content": text}]}
    return client.post("/v1/chat/completions", json=body | more)


def test_while_another_process_holds_the_database_nothing_is_acknowledged_and_afterwards_all_is_well(
    served: tuple[TestClient, Service],
) -> None:
    client, made = served
    said = say(client, "The gate code of the north barn is 4417.").json()["id"]
    with closing(sqlite3.connect(made.store.home / "engrain.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = say(client, "The gate code of the south barn is 9021.")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_recorded")
        assert set(refused.json()["error"]) == {"message", "type", "param", "code"}
        stream = say(client, "The gate code of the west barn is 1111.", stream=True)
        assert stream.status_code == 200 and "not_recorded" in stream.text and "[DONE]" not in stream.text
        rated = client.post("/v1/feedback", json={"interaction": said, "rating": True, "user": "ada"})
        assert (rated.status_code, rated.json()["error"]["type"]) == (503, "server_error")
        assert (client.get("/ready").status_code, client.get("/health").status_code) == (503, 200)
        assert client.get("/v1/models").status_code == 200  # reading goes on
        other.execute("ROLLBACK")
    time.sleep(PROBE_S)
    assert client.get("/ready").status_code == 200
    again = say(client, "The gate code of the south barn is 9021.").json()["id"]
    assert [i.id for i in made.store.select(Interaction, scope=ADA)] == [said, again]
    assert not list(made.store.select(Feedback, scope=ADA))
    assert made.store.verify() > 0


def test_on_a_full_disk_it_is_not_ready(served: tuple[TestClient, Service]) -> None:
    client, made = served
    pages = 1

    def limit(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")

    event.listen(
        made.store._db.engine, "checkout", limit
    )  # SQLite's own limit gives the very error that a full disk gives
    assert client.get("/ready").status_code == 503
    pages = 100_000
    time.sleep(PROBE_S)
    assert client.get("/ready").status_code == 200


@pytest.mark.parametrize("host", ["rebound.example", "a{b.evil.example", "", "[", "localhost.evil.example:80"])
def test_without_keys_a_name_that_is_not_this_machines_is_refused(
    served: tuple[TestClient, Service], host: str
) -> None:
    client, _ = served
    for path in ("/v1/models", "/dashboard/"):
        assert client.get(path, headers={"host": host}).status_code == 403
        assert client.get(path, headers={"host": "LocalHost:8420"}).status_code == 200


def test_what_was_forgotten_elsewhere_goes_also_after_a_look_that_failed(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "FORGET_S", 0.01)
    app, made = application(tmp_path / "home", base, rows=2, device="cpu")
    look, errors, cleared = (
        made.store.forgotten_after,
        [StoreError("busy"), ValueError("x"), None, OSError("x")],
        list[int](),
    )

    def looks(seq: int) -> tuple[bool, int]:
        if errors and (error := errors.pop(0)):
            raise error
        return look(seq)

    monkeypatch.setattr(made.store, "forgotten_after", looks)
    monkeypatch.setattr(made.batcher, "drop", lambda: cleared.append(1))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        said = say(client, "The gate code of the north barn is 4417.").json()["id"]
        made.store.erase([m.id for m in made.store.select(Memory, scope=ADA)], scope=ADA, reason="asked")
        made.store.erase([said], scope=ADA, reason="asked")
        until = time.monotonic() + 10
        while not cleared and time.monotonic() < until:
            time.sleep(0.01)
    assert cleared and not errors


def test_at_the_end_each_thing_is_closed_also_if_another_fails(base: Path, tmp_path: Path) -> None:
    app, made = application(tmp_path / "home", base, rows=2, device="cpu")
    closed: list[str] = []

    def failing(name: str) -> None:
        closed.append(name)
        raise RuntimeError(name)

    ends = {name: getattr(made, name).close for name in ("batcher", "recorder", "store")}
    for name in ends:
        getattr(made, name).close = partial(failing, name)
    with pytest.raises(RuntimeError), TestClient(app, base_url="http://127.0.0.1"):
        pass
    for end in ends.values():
        end()
    assert closed == ["batcher", "recorder", "store"]


def test_if_one_of_several_answers_cannot_begin_the_others_are_given_up(
    served: tuple[TestClient, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, made = served
    submit, tickets = made.batcher.submit, list[Ticket]()

    def refusing(*args: Any, **named: Any) -> Ticket:
        if named["seed"] == 6:
            time.sleep(0.2)  # the others are under way
            raise InputError("this one is refused")
        ticket = submit(*args, **named)
        if named["seed"] in (5, 7):  # and not what a version is asked before it answers
            tickets.append(ticket)
        return ticket

    monkeypatch.setattr(made.batcher, "submit", refusing)
    refused = say(client, "Hi", n=3, seed=5, temperature=1.0)
    assert (refused.status_code, len(tickets)) == (400, 2) and all(t.cancelled for t in tickets)


def test_who_hangs_up_while_it_is_asked_for_leaves_nothing_that_runs_on(
    served: tuple[TestClient, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, made = served
    submit, tickets = made.batcher.submit, list[Ticket]()

    def slowly(*args: Any, **named: Any) -> Ticket:
        time.sleep(0.2)
        tickets.append(submit(*args, **named))
        return tickets[-1]

    monkeypatch.setattr(made.batcher, "submit", slowly)
    body = ChatRequest.model_validate({"model": "engrain", "messages": [{"role": "user", "content": "Hi"}]})
    answer = Answer(made, body, ready(made, body, ADA, "", memory=False), None)

    async def hang_up() -> None:
        asking = asyncio.create_task(answer.begin())
        await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        while not tickets:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)

    asyncio.run(hang_up())
    assert tickets[0].cancelled


def test_what_is_tried_again_is_told_once(served: tuple[TestClient, Service], monkeypatch: pytest.MonkeyPatch) -> None:
    client, made = served
    append, after = made.recorder.append, service._after
    told: list[str] = []
    refused: list[str] = []

    def telling(store: SqlStore, sampler: Any, interaction: Interaction, *, remembering: bool) -> None:
        told.append(interaction.id)
        after(store, sampler, interaction, remembering=remembering)

    async def forgotten_meanwhile(record: Any) -> None:
        if record.sampling.seed == 6 and not refused:
            while not told:  # the first of the two is on record, and remembered
                await asyncio.sleep(0.01)
            refused.append(record.id)
            raise NotFound("it comes from what was forgotten meanwhile")
        await append(record)

    monkeypatch.setattr(service, "_after", telling)
    monkeypatch.setattr(made.recorder, "append", forgotten_meanwhile)
    answer = say(client, "The gate code of the north barn is 4417.", n=2, seed=5, temperature=1.0)
    assert answer.status_code == 200 and refused and len(told) == 1


def test_the_log_of_a_request_has_ids_route_status_and_time_and_no_word_of_it(
    served: tuple[TestClient, Service],
) -> None:
    client, _ = served
    stream, logger = io.StringIO(), logging.getLogger("engrain")
    handler, level = logging.StreamHandler(stream), logger.level
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        answer = say(client, "The vault code of zebrafish is 731904.")
        streamed = say(client, "The vault code of zebrafish is 731904.", stream=True)
        say(client, "zebrafish", temperature="zebrafish")
        client.post("/v1/feedback", json={"interaction": answer.json()["id"], "comment": "zebrafish", "user": "ada"})
        client.get("/v1/zebrafish/731904")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    requests = [line for line in lines if line["message"] == "request"]
    assert [(r["route"], r["status"]) for r in requests] == [
        ("/v1/chat/completions", 200), ("/v1/chat/completions", 200), ("/v1/chat/completions", 400), ("/v1/feedback", 200), ("other", 404),
    ]  # fmt: skip
    assert requests[0]["request"] == answer.headers["x-request-id"]
    assert [r["interaction"] for r in requests[:2]] == [a.headers["x-engrain-interaction"] for a in (answer, streamed)]
    assert all(0 < r["first_ms"] <= r["ms"] for r in requests)
    assert "zebrafish" not in stream.getvalue() and "731904" not in stream.getvalue()
