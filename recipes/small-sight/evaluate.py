"""Read drawn Sudokus with a checkpoint, in fonts that training never saw; print one JSON line.

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
from redraft.images.square import Pixels, squared
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
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument(
        "--keep", type=Path, help="a folder for the pictures that were read wrongly"
    )
    parser.add_argument("--png", type=Path, help="the first pictures, framed by what was read")
    args = parser.parse_args()
    model = redraft.load(args.model)
    fonts = sorted((args.fonts / "held").glob("*.woff"))
    right = cells = passes = 0
    shown = []
    for number in tqdm(range(args.count)):
        rng = random.Random(SEED + number)
        grid = parse_grid(Sudoku().draw(rng).prompt.removeprefix("sudoku "))
        picture = draw(grid, rng, fonts)
        parts = [{"type": "image", "image": squared_of(picture)}, {"type": "text", "text": "read"}]
        result = model.generate(messages=[{"role": "user", "content": parts}], seed=number)
        text = result.text.strip()
        right += text == grid
        cells += sum(a == b for a, b in zip(text, grid, strict=False))
        passes += result.statistics.forwards
        if len(shown) < 2 * ACROSS:
            shown.append(framed(picture, right=text == grid))
        if args.keep and text != grid:
            args.keep.mkdir(parents=True, exist_ok=True)
            picture.save(args.keep / f"{number}.png")
    if args.png:
        sheet(shown).save(args.png)
    count = args.count
    figures = {"grids": right / count, "cells": cells / count / 81, "passes": passes / count}
    print(json.dumps({"model": args.model, "count": count} | figures))


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


def squared_of(picture: Image.Image) -> Pixels:
    """Return a picture as `redraft sudoku --image` shows it."""
    return squared(np.asarray(picture))


if __name__ == "__main__":
    main()
