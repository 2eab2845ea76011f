"""What the service does, in Prometheus's form: counts and times, never a word of what was said."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The service's own registry."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "engrain_requests", "Requests by route and status.", ("route", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "engrain_request_seconds", "Time to a response's first byte.", ("route",), buckets=BUCKETS_S, registry=self._registry
        )  # fmt: skip
        self.tokens = Counter(
            "engrain_tokens",
            "Tokens read, not read again because an earlier request began alike, and written.",
            ("direction",),
            registry=self._registry,
        )
        self.notes = Counter(
            "engrain_context_tokens", "Tokens of notes that were shown with queries.", registry=self._registry
        )

    def watch(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """A number that is asked for whenever somebody looks."""
        Gauge(name, help_, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """All of it, in Prometheus's text format 0.0.4."""
        return generate_latest(self._registry)
