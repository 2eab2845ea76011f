"""Requests as OpenTelemetry spans, answers under its GenAI names; nothing is sent unless the standard OTEL_* variables say where to.

Needs the extra: pip install "engrain[otel]". Attributes hold ids, sizes and times, never what was said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from engrain.errors import InputError
from engrain.records import Feedback, Interaction
from engrain.telemetry.attributes import attributes, evaluation_attributes

Responded = Callable[[str, int], None]
"""Called with the route and the status once they are known."""


class Tracing:
    """Makes the spans; `close` sends those that still wait."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider, self._tracer = provider, provider.get_tracer("engrain")

    @contextmanager
    def request(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[Responded]:
        """The span of one HTTP request, part of the caller's trace if it names one (W3C `traceparent`)."""
        named = {k.decode("latin-1"): v.decode("latin-1") for k, v in headers if k in (b"traceparent", b"tracestate")}
        parent = TraceContextTextMapPropagator().extract(named)
        with self._tracer.start_as_current_span(
            method, parent, SpanKind.SERVER, {"http.request.method": method}, record_exception=False, set_status_on_exception=False
        ) as span:  # fmt: skip

            def responded(route: str, status: int) -> None:
                span.update_name(f"{method} {route}")
                span.set_attributes({"http.route": route, "http.response.status_code": status})
                if status >= 500:
                    span.set_attribute("error.type", str(status))
                    span.set_status(Status(StatusCode.ERROR))

            yield responded

    def answered(self, interaction: Interaction) -> None:
        """The span of one answer, as long as it took, within that of the request that it was made for."""
        now, model = time.time_ns(), interaction.stamp.adapter or interaction.stamp.base
        took_ns = int(interaction.usage.latency_ms * 1e6)
        span = self._tracer.start_span(
            f"chat {model}", kind=SpanKind.INTERNAL, attributes=attributes(interaction), start_time=now - took_ns
        )
        span.end(now)

    def judged(self, feedback: Iterable[Feedback]) -> None:
        """Events on the span of the request that brought them."""
        for one in feedback:
            trace.get_current_span().add_event("gen_ai.evaluation.result", evaluation_attributes(one))

    def close(self) -> None:
        """Send what waits, and end."""
        self._provider.shutdown()


def tracing_of(environment: Mapping[str, str]) -> Tracing:
    """Tracing as the variables say: OTEL_TRACES_EXPORTER `otlp` (also if it is empty or not given), `console`, `none` or several; where to,
    how often and under which name, the SDK reads from them by itself. InputError for an exporter or a protocol that is not there."""
    exporters: list[SpanExporter] = []
    for name in (environment.get("OTEL_TRACES_EXPORTER") or "otlp").split(","):
        if name.strip() == "console":
            exporters.append(ConsoleSpanExporter())
        elif name.strip() == "otlp":
            exporters.append(_otlp(environment))
        elif name.strip() != "none":
            raise InputError(f"OTEL_TRACES_EXPORTER={name.strip()!r} is not known; give otlp, console or none")
    resource = Resource.create()  # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are in it
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "engrain"}))
    provider = TracerProvider(resource=resource)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider)


def _otlp(environment: Mapping[str, str]) -> SpanExporter:
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol not in (None, "", "http/protobuf"):
        raise InputError(f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol!r} is not spoken; give http/protobuf")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
