"""int8: signed integers, with a scale for each row or for each group of a row.

On a CPU, with one scale a row, inputs are quantized too, each row by its own greatest magnitude,
and the product runs in integers: torch's `_int_mm` is 1.6 times as fast as bfloat16 at 256 rows and
twice at 16. Integers add up to the same in any order, so a row never depends on its neighbours. On
a CUDA device it does so where `redraft tune` measured that it is faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

from redraft.ops.packed_layout import PackedLayout, pack_words, unpack_words, word_block
from redraft.ops.triton import KERNEL_DEVICES, uses_kernels
from redraft.ops.triton.measured_tiles import integers_name, measured_tile
from redraft.quant.bits import unpack_rows
from redraft.quant.format import (
    FLOATS,
    Format,
    Parts,
    Shape,
    Shapes,
    Storage,
    scale_groups,
)
from redraft.quant.packed_words import packed_words
from redraft.quant.weight import PackedWeight, quantize_rows, wants_gradient

MAX_INT8 = 127
# A row of zeros has this scale.
MIN_MAGNITUDE = 1e-30
# cuBLAS multiplies integers of more than 16 rows.
MIN_DEVICE_ROWS = 17


class Int8Weight(PackedWeight):
    """A matrix [N, K] in int8: number = value * scale + offset.

    Args:
        values: int8 [N, K].
        scale: [N, groups].
        offset: like scale, or None for zeros.

    Attributes:
        values: as they were given; in words of 16 bits, uint8 [N, K], where a kernel reads them.
    """

    values: Tensor
    scale: Tensor
    offset: Tensor | None

    def __init__(
        self, values: Tensor, scale: Tensor, dtype: torch.dtype, offset: Tensor | None = None
    ) -> None:
        shape = values.shape[0], values.shape[1]
        self.in_words = False
        super().__init__(shape, dtype, values=values, scale=scale, offset=offset)
        self._reorder()

    def _reorder(self) -> None:
        in_words = (
            self.device.type in KERNEL_DEVICES
            and self.shape[1] % word_block("int8") == 0
            and not (self._has_integers(self.dtype) and self._integers_are_faster())
        )
        if in_words != self.in_words:
            rows = slice(0, self.shape[0])
            self.values = pack_words(self.values, "int8") if in_words else self._values(rows)
            self.in_words = in_words

    def _values(self, index: slice | Tensor) -> Tensor:
        """Return the values of rows, int8 [..., K]."""
        values = self.values[index]
        return unpack_words(values, "int8").view(torch.int8) if self.in_words else values

    def rows(self, first: int, last: int) -> Tensor:
        return self._numbers(slice(first, last))

    def gather(self, index: Tensor) -> Tensor:
        return self._numbers(index)

    def as_table(self) -> PackedWeight:
        values = self._values(slice(0, self.shape[0]))
        return Int8Table(values, self.scale, self.dtype, self.offset)

    def _numbers(self, index: slice | Tensor) -> Tensor:
        values, scale = self._values(index), self.scale[index].unsqueeze(-1).to(self.dtype)
        numbers: Tensor = values.to(self.dtype).unflatten(-1, (scale.shape[-2], -1)) * scale
        if self.offset is not None:
            numbers = numbers + self.offset[index].unsqueeze(-1).to(self.dtype)
        return numbers.flatten(-2)

    def _layout(self) -> PackedLayout:
        height, width, groups = *self.shape, self.scale.shape[-1]
        return PackedLayout(
            "int8",
            (height, width),
            self.values,
            self.scale,
            self.offset,
            group=0 if groups == 1 and self.offset is None else width // groups,
            scale_dtype=self.scale.dtype,
            in_words=self.in_words,
        )

    def _product(self, x: Tensor) -> Tensor:
        if not self._multiplies_integers(x):
            return super()._product(x)
        values, own = _rounded_inputs(x.reshape(-1, self.shape[1]))
        return self._integer_product(values, own, x.dtype).view(*x.shape[:-1], -1)

    def products(self, x: Tensor, others: Sequence[PackedWeight]) -> list[Tensor]:
        weights = [self, *others]
        if (
            wants_gradient(x)
            or not uses_kernels(x)
            or not all(
                isinstance(one, Int8Weight) and one._multiplies_integers(x) for one in weights
            )
        ):
            return super().products(x, others)
        self._check_dtype(x)
        values, own = _rounded_inputs(x.reshape(-1, self.shape[1]))
        return [
            one._integer_product(values, own, x.dtype).view(*x.shape[:-1], -1)
            for one in weights
            if isinstance(one, Int8Weight)
        ]

    def partial_products(self, x: Tensor, others: Sequence[PackedWeight]) -> list[Tensor]:
        if uses_kernels(x) and self._multiplies_integers(x):
            return self.products(x, others) if others else [self.product(x)]
        return super().partial_products(x, others)

    def _multiplies_integers(self, x: Tensor) -> bool:
        """Return True if inputs are quantized too. On a CUDA device, if that was measured to be
        faster (`redraft tune`)."""
        if not self._has_integers(x.dtype):
            return False
        if x.device.type == "cpu":
            return not self.in_words and _has_exact_products()
        self._reorder()  # a measurement may have chosen since
        return x.numel() // x.shape[-1] >= MIN_DEVICE_ROWS and self._integers_are_faster()

    def _has_integers(self, dtype: torch.dtype) -> bool:
        """Return True if products in this dtype can be those of integers."""
        return self.scale.shape[-1] == 1 and self.offset is None and dtype == torch.bfloat16

    def _integers_are_faster(self) -> bool:
        """Return True if products of this shape in integers were measured to be faster."""
        name = integers_name((self.shape[0], self.shape[1]))
        return measured_tile(self.device, name, 1) == (1,)

    def _integer_product(self, values: Tensor, own: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the product of int8 inputs [M, K] with scales float32 [M, 1]: [M, N]."""
        found = torch._int_mm(values, self.values.T).float().mul_(own).mul_(self.scale[:, 0])
        return found.to(dtype)


class Int8Table(Int8Weight):
    """An embedding table in int8. Its product decodes the numbers and does not round the inputs,
    because the vocabulary pass reads the table chunk by chunk. Rows are looked up, so the values of
    a row stay in their order."""

    def _reorder(self) -> None:
        pass

    def _multiplies_integers(self, x: Tensor) -> bool:
        return False


def _rounded_inputs(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return inputs [M, K] in int8, each row by its own greatest magnitude, and the rows' scales,
    float32 [M, 1]."""
    own = x.abs().amax(-1, keepdim=True).float().clamp_min(MIN_MAGNITUDE) / MAX_INT8
    return (x / own).round().to(torch.int8), own


@cache
def _has_exact_products() -> bool:
    """Return True if products of int8 are exact here.

    Processors without VNNI may saturate sums of two products at 16 bits.
    """
    left = torch.full((32, 512), 127, dtype=torch.int8)
    right = torch.full((64, 512), 127, dtype=torch.int8)
    left[1::2], right[1::2] = -127, -127
    try:
        found = torch._int_mm(left, right.T)
    except RuntimeError:
        return False
    return torch.equal(found, (left.int()[:, None] * right.int()[None]).sum(-1, dtype=torch.int32))


def round_to_int8(weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the nearest values, int8 [N, K] from -127 to 127, and scales [N, 1] in `dtype`.

    The greatest magnitude of each row becomes 127.
    """

    def quantize(rows: Tensor) -> tuple[Tensor, Tensor]:
        numbers = rows.float()
        greatest = numbers.abs().amax(-1, keepdim=True).clamp_min(MIN_MAGNITUDE)
        scale = (greatest / MAX_INT8).to(dtype)
        values = (numbers / scale.float()).round().clamp(-MAX_INT8, MAX_INT8)
        return values.to(torch.int8), scale

    return quantize_rows(weight, quantize)


def _encode(weight: Tensor, dtype: torch.dtype, group: int) -> Parts:
    values, scale = round_to_int8(weight, dtype)
    return {"weight": values, "weight_scale": scale}


def _shapes(rows: int, columns: int, found: Mapping[str, Shape]) -> Shapes:
    groups = scale_groups(columns, found["weight_scale"])
    scales = ((rows, groups), (rows,), (1,), ())
    return {"weight": ((rows, columns),), "weight_scale": scales, "weight_zero_point": scales}


def _load(parts: Parts, dtype: torch.dtype) -> PackedWeight:
    values = parts["weight"].clone()
    scale = _each_row(parts["weight_scale"], len(values))
    zero = parts.get("weight_zero_point")
    if zero is not None and bool(zero.any()):
        return Int8Weight(values, scale, dtype, -_each_row(zero, len(values)) * scale)
    return Int8Weight(values, scale, dtype)


def _each_row(scale: Tensor, rows: int) -> Tensor:
    """Return float32 scales [rows, groups] from those of rows, of groups, or of the matrix."""
    # This copies in any case: what is read may be a part of the file.
    return (scale.reshape(-1, 1) if scale.ndim < 2 else scale).float().expand(rows, -1).clone()


def _load_words(parts: Parts, dtype: torch.dtype) -> PackedWeight:
    """Load words of four values each, stored plus 128."""
    words = parts["weight_packed"].contiguous()
    scale = parts["weight_scale"].to(torch.float32, copy=True)
    values = (words.view(torch.uint8) ^ 0x80).view(torch.int8).clone()
    zero = parts.get("weight_zero_point")
    if zero is None:
        return Int8Weight(values, scale, dtype)
    zeros = unpack_rows(zero, 8, len(words)).float()
    return Int8Weight(values, scale, dtype, (128 - zeros) * scale)


INT8 = Format(
    name="int8",
    encode=_encode,
    for_embedding=True,
    config={"num_bits": 8, "type": "int", "strategy": "channel"},
    storages=(
        Storage(
            name="int8",
            config_formats=("int-quantized", "naive-quantized"),
            dtypes={"weight": ("I8",), "weight_scale": FLOATS},
            optional={"weight_zero_point": ("I8", "I32")},
            shapes=_shapes,
            load=_load,
        ),
        packed_words("packed int8", 8, _load_words),
    ),
)
