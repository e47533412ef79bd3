from __future__ import annotations

import pytest
import torch

from redraft.network import Cache
from redraft.testing import tiny_config, tiny_model


def encoded(model, tokens: torch.Tensor, capacity: int = 100) -> Cache:
    cache = model.new_cache(capacity)
    with torch.inference_mode():
        model.encode([tokens], [cache])
    return cache


def snapshot(cache: Cache) -> list[torch.Tensor]:
    return [part.clone() for layer in range(4) for part in cache.prefix(layer)]


def test_denoising_leaves_the_cache_as_it_was() -> None:
    model = tiny_model()
    cache = encoded(model, torch.arange(2, 32))
    before = snapshot(cache)
    canvas = torch.randint(0, 384, (3, 16))
    signal = torch.randn(3, 16, 32)
    with torch.inference_mode():
        first = model.canvas_states(canvas, [cache] * 3, signal)
        again = model.canvas_states(canvas.flip(0), [cache] * 3, signal.flip(0)).flip(0)
    assert all(torch.equal(a, b) for a, b in zip(before, snapshot(cache), strict=True))
    assert cache.length == 30
    # Several canvases on one prefix do not disturb each other.
    assert torch.equal(first, again)


def test_a_fork_goes_its_own_way() -> None:
    model = tiny_model()
    cache = encoded(model, torch.arange(2, 22))
    before, fork = snapshot(cache), cache.fork()
    with torch.inference_mode():
        model.encode([torch.arange(40, 60)], [fork])
    assert (cache.length, fork.length) == (20, 40)
    assert all(torch.equal(a, b) for a, b in zip(before, snapshot(cache), strict=True))
    whole = encoded(model, torch.cat((torch.arange(2, 22), torch.arange(40, 60))))
    assert all(
        torch.allclose(a, b, atol=1e-5)
        for a, b in zip(snapshot(fork), snapshot(whole), strict=True)
    )


def test_sliding_layers_hold_their_window_and_no_more() -> None:
    config = tiny_config(sliding_window=8, canvas_length=16)
    cache = Cache(config, 1000, dtype=torch.float32)
    sliding, full = 2 * 4 * (7 + 16) * 2 * 8, 2 * 4 * (1000 + 16) * 16
    assert cache.nbytes() == 2 * sliding + 2 * full


def test_nothing_is_allocated_after_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    cache = model.new_cache(80)
    size = cache.nbytes()
    with torch.inference_mode():
        for part in torch.arange(2, 82).split(13):
            model.encode([part], [cache])
    assert cache.nbytes() == size
    assert cache.length == 80
