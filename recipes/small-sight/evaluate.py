"""Read drawn Sudokus with a checkpoint, in fonts that training never saw; print one JSON line: the
share of grids without a wrong cell in several readings, and in one.

python recipes/small-sight/evaluate.py fonts small-sight --count 200
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

import redraft
from redraft.cli.sudoku_picture import MARGINS, agreed, reading
from redraft.images.square import squared
from redraft.tasks import Sudoku
from redraft.tasks.sudoku import parse_grid
from redraft.tasks.sudoku_picture import draw

SEED = 20_000
ACROSS, SHOWN = 4, 200  # pictures in a row of the sheet, and their pixels


def main() -> None:
    """Draw, read, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fonts", type=Path, help="a folder with the folders train and held")
    parser.add_argument("model", nargs="?", default="small-sight")
    parser.add_argument("--kind", choices=("held", "train"), default="held", help="of fonts")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument(
        "--keep", type=Path, help="a folder for the pictures that were read wrongly"
    )
    parser.add_argument("--png", type=Path, help="the first pictures, framed by what was read")
    args = parser.parse_args()
    model = redraft.load(args.model)
    fonts = sorted((args.fonts / args.kind).glob("*.woff"))
    right = once = cells = 0
    shown = []
    for number in tqdm(range(args.count)):
        rng = random.Random(SEED + number)
        grid = parse_grid(Sudoku().draw(rng).prompt.removeprefix("sudoku "))
        picture = draw(grid, rng, fonts)
        pixels = np.asarray(picture)
        texts = [reading(model, squared(pixels, kept), number) for kept in MARGINS]
        text = agreed(texts)
        right += text == grid
        once += texts[0] == grid
        cells += sum(a == b for a, b in zip(texts[0], grid, strict=False))
        if len(shown) < 2 * ACROSS:
            shown.append(framed(picture, right=text == grid))
        if args.keep and text != grid:
            args.keep.mkdir(parents=True, exist_ok=True)
            picture.save(args.keep / f"{number}.png")
    if args.png:
        sheet(shown).save(args.png)
    count = args.count
    figures = {"grids": right / count, "grids_once": once / count, "cells_once": cells / count / 81}
    print(json.dumps({"model": args.model, "fonts": args.kind, "count": count} | figures))


def framed(picture: Image.Image, *, right: bool) -> Image.Image:
    """Return a picture of SHOWN pixels in a green frame, or in a red one."""
    shown = picture.resize((SHOWN, SHOWN), Image.Resampling.BICUBIC)
    return ImageOps.expand(shown, 6, "#2e9d57" if right else "#d1453b")


def sheet(pictures: list[Image.Image]) -> Image.Image:
    """Return pictures of one size in rows of ACROSS, on white."""
    side = pictures[0].width + 12
    found = Image.new("RGB", (side * ACROSS, side * -(-len(pictures) // ACROSS)), "white")
    for at, one in enumerate(pictures):
        found.paste(one, (at % ACROSS * side + 6, at // ACROSS * side + 6))
    return found


if __name__ == "__main__":
    main()
