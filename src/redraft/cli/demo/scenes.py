"""The three scenes. Their examples are held out, and chosen for what they show; `redraft eval` has the figures."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.text import Text

from redraft.cli.demo.lane import Lane, record, replay
from redraft.cli.grid import cells_of, grid_text
from redraft.engine import Model, Request
from redraft.evals import infilling
from redraft.tasks import Arithmetic, Example, Infill, Sudoku
from redraft.tasks.task import held_out

PUZZLE = "000000000000000000000000000000000000000000000000000000000000000000000000000000000"
SUM = "calc 17-08*02"
HOLE = 0
SEEDS = (0, 0, 0)


def sudoku(model: Model, console: Console) -> list[Lane]:
    """A grid that is solved all at once, wrong digits put right on the way."""
    example = Example(f"sudoku {PUZZLE}", "", PUZZLE.count("0"))
    console.print(f"\n[bold]A Sudoku with {example.difficulty} blanks.[/] Yellow: a digit that this pass changed.")
    request = infilling.request(model, example, SEEDS[0], {})
    lanes = [record(model, request, way, lambda text: Sudoku().check(example, text)) for way in ("diffusion", "typewriter")]

    def draw(lane: Lane, number: int) -> RenderableType:
        cells = cells_of(lane.frames[number].text if number >= 0 else "")
        before = cells_of(lane.frames[number - 1].text) if number > 0 else cells
        changed = [at for at in range(81) if before[at] not in ("0", cells[at])]
        return grid_text(PUZZLE, cells, changed)

    replay(console, lanes, draw)
    return lanes


def correction(model: Model, console: Console) -> list[Lane]:
    """A chain of sums whose answer stands before its steps: the first pass must guess."""
    task = Arithmetic()
    example = Example(SUM, f"{_worked(SUM):02}", SUM.count("+") + SUM.count("-") + SUM.count("*"))
    console.print(f"\n[bold]{SUM.removeprefix('calc ')}, worked from left to right, the answer first.[/] Red: corrected later.")
    request = infilling.request(model, example, SEEDS[1], {})
    lanes = [record(model, request, way, lambda text: task.check(example, text)) for way in ("diffusion", "typewriter")]
    drafted = lanes[0]
    for frame in drafted.frames:
        line = Text(f"  pass {frame.passes:2}  ", "dim")
        for at, sign in enumerate(frame.text):
            line.append(sign, "" if drafted.text[at : at + 1] == sign else "red")
        console.print(line)
    console.print(Text(f"  typewriter, {lanes[1].passes} passes:  {lanes[1].text}"))
    return lanes


def infill(model: Model, console: Console) -> list[Lane]:
    """A line that both sides determine; the typewriter sees but the left."""
    task, example = Infill(), hole()
    console.print("\n[bold]A missing line, filled from both sides.[/]")
    first, last = example.holes[0]
    before, after = example.answer[:first], example.answer[last:]
    drafted = record(
        model, infilling.request(model, example, SEEDS[2], {}), "diffusion", lambda text: task.check(example, text)
    )
    typed = record(model, _left_of(model, before), "typewriter", lambda text: task.check(example, before + text + after))

    def draw(lane: Lane, number: int) -> RenderableType:
        text = lane.frames[number].text if number >= 0 else ""
        if lane.name == "diffusion":
            text = text[len(before) : len(text) - len(after)] if text else ""
        style = "green" if lane.right else "red"
        return Text.assemble((before, "dim"), (text or "?", f"bold {style}"), (after, "dim"))

    replay(console, [drafted, typed], draw)
    return [drafted, typed]


def hole() -> Example:
    """The function of the third scene."""
    lines = [example for example in held_out(Infill(), 80) if example.difficulty == 2 and example.prompt == "fill python"]
    return lines[HOLE]


def _left_of(model: Model, before: str) -> Request:
    placed = infilling.layout(model)
    prompt = placed.prompt(Example("fill python", "", 2)) + placed.tokenizer.encode(before, bos=False)
    config = model.generation_config.with_options({"seed": SEEDS[2], "stop": ("\n",)})
    return Request.checked(prompt, config, model.config)


def _worked(prompt: str) -> int:
    """The value of a chain, worked from left to right."""
    chain = prompt.removeprefix("calc ")
    value = int(chain[:2])
    for at in range(2, len(chain), 3):
        operand = int(chain[at + 1 : at + 3])
        value = {"+": value + operand, "-": value - operand, "*": value * operand}[chain[at]]
    return value
