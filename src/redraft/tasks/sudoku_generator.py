"""Generate Sudokus with one solution by a bit-mask search.

Numba compiles it (extra `train`): thousands of puzzles a second, while other threads run. Without
numba it is slow.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from redraft.errors import RequestError

Function = TypeVar("Function")
# int64 [81], 0 for a blank.
Grid = NDArray[np.int64]

try:
    from numba import njit
except ImportError:

    def njit(**_: bool) -> Callable[[Function], Function]:  # type: ignore[no-redef]
        """Leave a function as it is."""
        return lambda function: function


def generate(rng: random.Random, blanks: int, seconds: float | None = None) -> tuple[str, str]:
    """Return a puzzle with exactly `blanks` blanks and one solution, and the solution.

    Args:
        seconds: no attempt begins after so many; None for no limit.

    Raises:
        RequestError: none was found in that time.
    """
    began = time.monotonic()
    while seconds is None or time.monotonic() - began <= seconds:
        solution = np.zeros(81, np.int64)
        _search(np.zeros(81, np.int64), rng.getrandbits(62), 1, solution)
        order = np.array(rng.sample(range(81), 81))
        puzzle = solution.copy()
        if _dig(puzzle, order, blanks):
            return "".join(map(str, puzzle)), "".join(map(str, solution))
    raise RequestError(f"no puzzle of {blanks} blanks was found in {seconds:.0f} s: ask for fewer")


def count_solutions(grid: str, limit: int = 2) -> int:
    """Return the number of solutions of a grid, counted up to `limit`."""
    cells = np.array([int(cell) for cell in grid])
    return int(_search(cells, 1, limit, np.zeros(81, np.int64)))


@njit(cache=True, nogil=True)
def _dig(puzzle: Grid, order: Grid, blanks: int) -> bool:
    """Blank cells in `order` while the solution stays unique; return True with `blanks` of them."""
    scratch = np.zeros(81, np.int64)
    left = blanks
    for cell in order:
        if left == 0:
            return True
        digit = puzzle[cell]
        puzzle[cell] = 0
        if _search(puzzle, 1, 2, scratch) == 1:
            left -= 1
        else:
            puzzle[cell] = digit
    return left == 0


@njit(cache=True, nogil=True)
def _count_bits(bits: int) -> int:
    count = 0
    while bits:
        bits &= bits - 1
        count += 1
    return count


@njit(cache=True, nogil=True)
def _fewest_candidates(work: Grid, rows: Grid, columns: Grid, boxes: Grid) -> tuple[int, int, int]:
    """Return the blank with the fewest candidates (-1 where there is no blank), their number, and
    their bits."""
    best, fewest, bits = -1, 10, 0
    for cell in range(81):
        if work[cell] == 0:
            free = 0x3FE & ~(
                rows[cell // 9] | columns[cell % 9] | boxes[cell // 27 * 3 + cell % 9 // 3]
            )
            count = _count_bits(free)
            if count < fewest:
                best, fewest, bits = cell, count, free
                if count <= 1:
                    break
    return best, fewest, bits


@njit(cache=True, nogil=True)
def _search(grid: Grid, seed: int, limit: int, solution: Grid) -> int:
    """Count the solutions up to `limit`, and write the first one into `solution`.

    Candidates are tried in an order that is drawn from `seed`, by a linear congruential generator.
    """
    rows, columns, boxes = np.zeros(9, np.int64), np.zeros(9, np.int64), np.zeros(9, np.int64)
    work = grid.copy()
    for cell in range(81):
        if work[cell]:
            bit = 1 << work[cell]
            rows[cell // 9] |= bit
            columns[cell % 9] |= bit
            boxes[cell // 27 * 3 + cell % 9 // 3] |= bit
    cells, untried = np.empty(82, np.int64), np.empty(82, np.int64)
    depth, found, state = 0, 0, seed
    while True:
        cell, count, bits = _fewest_candidates(work, rows, columns, boxes)
        if cell < 0:
            if found == 0:
                solution[:] = work
            found += 1
            if found >= limit:
                return found
        elif count > 0:
            cells[depth], untried[depth] = cell, bits
            depth += 1
        # Go on with the next candidate of the deepest cell that has one left.
        while True:
            if depth == 0:
                return found
            cell = cells[depth - 1]
            if work[cell]:
                bit = 1 << work[cell]
                rows[cell // 9] ^= bit
                columns[cell % 9] ^= bit
                boxes[cell // 27 * 3 + cell % 9 // 3] ^= bit
                work[cell] = 0
            left = untried[depth - 1]
            if left == 0:
                depth -= 1
                continue
            state = (state * 6364136223846793005 + 1442695040888963407) & 0x7FFFFFFFFFFFFFFF
            for _ in range((state >> 33) % _count_bits(left)):
                left &= left - 1
            bit = left & -left
            untried[depth - 1] ^= bit
            digit = 0
            while bit >> digit != 1:
                digit += 1
            work[cell] = digit
            rows[cell // 9] |= bit
            columns[cell % 9] |= bit
            boxes[cell // 27 * 3 + cell % 9 // 3] |= bit
            break
