"""Metrics: the counters that Prometheus reads at /metrics."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from redraft.editing import Infilled
from redraft.events import Statistics
from redraft.server.keys import KeyRing, current_key

SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100)


class Metrics:
    """Counters of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ["route", "status"]
        self._answers = Counter(
            "redraft_responses",
            "HTTP responses by route and status.",
            labels,
            registry=self.registry,
        )
        self._tokens = Counter("redraft_tokens", "Tokens written.", registry=self.registry)
        self._prompt = Counter("redraft_prompt_tokens", "Prompt tokens.", registry=self.registry)
        self._cached = Counter(
            "redraft_cached_tokens",
            "Prompt tokens found in the prefix cache.",
            registry=self.registry,
        )
        self._passes = Counter(
            "redraft_denoising_steps", "Denoising steps, summed over rows.", registry=self.registry
        )
        self._fills = Counter("redraft_fills", "Infills.", registry=self.registry)
        # Labels are the names that the server was started with, so that their number has a limit.
        self._key_requests = Counter(
            "redraft_key_requests", "Requests of each key.", ["key"], registry=self.registry
        )
        self._key_refused = Counter(
            "redraft_key_refused",
            "Requests beyond the limits of each key.",
            ["key"],
            registry=self.registry,
        )
        self._key_tokens = Counter(
            "redraft_key_tokens", "Tokens written for each key.", ["key"], registry=self.registry
        )
        self.keys = KeyRing(())
        self._first = Histogram(
            "redraft_first_draft_seconds",
            "Seconds to the first draft.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._whole = Histogram(
            "redraft_text_seconds",
            "Seconds to the whole text.",
            buckets=SECONDS,
            registry=self.registry,
        )

    def watch(self, name: str, words: str, value: Callable[[], float]) -> None:
        """Add a gauge whose value is read on every scrape."""
        Gauge(name, words, registry=self.registry).set_function(value)

    def count_text(self, statistics: Statistics) -> None:
        """Count a finished text."""
        self._tokens.inc(statistics.new_tokens)
        self.count_for_key(statistics.new_tokens)
        self._prompt.inc(statistics.prompt_tokens)
        self._cached.inc(statistics.cached_tokens)
        self._passes.inc(statistics.forwards)
        self._first.observe(statistics.time_to_first_draft)
        self._whole.observe(statistics.seconds)

    def count_infill(self, filled: Infilled) -> None:
        """Count a finished infill."""
        self._fills.inc()
        self.count_for_key(sum(filled.candidates[0].widths))
        self._passes.inc(sum(one.steps for one in filled.candidates))

    def key_request(self, name: str) -> None:
        """Count a request of a key."""
        self._key_requests.labels(name).inc()

    def key_refused(self, name: str) -> None:
        """Count a request that is beyond the limits of its key."""
        self._key_refused.labels(name).inc()

    def count_for_key(self, tokens: int) -> None:
        """Count tokens that were written for the key of this context, where there is one."""
        if name := current_key.get():
            self._key_tokens.labels(name).inc(tokens)
            self.keys.written(name, tokens)

    def answered(self, route: str, status: int) -> None:
        """Count an answer, whole or begun."""
        self._answers.labels(route, str(status)).inc()

    async def page(self) -> Response:
        """Return all metrics as text."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)
