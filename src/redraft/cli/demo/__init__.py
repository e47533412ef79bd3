"""`redraft demo`: half a minute on the models that ship with the package.

A hard Sudoku, a page edited by an instruction, a hole in a function; each beside the same weights
as a typewriter.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from redraft.cli.demo.lane import Lane


def demo() -> None:
    """Show the small models at work.

    Three tasks, each by diffusion and as a typewriter. No checkpoint is needed.
    """
    run(Console())


def run(console: Console) -> None:
    """Play the three scenes, then print the figures."""
    from redraft.api import load
    from redraft.cli.demo.scenes import edit_scene, infill_scene, sudoku_scene

    puzzles, text = load("small"), load("small-text")
    count = sum(parameter.numel() for parameter in puzzles.network.parameters())
    console.print(
        "The small models that ship with redraft: DiffusionGemmas of "
        f"{count / 1e6:.1f} M parameters.",
        style="dim",
    )
    lanes: list[tuple[str, Lane]] = []
    for title, scene, model in (
        ("Sudoku", sudoku_scene, puzzles),
        ("page edited by an instruction", edit_scene, text),
        ("hole in a function", infill_scene, text),
    ):
        lanes += [(title, lane) for lane in scene(model, console)]
    console.print(summary(lanes))
    command = command_name()
    console.print(
        f"Next, the same in your browser: {command} play\n"
        f'or a sum in the terminal: {command} generate "calc 17+25-03"',
        style="dim",
        highlight=False,
    )


def command_name() -> str:
    """Return what to type for this command: its name, or its path where no shell finds the name."""
    if shutil.which("redraft"):
        return "redraft"
    path = os.path.relpath(sys.argv[0])
    return path if len(path) < len(sys.argv[0]) else sys.argv[0]


def summary(lanes: list[tuple[str, Lane]]) -> Table:
    """Return a table with a row for each task and way."""
    names = ("", "way", "passes", "seconds", "result")
    table = Table(*names, title="The same weights, two ways", title_justify="left")
    for title, lane in lanes:
        verdict = "[green]right[/]" if lane.right else "[red]wrong[/]"
        table.add_row(title, lane.name, str(lane.passes), f"{lane.seconds:.2f}", verdict)
    return table
