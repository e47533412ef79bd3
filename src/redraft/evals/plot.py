"""A table of rows as a picture: shares right with their intervals, and passes, by difficulty (matplotlib, extra `train`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from redraft.errors import ConfigError
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
        places = [order.index((row.least, row.most)) + (number - (len(columns) - 1) / 2) * width for row in rows]
        heights = [100 * row.right for row in rows]
        errors = [[100 * (row.right - row.low) for row in rows], [100 * (row.high - row.right) for row in rows]]
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
    try:
        figure.savefig(path, dpi=120, format="png")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}") from error
