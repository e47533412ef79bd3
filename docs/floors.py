"""Draw docs/images/floors.svg from the imports of src/redraft: `python docs/floors.py`.

Floors and rooms are those that tests/test_floors.py holds. An arrow is a room that imports from
another; arrows that follow from others (a to b to c) are left out. tests/docs/test_pictures.py
compares the file with what this draws.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from xml.sax.saxutils import escape

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.imports import MODULES, uses
from tests.test_floors import FLOORS, NAMES

PICTURE = Path(__file__).parent / "images" / "floors.svg"
PURPOSES = {
    "errors": "every error, one tree",
    "events": "reports of a generation",
    "config": "checked settings",
    "short_repr": "a line for each object",
    "notebook": "results as HTML",
    "drawn": "ids, seeds, times",
    "ops": "the arithmetic, kernels",
    "text": "tokens and templates",
    "images": "decode, check, scale",
    "tasks": "work with exact checkers",
    "network": "DiffusionGemma, KV cache",
    "quant": "a file for each format",
    "diffusion": "canvas, sampler, stop",
    "adapters": "LoRA updates, their files, merging",
    "grammar": "constraints on a canvas",
    "checkpoint": "safetensors, GGUF",
    "engine": "work, batches, prefix cache",
    "editing": "infill, rewrite, repair",
    "train": "data, loss, trainer",
    "remote": "other engines, same calls",
    "api": "load, and the one Model",
    "capacity": "users, times, prices",
    "evals": "held-out sets, intervals",
    "testing": "tiny models, an oracle",
    "server": "OpenAI's API over HTTP",
    "batch": "files of requests",
    "cluster": "several machines, by Ray",
    "cli": "the command",
    "web": "the playground",
    "client": "streams of a server, no torch",
}
WIDTH, BAND, TOP, LEFT = 1000, 92, 16, 60
BOX_WIDTH, BOX_HEIGHT = 190, 52


def arrows() -> set[tuple[str, str]]:
    """Return the (room, room it imports from) pairs that do not follow from others."""
    pairs = {
        (MODULES[name].room, MODULES[other].room)
        for name, other in _module_pairs()
        if MODULES[name].room != MODULES[other].room
    }
    reach = set(pairs)
    rooms = sorted({room for pair in pairs for room in pair})
    for middle, start, end in product(rooms, repeat=3):
        if (start, middle) in reach and (middle, end) in reach:
            reach.add((start, end))
    return {
        (start, end)
        for start, end in pairs
        if not any((start, room) in reach and (room, end) in reach for room in rooms)
    }


def _module_pairs() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name in NAMES:
        found += [(name, other) for other in sorted(uses(name)) if other]
    return found


def places() -> dict[str, tuple[float, float]]:
    """Return the middle of each room's box; the ground floor lies at the bottom."""
    middles = {}
    for height, floor in enumerate(FLOORS):
        y = TOP + (len(FLOORS) - 1 - height) * BAND + BAND / 2
        step = (WIDTH - LEFT) / len(floor)
        for number, room in enumerate(floor):
            middles[room] = (LEFT + step * (number + 0.5), y)
    return middles


def draw() -> str:
    """Return the picture as SVG."""
    middles = places()
    height = TOP * 2 + BAND * len(FLOORS)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="system-ui, sans-serif">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
        ' markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#7a8699"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#ffffff"/>',
    ]
    for number in range(len(FLOORS)):
        y = TOP + (len(FLOORS) - 1 - number) * BAND
        shade = "#f4f6fa" if number % 2 else "#ebeff6"
        lines += [
            f'<rect x="8" y="{y}" width="{WIDTH - 16}" height="{BAND}" fill="{shade}"/>',
            f'<text x="20" y="{y + BAND / 2 + 5:g}" font-size="15" fill="#5b6577">F{number}</text>',
        ]
    for start, end in sorted(arrows()):
        lines.append(_arrow(middles[start], middles[end]))
    for room, (x, y) in middles.items():
        lines += _box(room, x, y)
    return "\n".join([*lines, "</svg>", ""])


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = start, end
    if y1 == y2:
        side = 1 if x2 > x1 else -1
        path = f"M{x1 + side * BOX_WIDTH / 2:g} {y1:g}L{x2 - side * (BOX_WIDTH / 2 + 2):g} {y2:g}"
    else:
        y1, y2 = y1 + BOX_HEIGHT / 2, y2 - BOX_HEIGHT / 2 - 2
        bend = (y2 - y1) / 2
        path = f"M{x1:g} {y1:g}C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}"
    return (
        f'<path d="{path}" fill="none" stroke="#7a8699" stroke-width="1.4" marker-end="url(#tip)"/>'
    )


def _box(room: str, x: float, y: float) -> list[str]:
    left, top = x - BOX_WIDTH / 2, y - BOX_HEIGHT / 2
    return [
        f'<rect x="{left:g}" y="{top:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8"'
        ' fill="#ffffff" stroke="#3a4a63"/>',
        f'<text x="{x:g}" y="{y - 4:g}" font-size="16" font-weight="600" text-anchor="middle"'
        f' fill="#1d2636">{escape(room)}</text>',
        f'<text x="{x:g}" y="{y + 15:g}" font-size="12.5" text-anchor="middle"'
        f' fill="#48536a">{escape(PURPOSES[room])}</text>',
    ]


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    print(f"wrote {PICTURE}")
