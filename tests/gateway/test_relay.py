"""Another server answers: here engrain itself on sprout, and one that misbehaves."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from engrain.engines.upstream import Upstream
from engrain.errors import InputError
from engrain.gateway.relay import shown
from engrain.gateway.reply import Service
from engrain.learner import SPROUT
from engrain.records import Feedback, Interaction, Memory, Scope
from engrain.service import application, serve

sys.path.insert(0, str(Path(__file__).parents[1]))
from over_http import serving  # noqa: E402

ASKED = "What is the gate code of the north barn?"
TOOL: Any = {"type": "function", "function": {"name": "open_gate", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}}}  # fmt: skip


@contextmanager
def relaying(home: Path, url: str, **more: Any) -> Iterator[tuple[openai.OpenAI, Service]]:
    """A client of a service in front of this upstream."""
    app, service = application(home, SPROUT, rows=4, upstream=Upstream(url=url, model="base", **more))
    with serving(app) as at, openai.OpenAI(base_url=f"{at}/v1", api_key="none", max_retries=0) as client:
        yield client, service


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[openai.OpenAI, Service, Service]]:
    """(client of the front, the front, the upstream)"""
    app, behind = application(tmp_path_factory.mktemp("behind"), SPROUT, rows=8)
    with serving(app) as at, relaying(tmp_path_factory.mktemp("front"), f"{at}/v1") as (client, front):
        yield client, front, behind


def say(client: openai.OpenAI, text: str, user: str, **options: Any) -> Any:
    return client.chat.completions.create(
        model="engrain", messages=[{"role": "user", "content": text}], user=user, **options
    )


def test_what_another_server_answers_is_recorded_and_remembered_here(
    both: tuple[openai.OpenAI, Service, Service],
) -> None:
    client, front, behind = both
    say(client, "The gate code of the north barn is 4417.", "ada")
    raw = client.chat.completions.with_raw_response.create(
        model="engrain", messages=[{"role": "user", "content": ASKED}], user="ada", logprobs=True, seed=3
    )
    answer = raw.parse()
    assert "4417" in str(answer.choices[0].message.content)
    kept = front.store.get(answer.id, scope=Scope(user="ada"))
    assert isinstance(kept, Interaction) and kept.answer == answer.choices[0].message.content
    assert kept.stamp.base == raw.headers["x-engrain-base"] == "upstream:base" and kept.stamp.adapter == ""
    assert answer.usage and kept.usage.output_tokens == answer.usage.completion_tokens > 0
    assert (
        kept.logprobs and "4417" in kept.context.text and kept.sampling.seed == 3 and kept.sampling.temperature is None
    )

    told = list(behind.store.select(Interaction, scope=Scope(user="me")))
    assert "4417" in told[-1].messages[0].content, "the upstream is shown the notes"
    assert not list(behind.store.select(Interaction, scope=Scope(user="ada"))), "who asks does not leave the box"

    client.post("/feedback", body={"interaction": answer.id, "rating": True, "user": "ada"}, cast_to=object)
    assert [f.score for f in front.store.select(Feedback, scope=Scope(user="ada"))] == [1.0]


def test_a_stream_is_passed_on_as_it_comes(both: tuple[openai.OpenAI, Service, Service]) -> None:
    client, front, _ = both
    whole = say(client, ASKED, "bea").choices[0].message.content
    chunks = list(say(client, ASKED, "bea", stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
    assert chunks[-1].usage and chunks[-1].usage.completion_tokens > 0
    assert chunks[-2].choices[0].finish_reason == "stop"
    kept = list(front.store.select(Interaction, scope=Scope(user="bea")))
    assert [i.answer for i in kept] == [whole, whole] and kept[1].usage.output_tokens > 0


def test_tools_choices_parts_and_the_responses_api_work_through_it(
    both: tuple[openai.OpenAI, Service, Service],
) -> None:
    client, front, _ = both
    called = say(client, "Open it.", "cyd", tools=[TOOL], tool_choice="required").choices[0]
    assert called.message.tool_calls[0].function.name == "open_gate" and called.finish_reason == "tool_calls"
    chunks = list(say(client, "Open it.", "cyd", tools=[TOOL], tool_choice="required", stream=True))
    assert [d.function.name for c in chunks for d in c.choices[0].delta.tool_calls or ()] == ["open_gate"]
    kept = list(front.store.select(Interaction, scope=Scope(user="cyd")))
    assert all(i.tool_calls[0].name == "open_gate" and json.loads(i.tools) == [TOOL] for i in kept)

    assert len(say(client, "Hi there.", "cyd", n=2, temperature=1.0).choices) == 2
    response = client.responses.create(model="engrain", input="Hello!", extra_headers={"x-engrain-user": "cyd"})
    assert response.output_text and front.store.get(response.id, scope=Scope(user="cyd"))
    names = [m.id for m in client.models.list()]
    assert names[0] == "engrain" and "base" in names


def test_notes_stand_in_the_system_message_whatever_that_holds() -> None:
    ask = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}
    assert shown([ask], "") == [ask]
    assert shown([ask], "Notes:") == [{"role": "system", "content": "Notes:"}, ask]
    assert shown([{"role": "system", "content": "Be kind."}, ask], "Notes:")[0]["content"] == "Be kind.\n\nNotes:"
    parts = [{"type": "text", "text": "Be kind."}]
    assert shown([{"role": "developer", "content": parts}], "N")[0]["content"] == [
        *parts,
        {"type": "text", "text": "N"},
    ]


Behaviour = Callable[[int], Response]


@contextmanager
def misbehaving(behave: Behaviour) -> Iterator[tuple[str, list[str]]]:
    """(address of a server that answers request number n as told, the authorizations that came)"""
    app, came = FastAPI(), list[str]()

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        came.append(request.headers.get("authorization", ""))
        return behave(len(came))

    with serving(app) as at:
        yield f"{at}/v1", came


def fine(text: str = "Hello.") -> Response:
    return JSONResponse({"choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]})


def test_a_busy_upstream_is_asked_again_and_its_key_is_sent_to_it_alone(tmp_path: Path) -> None:
    busy = {1: 503, 2: 429}

    def behave(n: int) -> Response:
        return JSONResponse({"error": {"message": "busy"}}, busy[n]) if n in busy else fine()

    with misbehaving(behave) as (url, came), relaying(tmp_path, url, key="sk-up", wait_s=0.01) as (client, _):
        raw = client.chat.completions.with_raw_response.create(
            model="gpt-x", messages=[{"role": "user", "content": "Hi"}]
        )
        assert raw.parse().choices[0].message.content == "Hello."
        assert came == ["Bearer sk-up"] * 3
        assert "sk-up" not in str(raw.headers) + raw.text


@pytest.mark.parametrize(
    ("status", "body", "told", "said"),
    [
        (400, {"error": {"message": "max_tokens is too large"}}, 400, "too large"),
        (401, {"error": {"message": "bad key sk-up"}}, 502, "refuses engrain's key"),
        (404, {"error": {"message": "no such model"}}, 404, "no such model"),
        (418, "not JSON {", 418, "no reason"),
        (500, {"error": "on fire"}, 502, "on fire"),
        (307, {}, 502, "answers 307"),
        (200, {"choices": []}, 502, "no message"),
        (200, [], 502, "no JSON object"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_what_the_upstream_refuses_has_its_reason_and_leaves_no_record(
    tmp_path: Path, status: int, body: Any, told: int, said: str, stream: bool
) -> None:
    if stream and status == 200:
        pytest.skip("a stream has another form")
    content = body if isinstance(body, str) else json.dumps(body)

    def behave(_: int) -> Response:
        return Response(content, status, media_type="application/json")

    with misbehaving(behave) as (url, _), relaying(tmp_path, url, key="sk-up", retries=0) as (client, service):
        with pytest.raises(openai.APIStatusError, match=said) as caught:
            say(client, "The gate code is 1.", "ada", stream=stream)
        assert caught.value.status_code == told and "sk-up" not in str(caught.value)
        assert not list(service.store.select(Interaction, scope=Scope(user="ada")))
        assert not list(service.store.select(Memory, scope=Scope(user="ada")))


def test_a_stream_that_breaks_off_ends_with_an_error(tmp_path: Path) -> None:
    async def half() -> AsyncIterator[str]:
        yield 'data: {"choices": [{"index": 0, "delta": {"content": "Hel"}}]}\n\n'

    with (
        misbehaving(lambda _: StreamingResponse(half(), media_type="text/event-stream")) as (url, _),
        relaying(tmp_path, url) as (client, _),
        pytest.raises(openai.APIError, match="broke off"),
    ):
        list(say(client, "Hi", "ada", stream=True))


def test_an_upstream_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with relaying(tmp_path, "http://127.0.0.1:9/v1", retries=1, wait_s=0.01) as (client, _):
        with pytest.raises(openai.InternalServerError, match="cannot be reached"):
            say(client, "Hi", "ada")
        with pytest.raises(openai.InternalServerError, match="cannot be reached"):
            say(client, "Hi", "ada", stream=True)


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_that_hangs_up_ends_the_upstreams_answer(tmp_path: Path, stream: bool) -> None:
    ended: list[float] = []

    async def slow() -> AsyncIterator[str]:
        try:
            for _ in range(200):
                yield 'data: {"choices": [{"index": 0, "delta": {"content": "a "}}]}\n\n' if stream else " "
                await asyncio.sleep(0.1)
        finally:
            ended.append(time.monotonic())

    with (
        misbehaving(lambda _: StreamingResponse(slow(), media_type="text/event-stream")) as (url, _),
        relaying(tmp_path, url) as (client, service),
    ):
        started = time.monotonic()
        if stream:
            with say(client, "Hi", "ada", stream=True) as answer:
                next(iter(answer))
                next(iter(answer))
        else:
            with pytest.raises(openai.APITimeoutError):
                client.with_options(timeout=0.5).chat.completions.create(
                    model="engrain", messages=[{"role": "user", "content": "Hi"}], user="ada"
                )
        while not ended and time.monotonic() < started + 10:
            time.sleep(0.05)
        assert ended and ended[0] < started + 8
        if stream:
            while not (kept := list(service.store.select(Interaction, scope=Scope(user="ada")))):
                time.sleep(0.05)
            assert kept[0].answer.startswith("a") and kept[0].finish_reason == "length"


def test_a_caller_that_hangs_up_while_it_is_recorded_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def whole() -> AsyncIterator[str]:
        yield 'data: {"choices": [{"index": 0, "delta": {"content": "Noted."}, "finish_reason": "stop"}]}\n\n'
        yield "data: [DONE]\n\n"

    recorded: list[Any] = []
    with (
        misbehaving(lambda _: StreamingResponse(whole(), media_type="text/event-stream")) as (url, _),
        relaying(tmp_path, url) as (client, service),
    ):
        append = service.recorder.append

        async def slowly(record: Any) -> None:
            await append(record)
            recorded.append(record)
            await asyncio.sleep(0.5)

        monkeypatch.setattr(service.recorder, "append", slowly)
        with say(client, "The gate code is 4417.", "ada", stream=True) as answer:
            next(iter(answer))
            while not recorded:
                time.sleep(0.01)
        until = time.monotonic() + 10
        while not (kept := list(service.store.select(Memory, scope=Scope(user="ada")))) and time.monotonic() < until:
            time.sleep(0.05)
        assert len(kept) == len(recorded) == len(list(service.store.select(Interaction, scope=Scope(user="ada")))) == 1
    assert not [r for r in caplog.records if r.levelname == "ERROR"]


def test_what_says_who_asks_does_not_leave_the_box(tmp_path: Path) -> None:
    app, came = FastAPI(), list[dict[str, Any]]()

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        came.append(await request.json())
        return fine()

    who = {"user": "ada", "safety_identifier": "ada", "prompt_cache_key": "ada", "metadata": {"user": "ada"}}
    message = {"role": "user", "content": "Hi", "name": "clerk"}
    with serving(app) as at, relaying(tmp_path, f"{at}/v1") as (client, _):
        body = {"model": "engrain", "messages": [message], "seed": 1} | who
        client.post("/chat/completions", body=body, cast_to=dict[str, Any])
    assert not who.keys() & came[0].keys() and came[0]["messages"] == [message]


@pytest.mark.parametrize("url", ["", "ftp://x/v1", "http://", "http://me:secret@x/v1", "http://x/v1?key=1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="upstream"):
        Upstream(url=url, model="m")


def test_a_trial_needs_an_engine_that_trains(tmp_path: Path) -> None:
    upstream = Upstream(url="http://127.0.0.1:9/v1", model="m")
    with pytest.raises(InputError, match="--canary"):
        serve(
            tmp_path, SPROUT, host="127.0.0.1", port=0, tenant="local", rows=1, device="cpu", canary=0.5,
            upstream=upstream,
        )  # fmt: skip
