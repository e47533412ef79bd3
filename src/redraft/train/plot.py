"""The metrics of a run as a picture: loss by noise level, encoder loss, learning rate, and what was
answered exactly in evaluations.

Needs matplotlib (extra `train`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, cycle
from pathlib import Path
from typing import Any

from redraft.train.metrics import Metrics, read_metrics

PICTURE = "metrics.png"
# From little noise to much.
COLOURS = ("#fde0a3", "#f4a259", "#d1495b", "#8f2d56", "#3c1642")
# A curve is smoothed over the last 1 / so much of its points.
SMOOTHED_PART = 40


def plot_metrics(metrics: Path, picture: Path) -> bool:
    """Draw metrics.jsonl into a PNG; return true if it was drawn.

    Nothing is drawn if matplotlib is missing or there are no metrics.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    rows = read_metrics(metrics)
    if not rows:
        return False
    evaluated = [row for row in rows if row.get("eval")]
    heights = (3, 1, 1.5, 1) if evaluated else (3, 1)
    figure = Figure(figsize=(9, 2 + 4 * len(heights) / 2), layout="constrained")
    FigureCanvasAgg(figure)
    above, below, *last = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    levels = len(rows[0]["loss_by_level"])
    for level in range(levels):
        low, high = level / levels, (level + 1) / levels
        values = [row["loss_by_level"][level] for row in rows]
        _curve(above, rows, values, f"noise {low:.1f} to {high:.1f}", COLOURS[level])
    _curve(above, rows, [row["encoder_loss"] for row in rows], "encoder loss", "#3b6fb6")
    above.set_yscale("log")
    above.set_ylabel("loss, nats a position")
    above.legend(frameon=False, ncols=2)
    _curve(below, rows, [row["learning_rate"] for row in rows], "", "#555555")
    below.set_ylabel("learning rate")
    if last:
        _answers(last[0], evaluated)
        _passes(last[1], evaluated)
    (last or [below])[-1].set_xlabel("updates")
    for axes in (above, below, *last):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=120)
    return True


def _answers(axes: Any, rows: Sequence[Metrics]) -> None:
    """Draw the shares of answers that are exact, and that ended, of every file."""
    for name, colour, steps, found in _files(rows):
        axes.plot(steps, [one["exact"] for one in found], "o-", color=colour, label=name)
        ended = [one["ended"] for one in found]
        axes.plot(steps, ended, ":", color=colour, linewidth=1, label=f"{name}, ended")
    axes.set_ylim(-0.05, 1.05)
    axes.set_ylabel("exact answers")
    axes.legend(frameon=False, fontsize="small", ncols=2)


def _passes(axes: Any, rows: Sequence[Metrics]) -> None:
    """Draw the denoising passes of a canvas of every file."""
    for _, colour, steps, found in _files(rows):
        axes.plot(steps, [one["passes"] for one in found], "o-", color=colour)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("passes a canvas")


def _files(
    rows: Sequence[Metrics],
) -> Iterator[tuple[str, str, list[int], list[dict[str, float]]]]:
    """Yield each file that was answered: its name, a colour, the updates, and what was found."""
    names = list(dict.fromkeys(chain.from_iterable(row["eval"] for row in rows)))
    for name, colour in zip(names, cycle(COLOURS[1:]), strict=False):
        mine = [row for row in rows if name in row["eval"]]
        yield name, colour, [row["step"] for row in mine], [row["eval"][name] for row in mine]


def _curve(
    axes: Any, rows: Sequence[Metrics], values: list[float | None], label: str, colour: str
) -> None:
    """Draw a faint line of the values, and a clear one of their running mean."""
    points = [
        (row["step"], value) for row, value in zip(rows, values, strict=True) if value is not None
    ]
    if not points:
        return
    steps, heights = zip(*points, strict=True)
    width = max(1, len(heights) // SMOOTHED_PART)
    smooth = []
    for at in range(len(heights)):
        window = heights[max(0, at - width) : at + 1]
        smooth.append(sum(window) / len(window))
    axes.plot(steps, heights, color=colour, alpha=0.3, linewidth=0.8)
    axes.plot(steps, smooth, color=colour, linewidth=1.6, label=label or None)
