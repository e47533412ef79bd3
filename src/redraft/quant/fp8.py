"""fp8: floats of eight bits (e4m3: four bits of exponent, three of fraction), with a scale for each
row, or for each group of a row."""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd

import torch
from torch import Tensor

from redraft.errors import CheckpointError
from redraft.ops.packed_layout import PackedLayout, pack_words, unpack_words, word_block
from redraft.ops.triton import KERNEL_DEVICES
from redraft.quant.format import FLOATS, Format, Parts, Shape, Shapes, Storage
from redraft.quant.weight import PackedWeight, quantize_rows

MAX_E4M3 = 448.0
# A row of zeros has this scale.
MIN_MAGNITUDE = 1e-30


class Fp8Weight(PackedWeight):
    """A matrix [N, K] in float8 e4m3: number = value * scale.

    Args:
        values: float8_e4m3fn [N, K]. They are kept as bits, uint8, which do not change when a
            network changes its dtype.
        scale: of each row [N, 1] or of each group of columns in a row [N, groups], or one number.

    Attributes:
        values: the bits; in words of 16 where a kernel reads them.
    """

    values: Tensor
    scale: Tensor

    def __init__(self, values: Tensor, scale: Tensor, dtype: torch.dtype) -> None:
        scale = (scale if scale.ndim == 2 else scale.reshape(-1, 1)).expand(values.shape[0], -1)
        self.in_words = False
        super().__init__(
            (values.shape[0], values.shape[1]),
            dtype,
            values=values.view(torch.uint8),
            scale=scale.to(dtype).contiguous(),
        )
        self._reorder()

    def _reorder(self) -> None:
        in_words = self.device.type in KERNEL_DEVICES and self.shape[1] % word_block("fp8") == 0
        if in_words != self.in_words:
            change = pack_words if in_words else unpack_words
            self.values = change(self.values, "fp8")
            self.in_words = in_words

    def rows(self, first: int, last: int) -> Tensor:
        return self._numbers(slice(first, last))

    def gather(self, index: Tensor) -> Tensor:
        return self._numbers(index)

    def _numbers(self, index: slice | Tensor) -> Tensor:
        bits = self.values[index]
        bits = unpack_words(bits, "fp8") if self.in_words else bits
        values, scale = decode_e4m3(bits).to(self.dtype), self.scale[index]
        grouped: Tensor = values.unflatten(-1, (scale.shape[-1], -1)) * scale.unsqueeze(-1)
        return grouped.flatten(-2)

    def _layout(self) -> PackedLayout:
        shape = self.shape[0], self.shape[1]
        groups = self.scale.shape[-1]
        group = 0 if groups == 1 else shape[1] // groups
        return PackedLayout(
            "fp8",
            shape,
            self.values,
            self.scale,
            group=group,
            scale_dtype=self.scale.dtype,
            in_words=self.in_words,
        )


def decode_e4m3(values: Tensor) -> Tensor:
    """Return float8_e4m3fn, or its bits in uint8, as bfloat16, exactly.

    The bits are moved to their places in a bfloat16, and a product corrects the exponents. On a CPU
    this is several times as fast as torch's own conversion. NaN becomes 480: a file that has it
    is refused when it is loaded.
    """
    bits = values.view(torch.uint8).to(torch.int16)
    moved = ((bits & 0x80) << 8) | ((bits & 0x7F) << 4)
    return moved.view(torch.bfloat16) * 2.0**120


def round_to_fp8(weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the nearest values, float8_e4m3fn [N, K], and scales [N, 1] in `dtype`.

    The greatest magnitude of each row becomes 448.
    """

    def quantize(rows: Tensor) -> tuple[Tensor, Tensor]:
        numbers = rows.float()
        greatest = numbers.abs().amax(-1, keepdim=True).clamp_min(MIN_MAGNITUDE)
        scale = (greatest / MAX_E4M3).to(dtype)
        values = (numbers / scale.float()).clamp(-MAX_E4M3, MAX_E4M3)
        return values.to(torch.float8_e4m3fn), scale

    return quantize_rows(weight, quantize)


def _encode(weight: Tensor, dtype: torch.dtype, group: int) -> Parts:
    values, scale = round_to_fp8(weight, dtype)
    return {"weight": values, "weight_scale": scale}


def _shapes(rows: int, columns: int, found: Mapping[str, Shape]) -> Shapes:
    return {"weight": ((rows, columns),), "weight_scale": ((rows, 1), (rows,), (1,), ())}


def _load(parts: Parts, dtype: torch.dtype) -> PackedWeight:
    return Fp8Weight(parts["weight"].clone(), parts["weight_scale"].clone(), dtype)


BLOCK = 128  # rows and columns of a block


def _block_shapes(rows: int, columns: int, found: Mapping[str, Shape]) -> Shapes:
    scales = ((-(-rows // BLOCK), -(-columns // BLOCK)),)
    return {"weight": ((rows, columns),), "weight_scale": scales, "weight_scale_inv": scales}


def _load_blocks(parts: Parts, dtype: torch.dtype) -> PackedWeight:
    """Load values whose blocks share a scale. Each row gets its own, for columns that divide both
    the blocks and the row."""
    values = parts["weight"].clone()
    rows, columns = values.shape
    group = gcd(columns, BLOCK)
    scale = parts.get("weight_scale_inv", parts.get("weight_scale"))
    assert scale is not None
    wide = scale.float().repeat_interleave(BLOCK // group, dim=1)[:, : columns // group]
    each = wide.repeat_interleave(BLOCK, dim=0)[:rows]
    lost = each == 0
    if bool(lost.any()):
        used = ((values.view(torch.uint8) & 0x7F) != 0).unflatten(1, (each.shape[1], -1)).any(-1)
        if bool((used & lost).any()):
            raise CheckpointError("a block of weights has a scale of 0, and they are not 0")
    return Fp8Weight(values, each, dtype)


FP8 = Format(
    name="fp8",
    encode=_encode,
    config={"num_bits": 8, "type": "float", "strategy": "channel"},
    storages=(
        Storage(
            name="fp8",
            config_formats=("float-quantized", "naive-quantized"),
            dtypes={"weight": ("F8_E4M3",), "weight_scale": FLOATS},
            shapes=_shapes,
            load=_load,
        ),
        Storage(
            name="fp8 in blocks",
            config_formats=("float-quantized", "naive-quantized"),
            dtypes={"weight": ("F8_E4M3",), "weight_scale": FLOATS},
            shapes=_block_shapes,
            load=_load_blocks,
        ),
        Storage(
            name="fp8 in blocks (DeepSeek)",
            method="fp8",
            dtypes={"weight": ("F8_E4M3",), "weight_scale_inv": FLOATS},
            shapes=_block_shapes,
            load=_load_blocks,
        ),
    ),
)
