"""Results of infilling."""

from __future__ import annotations

from dataclasses import dataclass

from redraft.notebook import ShowsCanvas
from redraft.short_repr import with_short_repr


@with_short_repr()
@dataclass(frozen=True)
class Candidate:
    """One set of widths and what became of it.

    Attributes:
        widths: tokens that each hole had room for. fills: the text in each hole. steps: denoising
            steps it took.
        score: log-probability of the text on the canvases, and of what stands behind it, read left
            to right: nats.
    """

    widths: tuple[int, ...]
    fills: tuple[str, ...]
    steps: int
    score: float


@with_short_repr(without=("candidates", "history"))
@dataclass(frozen=True)
class Infilled(ShowsCanvas):
    """A filled text.

    Attributes:
        text: all of it; what stood outside the holes is as it was. fills: what stands in the holes.
        candidates: all that were tried, the best first. right_context: how many of the tokens
            behind the last hole the model saw, and how many there are. seed: writes the same again.
        history: for each position that was open, padding and seams included, the tokens that it
            held, one a step.
        settled: False where max_steps or a deadline ended it before it had settled.
    """

    text: str
    fills: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    right_context: tuple[int, int]
    seed: int
    history: tuple[tuple[int, ...], ...] = ()
    settled: bool = True
