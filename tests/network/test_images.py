"""Images in a pass: the mask against its definition, and cuts that change no bit."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from redraft.network import DiffusionGemma, ImageSpan, block_edges
from redraft.network.segments import PREFILL_CHUNK
from redraft.ops import attention as ops
from redraft.ops.attention import image_attention
from redraft.testing import tiny_model

IMAGE = 100


def naive(
    query: Tensor, key: Tensor, value: Tensor, window: int, images: list[tuple[int, int]]
) -> Tensor:
    """softmax(Q K^T) V with the mask as the rule says it, token by token."""
    length, heads, _ = query.shape
    total, group = key.shape[1], heads // key.shape[0]
    before = total - length
    image_of = {before + at: n for n, (a, b) in enumerate(images) for at in range(a, b)}
    mixed = torch.zeros_like(query)
    for at in range(length):
        q = before + at
        seen = [
            k
            for k in range(total)
            if k > q - window and (k <= q or (q in image_of and image_of[q] == image_of.get(k)))
        ]
        for head in range(heads):
            scores = key[head // group, seen] @ query[at, head]
            mixed[at, head] = scores.softmax(0) @ value[head // group, seen]
    return mixed.flatten(1)


@pytest.mark.parametrize("seed", range(12))
def test_attention_over_images_is_the_naive_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    length, before, window = rng.randint(1, 40), rng.choice((0, 3, 20)), rng.choice((2, 5, 16, 64))
    edges = sorted(rng.sample(range(length + 1), min(length + 1, 2 * rng.randint(1, 3))))
    images = list(zip(edges[::2], edges[1::2], strict=False))
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(length, 4, 8, generator=generator)
    key, value = torch.randn(2, 2, before + length, 8, generator=generator)
    if seed % 2:  # several blocks of queries
        monkeypatch.setattr(ops, "MAX_SCORES_CPU", 1)
        monkeypatch.setattr(ops, "MIN_QUERIES", 5)
    found = image_attention(query, key, value, window, images)
    assert (found - naive(query, key, value, window, images)).abs().max() < 1e-5


def test_an_edge_inside_an_image_moves_to_its_end() -> None:
    images = [ImageSpan(200, 300), ImageSpan(510, 512), ImageSpan(700, 1100)]
    assert list(block_edges(0, 1400, images)) == [300, 512, 1100, 1280]
    assert list(block_edges(300, 1400, images)) == [512, 1100, 1280]
    assert list(block_edges(0, 1100, images)) == [300, 512, 1100]
    assert list(block_edges(0, 1000)) == [256, 512, 768]
    assert list(block_edges(256, 256)) == []


def encoded(
    model: DiffusionGemma, tokens: Tensor, images: list[ImageSpan], cuts: list[int]
) -> list[Tensor]:
    """Keys of every layer after passes that end at these places."""
    cache = model.new_cache(len(tokens))
    heard: list[list[Tensor]] = [[] for _ in model.layers]
    cache.on_write = lambda layer, key, value: heard[layer].append(key.clone())
    with torch.inference_mode():
        for first, last in zip([0, *cuts], [*cuts, len(tokens)], strict=True):
            model.prefill([tokens[first:last]], [cache], [images])
    return [torch.cat(parts, 1) for parts in heard]


def test_cuts_between_passes_change_no_bit() -> None:
    """Also behind an image that ends off the grid, where the rest is shorter than a block."""
    model = tiny_model(2, max_position_embeddings=4096, image_token_id=IMAGE)
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(3, 90, (830,), generator=generator)
    places = [(1, 61), (230, 420), (690, 700)]
    images = []
    for start, stop in places:
        tokens[start:stop] = IMAGE
        images.append(ImageSpan(start, stop, torch.randn(stop - start, 32, generator=generator)))
    whole = encoded(model, tokens, images, [])
    for cuts in ([420], [512], [768], [420, 512, 768]):
        for one, other in zip(whole, encoded(model, tokens, images, cuts), strict=True):
            assert torch.equal(one, other), cuts


def test_images_change_nothing_before_them_and_all_behind_them() -> None:
    model = tiny_model(2, image_token_id=IMAGE)
    tokens = torch.randint(3, 90, (60,), generator=torch.Generator().manual_seed(1))
    tokens[20:40] = IMAGE
    first, other = (torch.randn(20, 32, generator=torch.Generator().manual_seed(n)) for n in (1, 2))
    one, two = (encoded(model, tokens, [ImageSpan(20, 40, part)], []) for part in (first, other))
    assert all(torch.equal(a[:, :20], b[:, :20]) for a, b in zip(one, two, strict=True))
    assert not torch.equal(one[-1][:, 45:], two[-1][:, 45:])


def test_a_text_without_images_is_encoded_as_ever() -> None:
    """An empty list of images, and none at all, give the same bits."""
    model = tiny_model(2, max_position_embeddings=4096)
    tokens = torch.randint(3, 90, (600,), generator=torch.Generator().manual_seed(1))
    caches = [model.new_cache(PREFILL_CHUNK) for _ in range(2)]
    with torch.inference_mode():
        (plain,) = model.encode([tokens], [caches[0]])
        (empty,) = model.encode([tokens], [caches[1]], images=[[]])
    assert torch.equal(plain, empty)
