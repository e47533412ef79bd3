"""A lane: one way to write one text, recorded with its times and replayed beside another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table

from redraft.api import Model
from redraft.engine import Method, Request
from redraft.events import Committed, Draft

REPLAY = 6.0  # seconds that a replay takes


@dataclass(frozen=True)
class Frame:
    """The text after one more pass, `seconds` after the start."""

    seconds: float
    text: str


@dataclass(frozen=True)
class Lane:
    """The frames of one way; `right` judges the last."""

    name: Method
    frames: tuple[Frame, ...]
    right: bool

    @property
    def passes(self) -> int:
        return len(self.frames)

    @property
    def seconds(self) -> float:
        return self.frames[-1].seconds

    @property
    def text(self) -> str:
        return self.frames[-1].text

    def at(self, seconds: float) -> int:
        """Return the number of the last frame by that time, -1 before the first."""
        return sum(frame.seconds <= seconds for frame in self.frames) - 1


def record(model: Model, request: Request, method: Method, check: Callable[[str], bool]) -> Lane:
    """Write the request by a method, and keep every frame. One short pass before it warms the
    machine up."""
    warm = Request.checked(
        request.prompt[:1], request.config.with_options({"max_new_tokens": 1}), model.config
    )
    for _ in model.run([warm], method=method):
        pass
    frames: list[Frame] = []
    typed, started = "", time.perf_counter()
    for event in model.run([request], method=method):
        seconds = time.perf_counter() - started
        if isinstance(event, Draft):
            frames.append(Frame(seconds, event.text))
        elif isinstance(event, Committed) and method == "typewriter":
            typed += event.text
            frames.append(Frame(seconds, typed))
    return Lane(method, tuple(frames), check(frames[-1].text))


def replay(
    console: Console, lanes: Sequence[Lane], draw: Callable[[Lane, int], RenderableType]
) -> None:
    """Show lanes side by side from one start, so slowly that a person can follow; in a pipe the end
    alone."""
    longest = max(lane.seconds for lane in lanes)
    slowness = max(1.0, REPLAY / longest)

    def board(seconds: float) -> RenderableType:
        table = Table.grid(padding=(0, 6))
        numbers = [lane.at(seconds) for lane in lanes]
        heads = [
            f"[bold]{lane.name}[/], pass {max(0, n + 1)}"
            for lane, n in zip(lanes, numbers, strict=True)
        ]
        table.add_row(*heads)
        table.add_row(*(draw(lane, n) for lane, n in zip(lanes, numbers, strict=True)))
        return table

    if console.is_interactive:
        with Live(board(0), console=console, refresh_per_second=20, transient=True) as live:
            started = time.perf_counter()
            while (now := (time.perf_counter() - started) / slowness) < longest:
                live.update(board(now))
                time.sleep(0.05)
        console.print(f"shown {slowness:.0f} times slower than it was written", style="dim")
    console.print(board(longest))
