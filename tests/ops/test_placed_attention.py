"""Attention of tokens whose keys lie in a cache already, against plain torch."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton")

from redraft.ops import attention as plain
from redraft.ops.triton.placed_attention import placed_attention, shares_of_keys

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
HEADS, KV_HEADS, COLUMNS = 4, 2, 90
# Columns before each slot, and its tokens: none, some, a whole slot.
SLOTS = [(0, 5), (40, 16), (61, 1), (7, 0)]


def case(dim: int, length: int, slots: list[tuple[int, int]], seed: int):  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(seed)
    held = torch.randn(len(slots), 2, KV_HEADS, COLUMNS, dim, generator=generator).to(DEVICE)
    query = torch.randn(len(slots) * length, HEADS, dim, generator=generator).to(DEVICE)
    places = [
        (one[0].data_ptr(), one[1].data_ptr(), one.stride(1), before, count, 0)
        for one, (before, count) in zip(held, slots, strict=True)
    ]
    return held, query, torch.tensor(places, device=DEVICE)


@pytest.mark.parametrize("window", [None, 9])
@pytest.mark.parametrize("dim", [16, 24])
def test_slots_are_read_as_plain_torch_reads_them(dim: int, window: int | None) -> None:
    length = 16
    held, query, places = case(dim, length, SLOTS, seed=1)
    out = torch.full((len(query), HEADS * dim), torch.nan, device=DEVICE)
    found = placed_attention(query, places, length, KV_HEADS, window, out)
    assert found is out
    for number, (before, count) in enumerate(SLOTS):
        own = slice(number * length, number * length + count)
        keys, values = held[number, :, :, : before + count]
        if count:
            expected = plain.causal_attention(query[own], keys, values, window)
            torch.testing.assert_close(found[own], expected, atol=2e-5, rtol=1e-4)
        assert not found[own.stop : (number + 1) * length].any(), "rows without a token are zero"


@pytest.mark.parametrize("window", [None, 9])
def test_single_tokens_share_their_keys_out(window: int | None) -> None:
    slots = [(0, 1), (63, 1), (89, 1)]
    held, query, places = case(16, 1, slots, seed=2)
    found = placed_attention(query, places, 1, KV_HEADS, window)
    for number, (before, _) in enumerate(slots):
        keys, values = held[number, :, :, : before + 1]
        expected = plain.causal_attention(query[number : number + 1], keys, values, window)
        torch.testing.assert_close(found[number : number + 1], expected, atol=2e-5, rtol=1e-4)


def test_the_programs_of_a_launch_stay_about_as_many() -> None:
    assert [shares_of_keys(count) for count in (1, 2, 8, 16, 64, 1000)] == [32, 32, 32, 16, 4, 1]
