"""Kernels for what stands between products give what the layers give. Without a CUDA device they
run in Triton's interpreter, on this processor."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

pytest.importorskip("triton")

from redraft.network.context import CachedContext
from redraft.network.fused_layers import run_in_kernels, suits_kernels
from redraft.network.layers import Layer
from redraft.network.segments import consecutive_segments
from redraft.network.transformer import DiffusionGemma
from redraft.ops.activation import ACTIVATIONS, gate_halves, gated
from redraft.ops.norm import rms_norm
from redraft.ops.rope import apply_rotary
from redraft.ops.triton.heads import norm_and_rotate
from redraft.ops.triton.residual import (
    EndWeights,
    FeedForwardWeights,
    after_attention,
    end_layer,
)
from redraft.testing import tiny_model
from tests.ops.with_kernels import DEVICE, plainly, random, with_kernels

# The interpreter rounds to bfloat16 by cutting off.
BARS = {torch.float32: 2e-6, torch.bfloat16: 1e-2 if DEVICE == "cuda" else 2.5e-2}
EPS = 1e-6


@pytest.fixture(autouse=True)
def on_kernels() -> Iterator[None]:
    with with_kernels():
        yield


def error(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found.float() - expected.float()).norm() / expected.float().norm())


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", BARS)
def test_halves_of_a_product_are_gated(name: str, dtype: torch.dtype) -> None:
    gate, up = (3 * random(2, 3, 48)).to(dtype).chunk(2, dim=-1)
    gate[0, 0, :4] = torch.tensor([0.0, 30.0, -30.0, -0.0], dtype=dtype)
    gate, up = gate[..., :20], up[..., :20]  # rows lie in strides
    found = gated(gate, up, ACTIVATIONS[name])
    with plainly():
        expected = gated(gate, up, ACTIVATIONS[name])
    assert found.is_contiguous()
    assert error(found, expected) < BARS[dtype]


def test_an_activation_without_a_kernel_is_gated_plainly() -> None:
    gate, up = random(3, 8), random(3, 8, seed=1)
    assert torch.equal(gated(gate, up, F.softplus), F.softplus(gate) * up)


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize(
    ("heads", "kv_heads", "dim", "first"), [(4, 2, 16, 0), (3, 1, 24, 2), (2, 2, 8, 3)]
)
def test_heads_are_normed_and_rotated(
    dtype: torch.dtype, heads: int, kv_heads: int, dim: int, first: int
) -> None:
    """Keys and values are parts of one product, or one tensor."""
    tokens = 3
    wide = random(tokens, (heads + 2 * kv_heads) * dim).to(dtype)
    query, key, value = wide.split([heads * dim, kv_heads * dim, kv_heads * dim], dim=-1)
    query = query[first:]
    value = key if kv_heads == 1 else value
    angles = random(tokens, dim // 2, seed=1).repeat(1, 2)
    table = angles.cos().to(dtype), angles.sin().to(dtype)
    weights = [(1 + random(dim, seed=seed) / 3).to(dtype) for seed in (2, 3)]
    found = norm_and_rotate((query, key, value), table, weights[0], weights[1], EPS)
    with plainly():
        query, key, value = (part.unflatten(-1, (-1, dim)) for part in (query, key, value))
        own = table[0][first:], table[1][first:]
        expected = (
            apply_rotary(rms_norm(query, weights[0], EPS), own),
            apply_rotary(rms_norm(key, weights[1], EPS), table),
            rms_norm(value, None, EPS),
        )
    assert len(found.query) == tokens - first
    for one, other in zip(found, expected, strict=True):
        if len(one):
            assert error(one, other) < BARS[dtype]


def weights_of(count: int, width: int, dtype: torch.dtype) -> list[Tensor]:
    return [(1 + random(width, seed=10 + at) / 3).to(dtype) for at in range(count)]


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("width", [40, 128])
def test_attention_ends_in_what_the_feed_forward_parts_read(dtype: torch.dtype, width: int) -> None:
    mixed, x = (2 * random(3, width)).to(dtype), (3 * random(3, width + 8, seed=1)).to(dtype)
    weights, x = weights_of(4, width, dtype), x[:, :width]
    found = after_attention(mixed, x, FeedForwardWeights(*weights), EPS)
    with plainly():
        after = x + rms_norm(mixed, weights[0], EPS)
        router = rms_norm(after, None, EPS) * weights[3] * width**-0.5
        normed = [rms_norm(after, weight, EPS) for weight in weights[1:3]]
    for one, other in zip(found, (after, *normed, router), strict=True):
        assert error(one, other) < BARS[dtype]


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize(("top_k", "one_scalar"), [(None, True), (1, False), (3, True)])
def test_a_layer_ends_in_its_sum_and_the_next_norm(
    dtype: torch.dtype, top_k: int | None, one_scalar: bool
) -> None:
    rows, width = 3, 48
    x, dense = random(rows, width).to(dtype), (2 * random(rows, width, seed=1)).to(dtype)
    outputs = (3 * random(rows * (top_k or 1), width, seed=2)).to(dtype)
    mixture = None if top_k is None else random(rows, top_k, seed=3).softmax(-1)
    weights = weights_of(4, width, dtype)
    scalars = (1 + random(rows, 1, seed=4) / 2).to(dtype)
    scalars = scalars[:1].expand(rows, 1) if one_scalar else scalars
    found = end_layer(x, dense, outputs, mixture, EndWeights(*weights), scalars, EPS)
    with plainly():
        sparse = outputs
        if mixture is not None:
            each = outputs.view(rows, -1, width).float()
            sparse = (each * mixture[..., None]).sum(1).to(dtype)
        parts = rms_norm(dense, weights[0], EPS) + rms_norm(sparse, weights[1], EPS)
        out = (x + rms_norm(parts, weights[2], EPS)) * scalars
        normed = rms_norm(out, weights[3], EPS)
    assert error(found[0], out) < BARS[dtype]
    assert error(found[1], normed) < BARS[dtype]


def pass_of(
    network: DiffusionGemma, encoded: list[int], first: int
) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Run a pass of clean tokens and two canvases of 3 tokens, in kernels and plainly.

    Returns the states of each, and the keys and values that the caches hold then.

    Args:
        encoded: for each of the caches, the number of clean tokens that the pass encodes.
    """
    states, held = [], []
    for in_kernels in (True, False):
        caches = [network.new_cache(40) for _ in range(2)]
        with plainly():
            for seed, cache in enumerate(caches):
                tokens = torch.arange(5 + 9 * seed) + 4
                network.prefill([tokens.to(DEVICE)], [cache])
        segments = [
            one
            for count, cache in zip(encoded, caches, strict=True)
            if count
            for one in consecutive_segments([count], [cache], clean=True)
        ]
        placed, start = [], 0
        for one in segments:
            length = one.length
            placed.append(type(one)(start, start + length, one.cache, True, one.position, True))
            start += length
        canvases = consecutive_segments([3, 3], caches, clean=False, after=placed)
        x = random(start + 6, network.config.hidden_size, seed=8).to(network.dtype)
        if in_kernels:
            context = CachedContext(network.config, [*placed, *canvases], len(x), x)
            assert suits_kernels(network.layers, network.norm, x, context)
            states.append(run_in_kernels(network.layers, network.norm, x, context, first))
        else:
            with plainly():
                context = CachedContext(network.config, [*placed, *canvases], len(x), x)
                states.append(network.hidden_states(x, context, first))
        layers = range(len(network.layers))
        pairs = [cache.prefix(at) for cache in caches for at in layers]
        held.append([part for pair in pairs for part in pair])
    return states, held


@pytest.mark.long  # the texts of test_kernels.py and test_cuda_graphs.py are such passes too
@pytest.mark.parametrize(("encoded", "first"), [([1, 2], 3), ([0, 0], 0), ([2, 4], 12)])
def test_a_pass_in_kernels_is_that_of_the_layers(encoded: list[int], first: int) -> None:
    """Canvases alone; with clean tokens before them, which have another scalar; no states at all."""
    network = tiny_model(3, num_hidden_layers=2, sliding_window=9, canvas_length=4).to(DEVICE)
    for at, layer in enumerate(network.layers):
        assert isinstance(layer, Layer)
        layer.layer_scalar.fill_(0.7 + 0.1 * at)
        layer.encoder_layer_scalar.fill_(0.5)
    (found, expected), (held, kept) = pass_of(network, encoded, first)
    assert all(error(one, other) < 1e-5 for one, other in zip(held, kept, strict=True))
    assert found.shape == expected.shape == (sum(encoded) + 6 - first, 32)
    assert len(found) == 0 or error(found, expected) < 1e-5


def test_what_the_kernels_do_not_know_runs_as_it_is() -> None:
    network = tiny_model(4, num_hidden_layers=2).to(DEVICE)
    x = random(6, 32)
    context = CachedContext(network.config, [], 6, x)

    def suits() -> bool:
        return suits_kernels(network.layers, network.norm, x, context)

    layer = network.layers[1]
    assert isinstance(layer, Layer)
    assert suits()
    for part in (layer, layer.mlp, layer.self_attn, layer.post_feedforward_layernorm):
        handle = part.register_forward_hook(lambda *_: None)
        assert not suits()
        handle.remove()
        assert suits()
    norm, layer.input_layernorm = layer.input_layernorm, torch.nn.Identity()  # type: ignore[assignment]
    assert not suits()
    layer.input_layernorm = norm
    layer.layer_scalar = layer.layer_scalar.double()
    assert not suits()
    with plainly():
        assert not suits_kernels(network.layers[:1], network.norm, x, context)


def parts_of(whole: Tensor, count: int) -> Tensor:
    """Parts, float32 [S, ...], that add up to a tensor but for rounding."""
    parts = torch.stack([random(*whole.shape, seed=20 + at) for at in range(count)])
    parts[-1] += whole.float() - parts.sum(0)
    return parts


@pytest.mark.parametrize("dtype", BARS)
def test_rows_that_come_in_parts_are_added_first(dtype: torch.dtype) -> None:
    """As those that read them do: they are rounded once, before the norm."""
    x, weights = (3 * random(3, 40)).to(dtype), weights_of(4, 40, dtype)
    parts = parts_of(random(3, 40, seed=1), 3)
    whole = parts.sum(0).to(dtype)
    found = after_attention(parts, x, FeedForwardWeights(*weights), EPS)
    expected = after_attention(whole, x, FeedForwardWeights(*weights), EPS)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == dtype
        assert error(one, other) < BARS[dtype]
    ends, scalars = EndWeights(*weights), x.new_full((3, 1), 0.5)
    for one, other in zip(
        end_layer(x, parts, x, None, ends, scalars, EPS),
        end_layer(x, whole, x, None, ends, scalars, EPS),
        strict=True,
    ):
        assert one.dtype == dtype
        assert error(one, other) < BARS[dtype]
    for activation in (ACTIVATIONS["silu"], F.softplus):
        halves = parts.chunk(2, dim=-1)
        mixed = gate_halves(halves[0], halves[1], activation, dtype)
        assert mixed.dtype == dtype
        gate, up = whole.chunk(2, dim=-1)
        assert error(mixed, gate_halves(gate, up, activation, dtype)) < BARS[dtype]
