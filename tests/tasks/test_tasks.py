from __future__ import annotations

import random

import pytest

from redraft.errors import ConfigError, RequestError
from redraft.tasks import Arithmetic, Example, Sudoku, is_held_out
from redraft.tasks.sudoku import conflicts, parse_grid, solves
from redraft.tasks.sudoku_generator import count_solutions
from redraft.tasks.task import HELD_OUT_ONE_IN, held_out, training_stream

SOLVED = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
PUZZLE = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"


@pytest.mark.parametrize("blanks", [28, 40, 50, 56])
def test_puzzles_have_their_blanks_and_one_solution(blanks: int) -> None:
    task, rng = Sudoku(blanks, blanks), random.Random(blanks)
    for _ in range(20):
        example = task.draw(rng)
        puzzle = example.prompt.removeprefix("sudoku ")
        assert puzzle.count("0") == blanks == example.difficulty
        assert count_solutions(puzzle) == 1
        assert solves(puzzle, example.answer)
        assert task.check(example, example.answer + "\n")


def test_the_counter_counts() -> None:
    assert count_solutions(PUZZLE) == 1
    assert count_solutions("0" * 81, limit=7) == 7
    # Two rows that can be swapped: more than one solution.
    swapped = list(SOLVED)
    for cell in (*range(9), *range(9, 18)):
        swapped[cell] = "0"
    assert count_solutions("".join(swapped), limit=3) >= 2


def test_grids_are_read_and_judged() -> None:
    rows = "\n".join(PUZZLE[9 * row : 9 * row + 9].replace("0", ".") for row in range(9))
    assert parse_grid(rows) == PUZZLE
    assert solves(PUZZLE, SOLVED)
    assert not solves(PUZZLE, SOLVED[:80] + "1")
    assert not solves("9" + PUZZLE[1:], SOLVED)  # a clue is not kept
    assert conflicts(SOLVED) == []
    assert conflicts("5" + "0" * 7 + "5" + "0" * 72) == [0, 8]
    for wrong in ("123", SOLVED + "1", SOLVED[:80] + "x", SOLVED[:80] + "²"):
        with pytest.raises(RequestError, match="81 cells"):
            parse_grid(wrong)
        assert not Sudoku().check(Example(f"sudoku {PUZZLE}", SOLVED, 51), wrong)


def test_arithmetic_is_right_and_stays_in_two_digits() -> None:
    rng, task = random.Random(0), Arithmetic()
    for _ in range(500):
        example = task.draw(rng)
        answer, *steps = example.answer.split(";")
        assert len(steps) == example.difficulty
        for step in steps:
            sum_, result = step.split("=")
            left, sign, right = int(sum_[:2]), sum_[2], int(sum_[3:])
            assert {"+": left + right, "-": left - right, "*": left * right}[sign] == int(result)
            assert 0 <= int(result) <= 99
        assert steps[-1].endswith(f"={answer}")
        chain = example.prompt.removeprefix("calc ")
        assert "".join([steps[0][:2], *(step[2:5] for step in steps)]) == chain
        assert task.check(example, f"{answer};nonsense")
        assert not task.check(example, f"{(int(answer) + 1) % 100:02};" + ";".join(steps))


def test_held_out_examples_are_a_fixed_share_and_never_trained_on() -> None:
    task = Arithmetic()
    rng = random.Random(0)
    share = sum(is_held_out(task.draw(rng).prompt) for _ in range(20_000)) / 20_000
    assert share == pytest.approx(1 / HELD_OUT_ONE_IN, rel=0.25)
    kept = {example.prompt for example in held_out(task, 50)}
    assert len(kept) == 50
    stream = training_stream(task, 0)
    assert kept.isdisjoint(next(stream).prompt for _ in range(5_000))
    assert held_out(task, 5) == held_out(task, 50)[:5]


def test_ranges_are_checked() -> None:
    for wrong in ((0, 5), (30, 20), (28, 61)):
        with pytest.raises(ConfigError):
            Sudoku(*wrong)
    with pytest.raises(ConfigError):
        Arithmetic(0, 3)
