"""`redraft demo`: what diffusion is for, in half a minute, on the model that ships with the
package.

A hard Sudoku, a page edited by a wish, a hole in a function; the same weights as a typewriter
beside each.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from redraft.api import load
from redraft.cli.demo.lane import Lane
from redraft.cli.demo.scenes import correction, infill, sudoku


def run(console: Console | None = None) -> None:
    """Play the three scenes, then the figures."""
    console = console or Console()
    puzzles, text = load("small"), load("small-text")
    count = sum(parameter.numel() for parameter in puzzles.network.parameters())
    console.print(
        f"The small models that ship with redraft: DiffusionGemmas of {count / 1e6:.1f} M parameters.",
        style="dim",
    )
    lanes: list[tuple[str, Lane]] = []
    for title, scene, model in (
        ("Sudoku", sudoku, puzzles),
        ("page edited by a wish", correction, text),
        ("hole in a function", infill, text),
    ):
        lanes += [(title, lane) for lane in scene(model, console)]
    console.print(summary(lanes))
    console.print(
        "Next: redraft play, redraft sudoku GRID, redraft generate --model CHECKPOINT", style="dim"
    )


def summary(lanes: list[tuple[str, Lane]]) -> Table:
    """A row for each way of doing each task."""
    table = Table(
        "",
        "way",
        "passes",
        "seconds",
        "result",
        title="The same weights, two ways",
        title_justify="left",
    )
    for title, lane in lanes:
        verdict = "[green]right[/]" if lane.right else "[red]wrong[/]"
        table.add_row(title, lane.name, str(lane.passes), f"{lane.seconds:.2f}", verdict)
    return table
