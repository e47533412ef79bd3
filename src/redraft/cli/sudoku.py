"""`redraft sudoku`: solve puzzles, check them by the rules, and try other seeds."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from redraft.cli.default_model import SEEING
from redraft.cli.grid import cells_of, grid_text
from redraft.cli.options import ModelOption
from redraft.cli.progress import open_model
from redraft.cli.sudoku_picture import read_picture
from redraft.config.check import check_integer
from redraft.errors import RequestError
from redraft.events import Draft, Finished
from redraft.tasks.sudoku import conflicts, parse_grid, places, solves

if TYPE_CHECKING:
    from redraft.api import Model

MAX_GRID = 200  # characters: a longer argument is no file name


@dataclass(frozen=True)
class Solution:
    """The best attempt at a puzzle.

    Attributes:
        puzzle, solution: 81 cells each. valid: the solution is complete, keeps the clues and breaks
            no rule.
        steps: denoising steps of all attempts. attempts: the number of seeds.
    """

    puzzle: str
    solution: str
    valid: bool
    steps: int
    attempts: int


def sudoku(
    puzzle: Annotated[
        str | None,
        typer.Argument(
            metavar="PUZZLE",
            help="81 cells (0 or . is a blank), a file with one puzzle a line, or - for standard "
            "input.",
        ),
    ] = None,
    model: ModelOption = "small",
    attempts: Annotated[
        int,
        typer.Option(
            help="Seeds to try at once; the first solution that keeps the rules is taken.", min=1
        ),
    ] = 1,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for each puzzle.")
    ] = False,
    image: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A picture of a puzzle, in place of PUZZLE."),
    ] = None,
    reader: Annotated[
        str, typer.Option(metavar="MODEL", help="The model that reads the picture.")
    ] = SEEING,
) -> None:
    """Solve Sudokus and check them by the rules.

    Exit status 1: a puzzle stays unsolved.
    """
    if (puzzle is None) == (image is None):
        raise RequestError("give a puzzle, or a picture of one with --image FILE")
    if image is not None:
        puzzles = [read_picture(open_model(reader), image, seed)]
    else:
        puzzles = read_puzzles(str(puzzle))
    loaded = open_model(model)
    unsolved = 0
    for cells in puzzles:
        solution = solve(loaded, cells, attempts, seed)
        unsolved += not solution.valid
        if as_json:
            print(json.dumps(vars(solution)), flush=True)
        else:
            Console().print(drawn(solution))
    if unsolved:
        sys.exit(1)


def read_puzzles(source: str) -> list[str]:
    """Return puzzles of 81 cells each: a grid, or a file or standard input with one a line.

    Raises:
        RequestError: there is no puzzle, one has not 81 cells, or its clues break the rules.
    """
    try:
        if source == "-":
            lines = sys.stdin.read().split("\n")
        elif len(source) < MAX_GRID and Path(source).is_file():
            lines = Path(source).read_text(encoding="utf-8").split("\n")
        elif re.search(r"[A-Za-z/\\]", source):
            raise RequestError(f"there is no file {source}, and a Sudoku has 81 cells of 0 to 9")
        else:
            lines = [source]
    except UnicodeDecodeError as error:
        raise RequestError(f"the puzzles are not UTF-8 text: {error}") from error
    puzzles = [parse_grid(line) for line in lines if line.strip()]
    if not puzzles:
        raise RequestError(
            "there is no puzzle to solve: give 81 cells, a file with one puzzle a line, or - for "
            "standard input"
        )
    for puzzle in puzzles:
        if wrong := conflicts(puzzle):
            raise RequestError(f"the clues break the rules at {places(wrong)}: {puzzle}")
    return puzzles


def solve(model: Model, puzzle: str, attempts: int, seed: int) -> Solution:
    """Try `attempts` seeds from `seed` on, each at its own temperature, as rows of one batch.

    The first right solution ends all attempts. Without one the first attempt is returned.
    """
    from redraft.engine import Engine, Request
    from redraft.evals.evaluate import attempt_options

    check_integer("attempts", attempts, minimum=1)
    prompt = model.chat_prompt([{"role": "user", "content": f"sudoku {puzzle}"}])
    engine = Engine(model.network, model.tokenizer, max_batch_size=attempts)
    for number in range(attempts):
        options = attempt_options(number, model.generation_config.temperature)
        config = model.generation_config.with_options({**options, "seed": seed + number})
        engine.add(Request.checked(prompt, config, model.config))
    steps, grids = 0, {}
    while engine.busy:
        events = engine.step()
        steps += sum(isinstance(event, Draft) for event in events)
        for event in events:
            if isinstance(event, Finished):
                grids[event.request] = cells_of(event.text)
                if solves(puzzle, grids[event.request]):
                    return Solution(puzzle, grids[event.request], True, steps, attempts)
    return Solution(puzzle, grids[0], False, steps, attempts)


def drawn(solution: Solution) -> Text:
    """Return the grid: clues bold, other cells green, conflicts red."""
    text = grid_text(solution.puzzle, solution.solution)
    state = "solved" if solution.valid else "not solved"
    attempts = f"{solution.attempts} attempt{'s' * (solution.attempts > 1)}"
    text.append(f"{state}, {solution.steps} steps, {attempts}\n", "cyan")
    return text
