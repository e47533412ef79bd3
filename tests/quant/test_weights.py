"""Quantized weights: a product is that of the decoded numbers, and these are near the original."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from redraft.ops.linear import linear
from redraft.quant import (
    FORMATS,
    ExpertList,
    Int4Weight,
    Int8Table,
    Int8Weight,
    Nvfp4Weight,
    PackedWeight,
    StackedWeight,
    quantizable_formats,
)
from redraft.quant.bits import pack_nibbles
from redraft.quant.fp8 import decode_e4m3
from redraft.quant.nvfp4 import decode_e2m1

# Of the greatest number of a row or group, at most (there is no 8 beside -8); of fp8, of the number
# itself.
ROUNDING = {"int8": 1 / 254, "int4": 1 / 8, "fp8": 1 / 16}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", quantizable_formats())
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_numbers_are_the_nearest_that_the_format_has(name: str, dtype: torch.dtype) -> None:
    weight = random(128, 192) * random(128, 1).exp()
    packed = FORMATS[name].quantize(weight, dtype, 64)
    error = (packed.dequantize().float() - weight).abs()
    if name == "fp8":
        assert bool(
            (
                error
                <= ROUNDING[name] * weight.abs() + weight.abs().amax(1, keepdim=True) / 448 / 100
            ).all()
        )
    else:
        groups = (-1, 64 if name == "int4" else 192)
        greatest = weight.unflatten(1, groups).abs().amax(-1, keepdim=True)
        slack = 2.1 if dtype == torch.bfloat16 else 1.001  # scales and numbers are rounded too
        assert bool((error.unflatten(1, groups) <= slack * ROUNDING[name] * greatest).all())


@pytest.mark.parametrize("name", quantizable_formats())
@pytest.mark.parametrize("rows", [1, 7, 64, 65, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_is_that_of_the_numbers(name: str, rows: int, dtype: torch.dtype) -> None:
    packed = FORMATS[name].quantize(random(640, 128), dtype, 32)
    x = random(2, rows, 128, seed=1).to(dtype)
    with torch.inference_mode():
        found = linear(x, packed).float()
    expected = x.float() @ packed.dequantize().float().T
    # int8 in bfloat16 rounds the inputs to eight bits as well.
    bar = 2e-6 if dtype == torch.float32 else 1.5e-2 if name == "int8" else 5e-3
    assert float((found - expected).norm() / expected.norm()) < bar
    assert found.shape == (2, rows, 640)


@pytest.mark.parametrize("name", quantizable_formats())
def test_a_row_of_a_product_does_not_depend_on_the_others(name: str) -> None:
    packed = FORMATS[name].quantize(random(128, 128), torch.bfloat16, 64)
    x = random(40, 128, seed=2).bfloat16()
    with torch.inference_mode():
        whole, alone = (
            linear(x, packed),
            torch.cat([linear(x[at : at + 20], packed) for at in (0, 20)]),
        )
    assert torch.equal(whole, alone)


@pytest.mark.parametrize("shape", [(64, 64), (128, 96), (64, 32), (96, 64), (130, 64)])
def test_rows_are_the_same_in_the_kernels_order_and_in_ours(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(3)
    values = torch.randint(0, 16, shape, generator=generator)
    scale, offset = (
        torch.rand(shape[0], shape[1] // 32, generator=generator).bfloat16().float()
        for _ in range(2)
    )
    packed = Int4Weight(pack_nibbles(values), scale, -8 * scale, torch.bfloat16)
    plain = ((values - 8).unflatten(1, (-1, 32)) * scale[..., None]).flatten(1)
    assert torch.equal(packed.dequantize().float(), plain.bfloat16().float())
    assert torch.equal(packed[5:40], packed.dequantize()[5:40])
    shifted = Int4Weight(pack_nibbles(values), scale, offset, torch.bfloat16)
    exact = (values.unflatten(1, (-1, 32)) * scale[..., None] + offset[..., None]).flatten(1)
    assert float((shifted.dequantize().float() - exact).abs().max()) < 0.1  # bfloat16 up to 16


def test_small_floats_are_what_torch_makes_of_them() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    numbers = every[(every & 0x7F) != 0x7F].view(torch.float8_e4m3fn)
    assert torch.equal(decode_e4m3(numbers).float(), numbers.float())
    magnitudes = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    assert torch.equal(
        decode_e2m1(torch.arange(16, dtype=torch.uint8)).float(),
        torch.cat((magnitudes, -magnitudes)),
    )


def test_an_int8_group_may_have_an_offset() -> None:
    generator = torch.Generator().manual_seed(4)
    values = torch.randint(-128, 128, (10, 64), dtype=torch.int8, generator=generator)
    scale, offset = (torch.rand(10, 4, generator=generator) for _ in range(2))
    weight = Int8Weight(values, scale, torch.float32, offset)
    expected = (
        values.float().unflatten(1, (4, 16)) * scale[..., None] + offset[..., None]
    ).flatten(1)
    assert torch.equal(weight.dequantize(), expected)
    index = torch.tensor([[3, 0], [9, 3]])
    assert torch.equal(weight[index], expected[index])
    x = random(5, 64)
    assert torch.allclose(weight.product(x), x @ expected.T, atol=1e-3)


def test_a_table_gives_rows_and_the_product_of_its_numbers() -> None:
    table = FORMATS["int8"].quantize(random(100, 64), torch.bfloat16).as_table()
    assert isinstance(table, Int8Table)
    x, index = random(6, 64, seed=1).bfloat16(), torch.tensor([[5, 5, 99]])
    assert torch.equal(table[index], table.dequantize()[index])
    assert torch.equal(linear(x, table), x @ table.dequantize().T)
    assert (len(table), table.dtype, table.device.type, table.ndim) == (
        100,
        torch.bfloat16,
        "cpu",
        2,
    )


def test_experts_are_lists_of_matrices() -> None:
    parts = [
        [
            FORMATS["int8"].quantize(random(32, 64, seed=2 * at + half), torch.float32)
            for half in range(2)
        ]
        for at in range(3)
    ]
    joined = [StackedWeight(pair) for pair in parts]
    experts = ExpertList(joined)
    assert experts.shape == (3, 64, 64)
    assert torch.equal(experts.dequantize()[1], torch.cat([part.dequantize() for part in parts[1]]))
    x = random(4, 64)
    assert torch.allclose(linear(x, experts[2]), x @ experts[2].dequantize().T, atol=1e-4)
    assert torch.equal(joined[0].rows(10, 40), joined[0].dequantize()[10:40])
    assert experts.nbytes == sum(part.nbytes for pair in parts for part in pair)


def test_other_numbers_than_it_computes_with_are_a_mistake() -> None:
    weight: PackedWeight = Nvfp4Weight(
        torch.zeros(16, 16, dtype=torch.uint8),
        torch.ones(16, 2).to(torch.float8_e4m3fn),
        torch.ones(()),
        torch.bfloat16,
    )
    with pytest.raises(TypeError, match="bfloat16"):
        weight.product(torch.zeros(2, 32))


@pytest.mark.parametrize("name", quantizable_formats())
def test_a_weight_may_change_what_is_computed_with(name: str) -> None:
    weight = FORMATS[name].quantize(random(128, 64), torch.bfloat16, 32)
    numbers = weight.dequantize()
    moved = weight.float()
    assert moved.dtype == torch.float32
    assert torch.allclose(moved.dequantize(), numbers.float(), rtol=1e-2)
    x = random(3, 64)
    assert torch.allclose(linear(x, moved), x @ moved.dequantize().T, atol=1e-4)
    assert weight.to(torch.bfloat16).dequantize().dtype == torch.bfloat16


@pytest.mark.parametrize("name", quantizable_formats())
def test_gradients_of_a_long_table_are_those_of_its_numbers(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redraft.quant.weight.TILE_NUMBERS", 100 * 128)
    packed = FORMATS[name].quantize(random(640, 128), torch.float32, 32)
    x, ours = (random(7, 128, seed=1).requires_grad_() for _ in range(2))
    pull = random(7, 640, seed=2)
    (linear(ours, packed) * pull).sum().backward()
    (x @ packed.dequantize().T * pull).sum().backward()
    assert ours.grad is not None
    assert x.grad is not None
    torch.testing.assert_close(linear(ours, packed), x @ packed.dequantize().T)
    torch.testing.assert_close(ours.grad, x.grad, atol=1e-4, rtol=1e-4)
