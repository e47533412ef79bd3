"""Kernels of our own give what plain torch gives. Without a CUDA device they run in Triton's
interpreter, on this processor."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

pytest.importorskip(
    "triton",
    reason="Triton is not here (it comes with torch for CUDA, and for Linux with the tests)",
)

from redraft.api import Model
from redraft.network import transformer
from redraft.ops import batch_invariance
from redraft.ops import triton as kernels
from redraft.ops.activation import ACTIVATIONS
from redraft.ops.attention import attention, causal_attention
from redraft.ops.experts import experts, route
from redraft.ops.linear import Linear, linear, parallel_linears, partial_linears
from redraft.ops.packed_layout import PackedLayout, table_of
from redraft.ops.philox import philox
from redraft.ops.rope import apply_rotary
from redraft.ops.triton import decode as decoding
from redraft.ops.triton import trial
from redraft.ops.triton.attention import canvas_attention
from redraft.ops.triton.grouping import Groups, group_by_expert
from redraft.ops.triton.product import partial_product, product
from redraft.ops.triton.tiles import TOKENS
from redraft.ops.vocabulary import Readout, read_vocabulary
from redraft.ops.vocabulary.dense import mean_embedding
from redraft.quant import (
    FORMATS,
    ExpertList,
    Int4Weight,
    Int8Weight,
    Nvfp4Weight,
    PackedWeight,
    StackedWeight,
    quantizable_formats,
)
from redraft.quant.bits import pack_nibbles
from redraft.testing import tiny_model
from tests.cases import cases
from tests.ops.with_kernels import DEVICE, plainly, random, with_kernels

# The interpreter rounds to bfloat16 by cutting off, and multiplies in float32.
BARS = {torch.float32: 2e-6, torch.bfloat16: 5e-3 if DEVICE == "cuda" else 1.5e-2}
EVERY = [*quantizable_formats(), "nvfp4", "int4 lopsided", "int8 in groups", "int8 centred"]


@pytest.fixture(autouse=True)
def on_kernels() -> Iterator[None]:
    with with_kernels():
        yield


def packed(
    name: str, height: int, width: int, dtype: torch.dtype, group: int = 32, seed: int = 0
) -> PackedWeight:
    """A random quantized matrix."""
    generator = torch.Generator().manual_seed(seed)
    if name == "nvfp4":
        values = torch.randint(0, 256, (height, width // 2), dtype=torch.uint8, generator=generator)
        scale = (torch.rand(height, width // 16, generator=generator) * 3).to(torch.float8_e4m3fn)
        return Nvfp4Weight(values.to(DEVICE), scale.to(DEVICE), torch.tensor(0.3 + seed), dtype)
    if name == "int4 lopsided":
        numbers = torch.randint(0, 16, (height, width), generator=generator)
        scale, offset = (torch.rand(height, width // group, generator=generator) for _ in range(2))
        return Int4Weight(
            pack_nibbles(numbers).to(DEVICE), scale.to(DEVICE), offset.to(DEVICE), dtype
        )
    if name.startswith("int8 "):
        whole = torch.randint(-128, 128, (height, width), dtype=torch.int8, generator=generator)
        scale, offset = (torch.rand(height, width // group, generator=generator) for _ in range(2))
        offsets = offset.to(DEVICE) if name == "int8 in groups" else None
        return Int8Weight(whole.to(DEVICE), scale.to(DEVICE), dtype, offsets)
    return FORMATS[name].quantize(random(height, width, seed=seed), dtype, group)


def error(found: Tensor, expected: Tensor) -> float:
    return float((found.float() - expected.float()).norm() / expected.float().norm())


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize(
    ("rows", "height", "width", "group"),
    [(1, 128, 128, 32), (37, 200, 192, 64), (70, 130, 320, 16)],
)
def test_a_product_is_that_of_the_numbers(
    name: str, dtype: torch.dtype, rows: int, height: int, width: int, group: int
) -> None:
    weight = packed(name, height, width, dtype, group)
    layout = weight.packed_layout()
    assert layout is not None
    x = random(2, rows, width, seed=1).to(dtype)
    expected = x.float() @ weight.dequantize().float().T
    assert error(product(x.flatten(0, 1), layout).view_as(expected), expected) < BARS[dtype]


def test_numbers_without_a_kernel_go_the_plain_way() -> None:
    weight = packed("int4", 64, 96, torch.float32)
    assert weight.packed_layout() is None
    x = random(5, 96)
    assert torch.allclose(linear(x, weight), x @ weight.dequantize().T, atol=1e-4)


@pytest.mark.parametrize("name", [*EVERY, "plain"])
@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("seed", cases(3, 1))
def test_experts_are_those_of_plain_torch(name: str, dtype: torch.dtype, seed: int) -> None:
    count, width, size, top_k = 5, 64, 128, 2
    # In the interpreter, 150 tokens take a third of a minute: two names have them.
    many = 150 if DEVICE == "cuda" or name in ("plain", "int4") else 70
    tokens = (3, 40, many)[seed]
    if name == "plain":
        wide, narrow = (
            random(count, 2 * width, size).to(dtype),
            random(count, size, width, seed=1).to(dtype),
        )
        wide_numbers, narrow_numbers = wide, narrow
    else:
        each = [
            [packed(name, width, size, dtype, seed=2 * at + half) for half in range(2)]
            for at in range(count)
        ]
        wide = ExpertList([StackedWeight(pair) for pair in each])
        narrow = ExpertList([packed(name, size, width, dtype, seed=at) for at in range(count)])
        wide_numbers, narrow_numbers = wide.dequantize(), narrow.dequantize()
        assert wide.packed_layout() is not None
        assert narrow.packed_layout() is not None
    x = random(tokens, size, seed=seed).to(dtype)
    scores = random(tokens, count, seed=seed + 9) + torch.tensor(
        [0, 0, 9, 0, -9], device=DEVICE
    )  # one is all but idle
    weights, index = route(scores, top_k, torch.ones(count, device=DEVICE))
    activation = ACTIVATIONS["gelu_pytorch_tanh"]
    found = experts(x, wide, narrow, weights, index, activation)  # type: ignore[arg-type]
    with plainly():
        expected = experts(
            x.float(), wide_numbers.float(), narrow_numbers.float(), weights, index, activation
        )
    assert error(found, expected) < 2 * BARS[dtype]


@pytest.mark.parametrize("seed", cases(8, 3))
def test_every_assignment_is_in_one_block_of_its_expert(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    experts_there, tokens, top_k = (
        int(torch.randint(low, high, (), generator=generator))
        for low, high in ((1, 20), (1, 200), (1, 4))
    )
    top_k = min(top_k, experts_there)
    index = torch.stack(
        [torch.randperm(experts_there, generator=generator)[:top_k] for _ in range(tokens)]
    )
    index = index % int(
        torch.randint(1, experts_there + 1, (), generator=generator)
    )  # the last of them have nothing to do
    groups = group_by_expert(index.to(DEVICE), experts_there, TOKENS[seed % len(TOKENS)])
    met = []
    for owner, first in zip(groups.owners.tolist(), groups.firsts.tolist(), strict=True):
        if owner < experts_there:
            last = min(first + groups.block, int(groups.edges[owner + 1]))
            assert last > first
            for at in groups.order[first:last].tolist():
                assert int(index.flatten()[at]) == owner
                met.append(at)
    assert sorted(met) == list(range(tokens * top_k))


def test_a_row_of_a_product_does_not_depend_on_the_others() -> None:
    weight, x = packed("int4", 128, 128, torch.bfloat16), random(40, 128).bfloat16()
    assert torch.equal(
        linear(x, weight), torch.cat([linear(x[at : at + 20], weight) for at in (0, 20)])
    )


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("width", [8, 64, 96])
def test_rotary_is_that_of_plain_torch(dtype: torch.dtype, width: int) -> None:
    x = random(5, 7, 3, width).to(dtype).transpose(0, 1)
    angles = random(7, 5, width // 2).repeat(1, 1, 2)
    table = angles.cos().to(dtype), angles.sin().to(dtype)
    found = apply_rotary(x, table)
    with plainly():
        expected = apply_rotary(x.float(), (table[0].float(), table[1].float()))
    assert error(found, expected) < BARS[dtype]


@pytest.mark.parametrize("name", ["int4", "nvfp4"])
def test_a_weight_moves_between_devices_orders(name: str) -> None:
    with plainly():
        weight = packed(name, 64, 128, torch.bfloat16).to("cpu")
        numbers = weight.dequantize()
    moved = weight.to(DEVICE)
    assert moved.packed_layout() is not None
    assert torch.allclose(moved.dequantize().cpu().float(), numbers.float(), rtol=1e-2)
    kernels.KERNEL_DEVICES.discard(DEVICE)
    back = moved.to("cpu")
    assert torch.allclose(back.dequantize().float(), numbers.float(), rtol=1e-2)


def test_a_copy_of_experts_reads_its_own_memory() -> None:
    first = ExpertList([packed("int8", 32, 64, torch.float32, seed=at) for at in range(2)])
    before = first.packed_layout()
    second = deepcopy(first)
    after = second.packed_layout()
    assert before is not None
    assert after is not None
    assert not set(before.values.tolist()) & set(after.values.tolist())


def test_experts_of_different_kinds_go_one_by_one() -> None:
    mixed = ExpertList(
        [packed("int8", 32, 64, torch.float32), packed("fp8", 32, 64, torch.float32)]
    )
    assert mixed.packed_layout() is None


@pytest.mark.parametrize(
    ("quantized", "method", "length"),
    [
        pytest.param(None, "diffusion", 20, marks=pytest.mark.long),
        pytest.param("int8", "diffusion", 16, marks=pytest.mark.long),
        ("int4", "diffusion", 8),
        ("int8", "typewriter", 5),
    ],
)
def test_a_model_writes_the_same_text(
    quantized: str | None, method: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (batch_invariance, transformer):  # as on a device: no rows are added
        monkeypatch.setattr(place, "min_rows", lambda like: 1)
    options = {
        "max_new_tokens": length,
        "max_denoising_steps": 3,
        "seed": 4,
        "eos_token_id": (),
        "method": method,
    }
    network = tiny_model(2, num_hidden_layers=2)  # one with a window, one without
    if quantized:
        for layer in network.layers:
            for name in ("gate_up_proj", "down_proj"):
                whole = getattr(layer.experts, name)
                each = [FORMATS[quantized].quantize(one, torch.float32, 16) for one in whole]
                delattr(layer.experts, name)
                setattr(layer.experts, name, ExpertList(each))
    with plainly():
        expected = Model(deepcopy(network)).generate([2, 152, 151], **options).tokens
    assert Model(network.to(DEVICE)).generate([2, 152, 151], **options).tokens == expected


def test_a_tensor_that_lies_in_strides_is_not_read_as_if_it_did_not() -> None:
    x, whole = random(12, 64), random(32, 128)
    found = product(x, PackedLayout("plain", (32, 64), whole[:, :64].contiguous()))
    assert error(found, x @ whole[:, :64].T) < 1e-5


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize(
    ("length", "total", "window"),
    [(1, 1, None), (5, 40, None), (70, 150, None), (70, 150, 9), (33, 33, 50), (1, 70, 16)],
)
@pytest.mark.parametrize("dim", [8, 32])
def test_causal_attention_is_that_of_plain_torch(
    dtype: torch.dtype, length: int, total: int, window: int | None, dim: int
) -> None:
    query, key, value = (
        random(length, 4, dim),
        random(2, total, dim, seed=1),
        random(2, total, dim, seed=2),
    )
    # As a cache shows them: with room behind.
    key, value = (F.pad(part, (0, 0, 0, 7)).to(dtype)[:, :total] for part in (key, value))
    found = causal_attention(query.to(dtype), key, value, window)
    with plainly():
        expected = causal_attention(query.to(dtype).float(), key.float(), value.float(), window)
    assert error(found, expected) < BARS[dtype]


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize("prefixes", [(0,), (1,), (37, 0, 80)])
def test_a_canvas_sees_its_prefix_and_itself(dtype: torch.dtype, prefixes: tuple[int, ...]) -> None:
    length, heads, kv_heads, dim = 20, 4, 2, 16
    rows = len(prefixes) * length
    query = random(rows, heads, dim).to(dtype)
    key, value = (random(rows, kv_heads, dim, seed=seed).to(dtype) for seed in (1, 2))
    held = [
        tuple(random(kv_heads, 100, dim, seed=seed + at).to(dtype) for seed in (3, 30))
        for at in range(len(prefixes))
    ]
    skipped = 5  # a window's worth of older tokens
    places = [
        (*(part[:, skipped:].data_ptr() for part in pair), pair[0].stride(0), count)
        for pair, count in zip(held, prefixes, strict=True)
    ]
    found = canvas_attention(query, key, value, torch.tensor(places, device=query.device), length)
    for at, (pair, count) in enumerate(zip(held, prefixes, strict=True)):
        own = slice(at * length, (at + 1) * length)
        keys, values = (
            torch.cat(
                (part[:, skipped : skipped + count], mine[own].transpose(0, 1)), dim=1
            ).float()
            for part, mine in zip(pair, (key, value), strict=True)
        )
        with plainly():
            expected = attention(query[own].float(), keys, values)
        assert error(found[own], expected) < BARS[dtype]


@pytest.mark.parametrize("dtype", BARS)
@pytest.mark.parametrize(("size", "rows"), [(50, 1), (5000, 2)])
def test_the_vocabulary_is_read_as_plain_torch_reads_it(
    dtype: torch.dtype, size: int, rows: int
) -> None:
    length, width = 6, 32
    hidden, embedding = (
        3 * random(rows, length, width).to(dtype),
        random(size, width, seed=1).to(dtype),
    )
    uniform = torch.rand(
        rows, length, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    ).to(DEVICE)
    asked = Readout(
        temperature=torch.tensor([0.7, 1.2], device=DEVICE)[:rows],
        uniform=uniform,
        greedy=torch.tensor([False, True], device=DEVICE)[:rows],
        edits=[None] * rows,
        wanted=random(rows, length, seed=3) > -1,
    )
    scale = torch.tensor(width**0.5, dtype=dtype, device=DEVICE)
    found = read_vocabulary(hidden, embedding, 30.0, scale, asked)
    with plainly():
        expected = read_vocabulary(hidden, embedding, 30.0, scale, asked)
    bar = 1e-4 if dtype == torch.float32 else 1e-2
    assert torch.equal(found.argmax, expected.argmax)
    assert torch.equal(found.sample, expected.sample)
    assert torch.allclose(found.entropy, expected.entropy, atol=bar, rtol=bar)
    assert torch.allclose(found.confidence, expected.confidence, atol=bar, rtol=bar)
    assert error(found.soft_embedding, expected.soft_embedding) < bar


def test_draws_lie_where_the_cumulative_mass_passes_them() -> None:
    """At the ends of the vocabulary too."""
    probabilities = torch.tensor([0.5, 0.0, 0.25, 0.25, 0.0], device=DEVICE)
    embedding = (probabilities.log().clamp_min(-40))[:, None]
    uniform = torch.tensor(
        [[1e-12, 0.499, 0.501, 0.749, 0.751, 1 - 1e-12]], dtype=torch.float64, device=DEVICE
    )
    one = torch.ones(1, device=DEVICE)
    asked = Readout(temperature=one, uniform=uniform, greedy=one < 0, edits=[None])
    found = read_vocabulary(torch.ones(1, 6, 1, device=DEVICE), embedding, 1e4, one[0], asked)
    assert found.sample.tolist() == [[0, 0, 2, 2, 3, 3]]
    assert found.argmax.tolist() == [[0] * 6]
    assert torch.allclose(
        found.entropy, torch.tensor(1.0397, device=DEVICE).expand(1, 6), atol=1e-3
    )


def test_draws_are_those_of_plain_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    words = [torch.randint(0, 1 << 32, (5, 1), generator=generator).to(DEVICE) for _ in range(5)]
    counter = torch.arange(300, device=DEVICE)[None], *words[:3]
    found = philox(counter, (words[3], words[4]))
    with plainly():
        expected = philox(counter, (words[3], words[4]))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", EVERY)
def test_layers_with_the_same_input_run_together(name: str) -> None:
    layers = []
    for at, height in enumerate((128, 64, 192)):
        layer = Linear(128, height)
        del layer._parameters["weight"]
        layer.weight = packed(name, height, 128, torch.float32, seed=at)  # type: ignore[assignment]
        layers.append(layer)
    assert layers[0].weight._stack([layer.weight for layer in layers]) is not None  # type: ignore[operator]
    x = random(2, 5, 128)
    for found, layer in zip(parallel_linears(x, layers), layers, strict=True):
        assert error(found, x @ layer.weight.dequantize().T) < BARS[torch.float32]  # type: ignore[operator]


def test_layers_that_are_not_alike_run_apart() -> None:
    layers = [Linear(64, 32), torch.nn.Sequential(Linear(64, 16)), Linear(64, 8)]
    layers[2].weight = (
        packed("int8", 8, 64, torch.float32)
        if layers[2]._parameters.pop("weight") is not None
        else None
    )  # type: ignore[assignment]
    x = random(3, 64)
    found = parallel_linears(x.to(DEVICE), [layer.to(DEVICE) for layer in layers])
    assert [part.shape[-1] for part in found] == [32, 16, 8]


@pytest.mark.parametrize(("experts_there", "top_k"), [(8, 2), (5, 5), (128, 8), (100, 3)])
def test_routes_are_those_of_plain_torch(experts_there: int, top_k: int) -> None:
    scores, scale = 3 * random(40, experts_there), 1 + torch.rand(experts_there, device=DEVICE)
    weights, index = route(scores, top_k, scale)
    with plainly():
        expected, order = route(scores, top_k, scale)
    assert torch.equal(index, order)
    assert torch.allclose(weights, expected, rtol=1e-5)


@pytest.mark.parametrize("where", ["states", "embedding"])
def test_what_is_no_number_is_told(where: str) -> None:
    hidden, embedding = random(1, 4, 8), random(30, 8, seed=1)
    (hidden[0, 2] if where == "states" else embedding[7])[3] = torch.nan
    asked = Readout(
        temperature=torch.ones(1, device=DEVICE),
        uniform=torch.full((1, 4), 0.5, dtype=torch.float64, device=DEVICE),
        greedy=torch.zeros(1, dtype=torch.bool, device=DEVICE),
        edits=[None],
    )
    found = read_vocabulary(hidden, embedding, 30.0, torch.ones((), device=DEVICE), asked)
    assert found.entropy.isnan().tolist() == [[where == "embedding" or at == 2 for at in range(4)]]


def test_routes_of_what_is_no_number_lead_to_experts_that_there_are() -> None:
    scores = random(4, 8)
    scores[1] = torch.nan
    scores[2, 5] = torch.nan
    scores[3, 1:] = -torch.inf
    weights, index = route(scores, 3, torch.ones(8, device=DEVICE))
    assert all(len(set(row)) == 3 and 0 <= min(row) <= max(row) < 8 for row in index.tolist())
    assert weights.isnan().any(1).tolist() == [False, True, True, False]
    assert weights[3].tolist() == [1, 0, 0]


def test_means_in_float16_do_not_overflow() -> None:
    states, embedding = (
        torch.zeros(1, 2, 8, device=DEVICE, dtype=torch.float16),
        torch.full((5000, 8), 40.0, device=DEVICE),
    )
    asked = Readout(
        temperature=torch.ones(1, device=DEVICE),
        uniform=torch.full((1, 2), 0.5, dtype=torch.float64, device=DEVICE),
        greedy=torch.zeros(1, dtype=torch.bool, device=DEVICE),
        edits=[None],
    )
    found = read_vocabulary(states, embedding.half(), 30.0, torch.ones((), device=DEVICE), asked)
    assert torch.allclose(
        found.soft_embedding.float(), torch.tensor(40.0, device=DEVICE), rtol=1e-2
    )


@pytest.mark.parametrize("name", ["int8", "int4", "fp8"])
def test_tables_follow_a_weight_that_changes(name: str) -> None:
    """Values may stay where they are while scales go."""
    layers = []
    for at in range(2):
        layer = Linear(128, 64)
        del layer._parameters["weight"]
        layer.weight = packed(name, 64, 128, torch.float32, seed=at)  # type: ignore[assignment]
        layers.append(layer)
    experts_there = ExpertList([packed(name, 64, 128, torch.float32, seed=at) for at in range(3)])
    x = random(5, 128)
    for dtype in (torch.float32, torch.bfloat16, torch.float32):
        for layer in layers:
            layer.to(dtype)
        experts_there.to(dtype)
        for found, layer in zip(parallel_linears(x.to(dtype), layers), layers, strict=True):
            assert (
                error(found, x.to(dtype).float() @ layer.weight.dequantize().float().T)
                < BARS[dtype]
            )  # type: ignore[operator]
        packing = experts_there.packed_layout()
        assert packing is not None
        groups = group_by_expert(torch.tensor([[0], [2], [2], [1], [0]], device=DEVICE), 3, 16)
        found = product(x.to(dtype), packing, groups, gather=True, scatter=True)
        numbers = experts_there.dequantize().float()
        expected = torch.stack(
            [
                numbers[expert] @ row
                for expert, row in zip((0, 2, 2, 1, 0), x.to(dtype).float(), strict=True)
            ]
        )
        assert error(found, expected) < BARS[dtype]


def test_bits_are_no_state_to_be_loaded() -> None:
    weight = packed("int4", 64, 128, torch.float32)
    with pytest.raises(TypeError, match=r"redraft\.load"):
        weight.load_state_dict(weight.state_dict())


def test_a_table_holds_addresses_of_one_device() -> None:
    layouts = [
        packed("int8", 64, 128, torch.bfloat16, seed=seed).packed_layout() for seed in (0, 1)
    ]
    one, two = (layout for layout in layouts if layout is not None)
    assert table_of([one, two], 1) is not None
    elsewhere = replace(two, values=two.values.to("meta"))
    assert table_of([one, elsewhere], 1) is None


def test_scales_of_groups_are_read_from_a_table() -> None:
    layout = packed("int8", 64, 128, torch.bfloat16).packed_layout()
    assert layout is not None
    groups = group_by_expert(torch.zeros(4, 1, dtype=torch.int64, device=DEVICE), 1, 16)
    with pytest.raises(AssertionError, match="table"):
        product(random(4, 128).bfloat16(), layout, groups)


def test_many_rows_times_a_large_table_decode_it_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    table = packed("int8", 300, 64, torch.float32).as_table()
    monkeypatch.setattr("redraft.quant.weight.MAX_PACKED_ROWS", 4)
    monkeypatch.setattr("redraft.quant.weight.TILE_NUMBERS", 64 * 64)
    decoded: list[tuple[int, int]] = []
    right = decoding.decode

    def counting(layout: PackedLayout, dtype: torch.dtype, first: int, last: int) -> Tensor:
        decoded.append((first, last))
        return right(layout, dtype, first, last)

    monkeypatch.setattr(decoding, "decode", counting)
    x = random(9, 64)
    assert error(table.product(x), x @ table.dequantize().T) < 1e-6
    assert decoded == [(0, 64), (64, 128), (128, 192), (192, 256), (256, 300)]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("dtype", "group"), [(torch.float32, 16), (torch.bfloat16, 64)])
def test_a_matrix_is_decoded_whole(name: str, dtype: torch.dtype, group: int) -> None:
    """Its numbers are those of plain torch, rounded once."""
    weight = packed(name, 20, 192, dtype, group)
    layout = weight.packed_layout()
    assert layout is not None
    found = decoding.decode(layout, dtype)
    assert found.dtype == dtype
    assert error(found, weight.dequantize()) < BARS[dtype] / 2
    assert torch.equal(decoding.decode(layout, dtype, 3, 8), found[3:8])


@pytest.mark.parametrize("name", ["int4", "fp8"])
def test_more_rows_than_a_kernel_takes_meet_a_matrix_that_was_decoded(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redraft.quant.weight.MAX_PACKED_ROWS", 3)
    weights = [packed(name, rows, 128, torch.float32, seed=rows) for rows in (64, 128)]
    x = random(2, 2, 128)
    for found, weight in zip(weights[0].products(x, weights[1:]), weights, strict=True):
        expected = x @ weight.dequantize().T
        assert error(found, expected) < BARS[torch.float32]
        assert error(weight.product(x), expected) < BARS[torch.float32]


@pytest.mark.parametrize("name", ["int4", "nvfp4"])
def test_a_product_in_parts_adds_up_to_the_product(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a row is the same beside any others, though other tiles may hold it."""
    monkeypatch.setattr("redraft.ops.triton.product.dense_parts", lambda *_: 3)
    weight = packed(name, 70, 320, torch.float32)
    layout, x = weight.packed_layout(), random(67, 320, seed=1)
    assert layout is not None
    found = partial_product(x, layout)
    assert (found.shape, found.dtype) == ((3, 67, 70), torch.float32)
    assert float(found.abs().amax((1, 2)).min()) > 0
    assert error(found.sum(0), x @ weight.dequantize().T) < BARS[torch.float32]
    assert torch.equal(partial_product(x[64:], layout), found[:, 64:])


@pytest.mark.parametrize("kept", [False, True])
def test_rows_of_a_canvas_meet_packed_numbers_unless_they_are_kept_decoded(
    kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redraft.quant.weight.MAX_KERNEL_ROWS", 3)
    monkeypatch.setattr("redraft.ops.triton.product.dense_parts", lambda *_: 2)
    layers = []
    for at, height in enumerate((64, 128)):
        layer = Linear(128, height)
        del layer._parameters["weight"]
        layer.weight = packed("fp8", height, 128, torch.float32, seed=at)  # type: ignore[assignment]
        if kept:
            layer.weight.keep_decoded()  # type: ignore[operator]
        layers.append(layer)
    x = random(4, 128)
    for some in (layers, layers[:1]):
        for part, layer in zip(partial_linears(x, some), some, strict=True):
            assert part.ndim == (2 if kept else 3)
            whole = part if kept else part.sum(0)
            expected = x @ layer.weight.dequantize().T  # type: ignore[operator]
            assert error(whole, expected) < BARS[torch.float32]
    plain = [Linear(128, 8), Linear(128, 4)]
    assert [part.shape for part in partial_linears(x, plain)] == [(4, 8), (4, 4)]
    assert all(part.ndim == 2 for part in partial_linears(x[:3], layers))


@pytest.mark.parametrize("dtype", BARS)
def test_means_over_a_table_are_those_of_its_numbers(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redraft.ops.triton.tiles.PART_ROWS", 100)
    table = packed("int8", 330, 72, dtype).as_table()
    weights = random(5, 330, seed=1).softmax(-1).to(dtype)
    with monkeypatch.context() as patch:
        patch.setattr(type(table), "rows", None)  # nothing is decoded
        found = mean_embedding(weights, table)  # type: ignore[arg-type]
    assert (found.shape, found.dtype) == ((5, 72), dtype)
    expected = weights.float() @ table.dequantize().float()
    assert error(found, expected) < BARS[dtype]
    assert torch.equal(mean_embedding(weights[3:], table), found[3:])  # type: ignore[arg-type]


def test_a_table_with_scales_of_groups_is_decoded_for_its_means() -> None:
    table = packed("int8 in groups", 40, 64, torch.float32).as_table()
    weights = random(3, 40)
    found = mean_embedding(weights, table)  # type: ignore[arg-type]
    assert error(found, weights @ table.dequantize()) < BARS[torch.float32]


@pytest.mark.parametrize("name", ["nvfp4", "int8"])
@pytest.mark.parametrize("halves", [False, True])
def test_a_gate_opens_what_its_other_half_lets_through(name: str, halves: bool) -> None:
    """Both halves are one matrix, or two."""
    size, width, count = 128, 64, 3
    if halves:
        each = [packed(name, 2 * width, size, torch.float32, seed=at) for at in range(count)]
    else:
        each = [
            StackedWeight(
                [packed(name, width, size, torch.float32, seed=at + part) for part in (0, 5)]
            )
            for at in range(count)
        ]
    matrices = ExpertList(each)
    layout = matrices.packed_layout()
    assert layout is not None
    assert layout.parts == (1 if halves else 2)
    index = torch.tensor([[0], [2], [2], [1], [0]], device=DEVICE)
    groups, x = group_by_expert(index, count, 16), random(5, size)
    found = product(x, layout, groups, gather=True, scatter=True, gate="silu")
    numbers = matrices.dequantize()
    gate, up = torch.stack(
        [numbers[int(expert)] @ row for expert, row in zip(index.flatten(), x, strict=True)]
    ).chunk(2, dim=-1)
    assert error(found, F.silu(gate) * up) < BARS[torch.float32]


def test_an_activation_without_a_kernel_runs_between_two_products() -> None:
    wide, narrow = random(3, 32, 48), random(3, 48, 16, seed=1)
    weights, index = route(random(6, 3, seed=2), 2, torch.ones(3, device=DEVICE))
    x = random(6, 48, seed=3)
    found = experts(x, wide, narrow, weights, index, F.softplus)
    with plainly():
        expected = experts(x, wide, narrow, weights, index, F.softplus)
    assert error(found, expected) < 2 * BARS[torch.float32]


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A CUDA device that nothing was asked about yet."""
    monkeypatch.setattr(kernels, "_ANSWERS", {})
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    return torch.device("cuda", 0)


def test_a_card_is_tried_once(card: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[torch.device] = []
    monkeypatch.setattr(trial, "check_kernels", tried.append)
    assert kernels._runs_kernels(card)
    assert kernels._runs_kernels(card)
    assert tried == [card]


def test_a_card_that_cannot_compile_uses_plain_torch(
    card: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(device: torch.device) -> None:
        raise RuntimeError("ptxas: unknown target")

    monkeypatch.setattr(trial, "check_kernels", fail)
    with pytest.warns(RuntimeWarning, match="plain torch runs instead .*: ptxas"):
        assert not kernels._runs_kernels(card)
    assert not kernels._runs_kernels(card)


def test_a_form_that_a_card_reads_wrongly_goes_the_plain_way(
    card: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def fail(device: torch.device, form: str) -> None:
        tried.append(form)
        if form == "int4":
            raise RuntimeError("a kernel multiplied wrongly")

    monkeypatch.setattr(trial, "check_form", fail)
    with pytest.warns(RuntimeWarning, match=r"\(check_form int4\): a kernel multiplied"):
        assert not kernels.reads_form(card, "int4")
    assert kernels.reads_form(card, "fp8")
    assert not kernels.reads_form(card, "int4")
    assert tried == ["int4", "fp8"]
    weight, x = packed("int4", 64, 128, torch.float32), random(3, 128)
    assert weight.packed_layout() is not None
    monkeypatch.setattr("redraft.quant.weight.reads_form", lambda device, form: form != "int4")
    assert weight.packed_layout() is None
    assert error(linear(x, weight), x @ weight.dequantize().T) < BARS[torch.float32]


def test_want_of_memory_is_no_answer(card: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(device: torch.device) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trial, "check_kernels", fail)
    with pytest.raises(torch.OutOfMemoryError):
        kernels._runs_kernels(card)
    monkeypatch.setattr(trial, "check_kernels", lambda device: None)
    assert kernels._runs_kernels(card)


@pytest.mark.parametrize(("check", "names"), [
    ("check_kernels", ["combine", "product", "causal_attention", "canvas_attention", "group_by_expert"]),
    ("check_row_kernels", ["gated", "after_attention", "end_layer", "norm_and_rotate"]),
    ("check_form int4", ["product", "decode"]),
    ("check_form fp4", ["product"]),
    ("check_form fp8", ["decode"]),
    ("check_form int8", ["weighted_rows"]),
])  # fmt: skip
def test_a_trial_passes_here_and_notices_wrong_numbers(
    check: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    check, *about = check.split()
    run = partial(getattr(trial, check), torch.device(DEVICE), *about)
    run()
    for name in names:
        right = getattr(trial, name)
        with monkeypatch.context() as patch:
            patch.setattr(
                trial, name, lambda *args, right=right, **rest: changed(right(*args, **rest))
            )
            with pytest.raises(RuntimeError, match="wrongly"):
                run()


def changed(found: Any) -> Any:
    """Return a kernel's result with other numbers."""
    if isinstance(found, Groups):
        return replace(found, order=found.order.flip(0))
    if isinstance(found, Tensor):
        return found + 1
    parts = [part + 1 for part in found]
    return type(found)(*parts) if hasattr(found, "_fields") else parts
