"""`redraft sudoku`: solve puzzles, check the rules, try again with other seeds where asked."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from redraft.api import Model
from redraft.cli.grid import cells_of, grid_text
from redraft.cli.write import open_model
from redraft.config.check import check_integer
from redraft.engine import Engine, Request
from redraft.errors import RequestError
from redraft.evals.evaluate import at_attempt
from redraft.events import Draft, Finished
from redraft.tasks.sudoku import conflicts, parse_grid, solves


@dataclass(frozen=True)
class Solution:
    """A puzzle's best attempt: `valid` where it is complete, keeps the clues and breaks no rule;
    `steps` of all attempts."""

    puzzle: str
    solution: str
    valid: bool
    steps: int
    attempts: int


def run(given: str, path: str, attempts: int, seed: int, as_json: bool) -> None:
    """Solve what GRID, FILE or standard input holds; exit status 1 where a puzzle stays
    unsolved."""
    puzzles = read_puzzles(given)
    model = open_model(path, "auto", "auto")
    unsolved = 0
    for puzzle in puzzles:
        solution = solve(model, puzzle, attempts, seed)
        unsolved += not solution.valid
        if as_json:
            print(json.dumps(vars(solution)), flush=True)
        else:
            Console().print(drawn(solution))
    if unsolved:
        sys.exit(1)


def read_puzzles(given: str) -> list[str]:
    """Puzzles of 81 cells each: a grid itself, or a file or standard input with one a line.

    Raises:
        RequestError: there is none, one is not 81 cells, or its clues break the rules.
    """
    try:
        if given == "-":
            lines = sys.stdin.read().split("\n")
        elif len(given) < 200 and Path(given).is_file():
            lines = Path(given).read_text(encoding="utf-8").split("\n")
        else:
            lines = [given]
    except UnicodeDecodeError as error:
        raise RequestError(f"the puzzles are not UTF-8 text: {error}") from error
    puzzles = [parse_grid(line) for line in lines if line.strip()]
    if not puzzles:
        raise RequestError(
            "there is no puzzle to solve: give 81 cells, a file with one puzzle a line, or - for standard input"
        )
    for puzzle in puzzles:
        if wrong := conflicts(puzzle):
            cells = ", ".join(f"row {cell // 9 + 1} column {cell % 9 + 1}" for cell in wrong)
            raise RequestError(f"the clues break the rules at {cells}: {puzzle}")
    return puzzles


def solve(model: Model, puzzle: str, attempts: int, seed: int) -> Solution:
    """`attempts` seeds from `seed` on, each at a temperature of its own, as rows of one batch; the
    first that is right ends all, else the first is told."""
    check_integer("attempts", attempts, minimum=1)
    prompt = model.chat_prompt([{"role": "user", "content": f"sudoku {puzzle}"}])
    engine = Engine(model.network, model.tokenizer, max_batch_size=attempts)
    for number in range(attempts):
        settings = at_attempt(number, model.generation_config.temperature) | {"seed": seed + number}
        config = model.generation_config.with_options(settings)
        engine.add(Request.checked(prompt, config, model.config))
    steps, grids = 0, {}
    while engine.busy:
        events = engine.step()
        steps += sum(isinstance(event, Draft) for event in events)
        for event in (event for event in events if isinstance(event, Finished)):
            grids[event.request] = cells_of(event.text)
            if solves(puzzle, grids[event.request]):
                return Solution(puzzle, grids[event.request], True, steps, attempts)
    return Solution(puzzle, grids[0], False, steps, attempts)


def drawn(solution: Solution) -> Text:
    """The grid: clues bold, what was filled in green, conflicts red."""
    text = grid_text(solution.puzzle, solution.solution)
    state = "solved" if solution.valid else "not solved"
    text.append(
        f"{state}, {solution.steps} passes, {solution.attempts} attempt{'s' * (solution.attempts > 1)}\n",
        "cyan",
    )
    return text
