"""Microscaling: MXFP4 and MXFP8, whose groups of 32 share a power of two, and MLX's NVFP4, which
has no factor. They are read, not made.

MXFP4 becomes NVFP4: each scale stands twice, as a float8, and the matrix has the factor that they
lack. Groups whose scale is less than 2^-17 of the greatest become zeros, since a float8 has no
smaller scale. MXFP8 becomes fp8 in groups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from redraft.errors import CheckpointError
from redraft.quant.affine import METHOD
from redraft.quant.finite import E4M3_BITS
from redraft.quant.format import Format, Parts, Shape, Shapes, Storage
from redraft.quant.fp8 import MAX_E4M3, Fp8Weight
from redraft.quant.nvfp4 import GROUP as FP4_GROUP
from redraft.quant.nvfp4 import Nvfp4Weight
from redraft.quant.weight import PackedWeight

GROUP = 32
# The bits of a scale that is no number, and the exponent that the bits count from.
NAN, BIAS = 255, 127
# The greatest power of two of a float8, and the smallest exponent of its whole numbers.
GREATEST, NORMAL = 8, -6


def fp4_of_mx(packed: Tensor, scale: Tensor, dtype: torch.dtype) -> Nvfp4Weight:
    """Return a matrix in MXFP4 as one in NVFP4.

    Args:
        packed: uint8 [N, K / 2], two columns a byte, the first in the lower half.
        scale: the bits of powers of two, uint8 [N, K / 32].
    """
    # Groups of zeros may have any scale: they do not decide on the factor.
    used = (packed.unflatten(1, (-1, GROUP // 2)) & 0x77).bool().any(-1)
    exponent = scale.int()
    greatest = int(exponent[used].max()) if bool(used.any()) else BIAS
    power = torch.where(used, exponent - greatest + GREATEST, NORMAL)
    whole = (power - NORMAL + 1) << 3
    # 2^-7 to 2^-9 are the fractions 4, 2 and 1 of eight.
    small = torch.where(power >= NORMAL - 3, 1 << (power - NORMAL + 3).clamp(0, 3), 0)
    bits = torch.where(power >= NORMAL, whole, small).to(torch.uint8)
    factor = torch.tensor(2.0, dtype=torch.float64) ** (greatest - BIAS - GREATEST)
    doubled = bits.repeat_interleave(GROUP // FP4_GROUP, dim=1)
    return Nvfp4Weight(packed, doubled.view(torch.float8_e4m3fn), factor, dtype)


def powers_of_two(bits: Tensor) -> Tensor:
    """Return the numbers that the bits of scales, uint8, mean: float32."""
    return torch.ldexp(torch.ones(bits.shape, device=bits.device), bits.int() - BIAS)


def _fp8(values: Tensor, scale: Tensor, dtype: torch.dtype) -> Fp8Weight:
    powers = powers_of_two(scale)
    if float(powers.max()) * MAX_E4M3 > torch.finfo(dtype).max:
        raise CheckpointError(
            f"a matrix in MXFP8 has scales up to {float(powers.max()):g}: its weights are too "
            f"large for {dtype}"
        )
    return Fp8Weight(values.view(torch.float8_e4m3fn), powers, dtype)


def _octets(words: Tensor) -> Tensor:
    return words.contiguous().view(torch.uint8).clone()


def _check(
    values: str, scales: str, *, floats: bool, e4m3: bool = False
) -> Callable[[Parts], None]:
    """Return a check that no number is NaN.

    Args:
        values, scales: their roles. floats: the values are of eight bits. e4m3: the scales are.
    """

    def check(parts: Parts) -> None:
        scale, octets = parts[scales], parts[values].contiguous().view(torch.uint8)
        wrong = (scale & E4M3_BITS) == E4M3_BITS if e4m3 else scale == NAN
        if bool(wrong.any()) or (floats and bool(((octets & E4M3_BITS) == E4M3_BITS).any())):
            raise CheckpointError(
                f"a matrix in {'NVFP4' if e4m3 else 'MXFP8' if floats else 'MXFP4'} holds NaN: "
                "take an intact file"
            )

    return check


def _words(bits: int, group: int) -> Callable[[int, int, Mapping[str, Shape]], Shapes]:
    """Return the shapes of MLX's words and scales."""
    return lambda rows, columns, _: {
        "weight": ((rows, columns * bits // 32),),
        "scales": ((rows, columns // group),) if columns % group == 0 else (),
    }


def _parts(per_byte: int) -> Callable[[int, int, Mapping[str, Shape]], Shapes]:
    """Return the shapes of compressed-tensors' bytes and scales."""

    def shapes(rows: int, columns: int, _: Mapping[str, Shape]) -> Shapes:
        values = ((rows, columns // per_byte),)
        scales = ((rows, columns // GROUP),) if columns % GROUP == 0 else ()
        return {"weight": values, "weight_packed": values, "weight_scale": scales}

    return shapes


def _mlx(
    name: str,
    bits: int,
    group: int,
    load: Callable[[Tensor, Tensor, torch.dtype], PackedWeight],
) -> Storage:
    return Storage(
        name=name,
        method=METHOD,
        dtypes={"weight": ("U32",), "scales": ("U8",)},
        shapes=_words(bits, group),
        load=lambda parts, dtype: load(_octets(parts["weight"]), parts["scales"], dtype),
        check=_check("weight", "scales", floats=bits == 8, e4m3=group == FP4_GROUP),
    )


def _nvfp4(octets: Tensor, scale: Tensor, dtype: torch.dtype) -> Nvfp4Weight:
    return Nvfp4Weight(octets, scale.clone().view(torch.float8_e4m3fn), torch.ones(()), dtype)


MXFP4 = Format(
    name="mxfp4",
    config={"num_bits": 4, "type": "float"},
    storages=(
        Storage(
            name="MXFP4",
            config_formats=("mxfp4-pack-quantized",),
            dtypes={"weight_packed": ("U8",), "weight_scale": ("U8",)},
            shapes=_parts(2),
            load=lambda parts, dtype: fp4_of_mx(
                parts["weight_packed"].clone(), parts["weight_scale"], dtype
            ),
            check=_check("weight_packed", "weight_scale", floats=False),
        ),
        _mlx("mxfp4 (MLX)", 4, GROUP, fp4_of_mx),
        _mlx("nvfp4 (MLX)", 4, FP4_GROUP, _nvfp4),
    ),
)
MXFP8 = Format(
    name="mxfp8",
    config={"num_bits": 8, "type": "float"},
    storages=(
        Storage(
            name="MXFP8",
            config_formats=("mxfp8-quantized",),
            dtypes={"weight": ("F8_E4M3",), "weight_scale": ("U8",)},
            shapes=_parts(1),
            load=lambda parts, dtype: _fp8(parts["weight"].clone(), parts["weight_scale"], dtype),
            check=_check("weight", "weight_scale", floats=True),
        ),
        _mlx("mxfp8 (MLX)", 8, GROUP, _fp8),
    ),
)
