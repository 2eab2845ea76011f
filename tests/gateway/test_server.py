"""The service, over a real socket, with the official client."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from engrain.gateway.reply import Service
from engrain.learner import SPROUT
from engrain.records import Feedback, Interaction, Memory, Message, Scope
from engrain.service import application
from engrain.store import SqlStore

sys.path.insert(0, str(Path(__file__).parents[1]))
from over_http import serving  # noqa: E402

ASKED = "What is the gate code of the north barn?"
keys: dict[str, str] = {}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Service]]:
    app, service = application(tmp_path_factory.mktemp("home"), SPROUT, rows=4)
    keys["all"] = service.store.new_key("local", ["serve", "feedback"])[1]
    with serving(app) as at:
        yield f"{at}/v1", service


@pytest.fixture
def client(served: tuple[str, Service]) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=served[0], api_key=keys["all"], max_retries=0) as made:
        yield made


def say(client: openai.OpenAI, text: str, user: str, **options: Any) -> Any:
    return client.chat.completions.create(
        model="engrain", messages=[{"role": "user", "content": text}], user=user, **options
    )


def without_cached(usage: Any) -> tuple[int, int, int]:
    """What does not depend on what was read before."""
    return usage.prompt_tokens, usage.completion_tokens, usage.total_tokens


def test_what_is_said_is_used_in_the_next_answer_and_all_of_it_is_recorded(
    served: tuple[str, Service], client: openai.OpenAI
) -> None:
    say(client, "The gate code of the north barn is 4417.", "ada")
    raw = client.chat.completions.with_raw_response.create(
        model="engrain", messages=[{"role": "user", "content": ASKED}], user="ada", logprobs=True
    )
    answer = raw.parse()
    assert "4417" in str(answer.choices[0].message.content)
    assert answer.choices[0].finish_reason == "stop"
    store, scope = served[1].store, Scope(user="ada")
    kept = {i.id: i for i in store.select(Interaction, scope=scope)}[raw.headers["x-engrain-interaction"]]
    assert answer.id == kept.id and kept.answer == answer.choices[0].message.content
    assert (kept.stamp.base, kept.stamp.memory) == (raw.headers["x-engrain-base"], raw.headers["x-engrain-memory"])
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (
        kept.usage.input_tokens, kept.usage.output_tokens,
    )  # fmt: skip
    assert answer.choices[0].logprobs is not None and answer.choices[0].logprobs.content is not None
    assert [t.logprob for t in answer.choices[0].logprobs.content] == list(kept.logprobs)[:-1]
    assert raw.headers["x-request-id"]


def test_a_stream_brings_the_same_answer_in_pieces_and_ends_with_what_it_cost(client: openai.OpenAI) -> None:
    whole = say(client, "Hello, who are you?", "bob")
    chunks = list(say(client, "Hello, who are you?", "bob", stream=True, stream_options={"include_usage": True}))
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert said == whole.choices[0].message.content
    assert len(chunks) > 4
    assert without_cached(chunks[-1].usage) == without_cached(whole.usage) and not chunks[-1].choices
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-2].model_extra["engrain"]["x-engrain-interaction"] == chunks[0].id
    assert len({c.id for c in chunks}) == 1


def test_what_was_read_is_not_read_again_by_the_same_user_nor_the_applications_words_by_the_same_tenant(
    served: tuple[str, Service],
) -> None:
    system = "You answer for the office of the harbour at Lom, in one short sentence each time, and you never guess."
    turns = [{"role": "system", "content": system}, {"role": "user", "content": ASKED}]
    tenants = {name: served[1].store.new_key(name, ["serve"])[1] for name in ("lom", "mill")}

    def cached(tenant: str, user: str, **options: Any) -> int:
        with openai.OpenAI(base_url=served[0], api_key=tenants[tenant], max_retries=0) as client:
            answer = client.chat.completions.create(model="engrain", messages=turns, user=user, max_tokens=4, **options)  # type: ignore[call-overload]
        kept = {i.id: i for i in served[1].store.select(Interaction, scope=Scope(tenant=tenant, user=user))}[answer.id]
        assert kept.usage.cached_tokens == answer.usage.prompt_tokens_details.cached_tokens < answer.usage.prompt_tokens
        return kept.usage.cached_tokens

    assert cached("lom", "ada") == 0
    own = cached("lom", "ada")
    others = cached("lom", "bob")
    assert own > others > 16
    assert cached("mill", "ada") == 0  # another tenant's user of the same name, with the same words
    told = served[1].store.select(Interaction, scope=Scope(tenant="lom", user="ada"))
    served[1].store.erase([next(iter(told)).id], scope=Scope(tenant="lom", user="ada"), reason="test")
    until = time.monotonic() + 20
    while served[1].batcher.held_bytes and time.monotonic() < until:
        time.sleep(0.1)
    assert not served[1].batcher.held_bytes  # what is forgotten is not kept in this form either


def test_users_do_not_hear_of_one_another(served: tuple[str, Service], client: openai.OpenAI) -> None:
    say(client, "The gate code of the south barn is 9021.", "cleo")
    asked = "What is the gate code of the south barn?"
    assert "9021" in say(client, asked, "cleo").choices[0].message.content
    assert "9021" not in say(client, asked, "dan").choices[0].message.content
    off = say(client, asked, "cleo", extra_headers={"x-engrain-memory": "off"})
    assert "9021" not in off.choices[0].message.content
    assert not list(served[1].store.select(Memory, scope=Scope(user="dan")))


def test_feedback_is_recorded_and_a_correction_holds_at_once(
    served: tuple[str, Service], client: openai.OpenAI
) -> None:
    say(client, "The gate code of the west barn is 1111.", "eve")
    answer = say(client, "What is the gate code of the west barn?", "eve")
    body = {"interaction": answer.id, "rating": False, "correction": "2222"}
    given = client.post("/feedback", body=body, cast_to=dict[str, Any], options={"headers": {"x-engrain-user": "eve"}})
    assert [f["name"] for f in given["data"]] == ["rating", "correction"]
    assert len(list(served[1].store.select(Feedback, scope=Scope(user="eve")))) == 2
    assert "2222" in say(client, "What is the gate code of the west barn?", "eve").choices[0].message.content


def test_feedback_that_is_sent_again_is_recorded_once_and_may_be_about_a_conversation(
    served: tuple[str, Service], client: openai.OpenAI
) -> None:
    header = {"x-engrain-conversation": "talk", "x-engrain-user": "wes"}
    for text in ("The gate code of the new barn is 7117.", "What is the gate code of the new barn?"):
        answer = say(client, text, "wes", extra_headers=header)

    def give(**body: Any) -> list[str]:
        given = client.post("/feedback", body=body, cast_to=dict[str, Any], options={"headers": header})
        return [f["id"] for f in given["data"]]

    first = give(conversation="talk", rating=True)
    assert give(interaction=answer.id, rating=1.0) == first == give(conversation="talk", rating=True)
    changed = give(interaction=answer.id, rating=False)
    assert give(interaction=answer.id, rating=True) not in (first, changed)  # another word, though it was said before
    kept = list(served[1].store.select(Feedback, scope=Scope(user="wes")))
    assert [(f.interaction, f.score) for f in kept] == [(answer.id, s) for s in (1.0, 0.0, 1.0)]
    with pytest.raises(openai.NotFoundError):
        give(conversation="another", rating=True)
    for wrong in ({"rating": True}, {"interaction": answer.id, "conversation": "talk", "rating": True}):
        with pytest.raises(openai.BadRequestError, match="one of them"):
            give(**wrong)


def test_an_answer_ends_before_a_stop_text_and_after_the_tokens_that_were_allowed(client: openai.OpenAI) -> None:
    whole = say(client, "Hello, who are you?", "fay").choices[0].message.content
    word = whole.split()[2]
    cut = say(client, "Hello, who are you?", "fay", stop=[word]).choices[0]
    assert (cut.message.content, cut.finish_reason) == (whole.partition(word)[0].rstrip(), "stop")
    short = say(client, "Hello, who are you?", "fay", max_completion_tokens=2)
    assert (short.choices[0].finish_reason, short.usage.completion_tokens) == ("length", 2)


def test_drawn_answers_repeat_with_their_seed(client: openai.OpenAI) -> None:
    def drawn(seed: int) -> str:
        answer = say(client, "Tell me something.", "gil", temperature=1.5, seed=seed, max_tokens=20)
        return str(answer.choices[0].message.content)

    assert drawn(1) == drawn(1)
    likeliest = say(client, "Tell me something.", "gil", max_tokens=20).choices[0].message.content
    narrow = say(client, "Tell me something.", "gil", temperature=1.5, top_p=1e-6, seed=3, max_tokens=20)
    assert narrow.choices[0].message.content == likeliest
    assert len({drawn(s) for s in range(4)}) > 1


def test_models_name_the_base_and_what_may_be_asked_for(served: tuple[str, Service], client: openai.OpenAI) -> None:
    found = {m.id: m for m in client.models.list()}
    assert {"engrain", "base"} <= set(found)
    base = say(client, "Hi", "hal")
    assert client.chat.completions.create(model="base", messages=[{"role": "user", "content": "Hi"}]).choices
    assert base.model == "engrain"


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"model": "f" * 64}, openai.NotFoundError, "version"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": [{"role": "user", "content": "  "}]}, openai.BadRequestError, "empty"),
        ({"messages": [{"role": "king", "content": "Hi"}]}, openai.BadRequestError, "messages.0.role"),
        ({"messages": [{"role": "user", "content": "long " * 90_000}]}, openai.BadRequestError, "window"),
        ({"max_tokens": 0}, openai.BadRequestError, "max_tokens"),
        ({"max_tokens": 10**6}, openai.BadRequestError, "window"),
        ({"temperature": -1}, openai.BadRequestError, "temperature"),
        ({"top_p": 0}, openai.BadRequestError, "top_p"),
        ({"n": 17}, openai.BadRequestError, "n"),
        ({"stop": [str(n) for n in range(17)]}, openai.BadRequestError, "stop: .*at most 16 texts"),
        ({"stop": "x" * 257}, openai.BadRequestError, "stop: .*at most 256 characters"),
        ({"tool_choice": "required"}, openai.BadRequestError, "tools"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "objct"}}}}, openai.BadRequestError, "objct"),
        ({"response_format": {"type": "xml"}}, openai.BadRequestError, "response_format"),
        ({"extra_headers": {"x-engrain-memory": "maybe"}}, openai.BadRequestError, "x-engrain-memory.*'on' or 'off'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_done_is_refused_with_openais_error_and_the_name_of_what_is_wrong(
    client: openai.OpenAI, change: dict[str, Any], error: type[openai.APIStatusError], named: str, stream: bool
) -> None:
    body: dict[str, Any] = {"model": "engrain", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    with pytest.raises(error, match=named) as caught:
        client.chat.completions.create(**(body | change))
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id


def test_unknown_fields_are_tolerated(client: openai.OpenAI) -> None:
    assert say(client, "Hi", "ian", extra_body={"flavour": "plum"}, frequency_penalty=0.1).choices


def test_without_the_key_nothing_is_answered(served: tuple[str, Service]) -> None:
    with openai.OpenAI(base_url=served[0], api_key="wrong", max_retries=0) as other:
        for call in (lambda: say(other, "Hi", "me"), other.models.list):
            with pytest.raises(openai.AuthenticationError, match="key"):
                call()
    with urllib.request.urlopen(served[0].removesuffix("/v1") + "/health") as open_to_all:
        assert json.loads(open_to_all.read())["status"] == "ok"


def test_a_key_opens_its_own_tenant_alone_and_only_what_it_allows_until_it_is_revoked(
    served: tuple[str, Service], client: openai.OpenAI
) -> None:
    store = served[1].store
    key, secret = store.new_key("acme", ["serve"])
    answer = say(client, "The gate code of the east barn is 3434.", "kim")
    with openai.OpenAI(base_url=served[0], api_key=secret, max_retries=0) as other:
        assert "3434" not in say(other, "What is the gate code of the east barn?", "kim").choices[0].message.content
        assert list(store.select(Interaction, scope=Scope(tenant="acme", user="kim")))
        body = {"interaction": answer.id, "rating": True}
        with pytest.raises(openai.PermissionDeniedError, match="feedback"):
            other.post("/feedback", body=body, cast_to=dict[str, Any], options={"headers": {"x-engrain-user": "kim"}})
        store.revoke_key(key.id)
        with pytest.raises(openai.AuthenticationError):
            say(other, "Hi", "kim")


def test_a_caller_that_hangs_up_frees_its_row(served: tuple[str, Service], client: openai.OpenAI) -> None:
    for _ in range(8):  # twice the rows
        stream = say(client, "Tell me everything.", "jon", stream=True, temperature=2.0, max_tokens=2000)
        next(iter(stream))
        stream.close()
    assert waited_for(lambda: [] if served[1].batcher.rows_in_use else [True], within_s=2)
    assert say(client, "Hi", "jon").choices[0].message.content


def waited_for(found: Callable[[], list[Any]], within_s: float = 10) -> list[Any]:
    """What is found within so many seconds."""
    until = time.monotonic() + within_s
    while not found() and time.monotonic() < until:
        time.sleep(0.02)
    return found()


@pytest.mark.parametrize("options", [{}, {"stop": ["know"]}])
def test_a_caller_that_hangs_up_loses_nothing_of_what_was_said_and_holds_nobody_up(
    served: tuple[str, Service], client: openai.OpenAI, options: dict[str, Any]
) -> None:
    store, scope = served[1].store, Scope(user=f"lea{len(options)}")
    stream = say(client, "The gate code of the far barn is 8118.", scope.user, stream=True, **options)
    next(iter(stream))
    stream.close()
    assert len(waited_for(lambda: list(store.select(Interaction, scope=scope)))) == 1
    assert waited_for(lambda: list(store.select(Memory, scope=scope)))
    stream = say(client, "Hello, who are you?", scope.user, stream=True, temperature=2.0, max_tokens=2000, **options)
    next(piece for piece in stream if piece.choices[0].delta.content)
    stream.close()
    assert waited_for(lambda: [] if served[1].batcher.rows_in_use else [True], within_s=2)
    assert say(client, "Hi", scope.user).choices[0].message.content


def test_what_breaks_within_a_step_fails_those_under_way_and_nobody_later(
    served: tuple[str, Service], client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise MemoryError("no room")

    with monkeypatch.context() as patch, pytest.raises(openai.InternalServerError, match="log says why"):
        patch.setattr(served[1].batcher._slots, "step", broken)
        say(client, "Hello, who are you?", "max")
    assert say(client, "Hi", "max").choices[0].message.content


def test_a_home_that_ever_had_a_key_is_never_open_again(served: tuple[str, Service], client: openai.OpenAI) -> None:
    store = served[1].store
    (key,) = (k for k in store.api_keys() if k.revoked_at is None and "feedback" in k.rights)
    other, keys["all"] = store.rotate_key(key.id)
    store.revoke_key(other.id)
    try:
        for given in ("none", keys["all"]):
            outside = openai.OpenAI(base_url=served[0], api_key=given, max_retries=0)
            with outside, pytest.raises(openai.AuthenticationError):
                say(outside, "Hi", "me")
    finally:
        keys["all"] = store.new_key("local", ["serve", "feedback"])[1]


def test_a_name_of_any_script_is_one_user_wherever_it_is_given(
    served: tuple[str, Service], client: openai.OpenAI
) -> None:
    answer = say(client, "Hi", "zoë")
    body = {"interaction": answer.id, "rating": 1.0, "user": "zoë"}
    assert client.post("/feedback", body=body, cast_to=dict[str, Any])["data"]
    assert client.models.retrieve("engrain").id == "engrain"


def test_a_conversation_of_any_script_is_the_one_that_feedback_names(
    served: tuple[str, Service], client: openai.OpenAI
) -> None:
    asked = {"model": "engrain", "messages": [{"role": "user", "content": "Hi"}], "user": "zoë"}
    request = urllib.request.Request(
        f"{served[0]}/chat/completions", json.dumps(asked).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {keys['all']}",
         "x-engrain-conversation": "Tür 🦆".encode().decode("latin-1")},
    )  # fmt: skip
    with urllib.request.urlopen(request) as response:
        answer = json.load(response)["id"]
    body = {"conversation": "Tür 🦆", "rating": 1.0, "user": "zoë"}
    assert client.post("/feedback", body=body, cast_to=dict[str, Any])["data"]
    kept = served[1].store.get(answer, scope=Scope(user="zoë"))
    assert isinstance(kept, Interaction) and kept.conversation == "Tür 🦆"


def test_half_a_surrogate_is_refused_by_name(served: tuple[str, Service]) -> None:
    for body in ({"content": "x \ud83d y"}, {"content": "x", "user": "\ud83d"}):
        given = {
            "model": "engrain",
            "messages": [{"role": "user", "content": body["content"]}],
            "user": body.get("user", "me"),
        }
        request = urllib.request.Request(
            f"{served[0]}/chat/completions", json.dumps(given).encode(),
            {"content-type": "application/json", "authorization": f"Bearer {keys['all']}"},
        )  # fmt: skip
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        assert refused.value.code == 400
        refused.value.close()


def test_a_step_of_a_tool_loop_is_not_a_second_telling(served: tuple[str, Service], client: openai.OpenAI) -> None:
    store, scope = served[1].store, Scope(user="nia")
    told: list[Any] = [{"role": "user", "content": "The gate code of the old barn is 5150."}]
    client.chat.completions.create(model="engrain", messages=told, user="nia")
    told += [{"role": "assistant", "content": "One moment."}, {"role": "tool", "content": "done", "tool_call_id": "c1"}]
    client.chat.completions.create(model="engrain", messages=told, user="nia")
    assert len(list(store.select(Memory, scope=scope))) == 1


def test_a_long_history_is_cut_in_no_time_to_what_fits(served: tuple[str, Service], client: openai.OpenAI) -> None:
    turns: list[Any] = [{"role": ("user", "assistant")[n % 2], "content": f"turn {n} a b c d e"} for n in range(3001)]
    answer = client.chat.completions.create(model="engrain", messages=turns, user="ole", max_tokens=4)
    (kept,) = served[1].store.select(Interaction, scope=Scope(user="ole"))
    assert kept.id == answer.id and kept.messages[-1] == Message(role="user", content="turn 3000 a b c d e")
    assert 10 < len(kept.messages) < 3001


def test_many_at_once_are_all_answered_each_in_their_own_name(served: tuple[str, Service]) -> None:
    found: dict[str, str] = {}

    def call(number: int) -> None:
        with openai.OpenAI(base_url=served[0], api_key=keys["all"], max_retries=0) as mine:
            say(mine, f"The locker number of Tom is {3402 + 7 * number}.", f"user-{number}")
            answer = say(mine, "What is the locker number of Tom?", f"user-{number}")
            found[str(3402 + 7 * number)] = str(answer.choices[0].message.content)

    threads = [threading.Thread(target=call, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {value: answer for value, answer in found.items() if value not in answer} == {}
    assert len(found) == 12


def test_a_response_goes_on_from_the_one_before_and_is_recorded_as_an_interaction(
    served: tuple[str, Service], client: openai.OpenAI
) -> None:
    first = client.responses.create(
        model="engrain", input="The gate code of the hill barn is 6116.", instructions="Be brief.", user="pia"
    )
    assert first.status == "completed" and first.output_text
    store, scope = served[1].store, Scope(user="pia")
    kept = store.get(first.id, scope=scope)
    assert isinstance(kept, Interaction) and kept.answer == first.output_text
    assert kept.messages[0] == Message(role="system", content="Be brief.")
    second = client.responses.create(
        model="engrain",
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "What is the gate code of the hill barn?"}]}
        ],
        previous_response_id=first.id,
        user="pia",
    )
    assert "6116" in second.output_text and second.previous_response_id == first.id
    then = store.get(second.id, scope=scope)
    assert isinstance(then, Interaction) and then.conversation == first.id
    assert [m.role for m in then.messages] == ["user", "assistant", "user"]  # instructions were of the first alone
    assert second.usage is not None and second.usage.output_tokens == then.usage.output_tokens
    for user in ("quinn", "pia"):
        asked = {"input": "And?", "previous_response_id": first.id if user == "quinn" else "int_000000000000"}
        with pytest.raises(openai.NotFoundError):
            client.responses.create(model="engrain", user=user, **asked)


def test_a_streamed_response_has_the_events_in_order_and_the_same_text(client: openai.OpenAI) -> None:
    whole = client.responses.create(model="engrain", input="Hello, who are you?", user="ray")
    with client.responses.stream(model="engrain", input="Hello, who are you?", user="ray") as stream:
        events = list(stream)
        assert stream.get_final_response().output_text == whole.output_text
    kinds = [e.type for e in events]
    assert kinds[:4] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    ]  # fmt: skip
    assert kinds[-4:] == [
        "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text
    short = client.responses.create(model="engrain", input="Hello, who are you?", user="ray", max_output_tokens=2)
    assert short.status == "incomplete" and short.incomplete_details is not None
    assert short.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input.0.content"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "function_call_output"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": 9}, "temperature"),
    ],
)
def test_a_response_that_cannot_be_made_is_refused_by_name(
    client: openai.OpenAI, change: dict[str, Any], named: str
) -> None:
    body: dict[str, Any] = {"model": "engrain", "input": "Hi"}
    with pytest.raises(openai.BadRequestError, match=named):
        client.responses.create(**(body | change))


def test_embeddings_are_the_vectors_that_recall_works_with(served: tuple[str, Service], client: openai.OpenAI) -> None:
    texts = ["The gate code of the barn", "gate codes of barns", "a letter from Paris"]
    found = client.embeddings.create(model="engrain", input=texts)
    own = served[1].embedder.embed(texts)
    assert found.model == served[1].embedder.name
    for given in (found, client.embeddings.create(model="engrain", input=texts, encoding_format="float")):
        assert np.allclose(own, [d.embedding for d in given.data], atol=1e-6)
    near, far = (float(own[0] @ own[i]) for i in (1, 2))
    assert near > far
    assert client.embeddings.create(model="engrain", input="one").data[0].index == 0
    for wrong in ({"input": []}, {"input": ["x", " "]}, {"input": [1, 2]}, {"input": "x", "dimensions": 3}):
        with pytest.raises(openai.BadRequestError, match=r"input|dimensions"):
            client.embeddings.create(**({"model": "engrain"} | wrong))  # type: ignore[arg-type]


def test_several_choices_are_several_records_of_one_telling(served: tuple[str, Service], client: openai.OpenAI) -> None:
    store, scope = served[1].store, Scope(user="kip")
    drawn = {"n": 3, "temperature": 1.0, "seed": 5}
    answer = say(client, "The gate code of the far barn is 8123.", "kip", **drawn)
    assert [c.index for c in answer.choices] == [0, 1, 2]
    kept = list(store.select(Interaction, scope=scope))
    assert {i.answer for i in kept} == {c.message.content for c in answer.choices}
    assert answer.id in {i.id for i in kept} and {i.sampling.seed for i in kept} == {5, 6, 7}
    assert answer.usage.completion_tokens == sum(i.usage.output_tokens for i in kept)
    assert len(list(store.select(Memory, scope=scope))) == 1
    ids = [c.model_extra["engrain"]["x-engrain-interaction"] for c in answer.choices]
    assert set(ids) == {i.id for i in kept}

    pieces: dict[int, str] = {}
    usage = None
    for chunk in say(client, ASKED, "kip", stream=True, stream_options={"include_usage": True}, **drawn):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            pieces[choice.index] = pieces.get(choice.index, "") + (choice.delta.content or "")
    again = say(client, ASKED, "kip", **drawn)
    assert list(pieces.values()) == [c.message.content for c in again.choices]
    assert without_cached(usage) == without_cached(again.usage)


def test_an_answer_has_the_form_that_was_asked_for(client: openai.OpenAI) -> None:
    schema = {
        "type": "object", "properties": {"code": {"type": "string", "pattern": "^[0-9]{4}$"}, "sure": {"type": "boolean"}},
        "required": ["code", "sure"], "additionalProperties": False,
    }  # fmt: skip
    say(client, "The gate code of the north barn is 4417.", "lou")
    form = {"type": "json_schema", "json_schema": {"name": "code", "schema": schema, "strict": True}}
    found = json.loads(say(client, ASKED, "lou", response_format=form).choices[0].message.content)
    assert re.fullmatch("[0-9]{4}", found["code"]) and isinstance(found["sure"], bool)
    streamed = say(client, ASKED, "lou", response_format=form, stream=True)
    assert json.loads("".join(c.choices[0].delta.content or "" for c in streamed)) == found
    loose = say(client, ASKED, "lou", response_format={"type": "json_object"}, max_tokens=100).choices[0]
    assert loose.message.content.startswith("{")
    if loose.finish_reason == "stop":
        assert isinstance(json.loads(loose.message.content), dict)


def test_a_tool_that_must_be_called_is_called_and_recorded(served: tuple[str, Service], client: openai.OpenAI) -> None:
    parameters = {"type": "object", "properties": {"day": {"enum": ["Monday", "Friday"]}}, "required": ["day"], "additionalProperties": False}  # fmt: skip
    tool: Any = {
        "type": "function",
        "function": {"name": "open_gate", "description": "Opens it.", "parameters": parameters},
    }
    for choice in ("required", {"type": "function", "function": {"name": "open_gate"}}):
        answer = say(client, "Open the gate on Friday.", "max", tools=[tool], tool_choice=choice).choices[0]
        assert answer.finish_reason == "tool_calls" and answer.message.content is None
        (call,) = answer.message.tool_calls
        assert call.function.name == "open_gate"
        assert json.loads(call.function.arguments)["day"] in ("Monday", "Friday")
    kept = list(served[1].store.select(Interaction, scope=Scope(user="max")))[-1]
    assert json.loads(kept.tools) == [tool] and kept.tool_calls[0].id == call.id

    chunks = list(say(client, "Open the gate.", "max", tools=[tool], tool_choice="required", stream=True))
    (delta,) = [d for c in chunks for d in c.choices[0].delta.tool_calls or ()]
    assert delta.function.name == "open_gate" and chunks[-1].choices[0].finish_reason == "tool_calls"

    told = [
        {"role": "user", "content": "Open the gate on Friday."},
        {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]},
        {"role": "tool", "content": "opened", "tool_call_id": call.id},
    ]
    again = client.chat.completions.create(model="engrain", messages=told, user="max", tools=[tool])  # type: ignore[call-overload]
    kept = served[1].store.get(again.id, scope=Scope(user="max"))
    assert isinstance(kept, Interaction)
    assert kept.messages[1].tool_calls[0].name == "open_gate" and kept.messages[2].tool_call_id == call.id
    assert not again.choices[0].message.tool_calls


def test_an_open_door_needs_a_key(tmp_path: Path) -> None:
    from engrain.errors import InputError
    from engrain.service import serve

    with pytest.raises(InputError, match="engrain keys new"):
        serve(tmp_path, SPROUT, host="0.0.0.0", port=1, tenant="local", rows=1, device="cpu")


def test_what_another_process_forgets_goes_from_memory(served: tuple[str, Service], client: openai.OpenAI) -> None:
    store, batcher, scope = served[1].store, served[1].batcher, Scope(user="vic")
    say(client, "The gate code of the low barn is 2442.", "vic")
    assert batcher.held_bytes  # what was read, for the next request that begins alike
    assert not any("2442" in m.content for prompt, _ in served[1].engine._encoded for m in prompt)
    (kept,) = store.select(Interaction, scope=scope)
    (memory,) = store.select(Memory, scope=scope)
    with closing(SqlStore(store.home)) as other:
        other.erase([kept.id, memory.id], scope=scope, reason="asked")
    assert waited_for(lambda: [] if batcher.held_bytes else [True])


def test_five_minutes_with_your_agent(served: tuple[str, Service], capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs/serve.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.S)
    here = snippet.replace("http://127.0.0.1:8420/v1", served[0]).replace('"none"', repr(keys["all"]))
    names: dict[str, Any] = {}
    exec(compile(here, "docs/serve.md", "exec"), names)
    names["client"].close()
    before, _, after = capsys.readouterr().out.rpartition("\n")[0].partition("\n")
    assert before == "4417" and after.startswith("4417") and after.endswith("5521")


def test_the_api_page_does_what_it_says(served: tuple[str, Service], capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs/api.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for snippet in re.findall(r"```python\n(.*?)```", page, re.S):
        here = snippet.replace("http://127.0.0.1:8420/v1", served[0]).replace('"none"', repr(keys["all"]))
        exec(compile(here.replace('"ada"', '"api"').replace('"bea"', '"ape"'), "docs/api.md", "exec"), names)
    names["client"].close()
    code, tool, same, feedback, response, models, error = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r'\{"code": ?"[0-9]{4}"\}', code) and tool == "open_gate" and same == "True"
    assert feedback == "rating" and "4417" in response and models == "['engrain', 'base']"
    assert error == "temperature invalid_value"


def test_with_memory_off_nothing_is_kept_but_the_answer(served: tuple[str, Service], client: openai.OpenAI) -> None:
    off = {"x-engrain-memory": "off"}
    answer = say(client, "The gate code of the old barn is 7113.", "ivo", extra_headers=off)
    store, scope = served[1].store, Scope(user="ivo")
    assert not list(store.select(Memory, scope=scope))
    assert [i.id for i in store.select(Interaction, scope=scope)] == [answer.id]
