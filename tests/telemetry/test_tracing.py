"""Spans of requests, answers and feedback, as the SDK's own exporter gets them; and when there are none at all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.testclient import TestClient

from engrain.cli.common import traced_as_configured
from engrain.errors import InputError
from engrain.service import application
from engrain.telemetry.tracing import Tracing, tracing_of

sys.path.insert(0, str(Path(__file__).parents[1]))
SECRET = "The vault code of the north barn is 731904."
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, exporter: InMemorySpanExporter) -> Iterator[TestClient]:
    import tiny_models

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    base = tiny_models.llama(tmp_path_factory.mktemp("base") / "llama")
    app, _ = application(tmp_path_factory.mktemp("home"), base, rows=2, device="cpu", tracing=Tracing(provider))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as made:
        yield made


def asked(**more: Any) -> dict[str, Any]:
    return {
        "model": "engrain",
        "user": "ada",
        "max_tokens": 4,
        "messages": [{"role": "user", "content": SECRET}],
    } | more


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_a_span_within_that_of_its_request_in_the_trace_of_the_caller(
    client: TestClient, exporter: InMemorySpanExporter, stream: bool
) -> None:
    exporter.clear()
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "x-engrain-conversation": "talk"}
    answer = client.post("/v1/chat/completions", json=asked(stream=stream), headers=headers)
    assert answer.status_code == 200
    chat, request = exporter.get_finished_spans()
    assert request.name == "POST /v1/chat/completions" and request.kind is SpanKind.SERVER
    assert request.attributes is not None and chat.attributes is not None and chat.parent is not None
    assert dict(request.attributes) == {
        "http.request.method": "POST", "http.route": "/v1/chat/completions", "http.response.status_code": 200,
    }  # fmt: skip
    assert request.context is not None and chat.context is not None
    assert f"{request.context.trace_id:032x}" == f"{chat.context.trace_id:032x}" == TRACE
    assert chat.parent.span_id == request.context.span_id
    base = answer.headers["x-engrain-base"]
    assert chat.name == f"chat {base}" and chat.kind is SpanKind.INTERNAL
    told = {
        "gen_ai.operation.name": "chat", "gen_ai.response.id": answer.headers["x-engrain-interaction"], "user.id": "ada",
        "gen_ai.conversation.id": "talk", "engrain.tenant": "local", "gen_ai.request.max_tokens": 4,
    }  # fmt: skip
    assert told.items() <= dict(chat.attributes).items()
    assert chat.start_time is not None and request.start_time is not None and chat.end_time is not None
    assert chat.end_time - chat.start_time > 0
    assert "731904" not in chat.to_json() + request.to_json()


def test_feedback_is_an_event_of_its_request_without_its_words(
    client: TestClient, exporter: InMemorySpanExporter
) -> None:
    name = client.post("/v1/chat/completions", json=asked()).json()["id"]
    exporter.clear()
    body = {"interaction": name, "rating": False, "comment": "not 731904", "user": "ada"}
    assert client.post("/v1/feedback", json=body).status_code == 200
    (request,) = exporter.get_finished_spans()
    assert [e.name for e in request.events] == ["gen_ai.evaluation.result"] * 2
    assert request.events[0].attributes is not None
    assert request.events[0].attributes["gen_ai.response.id"] == name
    assert "731904" not in request.to_json()


def test_an_error_of_the_service_is_one_of_the_span_and_a_callers_is_not(
    client: TestClient, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("731904")

    exporter.clear()
    assert client.post("/v1/chat/completions", json=asked(n=17)).status_code == 400
    monkeypatch.setattr("engrain.gateway.server.listed", broken)
    assert client.get("/v1/models").status_code == 500
    wrong, failed = exporter.get_finished_spans()
    assert (wrong.status.status_code, failed.status.status_code) == (StatusCode.UNSET, StatusCode.ERROR)
    assert failed.attributes is not None and failed.attributes["error.type"] == "500"
    assert "731904" not in failed.to_json()


VARIABLES = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
    "OTEL_SDK_DISABLED",
)


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
    ],
)
def test_nothing_is_traced_unless_the_standard_variables_ask_for_it(
    environment: dict[str, str], on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = traced_as_configured()
    assert (found is not None) == on
    if found is not None:
        found.close()


def test_an_empty_exporter_is_none_that_was_given_and_none_adds_nothing() -> None:
    for environment, names in (
        ({"OTEL_TRACES_EXPORTER": "", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, ["OTLPSpanExporter"]),
        ({"OTEL_TRACES_EXPORTER": "none,console"}, ["ConsoleSpanExporter"]),
    ):
        tracing = tracing_of(environment)
        processors = tracing._provider._active_span_processor._span_processors
        assert [type(p.span_exporter).__name__ for p in processors] == names  # type: ignore[attr-defined]
        tracing.close()


def test_an_exporter_or_a_protocol_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"OTEL_TRACES_EXPORTER='zipkin'.*give otlp"):
        tracing_of({"OTEL_TRACES_EXPORTER": "zipkin"})
    with pytest.raises(InputError, match=r"'grpc'.*http/protobuf"):
        tracing_of({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
