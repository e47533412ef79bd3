"""int4: numbers 0 to 15, with a scale and an offset for each group of a row.

On a CPU for which torch has a kernel, the numbers lie in that kernel's order: blocks of rows, in
which a byte holds one column of two rows. Few rows of bfloat16 (an expert's share of a canvas) go
through the kernel. For many rows it is faster to decode a tile and to use a plain product. On a
CUDA device they lie in the order of redraft's own kernel: words of 16 bits.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import torch
from torch import Tensor

from redraft.ops.packed_layout import PackedLayout, pack_words, unpack_words, word_block
from redraft.ops.triton import KERNEL_DEVICES
from redraft.quant.bits import pack_nibbles, unpack_nibbles, unpack_rows
from redraft.quant.format import Format, Parts
from redraft.quant.int8 import Int8Table
from redraft.quant.packed_words import packed_words, words_of
from redraft.quant.weight import PackedWeight, quantize_rows

# Input rows up to which torch's kernel is faster.
MAX_CPU_KERNEL_ROWS = 64
# Sizes of groups that torch's kernel knows.
CPU_KERNEL_GROUPS = (32, 64, 128, 256)
# The kernels subtract this from every number.
MIDDLE = 8
# "columns": two neighbouring columns in a byte. "rows": the order of torch's kernel for CPUs.
# "words": that of redraft's kernel for CUDA devices.
Order = Literal["columns", "rows", "words"]


class Int4Weight(PackedWeight):
    """A matrix [N, K] in int4: number = (value - 8) * scale + zero.

    The 8 keeps the rounding error of a product small where the numbers are small.

    Args:
        packed: uint8 [N, K / 2], two columns a byte, the first in the lower half.
        scale, offset: [N, K / group], so that number = value * scale + offset.

    Attributes:
        packed: the values in one of the orders.
        scale, zero: [N, K / group]; zero is None where all are 0 and the kernel does without.
        pairs: [K / group, N, 2], scale and zero in the order "rows", where these are None.
    """

    packed: Tensor
    scale: Tensor | None
    zero: Tensor | None
    pairs: Tensor | None

    def __init__(self, packed: Tensor, scale: Tensor, offset: Tensor, dtype: torch.dtype) -> None:
        zero = offset + MIDDLE * scale
        shape = packed.shape[0], 2 * packed.shape[1]
        self.group = shape[1] // scale.shape[1]
        self.order: Order = "columns"
        super().__init__(
            shape, dtype, packed=packed, scale=scale.to(dtype), zero=zero.to(dtype), pairs=None
        )
        self._reorder()

    def _reorder(self) -> None:
        shape = self.shape[0], self.shape[1]
        order = best_order(shape, self.group, self.dtype, self.device)
        if order == self.order:
            return
        values = self._values(0, self.shape[0])
        if self.pairs is not None:
            self.scale, self.zero = (part.T.contiguous() for part in self.pairs.unbind(-1))
            self.pairs = None
        assert self.scale is not None
        if order == "rows":
            zero = torch.zeros_like(self.scale) if self.zero is None else self.zero
            self.pairs = torch.stack((self.scale, zero), -1).transpose(0, 1).contiguous()
            self.packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values.int(), 1)
            self.scale = self.zero = None
        elif order == "words":
            self.packed = pack_words(values, "int4")
            self.zero = self.zero if self.zero is not None and bool(self.zero.any()) else None
        else:
            self.packed = pack_nibbles(values)
        self.order = order

    def _values(self, first: int, last: int) -> Tensor:
        """Return values 0 to 15 of rows [first, last), uint8 [n, K].

        In the order "rows" the range must consist of whole blocks of rows.
        """
        if self.order == "rows":
            block, width = _block_rows(), self.shape[1]
            packed = self.packed.view(-1, width, block // 2)[first // block : last // block]
            return _from_row_blocks(packed, width, block)
        packed = self.packed[first:last]
        return unpack_words(packed, "int4") if self.order == "words" else unpack_nibbles(packed)

    def _layout(self) -> PackedLayout | None:
        if self.order != "words" or self.scale is None:
            return None
        return PackedLayout(
            "int4",
            (self.shape[0], self.shape[1]),
            self.packed,
            self.scale,
            self.zero,
            group=self.group,
            scale_dtype=self.scale.dtype,
            in_words=True,
        )

    def rows(self, first: int, last: int) -> Tensor:
        if self.pairs is None:
            assert self.scale is not None
            values = self._values(first, last).view(torch.int8) - MIDDLE
            grouped: Tensor = values.unflatten(-1, (-1, self.group))
            numbers = grouped.to(self.dtype) * self.scale[first:last].unsqueeze(-1)
            if self.zero is not None:
                numbers = numbers + self.zero[first:last].unsqueeze(-1)
            return numbers.flatten(-2)
        block = _block_rows()
        begin, end = first // block * block, -(-last // block) * block
        return self.transposed_rows(begin, end).T[first - begin : last - begin]

    def transposed_rows(self, first: int, last: int) -> Tensor:
        """Return rows [first, last), decoded and transposed: [K, n].

        In the order "rows" the range must consist of whole blocks of rows.
        """
        if self.pairs is None:
            return super().transposed_rows(first, last)
        block, width = _block_rows(), self.shape[1]
        blocks = self.packed.view(-1, width, block // 2)[first // block : last // block]
        packed = blocks.transpose(0, 1)
        values = torch.empty(width, packed.shape[1], 2, block // 2, dtype=self.dtype)
        for half, bits in enumerate((packed & 15, packed >> 4)):
            values[:, :, half] = bits.view(torch.int8) - MIDDLE
        scale, zero = (part.contiguous() for part in self.pairs[:, first:last].unbind(-1))
        values = values.view(-1, self.group, last - first)
        numbers: Tensor = torch.addcmul(zero[:, None], values, scale[:, None])
        return numbers.view(width, last - first)

    def as_table(self) -> PackedWeight:
        scale, zero = self.scale, self.zero
        if self.pairs is not None:
            scale, zero = (part.T.contiguous() for part in self.pairs.unbind(-1))
        assert scale is not None
        return Int8Table(
            self._values(0, len(self)).view(torch.int8) - MIDDLE, scale, self.dtype, zero
        )

    def _product(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, self.shape[1])
        if self.pairs is None or len(flat) > MAX_CPU_KERNEL_ROWS:
            return super()._product(x)
        found: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            flat.contiguous(), self.packed, self.group, self.pairs
        )
        return found.view(*x.shape[:-1], -1)


def best_order(
    shape: tuple[int, int], group: int, dtype: torch.dtype, device: torch.device
) -> Order:
    """Return the order in which a kernel reads a matrix, or "columns" where there is none."""
    if device.type in KERNEL_DEVICES:
        return "words" if shape[1] % word_block("int4") == 0 else "columns"
    if device.type != "cpu" or dtype != torch.bfloat16 or group not in CPU_KERNEL_GROUPS:
        return "columns"
    block = _block_rows()
    return "rows" if block > 0 and shape[0] % block == 0 and shape[1] % group == 0 else "columns"


@cache
def _block_rows() -> int:
    """Return the rows of a block in the order of torch's kernel on this machine.

    It is 0 where the order is another than the one that is known here.
    """
    generator = torch.Generator().manual_seed(0)
    for block in (64, 32):
        values = torch.randint(0, 16, (2 * block, 64), dtype=torch.int32, generator=generator)
        try:
            packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values, 1)
        except (RuntimeError, AttributeError):
            return 0
        if torch.equal(_from_row_blocks(packed, 64, block).int(), values):
            return block
    return 0


def _from_row_blocks(packed: Tensor, width: int, block: int) -> Tensor:
    """Return values 0 to 15, uint8 [N, width], from the order of torch's kernel."""
    blocks = packed.view(-1, width, block // 2)
    return torch.cat((blocks & 15, blocks >> 4), dim=-1).transpose(1, 2).reshape(-1, width)


def round_to_int4(weight: Tensor, dtype: torch.dtype, group: int) -> tuple[Tensor, Tensor]:
    """Return the nearest values, int8 [N, K] from -8 to 7, and scales [N, K / group] in `dtype`.

    The number of the greatest magnitude in a group becomes -8, whatever its sign, because there is
    no 8.
    """

    def quantize(rows: Tensor) -> tuple[Tensor, Tensor]:
        grouped = rows.float().unflatten(-1, (-1, group))
        greatest = grouped.gather(-1, grouped.abs().argmax(-1, keepdim=True))
        scale = torch.where(greatest == 0, 1e-30, -greatest / MIDDLE).to(dtype)
        values = (grouped / scale.float()).round().clamp(-MIDDLE, MIDDLE - 1)
        return values.to(torch.int8).flatten(-2), scale[..., 0]

    return quantize_rows(weight, quantize)


def _encode(weight: Tensor, dtype: torch.dtype, group: int) -> Parts:
    values, scale = round_to_int4(weight, dtype, group)
    # Eight numbers a word, the first in the lowest bits.
    words = words_of(values + MIDDLE, 4)
    shape = torch.tensor(weight.shape)
    return {"weight_packed": words, "weight_scale": scale, "weight_shape": shape}


def _load(parts: Parts, dtype: torch.dtype) -> PackedWeight:
    words = parts["weight_packed"].contiguous()
    scale = parts["weight_scale"].to(torch.float32, copy=True)
    zero = parts.get("weight_zero_point")
    if zero is None:
        zeros = torch.full_like(scale, MIDDLE)
    else:
        zeros = unpack_rows(zero, 4, len(words)).float()
    # A byte of a word has two columns, the first in its lower half: the order "columns".
    return Int4Weight(words.view(torch.uint8).clone(), scale, -zeros * scale, dtype)


INT4 = Format(
    name="int4",
    encode=_encode,
    groups=(32, 64, 128),
    config={"num_bits": 4, "type": "int", "strategy": "group"},
    storages=(packed_words("packed int4", 4, _load),),
)
