"""Vectors of another server: engrain itself, and one that misbehaves."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from engrain.engines.upstream import Upstream
from engrain.engines.upstream_sentences import UpstreamSentences
from engrain.errors import InputError, UpstreamFailed
from engrain.learner import SPROUT, Learner, embedder_of
from engrain.memory import HashedEmbedder
from engrain.records import Scope
from engrain.service import _key, application

sys.path.insert(0, str(Path(__file__).parents[1]))
from over_http import serving  # noqa: E402

Answer = Callable[[dict[str, Any]], Any]


class Server:
    """What it was asked, and what it answers: three counts a text, the last text first."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.answers: list[Answer] = []
        """To the next requests, in order."""
        self.url = ""

    def usual(self, body: dict[str, Any]) -> dict[str, Any]:
        rows = [{"index": i, "embedding": [len(t), t.count("e"), 1]} for i, t in enumerate(body["input"])]
        return {"data": rows[::-1], "usage": {"prompt_tokens": sum(len(t.split()) for t in body["input"])}}


@pytest.fixture
def server() -> Iterator[Server]:
    app, held = FastAPI(), Server()

    @app.post("/v1/embeddings")
    async def embeddings(request: Request) -> Any:
        body = await request.json()
        held.asked.append(body)
        held.keys.append(request.headers.get("authorization"))
        return (held.answers.pop(0) if held.answers else held.usual)(body)

    with serving(app) as at:
        held.url = f"{at}/v1"
        yield held


@pytest.fixture
def embedder(server: Server) -> Iterator[UpstreamSentences]:
    made = UpstreamSentences(Upstream(url=server.url, model="small", wait_s=0.01), longest=20)
    yield made
    made.close()


def test_texts_go_in_few_requests_and_come_back_in_their_order(server: Server, embedder: UpstreamSentences) -> None:
    texts = [f"text {'e' * (n % 7)} {n}" for n in range(150)]
    found = embedder.embed([*texts[:70], "", *texts[70:]])
    assert sorted(len(body["input"]) for body in server.asked) == [22, 64, 64]
    assert {(body["model"], body["encoding_format"]) for body in server.asked} == {("small", "float")}
    wanted = np.array([[len(t), t.count("e"), 1] for t in texts], dtype=np.float32)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert np.abs(np.delete(found, 70, 0) - wanted).max() < 1e-6 and not found[70].any()
    assert (embedder.calls, embedder.tokens) == (3, sum(len(t.split()) for t in texts))


def test_a_text_is_cut_before_it_is_sent(server: Server, embedder: UpstreamSentences) -> None:
    embedder.embed(["e" * 50])
    assert server.asked[0]["input"] == ["e" * 20]


def test_what_was_asked_before_is_answered_in_every_thread(embedder: UpstreamSentences) -> None:
    found: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: found.append(embedder.embed(["one", "three"]))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all(np.array_equal(f, found[0]) for f in found) and embedder.calls == 8


def test_a_busy_server_is_asked_again_and_what_it_refuses_is_said(server: Server, embedder: UpstreamSentences) -> None:
    server.answers = [lambda _: JSONResponse({}, status_code=503), lambda _: JSONResponse({}, status_code=429)]
    assert embedder.embed(["one"]).shape == (1, 3) and len(server.asked) == 3 and embedder.calls == 1
    server.answers = [lambda _: JSONResponse({"error": {"message": "too long"}}, status_code=400)]
    with pytest.raises(UpstreamFailed, match="400: too long"):
        embedder.embed(["one"])
    embedder.close()
    assert embedder.embed(["one"]).shape == (1, 3), "closed, it opens again"


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: {},
        lambda _: {"data": [{"index": 0, "embedding": [1, 2]}]},
        lambda _: {"data": [{"index": 0, "embedding": [1, 2]}, {"index": 1, "embedding": [1]}]},
        lambda _: {"data": [{"index": i, "embedding": []} for i in range(2)]},
        lambda _: {"data": [{"index": i, "embedding": "AAAA"} for i in range(2)]},
        lambda _: {"data": [{"index": i, "embedding": [1.0]} for i in range(3)]},
        lambda _: {"data": 7},
        lambda _: {"data": ["x", "y"]},
    ],
)
def test_an_answer_without_the_vectors_is_a_failure_of_the_upstream(
    server: Server, embedder: UpstreamSentences, answer: Answer
) -> None:
    server.answers = [answer]
    with pytest.raises(UpstreamFailed, match="holds no 2 vectors"):
        embedder.embed(["one", "two"])


def test_nobody_there_is_said_with_the_address() -> None:
    gone = UpstreamSentences(Upstream(url="http://127.0.0.1:9/v1", model="small", retries=0))
    with pytest.raises(UpstreamFailed, match=r"127\.0\.0\.1:9/v1 cannot be reached"):
        gone.embed(["one"])
    gone.close()


def test_an_address_names_its_model_and_only_that_server_gets_the_key(server: Server) -> None:
    with pytest.raises(InputError, match=r"names no model; give it behind the address, as in .*/v1#text"):
        embedder_of(server.url)
    named = embedder_of(f"{server.url}#small", key="sk-1")
    assert isinstance(named, UpstreamSentences)
    named.embed(["one"])
    named.close()
    assert server.keys == ["Bearer sk-1"]
    assert named.name != UpstreamSentences(Upstream(url=f"{server.url}/other", model="small")).name
    upstream = Upstream(url=server.url, model="large", key="sk-1")
    assert _key(f"{server.url}/#small", upstream) == "sk-1"
    assert _key("http://127.0.0.1/v1#small", upstream) == _key("hashed", upstream) == _key("hashed", None) == ""


def test_the_vectors_of_another_engrain_are_its_own(tmp_path: Path) -> None:
    app, _ = application(tmp_path / "behind", SPROUT, rows=2)
    texts = ["The gate code of the north barn is 4417.", "Who keeps the keys?"]
    with serving(app) as at, Learner(tmp_path / "front", embedder=f"{at}/v1#hashed", user="ada") as me:
        assert isinstance(me.embedder, UpstreamSentences)
        assert np.abs(me.embedder.embed(texts) - HashedEmbedder().embed(texts)).max() < 1e-6
        assert me.embedder.calls == 1 and me.embedder.tokens > 10
        me.tell(texts[0])
        assert not me.store.vectors(me.embedder.name, scope=Scope(tenant="local", user="ada"))[0]
        me.embedder.close()
