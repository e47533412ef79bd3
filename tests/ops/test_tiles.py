"""Tiles by the kind of card, and how work is cut for it."""

from __future__ import annotations

import pytest
import torch

from redraft.ops.packed_layout import PackedLayout
from redraft.ops.triton import tiles
from redraft.ops.triton.tiles import (
    MULTIPROCESSORS,
    attention_tile,
    card_of,
    dense_parts,
    expert_tokens,
    key_parts,
    product_tile,
    table_parts,
    table_tile,
)


@pytest.mark.parametrize(
    ("capability", "card"),
    [
        ((8, 0), "a100"),
        ((8, 6), "small"),
        ((8, 9), "small"),
        ((9, 0), "hopper"),
        ((10, 0), "blackwell"),
        ((10, 3), "blackwell"),
        ((12, 0), "small"),
        ((12, 1), "small"),
        ((13, 0), "small"),
    ],
)
def test_a_card_is_known_by_its_capability(
    capability: tuple[int, int], card: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert card_of(torch.device("cuda", 0)) == card
    assert card_of(torch.device("cpu")) == "small"


def test_dense_products_of_the_26b_fill_a_large_card() -> None:
    layout = PackedLayout("int4", (1, 1), torch.empty(0), in_words=True)
    tile = product_tile("hopper", layout, torch.bfloat16, 128, gated=False, grouped=False)
    parts = {
        shape: dense_parts(shape, tile, MULTIPROCESSORS)
        for shape in ((8192, 2816), (2816, 4096), (4224, 2816), (2816, 2112))
    }
    assert list(parts.values()) == [1, 3, 2, 3]
    for (rows, _), count in parts.items():
        programs = -(-rows // tile.rows) * (256 // tile.tokens) * count
        assert 100 < programs <= MULTIPROCESSORS
    assert dense_parts((2816, 4096), tile, 16) == 1  # a card that is full already


def test_keys_are_cut_where_a_canvas_leaves_processors_idle() -> None:
    sliding = attention_tile("hopper", 256, 2, causal=False)
    full = attention_tile("hopper", 512, 2, causal=False)
    assert key_parts(16, 256, sliding, 132) == 2
    assert key_parts(16, 256, full, 132) == 1
    assert key_parts(16, 256, attention_tile("a100", 256, 2, causal=False), 108) == 1
    assert key_parts(64, 2048, sliding, 132) == 1


def test_cards_that_arithmetic_bounds_pad_less() -> None:
    assert expert_tokens(2048, 128, "hopper") == 32
    assert expert_tokens(2048, 128, "small") == 16
    assert expert_tokens(16384, 128, "small") == 64


def test_a_table_is_added_in_parts_that_depend_on_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    tile = table_tile("hopper", torch.bfloat16)
    assert table_parts(262144, tile) == 8
    assert table_parts(1000, tile) == 1
    monkeypatch.setattr(tiles, "PART_ROWS", 1)
    assert table_parts(2 * tile.rows, tile) == 2
