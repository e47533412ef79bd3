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
        self._prompt.inc(statistics.prompt_tokens)
        self._cached.inc(statistics.cached_tokens)
        self._passes.inc(statistics.forwards)
        self._first.observe(statistics.time_to_first_draft)
        self._whole.observe(statistics.seconds)

    def count_infill(self, filled: Infilled) -> None:
        """Count a finished infill."""
        self._fills.inc()
        self._passes.inc(sum(one.steps for one in filled.candidates))

    def answered(self, route: str, status: int) -> None:
        """Count an answer, whole or begun."""
        self._answers.labels(route, str(status)).inc()

    async def page(self) -> Response:
        """Return all metrics as text."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)
