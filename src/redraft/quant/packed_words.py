"""Packed words: how compressed-tensors stores integers of 4 or 8 bits in words of 32."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from redraft.quant.bits import pack_nibbles
from redraft.quant.format import (
    FLOATS,
    Parts,
    Shape,
    Shapes,
    Storage,
    check_stored_shape,
    scale_groups,
)
from redraft.quant.weight import PackedWeight


def words_of(values: Tensor, bits: int) -> Tensor:
    """Pack numbers [n, w] of 4 or 8 bits into int32 words [n, w * bits / 32], along each row."""
    octets = pack_nibbles(values) if bits == 4 else values.to(torch.uint8)
    return octets.contiguous().view(torch.int32)


def packed_words(
    name: str, bits: int, load: Callable[[Parts, torch.dtype], PackedWeight]
) -> Storage:
    """Return the storage of matrices [N, K] in words of 32 / `bits` numbers.

    Words hold numbers of one row, those of zero points numbers of one column.
    """
    in_a_word = 32 // bits

    def shapes(rows: int, columns: int, found: Mapping[str, Shape]) -> Shapes:
        groups = scale_groups(columns, found["weight_scale"])
        return {
            "weight_packed": ((rows, columns // in_a_word),),
            "weight_scale": ((rows, groups),),
            "weight_shape": ((2,),),
            "weight_zero_point": ((-(-rows // in_a_word), groups),),
        }

    def check(parts: Parts) -> None:
        rows, columns = parts["weight_packed"].shape
        check_stored_shape(parts["weight_shape"], rows, columns * in_a_word)

    return Storage(
        name=name,
        config_formats=("pack-quantized",),
        dtypes={
            "weight_packed": ("I32",),
            "weight_scale": FLOATS,
            "weight_shape": ("I64", "I32"),
        },
        optional={"weight_zero_point": ("I32",)},
        shapes=shapes,
        load=load,
        check=check,
    )
