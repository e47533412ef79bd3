"""Tables as pictures: shares right and passes by difficulty; KL by step and steps of two models
(matplotlib, extra `train`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from redraft.errors import ConfigError
from redraft.evals.divergence import Distance
from redraft.evals.side_by_side import Steps
from redraft.evals.summary import Row

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ImportError as error:  # pragma: no cover
    raise ConfigError("pictures need matplotlib: pip install 'redraft[train]'") from error

COLOURS = ("#3b6fb6", "#7fb069", "#c9a227", "#b0413e")


def plot_rows(columns: Mapping[str, Sequence[Row]], title: str, unit: str, path: Path) -> None:
    """Write a PNG: bars of shares right with their 95 % intervals above, mean passes below.

    Raises:
        ConfigError: the file cannot be written.
    """
    figure = Figure(figsize=(8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, height_ratios=(2, 1))
    bins = {(row.least, row.most): row.name for rows in columns.values() for row in rows}
    order = sorted(bins)
    width = 0.8 / len(columns)
    for number, (name, rows) in enumerate(columns.items()):
        places = [
            order.index((row.least, row.most)) + (number - (len(columns) - 1) / 2) * width
            for row in rows
        ]
        heights = [100 * row.right for row in rows]
        errors = [
            [100 * (row.right - row.low) for row in rows],
            [100 * (row.high - row.right) for row in rows],
        ]
        colour = COLOURS[number % len(COLOURS)]
        above.bar(places, heights, width, yerr=errors, capsize=3, color=colour, label=name)
        below.bar(places, [row.mean_steps for row in rows], width, color=colour)
    labels = [bins[ends] for ends in order]
    for axes, what in ((above, "right, %"), (below, "mean passes")):
        axes.set_xticks(range(len(bins)), labels)
        axes.set_ylabel(what)
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    above.set_ylim(0, 105)
    above.set_title(title)
    figure.legend(loc="outside lower center", ncols=len(columns), frameon=False)
    below.set_xlabel(unit)
    _save(figure, path)


def plot_divergence(distances: Sequence[Distance], steps: Steps, title: str, path: Path) -> None:
    """Write a PNG: KL by step above, how many canvases took how many steps below.

    Raises:
        ConfigError: the file cannot be written.
    """
    figure = Figure(figsize=(8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1)
    numbers = [one.step for one in distances]
    lines = {"mean": "kl", "mean in the text": "kl_written", "99th percentile": "kl_99"}
    for colour, (label, field) in zip(COLOURS, lines.items(), strict=False):
        above.plot(
            numbers,
            [getattr(one, field) for one in distances],
            marker=".",
            color=colour,
            label=label,
        )
    above.set_yscale("symlog", linthresh=1e-6)  # a model beside itself is at 0
    above.set_ylim(bottom=0)
    above.set_ylabel("KL(A || B), nats")
    above.set_title(title)
    above.legend(frameon=False)
    most = max(*steps.first_counts, *steps.second_counts)
    for shift, label, counts in ((-0.2, "A", steps.first_counts), (0.2, "B", steps.second_counts)):
        heights = [counts.count(number) for number in range(1, most + 1)]
        places = [number + shift for number in range(1, most + 1)]
        below.bar(places, heights, 0.4, color=COLOURS[0 if label == "A" else 2], label=label)
    below.set_ylabel("canvases")
    below.legend(frameon=False)
    for axes in (above, below):
        axes.set_xlabel("step" if axes is above else "steps until done")
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    try:
        figure.savefig(path, dpi=120, format="png")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}") from error
