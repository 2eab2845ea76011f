"""The dashboard beside the gateway, in one service: what was answered is seen at once, and can be forgotten with the engine that serves."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from engrain.engines.upstream import Upstream
from engrain.records import Interaction, Memory, Receipt, Scope
from engrain.service import application

sys.path.insert(0, str(Path(__file__).parents[1]))
from over_http import serving  # noqa: E402


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_models

    return tiny_models.llama(tmp_path_factory.mktemp("base") / "llama")


def test_what_the_gateway_answered_is_seen_at_the_dashboard_and_forgotten_there(base: Path, tmp_path: Path) -> None:
    app, service = application(tmp_path / "home", base, rows=2, device="cpu")
    with TestClient(app, base_url="http://127.0.0.1") as client:
        said = {"model": "engrain", "user": "ada", "max_tokens": 4}
        said["messages"] = [{"role": "user", "content": "The gate code of the north barn is 4417."}]  # type: ignore[assignment]
        answer = client.post("/v1/chat/completions", json=said)
        assert answer.status_code == 200
        page = client.get("/dashboard/record", params={"user": "ada", "id": answer.json()["id"]}).text
        assert "The gate code of the north barn is 4417." in page and service.engine.base in page
        assert client.get("/dashboard").status_code == 200  # by a redirect to /dashboard/
        assert client.get("/dashboard/nowhere").headers["content-type"].startswith("text/html")
        assert client.get("/v1/nowhere").json()["error"]["type"] == "invalid_request_error"
        token = re.search(r'name="token" value="([^"]+)"', client.get("/dashboard/ledger").text)
        assert token
        play = {
            "token": token[1],
            "user": "ada",
            "question": "What is the gate code?",
            "a": "",
            "a_notes": "on",
            "b": "",
        }
        played = client.post("/dashboard/play/answers", data=play)
        assert played.status_code == 200 and "Asked without memory." in played.text
        form = {"token": token[1], "user": "ada", "what": "user:", "sure": "ada"}
        assert client.post("/dashboard/forget", data=form).status_code == 200
        deadline = time.monotonic() + 60
        while not list(service.store.select(Receipt, scope=Scope(user="ada"))):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not [*service.store.select(Memory, scope=Scope(user="ada"))]
        assert not [*service.store.select(Interaction, scope=Scope(user="ada"))]


def test_a_key_for_answers_alone_is_none_for_the_dashboard(base: Path, tmp_path: Path) -> None:
    app, service = application(tmp_path / "home", base, rows=2, device="cpu")
    with TestClient(app, base_url="http://engrain.example") as client:
        _, serves = service.store.new_key("local", ["serve"])
        _, steers = service.store.new_key("local", ["admin"])
        assert client.get("/v1/models", headers={"authorization": f"Bearer {serves}"}).status_code == 200
        for key, status in ((serves, 401), (steers, 200)):
            assert client.post("/dashboard/login", data={"key": key}).status_code == status
        assert "Is it learning?" in client.get("/dashboard/").text


def test_where_another_server_answers_play_asks_that(base: Path, tmp_path: Path) -> None:
    behind, asked = application(tmp_path / "behind", base, rows=2, device="cpu")
    with serving(behind) as at:
        app, service = application(
            tmp_path / "front", base, rows=2, device="cpu", upstream=Upstream(url=f"{at}/v1", model="base")
        )
        with TestClient(app, base_url="http://127.0.0.1") as client:
            said = {"model": "engrain", "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 4}
            assert client.post("/v1/chat/completions", json=said).status_code == 200
            token = re.search(r'name="token" value="([^"]+)"', client.get("/dashboard/ledger").text)
            assert token
            play = {
                "token": token[1],
                "user": "me",
                "question": "What is the gate code?",
                "a": "",
                "a_notes": "on",
                "b": "",
            }
            played = client.post("/dashboard/play/answers", data=play)
            assert played.status_code == 200 and f"base at {at}/v1" in played.text
            assert len(list(service.store.select(Interaction, scope=Scope(user="me")))) == 1
        told = list(asked.store.select(Interaction, scope=Scope(user="me")))
        assert [i.query for i in told[1:]] == ["What is the gate code?"] * 2
