"""Queueing: users who ask, read and ask again, and rows that share passes.

A closed queue: each user waits for the answer, thinks, and asks again. The server runs up to
`batch` rows at a time, and every pass takes as long as its rows need; a prompt that is read holds
up the rows beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from redraft.capacity.costs import Costs
from redraft.errors import ConfigError

HALVINGS = 60


@dataclass(frozen=True, kw_only=True)
class Load:
    """Requests of users.

    Attributes:
        prompt, answer: tokens. steps: denoising steps of a canvas. think: seconds from an answer to
            the next request. batch: rows at a time at most.
    """

    users: int
    prompt: int
    answer: int
    steps: float
    think: float = 0.0
    batch: int = 8

    def __post_init__(self) -> None:
        for name, least in (("users", 1), ("prompt", 0), ("answer", 1), ("batch", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}={getattr(self, name)} must be at least {least}")
        if self.steps < 1 or not math.isfinite(self.steps):
            raise ConfigError(f"steps={self.steps} must be at least 1")
        if self.think < 0 or not math.isfinite(self.think):
            raise ConfigError(f"think={self.think} must be at least 0")


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Rates and times under a load.

    Attributes:
        rows: that run at a time, on average. passes_per_second: denoising steps of the batch, or
            autoregressive passes. tokens_per_second: of all users; per_user: of one, while an
            answer is awaited. wait: seconds for a place. first_draft, first_text: seconds from the
            request to the first draft, and to the first text that stays. answer_seconds: to the
            whole answer.
    """

    users: int
    rows: float
    passes_per_second: float
    tokens_per_second: float
    per_user: float
    wait: float
    first_draft: float
    first_text: float
    answer_seconds: float


def flow(costs: Costs, load: Load, *, autoregressive: bool = False) -> Flow:
    """Return what comes of a load, written by diffusion or from left to right."""
    service = _Service(costs, load, autoregressive)
    rows = _rows(service, load)
    seconds = service.seconds(rows)
    rate = rows / seconds  # answers a second
    wait = max(0.0, load.users / rate - load.think - seconds)
    first = wait + costs.read(load.prompt) + costs.request
    # A pass with its share of the prompts that are read between two of them.
    stretched = seconds / service.passes
    to_text = load.steps * stretched if not autoregressive else stretched
    return Flow(
        users=load.users,
        rows=rows,
        passes_per_second=1 / stretched,
        tokens_per_second=rate * load.answer,
        per_user=load.answer / (wait + seconds),
        wait=wait,
        first_draft=first + stretched,
        first_text=first + to_text,
        answer_seconds=wait + seconds,
    )


class _Service:
    """Seconds of one answer among so many rows."""

    def __init__(self, costs: Costs, load: Load, autoregressive: bool) -> None:
        self._costs, self._load, self._autoregressive = costs, load, autoregressive
        canvases = math.ceil(load.answer / costs.canvas)
        self._context = load.prompt + load.answer / 2
        if autoregressive:
            self.passes: float = load.answer
            committed = 0
        else:
            self.passes = canvases * load.steps
            committed = canvases - 1  # a canvas is read again when the next begins
        # What a request takes from the machine beside the passes that it shares.
        self.alone = costs.read(load.prompt) + committed * costs.read(costs.canvas) + costs.request

    def step(self, rows: float) -> float:
        """Return the seconds of a pass."""
        cost = self._costs.token if self._autoregressive else self._costs.step
        return cost(rows, self._context)

    def seconds(self, rows: float) -> float:
        """Return the seconds of one answer: its passes, and all prompts that are read meanwhile."""
        return self.passes * self.step(rows) + rows * self.alone


def _rows(service: _Service, load: Load) -> float:
    """Return the rows that run at a time: those users who do not think, up to the batch."""
    most = float(min(load.batch, load.users))

    def users_of(rows: float) -> float:
        return rows + load.think * rows / service.seconds(rows)

    if users_of(most) <= load.users:
        return most
    low, high = 0.0, most
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if users_of(middle) <= load.users else (low, middle)
    return high
