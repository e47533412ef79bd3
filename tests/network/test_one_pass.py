"""Clean tokens and canvases in one pass, against one pass each."""

from __future__ import annotations

import random

import pytest
import torch

from redraft.network import Cache, DiffusionGemma
from redraft.network.segments import Clean
from redraft.testing import tiny_model
from redraft.testing.tiny import random_shape


def prepared(model: DiffusionGemma, before: list[torch.Tensor]) -> list[Cache]:
    caches = [model.new_cache(200) for _ in before]
    with torch.inference_mode():
        for tokens, cache in zip(before, caches, strict=True):
            if len(tokens):
                model.encode([tokens], [cache])
    return caches


@pytest.mark.parametrize("seed", range(20))
def test_a_commit_rides_on_the_next_canvas(seed: int) -> None:
    """The same states and caches, to the last bit, as reading the clean tokens first and the
    canvases then."""
    rng = random.Random(seed)
    model = tiny_model(seed, vocab_size=150, **random_shape(rng))
    length, rows = model.config.canvas_length, rng.randint(1, 4)
    torch.manual_seed(seed)
    before = [torch.randint(2, 150, (rng.choice((0, 1, 9, 40)),)) for _ in range(rows)]
    canvas, signal = (
        torch.randint(0, 150, (rows, length)),
        torch.randn(rows, length, model.config.hidden_size),
    )
    committing = sorted(rng.sample(range(rows), rng.randint(1, rows)))
    tokens = [torch.randint(2, 150, (rng.choice((1, length, 33, 70)),)) for _ in committing]
    apart, together = prepared(model, before), prepared(model, before)
    with torch.inference_mode():
        for part, row in zip(tokens, committing, strict=True):
            model.encode([part], [apart[row]])
        expected = model.canvas_states(canvas, apart, signal)
        found = model.canvas_states(
            canvas, together, signal, Clean(tokens, [together[row] for row in committing])
        )
        assert torch.equal(found, expected)
        for one, other in zip(apart, together, strict=True):
            assert one.length == other.length
            for layer in range(model.config.num_hidden_layers):
                for left, right in zip(one.prefix(layer), other.prefix(layer), strict=True):
                    assert torch.equal(left, right)


@pytest.mark.parametrize("count", [1, 31, 32, 64, 70])
def test_prefill_leaves_what_encoding_leaves(count: int) -> None:
    model = tiny_model(count, vocab_size=150)
    tokens = torch.randint(2, 150, (count,))
    caches = [model.new_cache(200) for _ in range(2)]
    with torch.inference_mode():
        model.encode([tokens], caches[:1])
        model.prefill([tokens], caches[1:])
    for layer in range(model.config.num_hidden_layers):
        for left, right in zip(caches[0].prefix(layer), caches[1].prefix(layer), strict=True):
            assert torch.equal(left, right)
    assert caches[0].length == caches[1].length == count


@pytest.mark.parametrize("seed", range(12))
def test_texts_can_be_read_behind_a_cache_that_stays_as_it_is(seed: int) -> None:
    rng = random.Random(seed)
    model = tiny_model(seed, vocab_size=150, **random_shape(rng))
    torch.manual_seed(seed)
    prefix = torch.randint(2, 150, (rng.choice((1, 9, 40)),))
    texts = [
        torch.randint(2, 150, (rng.choice((1, 5, 33, 250)),)) for _ in range(3)
    ]  # some have no room in the cache
    (cache,) = prepared(model, [prefix])
    before = [
        [part.clone() for part in cache.prefix(layer)]
        for layer in range(model.config.num_hidden_layers)
    ]
    with torch.inference_mode():
        for text, states in zip(texts, model.encode(texts, [cache] * 3, keep=False), strict=True):
            whole = model.encode([torch.cat((prefix, text))], [model.new_cache(400)])[0]
            assert torch.allclose(states, whole[len(prefix) :], atol=1e-4)
    assert cache.length == len(prefix)
    for layer, parts in enumerate(before):
        for one, other in zip(parts, cache.prefix(layer), strict=True):
            assert torch.equal(one, other)
