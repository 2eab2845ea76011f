"""A database that another process holds, and what the log of a request says."""

from __future__ import annotations

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
from starlette.testclient import TestClient

from engrain import service
from engrain.gateway.reply import Service
from engrain.records import Feedback, Interaction, Scope
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
