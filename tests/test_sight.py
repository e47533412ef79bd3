"""small-sight reads Sudokus in pictures: in fonts that training never saw, from the command line."""

from __future__ import annotations

import json
import random
from pathlib import Path

import matplotlib as mpl
import pytest

import redraft
from redraft.images.read import read_image
from redraft.images.square import squared
from redraft.tasks import Sudoku
from redraft.tasks.sudoku_picture import Hardness, draw
from tests.command import call

FONTS = [
    Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    for name in ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "STIXGeneral", "STIXGeneralBol")
]
# Below what is measured in recipes/small-sight/README.md.
FLOOR = 0.8


def pictures(folder: Path, count: int, hardness: Hardness) -> list[tuple[Path, str]]:
    """Draw puzzles; return their files and their cells."""
    found = []
    for number in range(count):
        rng = random.Random(f"sight {number}")
        grid = Sudoku(28, 50).draw(rng).prompt.removeprefix("sudoku ")
        path = folder / f"{number}.png"
        draw(grid, rng, FONTS, hardness).save(path)
        found.append((path, grid))
    return found


@pytest.mark.parametrize("count", [pytest.param(10), pytest.param(100, marks=pytest.mark.long)])
def test_it_reads_fonts_that_it_never_saw(tmp_path: Path, count: int) -> None:
    model = redraft.load("small-sight", dtype="float32")
    right = 0
    for path, grid in pictures(tmp_path, count, Hardness()):
        parts = [
            {"type": "image", "image": squared(read_image(path, files=True))},
            {"type": "text", "text": "read"},
        ]
        text = model.generate(messages=[{"role": "user", "content": parts}], seed=0).text  # type: ignore[arg-type]
        right += text.strip() == grid
    assert right >= FLOOR * count


def test_a_picture_is_solved_from_the_command_line(tmp_path: Path) -> None:
    ((path, grid),) = pictures(tmp_path, 1, Hardness(turn=1, blur=0.3, noise=4))
    done = call("sudoku", "--image", str(path), "--json", "--attempts", "4")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["puzzle"], told["valid"]) == (grid, True)


def test_a_picture_of_something_else_is_told(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "grey.png"
    Image.effect_mandelbrot((320, 200), (-2, -1, 1, 1), 60).save(path)
    done = call("sudoku", "--image", str(path))
    assert done.returncode == 2
    assert "read" in done.stderr
    assert len(done.stderr.splitlines()) <= 3
