"""MLX's affine weights: numbers of 2, 3, 4, 5, 6 or 8 bits in words of 32, with a scale and a bias
for each group of a row. They are read, and kept as they are in int4 or int8: number = value * scale
+ bias, whose values fit in four bits or in eight."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from redraft.quant.bits import pack_nibbles, unpack_stream
from redraft.quant.format import FLOATS, Format, Parts, Shape, Shapes, Storage
from redraft.quant.int4 import MIDDLE, Int4Weight
from redraft.quant.int8 import Int8Weight
from redraft.quant.weight import PackedWeight

METHOD = "mlx"
WIDTHS = (2, 3, 4, 5, 6, 8)
GROUPS = (32, 64, 128)


def _storage(bits: int) -> Storage:
    """Return the storage of matrices whose values have so many bits."""

    def shapes(rows: int, columns: int, found: Mapping[str, Shape]) -> Shapes:
        counts = [columns // group for group in GROUPS if columns % group == 0]
        own = found["scales"][-1] if len(found["scales"]) == 2 else 0
        return {
            "weight": ((rows, columns * bits // 32),),
            "scales": tuple((rows, count) for count in counts),
            "biases": tuple((rows, count) for count in counts if count == own or own not in counts),
        }

    def load(parts: Parts, dtype: torch.dtype) -> PackedWeight:
        octets = parts["weight"].contiguous().view(torch.uint8)
        scale, bias = parts["scales"].float(), parts["biases"].float()
        # The middle of the values becomes that of the class: then the offset is small.
        middle = 1 << (bits - 1)
        if bits == 4:
            return Int4Weight(octets.clone(), scale, bias, dtype)
        values = unpack_stream(octets, bits)
        if bits < 4:
            shift = MIDDLE - middle
            return Int4Weight(pack_nibbles(values + shift), scale, bias - shift * scale, dtype)
        # Eight bits less 128, in eight bits: the highest one turned.
        low = values ^ 0x80 if bits == 8 else values - middle
        return Int8Weight(
            low.view(torch.int8), scale.to(dtype), dtype, (bias + middle * scale).to(dtype)
        )

    return Storage(
        name=f"affine {bits} bits (MLX)",
        method=METHOD,
        dtypes={"weight": ("U32",), "scales": FLOATS, "biases": FLOATS},
        shapes=shapes,
        load=load,
    )


AFFINE = Format(name="affine", storages=tuple(_storage(bits) for bits in WIDTHS))
