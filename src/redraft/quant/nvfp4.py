"""NVFP4: floats of four bits (e2m1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives), with a scale
in fp8 for each group of 16 and one factor for the matrix. Weights in it are read, not made."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from redraft.errors import CheckpointError
from redraft.ops.packed_layout import PackedLayout, pack_words, unpack_words, word_block
from redraft.ops.triton import KERNEL_DEVICES
from redraft.quant.bits import pack_nibbles, unpack_nibbles
from redraft.quant.format import Format, Parts, Shape, Shapes, Storage
from redraft.quant.fp8 import decode_e4m3
from redraft.quant.weight import PackedWeight

GROUP = 16
MAX_E2M1 = 6.0


class Nvfp4Weight(PackedWeight):
    """A matrix [N, K] in NVFP4: number = value * scale * factor.

    Args:
        packed: uint8 [N, K / 2], two columns a byte, the first in the lower half.
        scale: float8_e4m3fn [N, K / 16].
        factor: one number, float32.

    Attributes:
        packed: the values; in words of 16 bits where a kernel reads them.
        scale: the bits of the scales, uint8.
    """

    packed: Tensor
    scale: Tensor

    def __init__(self, packed: Tensor, scale: Tensor, factor: Tensor, dtype: torch.dtype) -> None:
        shape = packed.shape[0], 2 * packed.shape[1]
        self.in_words = False
        super().__init__(shape, dtype, packed=packed, scale=scale.view(torch.uint8))
        self.factor = float(factor)
        greatest = float(decode_e4m3(scale).abs().max()) if scale.numel() else 0.0
        # NaN where a factor was not finite, and greater where a product overflows.
        if not greatest * self.factor * MAX_E2M1 <= torch.finfo(dtype).max:
            raise CheckpointError(
                f"a matrix in NVFP4 has a factor of {self.factor:g} and block scales up to "
                f"{greatest:g}: its weights are too large for {dtype}"
            )
        self._reorder()

    def _reorder(self) -> None:
        in_words = self.device.type in KERNEL_DEVICES and self.shape[1] % word_block("fp4") == 0
        if in_words != self.in_words:
            values = self._values(0, self.shape[0])
            self.packed = pack_words(values, "fp4") if in_words else pack_nibbles(values)
            self.in_words = in_words

    def _values(self, first: int, last: int) -> Tensor:
        """Return the bits of rows [first, last), uint8 [n, K]."""
        packed = self.packed[first:last]
        return unpack_words(packed, "fp4") if self.in_words else unpack_nibbles(packed)

    def _layout(self) -> PackedLayout | None:
        if not self.in_words:
            return None
        return PackedLayout(
            "fp4",
            (self.shape[0], self.shape[1]),
            self.packed,
            self.scale,
            factors=torch.tensor([self.factor], device=self.device),
            group=GROUP,
            scale_dtype=torch.uint8,
            in_words=True,
        )

    def rows(self, first: int, last: int) -> Tensor:
        scale = decode_e4m3(self.scale[first:last]).float() * self.factor
        values = decode_e2m1(self._values(first, last)).to(self.dtype)
        grouped: Tensor = values.unflatten(-1, (-1, GROUP))
        numbers: Tensor = grouped * scale.to(self.dtype).unsqueeze(-1)
        return numbers.flatten(-2)


def decode_e2m1(nibbles: Tensor) -> Tensor:
    """Return floats of four bits, one in each uint8, as bfloat16, exactly.

    The bits are moved to their places in a bfloat16, and a product corrects the exponents.
    """
    bits = nibbles.to(torch.int16)
    moved = ((bits & 8) << 12) | ((bits & 7) << 6)
    return moved.view(torch.bfloat16) * 2.0**126


def _shapes(rows: int, columns: int, found: Mapping[str, Shape]) -> Shapes:
    values, one = ((rows, columns // 2),), ((1,), ())
    return {
        "weight": values,
        "weight_packed": values,
        "weight_scale": ((rows, columns // GROUP),),
        "weight_scale_2": one,
        "weight_global_scale": one,
    }


def _load_modelopt(parts: Parts, dtype: torch.dtype) -> PackedWeight:
    packed, scale = parts["weight"].clone(), parts["weight_scale"].clone()
    return Nvfp4Weight(packed, scale, parts["weight_scale_2"], dtype)


def _load(parts: Parts, dtype: torch.dtype) -> PackedWeight:
    packed, scale = parts["weight_packed"].clone(), parts["weight_scale"].clone()
    return Nvfp4Weight(packed, scale, 1 / parts["weight_global_scale"].float(), dtype)


NVFP4 = Format(
    name="nvfp4",
    config={"num_bits": 4, "type": "float", "strategy": "tensor_group"},
    storages=(
        Storage(
            name="NVFP4",
            config_formats=("nvfp4-pack-quantized",),
            dtypes={
                "weight_packed": ("U8",),
                "weight_scale": ("F8_E4M3",),
                "weight_global_scale": ("F32",),
            },
            shapes=_shapes,
            load=_load,
        ),
        Storage(
            name="NVFP4 (ModelOpt)",
            method="modelopt",
            dtypes={
                "weight": ("U8",),
                "weight_scale": ("F8_E4M3",),
                "weight_scale_2": ("F32",),
            },
            shapes=_shapes,
            load=_load_modelopt,
        ),
    ),
)
