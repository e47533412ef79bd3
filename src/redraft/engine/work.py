"""Work: a request on its way through the engine, as a course of passes."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from redraft.config import GenerationConfig, ModelConfig
from redraft.diffusion import Canvas, DenoisingState, Sampler, StoppingCriteria
from redraft.engine.images import PlacedImage, prefix_tokens
from redraft.engine.memory_budget import Share
from redraft.engine.prefix_cache import PrefixCache
from redraft.engine.row import CanvasInputs, Row
from redraft.errors import RequestError
from redraft.events import Completed, EngineEvent
from redraft.network import PREFILL_CHUNK, DiffusionGemma
from redraft.ops.vocabulary import LogitEdits, SpanConstraint
from redraft.text import Tokenizer


@dataclass(frozen=True)
class Resources:
    """The engine's resources for the work that runs in it.

    Attributes:
        prefill_chunk: clean tokens that a step encodes at most.
        adapter: the adapter that all rows of the work are read with; None for the base alone.
    """

    prefixes: PrefixCache
    tokenizer: Tokenizer | None
    adapter: str | None = None
    prefill_chunk: int = PREFILL_CHUNK

    @property
    def config(self) -> ModelConfig:
        return self.prefixes.model.config

    @property
    def device(self) -> torch.device:
        return self.prefixes.model.device

    def row(
        self, capacity: int, prompt: tuple[int, ...], images: Sequence[PlacedImage] = ()
    ) -> Row:
        """Return a row that begins with a prompt, of which the prefix cache may know a part."""
        spans = tuple(one.span for one in images)
        known_by = prefix_tokens(prompt, images)
        return Row(self.prefixes, capacity, known_by, self.adapter, spans)

    def canvas_inputs(
        self,
        canvas: Canvas,
        config: GenerationConfig,
        noise_row: tuple[int, int, int],
        *,
        edits: LogitEdits | None = None,
        span_constraints: Sequence[SpanConstraint] = (),
        sampler: Sampler | None = None,
        stopping: StoppingCriteria | None = None,
    ) -> CanvasInputs:
        """Return the inputs of a canvas's first denoising step; `canvas` is one row."""
        state = DenoisingState.start(canvas, self.config.hidden_size, self.prefixes.model.dtype)
        return CanvasInputs(state, config, noise_row, edits, span_constraints, sampler, stopping)


Course = Iterator[Sequence[Row]]


def check_adapter(model: DiffusionGemma, name: str | None) -> None:
    """Check that a model has an adapter.

    Raises:
        RequestError: it has none of this name.
    """
    if name is not None and name not in model.adapters:
        known = ", ".join(model.adapters) or "none"
        raise RequestError(f"the model has no adapter {name!r}: there are {known}")


class Work(ABC):
    """One request: a text to write or to score, holes to fill.

    Its `course` reads like the method it implements: it yields the rows that need a pass, and
    goes on when each of them has its `result`. The engine runs the rows of all work together, so
    no course knows, or depends on, what runs beside it.

    Attributes:
        number: given by the engine; its events carry it.
        group: number of the group that it shares its part of the engine with: choices of one
            request are one group. -1 before it is queued.
        rows: those that wait for the pass that they were yielded for.
        drafts: False leaves out Draft events, and what it takes to make them.
        adapter: name of the adapter that it is done with; None for the base alone.
        deadline: time of `time.monotonic` from which on the best draft so far is its result; None
            for no deadline.
        ended: True once nothing is left to do.
    """

    def __init__(self) -> None:
        self.number = self.group = -1
        self.drafts = True
        self.adapter: str | None = None
        self.rows: list[Row] = []
        self.ended = False
        self.deadline: float | None = None
        self._course: Course | None = None
        self._events: list[EngineEvent] = []

    @property
    def late(self) -> bool:
        """True from the deadline on."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    @abstractmethod
    def share(self, config: ModelConfig) -> Share:
        """Return the memory that it holds at most while it runs."""

    @abstractmethod
    def course(self, resources: Resources) -> Course:
        """Yield rows to run, pass by pass; `emit` sends events meanwhile."""

    def begin(self, number: int, resources: Resources) -> None:
        """Take the number that the engine gives; called once, when the work is queued."""
        self.number = number

    def emit(self, event: EngineEvent) -> None:
        """Send an event."""
        self._events.append(event)

    def complete(self, result: object) -> None:
        """Send the result."""
        self.emit(Completed(request=self.number, result=result))

    def advance(self, resources: Resources) -> list[EngineEvent]:
        """Begin the course, or resume it where every row has its result; return its events."""
        if self._course is None:
            self._course = self.course(resources)
        elif any(row.result is None for row in self.rows):
            return []
        self.rows = []
        try:
            self.rows = list(next(self._course))
            for row in self.rows:
                row.result = None
        except StopIteration:
            self.ended = True
        events, self._events = self._events, []
        return events

    def cancel(self) -> list[EngineEvent]:
        """Stop at once; return the events that close the request, if its kind has any."""
        self.ended = True
        if self._course is not None:
            self._course.close()  # type: ignore[attr-defined]
        self.rows = []
        return []
