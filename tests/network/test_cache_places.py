"""Keys and values that a kernel writes to their places are those that a cache writes itself."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from redraft.network.cache import Cache
from redraft.network.cache_places import CachePlaces
from redraft.network.segments import Segment
from redraft.testing import tiny_config

CONFIG = tiny_config(num_hidden_layers=2, sliding_window=7, canvas_length=4)
CAPACITY = 40


def heard_by(cache: Cache) -> list[tuple[Tensor, Tensor]]:
    heard: list[tuple[Tensor, Tensor]] = []
    cache.on_write = lambda layer, key, value: heard.append((key.clone(), value.clone()))
    return heard


def write_at(places: CachePlaces, index: int, keys: Tensor, values: Tensor, cache: Cache) -> None:
    """Do what the kernel does, in plain torch: keys and values are [N, kv_heads, D]."""
    owners, table = places.of_layer(index)
    buffers = cache._layers[index]
    for token, owner in enumerate(owners.tolist()):
        key, value, step, first = table[owner].tolist()
        if owner < 0 or not key:
            continue
        for numbers, address, buffer in (
            (keys[token], key, buffers.key),
            (values[token], value, buffers.value),
        ):
            offset, rest = divmod(address - buffer.data_ptr(), buffer.itemsize)
            assert rest == 0
            assert offset >= 0
            width = buffer.shape[-1]
            places_of = buffer.as_strided(
                numbers.shape, (step, 1), offset + (token - first) * width
            )
            places_of.copy_(numbers)


@pytest.mark.parametrize("seed", range(12))
def test_what_is_adopted_is_what_would_be_written(seed: int) -> None:
    """Passes of one to three segments, over sliding layers that overflow and full ones."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    ours, other = (
        Cache(CONFIG, CAPACITY, dtype=torch.float32, truncatable=seed % 3 == 0) for _ in range(2)
    )
    heard = [heard_by(cache) for cache in (ours, other)]
    adopted = 0
    for _ in range(5):
        lengths = [rng.randint(1, 5) for _ in range(rng.randint(1, 3))]
        if ours.length + sum(lengths) > CAPACITY:
            break
        segments, start = [], 0
        for length in lengths:
            position = ours.length + start
            segments.append(Segment(start, start + length, ours, True, position, True))
            start += length
        places = CachePlaces(CONFIG, segments, start + 2, torch.device("cpu"))
        assert places.of_layer(0)[0].tolist()[start:] == [-1, -1]
        for index, layer in enumerate(CONFIG.layers):
            shape = start, layer.num_key_value_heads, layer.head_dim
            keys, values = (torch.randn(shape, generator=generator) for _ in range(2))
            write_at(places, index, keys, values, ours)
            for segment in segments:
                own = slice(segment.start, segment.stop)
                key, value = keys[own].transpose(0, 1), values[own].transpose(0, 1)
                expected = other.write(index, key, value)
                if places.are_written(index, segment):
                    found = ours.adopt(index, segment.length)
                    adopted += 1
                else:
                    found = ours.write(index, key, value)
                for one, two in zip(
                    (*found, *ours.prefix(index)), (*expected, *other.prefix(index)), strict=True
                ):
                    assert torch.equal(one, two)
        for cache in (ours, other):
            cache.advance(start)
    assert adopted
    for one, two in zip(*heard, strict=True):
        assert all(torch.equal(*pair) for pair in zip(one, two, strict=True))


def test_a_layer_that_nobody_asked_for_is_not_taken_as_written() -> None:
    cache = Cache(CONFIG, CAPACITY, dtype=torch.float32)
    segment = Segment(0, 3, cache, True, 0, True)
    places = CachePlaces(CONFIG, [segment], 3, torch.device("cpu"))
    assert not places.are_written(0, segment)
    places.of_layer(0)
    assert places.are_written(0, segment)
    assert not places.are_written(1, segment)
    unkept = CachePlaces(CONFIG, [Segment(0, 3, cache, True, 0, False)], 3, torch.device("cpu"))
    unkept.of_layer(0)
    assert not unkept.are_written(0, segment)
