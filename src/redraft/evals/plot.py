"""Tables as pictures: accuracy and forward passes by difficulty; KL by step of two models.

Needs matplotlib (extra `train`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from redraft.errors import ConfigError
from redraft.evals.divergence import Divergence
from redraft.evals.model_comparison import StepComparison
from redraft.evals.summary import DifficultyRow

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ImportError as error:  # pragma: no cover
    raise ConfigError("pictures need matplotlib: pip install 'redraft[train]'") from error

COLOURS = ("#3b6fb6", "#7fb069", "#c9a227", "#b0413e")


def plot_rows(
    columns: Mapping[str, Sequence[DifficultyRow]], title: str, unit: str, path: Path
) -> None:
    """Write a PNG: bars of accuracy with 95 % intervals above, mean forward passes below.

    Args:
        columns: rows by name of the method.

    Raises:
        ConfigError: the file cannot be written.
    """
    figure = Figure(figsize=(8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, height_ratios=(2, 1))
    bins: dict[tuple[int, int], str] = {}
    for rows in columns.values():
        bins |= {(row.min_difficulty, row.max_difficulty): row.name for row in rows}
    order = sorted(bins)
    width = 0.8 / len(columns)
    for number, (name, rows) in enumerate(columns.items()):
        shift = (number - (len(columns) - 1) / 2) * width
        places = [order.index((row.min_difficulty, row.max_difficulty)) + shift for row in rows]
        heights = [100 * row.right for row in rows]
        below_right = [100 * (row.right - row.low) for row in rows]
        above_right = [100 * (row.high - row.right) for row in rows]
        errors = [below_right, above_right]
        colour = COLOURS[number % len(COLOURS)]
        above.bar(places, heights, width, yerr=errors, capsize=3, color=colour, label=name)
        below.bar(places, [row.mean_steps for row in rows], width, color=colour)
    labels = [bins[ends] for ends in order]
    for axes, label in ((above, "right, %"), (below, "mean passes")):
        axes.set_xticks(range(len(bins)), labels)
        axes.set_ylabel(label)
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    above.set_ylim(0, 105)
    above.set_title(title)
    figure.legend(loc="outside lower center", ncols=len(columns), frameon=False)
    below.set_xlabel(unit)
    _save(figure, path)


def plot_divergence(
    distances: Sequence[Divergence], steps: StepComparison, title: str, path: Path
) -> None:
    """Write a PNG: KL by step above, a histogram of the steps of both models below.

    Raises:
        ConfigError: the file cannot be written.
    """
    figure = Figure(figsize=(8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1)
    numbers = [one.step for one in distances]
    lines = {"mean": "kl", "mean in the text": "kl_written", "99th percentile": "kl_99"}
    for colour, (label, field) in zip(COLOURS, lines.items(), strict=False):
        values = [getattr(one, field) for one in distances]
        above.plot(numbers, values, marker=".", color=colour, label=label)
    # Not "log": a model compared with itself is at 0.
    above.set_yscale("symlog", linthresh=1e-6)
    above.set_ylim(bottom=0)
    above.set_ylabel("KL(A || B), nats")
    above.set_title(title)
    above.legend(frameon=False)
    limit = max(*steps.first_counts, *steps.second_counts)
    for shift, label, counts in ((-0.2, "A", steps.first_counts), (0.2, "B", steps.second_counts)):
        heights = [counts.count(number) for number in range(1, limit + 1)]
        places = [number + shift for number in range(1, limit + 1)]
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
