"""Verdict: is a text the right answer to a prompt of one of the tasks that have a checker?"""

from __future__ import annotations

import re

from redraft.errors import RedraftError
from redraft.tasks.arithmetic import OPERATIONS
from redraft.tasks.sudoku import parse_grid, solves
from redraft.tasks.task import Example
from redraft.tasks.world import STYLES, Wiki, subject_and_style, world

CHAIN = re.compile(r"calc (\d\d)((?:[-+*]\d\d)+)")


def verdict(prompt: str, text: str) -> bool | None:
    """Return True for a right answer and False for a wrong one; None where the prompt is of no task
    with a checker: a chain of sums, a Sudoku, a page of the invented world."""
    prompt = prompt.strip()
    if match := CHAIN.fullmatch(prompt):
        return text.split(";")[0].strip() == _value(*match.groups())
    if prompt.startswith("sudoku "):
        return _solves(prompt.removeprefix("sudoku "), text.strip())
    if prompt.startswith("wiki "):
        name, wanted = subject_and_style(prompt)
        entity = world().get(name)
        known = entity is not None and (
            wanted in STYLES or set(wanted.split(", ")) <= set(entity.facts)
        )
        return Wiki().check(Example(prompt, "", 0), text) if known else None
    return None


def _value(first: str, rest: str) -> str:
    """Return the value of a chain, worked from left to right."""
    value = int(first)
    for sign, operand in re.findall(r"([-+*])(\d\d)", rest):
        value = OPERATIONS[sign](value, int(operand))
    return f"{value:02}"


def _solves(puzzle: str, grid: str) -> bool | None:
    try:
        cells = parse_grid(puzzle)
    except RedraftError:
        return None
    return len(grid) == 81 and grid.isdigit() and solves(cells, grid)
