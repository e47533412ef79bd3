"""Tiles: how much of its operands a program of a kernel takes at a time, by the kind of card.

None of them spills registers on the cards that it is for: tests/ops/compiled.py compiles them. They
were chosen by what the compiler makes of them; few were measured (docs/log.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import torch

from redraft.ops.packed_layout import FOUR_IN_A_WORD, PackedLayout

# Compute capability 9.0; 10.0 and its like; 8.0; all others, whose blocks have 99 KiB of shared
# memory at most. Tests on a processor take the last.
Card = Literal["hopper", "blackwell", "a100", "small"]
CARDS: dict[tuple[int, int], Card] = {
    (8, 0): "a100",
    (8, 7): "a100",
    (9, 0): "hopper",
    (10, 0): "blackwell",
    (10, 1): "blackwell",
    (10, 3): "blackwell",
}
# Multiprocessors that work is cut for where there is no device.
MULTIPROCESSORS = 132
# Input rows in a tile: the smallest of these that holds a group of mean size.
TOKENS = (16, 32, 64)
# Input rows of a canvas, for which dense products are cut; and the most parts of their sums.
CANVAS_ROWS, MAX_PARTS = 256, 3


@dataclass(frozen=True)
class ProductTile:
    """How much of a product a program takes at a time.

    Attributes:
        rows, columns: of the matrix.
        tokens: rows of the input.
        stages: the number of tiles in flight.
    """

    rows: int
    tokens: int
    columns: int
    warps: int = 4
    stages: int = 3


class AttentionTile(NamedTuple):
    """Queries and keys at a time, warps, and blocks of keys in flight."""

    queries: int
    keys: int
    warps: int
    stages: int


# Columns and stages of 64 + 64 rows of experts' gate and up, where a word has four numbers, and
# where it has two.
GATED_TILES: dict[Card, tuple[tuple[int, int], tuple[int, int]]] = {
    "hopper": ((256, 2), (128, 2)),
    "blackwell": ((128, 3), (128, 3)),
    "a100": ((128, 3), (128, 3)),
    "small": ((128, 3), (128, 3)),
}
# Rows of products with what comes behind them, 128 columns at a time.
GROUPED_ROWS: dict[Card, int] = {"hopper": 128, "blackwell": 64, "a100": 64, "small": 64}
# Warps of both. On 10.0 products of four warps go through a memory of their own, and each waits for
# itself: with two they stay in registers, as on 8.0.
EXPERT_WARPS: dict[Card, int] = {"hopper": 4, "blackwell": 2, "a100": 4, "small": 4}
# Rows, tokens, columns, warps and stages of products with a canvas's rows.
DENSE_TILES: dict[Card, tuple[int, int, int, int, int]] = {
    "hopper": (128, 128, 128, 8, 3),
    "blackwell": (128, 128, 128, 8, 3),
    "a100": (64, 64, 128, 4, 3),
    "small": (64, 64, 128, 4, 3),
}
# Of means over a table: its rows and columns at a time, tokens, warps and stages.
TABLE_TILES: dict[Card, tuple[int, int, int, int, int]] = {
    "hopper": (64, 128, 128, 8, 3),
    "blackwell": (64, 128, 128, 8, 3),
    "a100": (64, 128, 128, 8, 3),
    "small": (64, 128, 64, 4, 3),
}
# Rows of a table whose sum is a part, at least.
PART_ROWS = 32768
# Of canvases, for heads of up to 256 and of 512; then of prompts.
CANVAS_TILES: dict[Card, tuple[AttentionTile, AttentionTile]] = {
    "hopper": (AttentionTile(64, 64, 8, 2), AttentionTile(32, 32, 8, 2)),
    "blackwell": (AttentionTile(64, 64, 8, 2), AttentionTile(32, 32, 8, 2)),
    "a100": (AttentionTile(64, 64, 8, 1), AttentionTile(32, 32, 8, 2)),
    "small": (AttentionTile(64, 32, 8, 2), AttentionTile(32, 32, 8, 1)),
}
PROMPT_TILES: dict[Card, tuple[AttentionTile, AttentionTile]] = {
    "hopper": (AttentionTile(64, 32, 4, 2), AttentionTile(32, 32, 8, 2)),
    "blackwell": (AttentionTile(64, 32, 4, 2), AttentionTile(32, 32, 8, 2)),
    "a100": (AttentionTile(64, 32, 8, 2), AttentionTile(32, 32, 8, 2)),
    "small": (AttentionTile(64, 32, 8, 2), AttentionTile(32, 32, 8, 1)),
}


def card_of(device: torch.device) -> Card:
    """Return the kind of a device."""
    if device.type != "cuda":
        return "small"
    return CARDS.get(torch.cuda.get_device_capability(device), "small")


@cache
def multiprocessors(device: torch.device) -> int:
    """Return how many multiprocessors a device has."""
    if device.type != "cuda":
        return MULTIPROCESSORS
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


def product_tile(
    card: Card, layout: PackedLayout, dtype: torch.dtype, tokens: int, *, gated: bool, grouped: bool
) -> ProductTile:
    """Return the tile of a product.

    Args:
        tokens: rows of the input at a time, at most 64; more of them without groups have tiles of
            their own.
        gated: a program multiplies with two matrices.
        grouped: each matrix has few rows.
    """
    if dtype == torch.float32:
        return ProductTile(64, min(tokens, 64), 64, stages=2)
    if tokens > TOKENS[-1]:
        rows, most, columns, warps, stages = DENSE_TILES[card]
        return ProductTile(rows, most, columns, warps, stages)
    if not layout.in_words:
        return ProductTile(64, tokens, 64, stages=4) if gated else ProductTile(64, tokens, 128)
    if gated and tokens <= 32:
        columns, stages = GATED_TILES[card][layout.form not in FOUR_IN_A_WORD]
        return ProductTile(64, tokens, columns, EXPERT_WARPS[card], stages)
    rows = GROUPED_ROWS[card] if grouped and tokens <= 32 else 64
    return ProductTile(rows, tokens, 128, EXPERT_WARPS[card] if tokens <= 32 else 4)


def expert_tokens(rows: int, experts: int, card: Card) -> int:
    """Return the number of input rows in a tile, for `rows` rows that are shared by experts.

    Where arithmetic is the bound, a second tile for some experts costs less than padding all.
    """
    mean = rows / experts * (1.0 if card == "small" else 1.25)
    return next((size for size in TOKENS if size >= mean), TOKENS[-1])


def dense_parts(shape: tuple[int, int], tile: ProductTile, multiprocessors: int) -> int:
    """Return in how many parts the sums of a dense product are cut, so that they fill the device.

    It does not depend on how many rows the input has, so a row is the same beside any others.

    Args:
        shape: (N, K) of the matrix, or of matrices on top of one another.
    """
    programs = -(-shape[0] // tile.rows) * -(-CANVAS_ROWS // tile.tokens)
    slots = multiprocessors * (8 // tile.warps)
    return max(1, min(MAX_PARTS, slots // programs))


def table_tile(card: Card, dtype: torch.dtype) -> ProductTile:
    """Return the tile of a mean over the rows of a table."""
    if dtype == torch.float32:
        return ProductTile(32, 16, 32, stages=1)
    rows, columns, tokens, warps, stages = TABLE_TILES[card]
    return ProductTile(rows, tokens, columns, warps, stages)


def table_parts(rows: int, tile: ProductTile) -> int:
    """Return in how many parts the rows of a table are added."""
    return max(1, min(8, -(-rows // max(PART_ROWS, tile.rows))))


def attention_tile(card: Card, width: int, itemsize: int, *, causal: bool) -> AttentionTile:
    """Return the tile of the attention kernel.

    Args:
        width: of a head, a power of two.
        itemsize: bytes of an element of the queries.
        causal: queries see the keys before them; canvases see all.
    """
    if itemsize > 2:  # float32, in tests
        return AttentionTile(16, 16 if width > 256 else 32, 4, 1)
    if width <= 128:
        return AttentionTile(64, 32, 4, 2)
    return (PROMPT_TILES if causal else CANVAS_TILES)[card][width > 256]


def key_parts(heads: int, length: int, tile: AttentionTile, multiprocessors: int) -> int:
    """Return in how many parts the keys of a canvas are cut, so that its programs fill the device.

    It does not depend on how many canvases there are, so each is the same beside any others.
    """
    return max(1, min(2, multiprocessors // (heads * -(-length // tile.queries))))
