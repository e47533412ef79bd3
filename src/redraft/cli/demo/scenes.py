"""The three scenes of the demo.

Their examples are held out, and chosen for what they show; `redraft eval` measures whole sets.
"""

from __future__ import annotations

from difflib import SequenceMatcher

from rich.console import Console, RenderableType
from rich.text import Text

from redraft.api import Model
from redraft.cli.demo.lane import Lane, record, replay
from redraft.cli.grid import cells_of, grid_text
from redraft.engine import Method
from redraft.evals.autoregressive_infill import line_request
from redraft.evals.example_requests import example_request
from redraft.tasks import Example, Infill, Sudoku, ToDo
from redraft.tasks.task import held_out

PUZZLE = "050031690000000001007002000000004002300100000608090030000900008093040000400000006"
EDIT, HOLE = 83, 4  # numbers among the held-out edits, and among the held-out lines of Python
SEEDS = (47, EDIT, HOLE)
WAYS: tuple[Method, ...] = ("diffusion", "typewriter")


def sudoku_scene(model: Model, console: Console) -> list[Lane]:
    """Solve a grid all at once; later passes correct wrong digits."""
    example = Example(f"sudoku {PUZZLE}", "", PUZZLE.count("0"))
    console.print(
        f"\n[bold]A Sudoku with {example.difficulty} blanks.[/] "
        "Yellow: a digit that this pass changed."
    )
    request = example_request(model, example, SEEDS[0], {})
    lanes = [
        record(model, request, way, lambda text: Sudoku().check(example, text)) for way in WAYS
    ]

    def draw(lane: Lane, number: int) -> RenderableType:
        cells = cells_of(lane.frames[number].text if number >= 0 else "")
        before = cells_of(lane.frames[number - 1].text) if number > 0 else cells
        changed = [at for at in range(81) if before[at] not in ("0", cells[at])]
        return grid_text(PUZZLE, cells, changed)

    replay(console, lanes, draw)
    return lanes


def edit_scene(model: Model, console: Console) -> list[Lane]:
    """Edit a page by an instruction; later passes correct what the first one got wrong."""
    task, example = ToDo(), edit()
    page, _, instruction = example.prompt.removeprefix("edit ").partition("\n")
    console.print(
        Text.assemble(
            ("\nA page edited by an instruction: ", "bold"),
            instruction,
            (" Red: corrected later.", "dim"),
        )
    )
    console.print(Text(f"  before   {page}", "dim"))
    request = example_request(model, example, SEEDS[1], {})
    lanes = [record(model, request, way, lambda text: task.check(example, text)) for way in WAYS]
    drafted, typed = lanes
    for number, frame in enumerate(drafted.frames, 1):
        console.print(_compared(f"  pass {number:2}  ", frame.text, drafted.text))
    console.print(_compared("  typed    ", typed.text, example.answer))
    return lanes


def _compared(head: str, text: str, right: str) -> Text:
    """Return a line of text, with everything that differs from `right` in red."""
    line = Text(head, "dim")
    for tag, first, last, _, _ in SequenceMatcher(None, text, right, autojunk=False).get_opcodes():
        line.append(text[first:last], "" if tag == "equal" else "red")
    return line


def infill_scene(model: Model, console: Console) -> list[Lane]:
    """Fill a line that both sides determine; the typewriter sees the left side only."""
    task, example = Infill(), hole()
    console.print("\n[bold]A missing line, filled from both sides.[/]")
    first, last = example.holes[0]
    before, after = example.answer[:first], example.answer[last:]
    drafted = record(
        model,
        example_request(model, example, SEEDS[2], {}),
        "diffusion",
        lambda text: task.check(example, text),
    )
    request = line_request(model, example, before, SEEDS[2], {})
    typed = record(
        model, request, "typewriter", lambda text: task.check(example, before + text + after)
    )

    def draw(lane: Lane, number: int) -> RenderableType:
        text = lane.frames[number].text if number >= 0 else ""
        if lane.name == "diffusion":
            text = text[len(before) : len(text) - len(after)] if text else ""
        style = "green" if lane.right else "red"
        return Text.assemble((before, "dim"), (text or "?", f"bold {style}"), (after, "dim"))

    replay(console, [drafted, typed], draw)
    return [drafted, typed]


def edit() -> Example:
    """Return the page and the instruction of the second scene."""
    return held_out(ToDo(), EDIT + 1)[EDIT]


def hole() -> Example:
    """Return the function of the third scene."""
    lines = [
        example
        for example in held_out(Infill(), 80)
        if example.difficulty == 2 and example.prompt == "fill python"
    ]
    return lines[HOLE]
