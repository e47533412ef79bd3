"""Schemes: how files hold a matrix, whole or in few bits, and what becomes of it here.

A matrix `base` of N rows and K columns has its numbers in tensors `base.weight`,
`base.weight_scale` and so on; which there are, and of which dtypes, tells the scheme. Layouts:
compressed-tensors (float-quantized, int-quantized, pack-quantized, nvfp4-pack-quantized) and
ModelOpt (NVFP4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.checkpoint.shards import TensorInfo
from redraft.errors import CheckpointError
from redraft.quant import Fp4Weight, Fp8Weight, Int4Weight, Int8Weight, PackedWeight

Parts = dict[str, Tensor]  # by role, such as "weight_scale"
FLOATS = ("F32", "BF16", "F16")
# What calibration left for other engines: scales of activations and of caches.
UNUSED = ("input_scale", "input_global_scale", "output_scale", "k_scale", "v_scale")


@dataclass(frozen=True)
class Scheme:
    """needed: dtypes by role; the first role is the matrix itself. optional: the same for what may
    be missing. shapes: of each role, for N, K and the shapes found; None where any will do. build:
    from parts in memory to a weight."""

    name: str
    needed: Mapping[str, tuple[str, ...]]
    shapes: Callable[
        [int, int, Mapping[str, tuple[int, ...]]], Mapping[str, tuple[tuple[int, ...], ...]]
    ]
    build: Callable[[Parts, torch.dtype], PackedWeight | Tensor]
    optional: Mapping[str, tuple[str, ...]]

    def fits(self, found: Mapping[str, TensorInfo]) -> bool:
        """Whether parts are those of this scheme, whatever their shapes."""
        known = {**self.needed, **self.optional}
        return set(self.needed) <= set(found) <= set(known) and all(
            info.dtype in known[role] for role, info in found.items()
        )

    def problems(self, rows: int, columns: int, found: Mapping[str, TensorInfo]) -> list[str]:
        """What is wrong with the shapes of parts."""
        shapes = {role: info.shape for role, info in found.items()}
        wanted = self.shapes(rows, columns, shapes)
        told = []
        for role, good in wanted.items():
            if role in shapes and shapes[role] not in good:
                right = " or ".join(str(list(shape)) for shape in good)
                told.append(
                    f"{role} has shape {list(shapes[role])}, {self.name} of {rows} x {columns} wants {right}"
                )
        return told


def _groups(columns: int, found: tuple[int, ...], least: int) -> int:
    """Groups that a row has by the shape of its scales, where they could be; else 1."""
    count = found[1] if len(found) == 2 else 1
    return count if count >= 1 and columns % count == 0 and columns // count >= least else 1


def _by_row(
    rows: int, columns: int, found: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[tuple[int, ...], ...]]:
    scales = ((rows, 1), (rows,), (1,), ())
    return {"weight": ((rows, columns),), "weight_scale": scales}


def _int8_shapes(
    rows: int, columns: int, found: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[tuple[int, ...], ...]]:
    groups = _groups(columns, found["weight_scale"], 16)
    scales = ((rows, groups), (rows,), (1,), ())
    return {"weight": ((rows, columns),), "weight_scale": scales, "weight_zero_point": scales}


def _packed_shapes(
    rows: int, columns: int, found: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[tuple[int, ...], ...]]:
    groups, packed = (
        _groups(columns, found["weight_scale"], 16),
        [(rows, columns * bits // 32) for bits in (4, 8)],
    )
    bits = 4 if found["weight_packed"] == packed[0] else 8
    zeros = ((-(-rows * bits // 32), groups),)
    return {
        "weight_packed": tuple(packed),
        "weight_scale": ((rows, groups),),
        "weight_shape": ((2,),),
        "weight_zero_point": zeros,
    }


def _fp4_shapes(
    rows: int, columns: int, found: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[tuple[int, ...], ...]]:
    values, one = ((rows, columns // 2),), ((1,), ())
    return {
        "weight": values, "weight_packed": values, "weight_scale": ((rows, columns // 16),),
        "weight_scale_2": one, "weight_global_scale": one,
    }  # fmt: skip


def _plain(parts: Parts, dtype: torch.dtype) -> Tensor:
    return parts["weight"].to(dtype=dtype, copy=True)


def _fp8(parts: Parts, dtype: torch.dtype) -> PackedWeight:
    return Fp8Weight(parts["weight"].clone(), parts["weight_scale"].clone(), dtype)


def _spread(scale: Tensor, rows: int) -> Tensor:
    """Scales of each row and group [N, groups]."""
    # A copy in any case: what is read is a part of the file.
    return (scale.reshape(-1, 1) if scale.ndim < 2 else scale).float().expand(rows, -1).clone()


def _int8(parts: Parts, dtype: torch.dtype) -> PackedWeight:
    values = parts["weight"].clone()
    scale = _spread(parts["weight_scale"], len(values))
    zero = parts.get("weight_zero_point")
    offset = None if zero is None or not bool(zero.any()) else -_spread(zero, len(values)) * scale
    return Int8Weight(values, scale, dtype, offset)


def _packed(parts: Parts, dtype: torch.dtype) -> PackedWeight:
    words, scale = (
        parts["weight_packed"].contiguous(),
        parts["weight_scale"].to(torch.float32, copy=True),
    )
    rows, columns = parts["weight_shape"].tolist()
    bits = next((bits for bits in (4, 8) if words.shape[1] * 32 // bits == columns), 0)
    if rows != len(words) or not bits:
        raise CheckpointError(
            f"a matrix of {len(words)} x {words.shape[1]} words says that it is {rows} x {columns}"
        )
    middle = 1 << (bits - 1)
    zero = parts.get("weight_zero_point")
    zeros = (
        torch.full_like(scale, middle) if zero is None else _unpacked_down(zero, bits, rows).float()
    )
    if bits == 4:  # a byte of a word has two columns, the first in its lower half: our own order
        return Int4Weight(words.view(torch.uint8).clone(), scale, -zeros * scale, dtype)
    values = (words.view(torch.uint8) ^ 0x80).view(torch.int8)  # minus 128
    offset = None if zero is None else (middle - zeros) * scale
    return Int8Weight(values.clone(), scale, dtype, offset)


def _unpacked_down(words: Tensor, bits: int, rows: int) -> Tensor:
    """Numbers [rows, n] from words that hold several rows of a column, the first in the lowest
    bits."""
    shifts = torch.arange(0, 32, bits, dtype=torch.int32, device=words.device)
    numbers = (words.unsqueeze(1) >> shifts[None, :, None]) & ((1 << bits) - 1)
    return numbers.flatten(0, 1)[:rows]


def _modelopt(parts: Parts, dtype: torch.dtype) -> PackedWeight:
    return Fp4Weight(
        parts["weight"].clone(), parts["weight_scale"].clone(), parts["weight_scale_2"], dtype
    )


def _nvfp4(parts: Parts, dtype: torch.dtype) -> PackedWeight:
    return Fp4Weight(
        parts["weight_packed"].clone(),
        parts["weight_scale"].clone(),
        1 / parts["weight_global_scale"].float(),
        dtype,
    )


ZERO = {"weight_zero_point": ("I8", "I32")}
PLAIN = Scheme(
    "plain", {"weight": FLOATS}, lambda rows, columns, _: {"weight": ((rows, columns),)}, _plain, {}
)
SCHEMES = (
    PLAIN,
    Scheme("fp8", {"weight": ("F8_E4M3",), "weight_scale": FLOATS}, _by_row, _fp8, {}),
    Scheme("int8", {"weight": ("I8",), "weight_scale": FLOATS}, _int8_shapes, _int8, ZERO),
    Scheme(
        "packed integers", {"weight_packed": ("I32",), "weight_scale": FLOATS, "weight_shape": ("I64", "I32")}, _packed_shapes,
        _packed, {"weight_zero_point": ("I32",)},
    ),
    Scheme(
        "NVFP4 (ModelOpt)", {"weight": ("U8",), "weight_scale": ("F8_E4M3",), "weight_scale_2": ("F32",)}, _fp4_shapes,
        _modelopt, {},
    ),
    Scheme(
        "NVFP4", {"weight_packed": ("U8",), "weight_scale": ("F8_E4M3",), "weight_global_scale": ("F32",)}, _fp4_shapes,
        _nvfp4, {},
    ),
)  # fmt: skip


def scheme_of(found: Mapping[str, TensorInfo]) -> Scheme | None:
    """The scheme of a matrix with these parts; None where it is none that is read."""
    return next((scheme for scheme in SCHEMES if scheme.fits(found)), None)
