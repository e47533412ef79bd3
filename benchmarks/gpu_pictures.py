"""Pictures of what `gpu_tables.py` measured: both ways of writing; steps and their floors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COLORS = ("#c2410c", "#1d4ed8", "#15803d", "#7e22ce", "#0f766e", "#a16207")
Figures = dict[str, Any]


def check_plotting() -> None:
    """End the program with a sentence where matplotlib is missing, before anything is measured."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        sys.exit("pictures need matplotlib: pip install 'redraft[train]'")


def draw(document: Figures, folder: Path) -> list[Path]:
    """Write the pictures of a `tables.json` into a folder; return those that there are figures for.

    `methods.png`: tokens a second over steps a canvas, and of autoregressive decoding.
    `prefixes.png`, `batches.png`: the ratio of steps to their floors.
    """
    check_plotting()
    lines = [line for line in document["lines"] if "error" not in line]
    made = []
    methods = [line for line in lines if "batches" in line]
    if methods:
        made.append(folder / "methods.png")
        _draw_methods(methods, made[-1])
    for table, field in (("Prefixes", "prefix"), ("Batches", "batch")):
        mine = [line for line in lines if line["table"] == table and "ratio" in line]
        if mine:
            made.append(folder / f"{table.lower()}.png")
            _draw_ratios(mine, field, made[-1])
    return made


def _draw_methods(lines: Sequence[Figures], path: Path) -> None:
    from matplotlib.figure import Figure

    batches = list(lines[0]["batches"])
    figure = Figure(figsize=(4.5 * len(batches), 4), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(batches), squeeze=False)[0]
    for panel, batch in zip(panels, batches, strict=True):
        for line, color in zip(lines, COLORS, strict=False):
            one, form = line["batches"][batch], line["format"]
            steps = [int(number) for number in one["diffusion_tokens_per_second"]]
            rates = list(one["diffusion_tokens_per_second"].values())
            panel.plot(steps, rates, "o-", color=color, label=f"diffusion, {form}")
            typed = one["autoregressive_tokens_per_second"]
            panel.axhline(typed, color=color, linestyle="--", label=f"token by token, {form}")
        panel.set(
            title=f"texts at once: {batch}", xlabel="steps a canvas", ylabel="tokens a second"
        )
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7)
    figure.savefig(path)


def _draw_ratios(lines: Sequence[Figures], field: str, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    forms = dict.fromkeys(line["format"] for line in lines)
    for form, color in zip(forms, COLORS, strict=False):
        points = sorted((line[field], line["ratio"]) for line in lines if line["format"] == form)
        axes.plot(*zip(*points, strict=True), "o-", color=color, label=form)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set(xlabel=f"{field} (tokens)" if field == "prefix" else "texts at once")
    axes.set(ylabel="a step over its floor", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)
