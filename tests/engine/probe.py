"""Run a course of passes of a test's own in an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redraft.engine import Engine, Share, Work
from redraft.engine.work import Course, Resources
from redraft.events import Completed, Failed
from redraft.network import DiffusionGemma


class Probe(Work):
    """Work whose course is a function; it completes with what the function returns."""

    def __init__(self, course: Callable[[Resources], Any], share: Share | None = None) -> None:
        super().__init__()
        self.function, self._share = course, share or Share(1, 1, 10)

    def share(self, config: Any) -> Share:
        return self._share

    def course(self, resources: Resources) -> Course:
        self.complete((yield from self.function(resources)))


def run_course(network: DiffusionGemma, course: Callable[[Resources], Any], **options: Any) -> Any:
    """Return what a course returns; raise the error that it fails with."""
    engine = Engine(network, **options)
    engine.add(Probe(course))
    for event in engine.run():
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Completed):
            return event.result
    raise AssertionError("the course did not complete")
