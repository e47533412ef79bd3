"""PackedWeight: what all quantized weights can do, in plain torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from redraft.ops.linear import wide_product
from redraft.ops.packed_layout import PackedLayout, stack_of
from redraft.ops.triton import uses_kernels

# Rows that are quantized at a time: their float32 copies are several times as large.
QUANTIZED_ROWS = 8192
# Input rows up to which a kernel multiplies with a matrix as it is packed. It decodes the matrix
# again for every 64 rows, so for more rows the matrix is decoded once.
MAX_KERNEL_ROWS = 64
# Rows that are decoded at a time on a CPU: they stay in a core's cache.
TILE_ROWS = 512
# On a device so many numbers are: a matrix of a layer whole, an embedding in parts.
TILE_NUMBERS = 32 << 20


class PackedWeight(nn.Module):
    """A quantized matrix [N, K]. It stands in place of a weight tensor.

    `linear(x, weight)` calls its `product`. A slice, or an index of rows, gives decoded rows.
    A subclass registers its tensors as buffers and implements `rows`.

    Args:
        shape: (N, K).
        dtype: of the inputs and of decoded numbers.
        buffers: the tensors that the numbers are stored in.
    """

    def __init__(
        self, shape: tuple[int, int], dtype: torch.dtype, **buffers: Tensor | None
    ) -> None:
        super().__init__()
        self.shape = torch.Size(shape)
        self.dtype = dtype
        self._cached_layout: PackedLayout | None = None
        self._cached_stack: tuple[tuple[object, ...], PackedLayout | None] | None = None
        self._decoded: list[tuple[PackedLayout, Tensor]] = []
        self._keeps_decoded = False
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the weight, or change its dtype: `to`, `float` and the like call this."""
        self._cached_layout = self._cached_stack = None
        self._decoded = []
        self.dtype = fn(torch.empty(0, dtype=self.dtype, device=self.device)).dtype
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._reorder()
        return self

    def _reorder(self) -> None:
        """Put the bits into the order in which they are read on this device and in this dtype."""

    def _layout(self) -> PackedLayout | None:
        """Return the layout in memory for a kernel; None where no kernel reads it."""
        return None

    def rows(self, first: int, last: int) -> Tensor:
        """Return rows [first, last), decoded: [n, K]."""
        raise NotImplementedError

    def transposed_rows(self, first: int, last: int) -> Tensor:
        """Return rows [first, last), decoded and transposed: [K, n]. A product reads these."""
        return self.rows(first, last).T

    def gather(self, index: Tensor) -> Tensor:
        """Return rows by their numbers, as an embedding does: int64 [...] to [..., K]."""
        flat = [self.rows(at, at + 1) for at in index.reshape(-1).tolist()]
        return torch.cat(flat).view(*index.shape, self.shape[1])

    def dequantize(self) -> Tensor:
        """Return all rows, decoded: [N, K]."""
        return self.rows(0, self.shape[0])

    def as_table(self) -> PackedWeight:
        """Return the weight in the form that suits an embedding, whose rows are looked up."""
        return self

    def product(self, x: Tensor) -> Tensor:
        """Return x W^T of x [..., K]: [..., N].

        Where a gradient of x is wanted, the matrix is decoded, once in each direction, and the
        product is that of its numbers.
        """
        self._check_dtype(x)
        if wants_gradient(x):
            decoded: Tensor = _DecodedProduct.apply(x, self)  # type: ignore[no-untyped-call]
            return decoded
        return self._product(x)

    def _product(self, x: Tensor) -> Tensor:
        """Return x W^T without a gradient.

        On a CPU it runs tile by tile, so that the whole matrix is never decoded at once.
        """
        flat = x.reshape(-1, self.shape[1])
        if uses_kernels(x) and (layout := self.packed_layout()):
            return self._in_kernels(flat, layout).view(*x.shape[:-1], -1)
        return self._by_tiles(flat, TILE_ROWS, self.transposed_rows).view(*x.shape[:-1], -1)

    def _in_kernels(self, x: Tensor, layout: PackedLayout) -> Tensor:
        """Return x W^T of x [M, K] and a layout of this matrix, or of a stack of matrices."""
        if len(x) <= MAX_KERNEL_ROWS:
            from redraft.ops.triton.product import product

            return product(x, layout)
        from redraft.ops.triton.decode import decode

        tile = max(1, TILE_NUMBERS // self.shape[1])
        if layout.parts > 1 or tile >= self.shape[0]:
            return x @ self._whole(layout, x.dtype).T
        return self._by_tiles(x, tile, lambda *rows: decode(layout, x.dtype, *rows).T)

    def keep_decoded(self) -> None:
        """Keep what is decoded for products of many rows, on this device and in this dtype."""
        self._keeps_decoded = True

    def _whole(self, layout: PackedLayout, dtype: torch.dtype) -> Tensor:
        """Return the numbers of a layout, decoded now or kept. CUDA graphs read what is kept at its
        address, so it stays until the weight moves."""
        from redraft.ops.triton.decode import decode

        for known, numbers in self._decoded:
            if known is layout:
                return numbers
        numbers = decode(layout, dtype)
        # What is computed in a capture has no numbers before the graph has run.
        captured = numbers.is_cuda and torch.cuda.is_current_stream_capturing()
        if self._keeps_decoded and not captured:
            self._decoded.append((layout, numbers))
        return numbers

    def _by_tiles(self, x: Tensor, tile: int, decoded: Callable[[int, int], Tensor]) -> Tensor:
        """Return x W^T of x [M, K]; `tile` rows of the matrix are decoded at a time.

        Args:
            decoded: returns rows [first, last), transposed.
        """
        out = x.new_empty(len(x), self.shape[0])
        for first in range(0, self.shape[0], tile):
            last = min(first + tile, self.shape[0])
            torch.mm(x, decoded(first, last), out=out[:, first:last])
        return out

    def products(self, x: Tensor, others: Sequence[PackedWeight]) -> list[Tensor]:
        """Return the products of x [..., K] with this matrix and with others.

        They run in one launch, or are decoded in one, where there is a kernel for all of them.
        """
        self._check_dtype(x)
        flat = x.reshape(-1, self.shape[1])
        weights = [self, *others]
        if (
            wants_gradient(x)
            or not uses_kernels(x)
            or sum(weight.shape.numel() for weight in weights) > TILE_NUMBERS
            or not (stack := self._stack(weights))
        ):
            return [weight.product(x) for weight in weights]
        together = self._in_kernels(flat, stack).view(*x.shape[:-1], -1)
        return list(together.split([weight.shape[0] for weight in weights], dim=-1))

    def _stack(self, weights: list[PackedWeight]) -> PackedLayout | None:
        """Return one layout of all weights, if they have one."""
        layouts = [one for weight in weights if (one := weight.packed_layout()) is not None]
        identity = tuple(one.identity for one in layouts)
        if self._cached_stack is None or self._cached_stack[0] != identity:
            stack = stack_of(layouts) if len(layouts) == len(weights) else None
            self._cached_stack = identity, stack
        return self._cached_stack[1]

    def packed_layout(self) -> PackedLayout | None:
        """Return the layout in memory for a kernel; None where no kernel reads it."""
        if self._cached_layout is None or self._cached_layout.values is not next(self.buffers()):
            self._cached_layout = self._layout()
        layout = self._cached_layout
        return layout if layout is not None and layout.has_kernel else None

    def _check_dtype(self, x: Tensor) -> None:
        if x.dtype != self.dtype:
            raise TypeError(f"this weight computes in {self.dtype}, the input is {x.dtype}")

    def _load_from_state_dict(self, *_: object) -> None:
        raise TypeError(
            "a quantized weight is loaded by redraft.load, not from a state dict: "
            "the order of its bits depends on the device"
        )

    @property
    def device(self) -> torch.device:
        return next(self.buffers()).device

    @property
    def nbytes(self) -> int:
        return sum(buffer.nbytes for buffer in self.buffers())

    @property
    def ndim(self) -> int:
        return 2

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        if isinstance(index, slice):
            first, last, stride = index.indices(self.shape[0])
            assert stride == 1, "rows are taken in their order"
            return self.rows(first, last)
        return self.gather(index)


class _DecodedProduct(torch.autograd.Function):
    """The product with a frozen matrix, which is decoded again for the gradient of its input.

    Of a table as long as a vocabulary, some rows are decoded at a time.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: PackedWeight) -> Tensor:
        ctx.weight, ctx.tiles = weight, _tiles(weight.shape)
        parts = [wide_product(x, weight.rows(*tile).T) for tile in ctx.tiles]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        parts = (
            wide_product(gradient[..., first:last], ctx.weight.rows(first, last))
            for first, last in ctx.tiles
        )
        total = next(parts)
        for part in parts:
            total += part
        return total, None


def _tiles(shape: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first row and the end of each tile of a matrix [N, K], of which none has more than
    TILE_NUMBERS numbers."""
    tile = max(1, TILE_NUMBERS // shape[1])
    return [(first, min(first + tile, shape[0])) for first in range(0, shape[0], tile)]


def wants_gradient(x: Tensor) -> bool:
    """Return True if a gradient of x is wanted: no kernel here has one."""
    return x.requires_grad and torch.is_grad_enabled()


def quantize_rows(
    weight: Tensor, quantize: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Return `quantize(weight)`, computed for some rows at a time.

    Args:
        weight: [N, K].
        quantize: returns values [n, ...] and scales [n, ...] of rows [n, K].
    """
    values, scales = zip(*(quantize(rows) for rows in weight.split(QUANTIZED_ROWS)), strict=True)
    return torch.cat(values), torch.cat(scales)
