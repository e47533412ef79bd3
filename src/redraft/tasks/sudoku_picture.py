"""Pictures of Sudokus, drawn in many manners: what a model learns from that is to read them.

A manner is drawn at random: font and size, colours, lines, margins, a turn of some degrees, a bend
of the paper, uneven light, blur, noise and the traces of JPEG.
"""

from __future__ import annotations

import io
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Colour = tuple[int, int, int]
Points = NDArray[np.float64]  # [4, 2]: across and down
CORNERS = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
PAPER = 324  # pixels of the side of a grid before it is turned


@dataclass(frozen=True)
class Hardness:
    """How far a picture may be from a clean one.

    Attributes:
        turn: degrees, to either side. bend: how far a corner moves, as a share of the side.
        margin: around the grid, as a share of the side. blur: radius in pixels of 324. noise:
            standard deviation, of 255.
    """

    turn: float = 5.0
    bend: float = 0.02
    margin: float = 0.08
    blur: float = 1.1
    noise: float = 24.0


@cache
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size)


def draw(
    grid: str, rng: random.Random, fonts: Sequence[Path], hardness: Hardness = Hardness()
) -> Image.Image:
    """Return a picture of a grid, RGB, in a manner drawn at random.

    Args:
        grid: 81 digits, row by row, 0 for a blank.
        fonts: files of TrueType, OpenType or WOFF fonts.
    """
    page = _page(grid, rng, rng.choice(fonts))
    pixels = np.asarray(_placed(page, rng, hardness), dtype=np.float32)
    return _photographed(pixels, rng, hardness)


def _tone(rng: random.Random, low: int, high: int, spread: int) -> Colour:
    base = rng.randint(low, high)
    red, green, blue = (min(255, max(0, base + rng.randint(-spread, spread))) for _ in range(3))
    return red, green, blue


def _page(grid: str, rng: random.Random, font: Path) -> Image.Image:
    """Return the grid as it is printed: PAPER x PAPER."""
    light = rng.random() > 0.1
    paper = _tone(rng, 215, 255, 12) if light else _tone(rng, 5, 60, 15)
    ink = _tone(rng, 0, 110, 30) if light else _tone(rng, 170, 255, 20)
    page = Image.new("RGB", (PAPER, PAPER), paper)
    pen = ImageDraw.Draw(page)
    if rng.random() < 0.3:
        _shade(pen, rng, paper, light)
    _lines(pen, rng, paper, ink)
    _digits(pen, grid, rng, font, ink)
    return page


def _shade(pen: ImageDraw.ImageDraw, rng: random.Random, paper: Colour, light: bool) -> None:
    """Shade every second box, or some cells."""
    step = rng.randint(8, 40) * (-1 if light else 1)
    shade = tuple(min(255, max(0, one + step)) for one in paper)
    boxes = rng.random() < 0.6
    cell = PAPER / 9
    for at in range(81):
        row, column = divmod(at, 9)
        if (row // 3 + column // 3) % 2 if boxes else rng.random() < 0.1:
            corner = (column * cell, row * cell)
            pen.rectangle((*corner, corner[0] + cell, corner[1] + cell), fill=shade)


def _lines(pen: ImageDraw.ImageDraw, rng: random.Random, paper: Colour, ink: Colour) -> None:
    """Draw the lines: of the cells thin and often pale, of the boxes thick."""
    thick = rng.randint(2, 6)
    thin = rng.randint(1, min(3, thick))
    pale = rng.choice((0.0, 0.0, rng.random() * 0.85))
    weak = tuple(round(a + (b - a) * pale) for a, b in zip(ink, paper, strict=True))
    bare = rng.random() < 0.06  # without thin lines
    border = rng.random() > 0.08
    for heavy in (False, True):
        for at in range(10):
            if (at % 3 == 0) != heavy or (bare and not heavy) or (at in (0, 9) and not border):
                continue
            where = min(PAPER - 1, round(at * PAPER / 9))
            width, fill = (thick, ink) if heavy else (thin, weak)
            pen.line((where, 0, where, PAPER), fill=fill, width=width)
            pen.line((0, where, PAPER, where), fill=fill, width=width)


def _digits(
    pen: ImageDraw.ImageDraw, grid: str, rng: random.Random, font: Path, ink: Colour
) -> None:
    """Draw the digits near the middle of their cells."""
    cell = PAPER / 9
    face = _font(font, round(cell * rng.uniform(0.5, 0.95)))
    jitter = rng.choice((0.0, 0.0, 0.07)) * cell
    colour = ink if rng.random() < 0.8 else _other(rng, ink)
    # Fonts differ in where a digit stands; all digits of a font stand alike.
    _, top, _, bottom = face.getbbox("0")
    drift = (rng.uniform(-0.08, 0.08) * cell, rng.uniform(-0.08, 0.08) * cell)
    for at, digit in enumerate(grid):
        if digit == "0":
            continue
        row, column = divmod(at, 9)
        wide = pen.textlength(digit, font=face)
        x = column * cell + (cell - wide) / 2 + drift[0] + rng.uniform(-jitter, jitter)
        y = row * cell + (cell - (bottom - top)) / 2 - top + drift[1] + rng.uniform(-jitter, jitter)
        pen.text((x, y), digit, font=face, fill=colour)


def _other(rng: random.Random, ink: Colour) -> Colour:
    """Return a colour as dark as the ink, or as light."""
    base = sum(ink) // 3
    red, green, blue = (min(255, max(0, base + rng.randint(-70, 70))) for _ in range(3))
    return red, green, blue


def _placed(page: Image.Image, rng: random.Random, hardness: Hardness) -> Image.Image:
    """Return the page turned, bent and with margins, in a picture of PAPER x PAPER."""
    behind = page.getpixel((PAPER // 18, PAPER // 18))
    assert isinstance(behind, tuple)
    target = _margined(_turned(rng, hardness), rng, hardness.margin)
    return page.transform(
        (PAPER, PAPER),
        Image.Transform.PERSPECTIVE,
        _perspective(PAPER * target, PAPER * (CORNERS + 0.5)),
        Image.Resampling.BICUBIC,
        fillcolor=behind,
    )


def _turned(rng: random.Random, hardness: Hardness) -> Points:
    """Return the corners of a page of side 1, turned and bent around its middle."""
    turn = 0.0 if rng.random() < 0.3 else rng.uniform(-hardness.turn, hardness.turn)
    bend = hardness.bend if rng.random() < 0.5 else 0.0
    moved = np.array([rng.uniform(-bend, bend) for _ in range(8)]).reshape(4, 2)
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    turned: Points = (CORNERS + moved) @ np.array([[cos, sin], [-sin, cos]])
    return turned


def _margined(corners: Points, rng: random.Random, margin: float) -> Points:
    """Return corners scaled and moved into a picture of side 1, with margins drawn at random."""
    low, size = corners.min(axis=0), np.ptp(corners, axis=0)
    before, behind = np.array([rng.uniform(0, margin) for _ in range(4)]).reshape(2, 2)
    scale = (1 - (before + behind).max()) / size.max()
    # What is over lies on both sides as the margins do.
    share = (before + 1e-6) / (before + behind + 2e-6)
    placed: Points = scale * (corners - low) + (1 - scale * size) * share
    return placed


def _perspective(target: Points, source: Points) -> list[float]:
    """Return Pillow's eight numbers of the map that brings four points of the target to those of
    the source."""
    rows: list[list[float]] = []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    found: list[float] = np.linalg.solve(np.array(rows), source.flatten()).tolist()
    return found


def _photographed(
    pixels: NDArray[np.float32], rng: random.Random, hardness: Hardness
) -> Image.Image:
    """Return the picture with uneven light, blur, noise and the traces of JPEG."""
    noise = np.random.default_rng(rng.getrandbits(64))
    if rng.random() < 0.5:
        across = np.linspace(-0.5, 0.5, PAPER, dtype=np.float32)
        slope = [rng.uniform(-0.4, 0.4) for _ in range(2)]
        light = 1 - abs(slope[0]) / 4 + slope[0] * across[None] + slope[1] * across[:, None]
        pixels = pixels * light[..., None]
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.6:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, hardness.blur)))
    if rng.random() < 0.5:
        side = rng.randint(180, PAPER)
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        shape = (image.height, image.width, 1 if rng.random() < 0.5 else 3)
        grain = noise.normal(0, rng.uniform(0, hardness.noise), shape)
        image = Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        held = io.BytesIO()
        image.save(held, "JPEG", quality=rng.randint(25, 95))
        image = Image.open(held).convert("RGB")
    return image
