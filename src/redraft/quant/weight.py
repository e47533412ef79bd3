"""A weight in few bits: what all of them can do, in plain torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from redraft.ops.packed_layout import PackedLayout, stack_of
from redraft.ops.triton import uses_kernels

ROWS = 8192  # that are rounded at a time
KERNEL_ROWS = 1024  # up to which a kernel of ours is faster than unpacking all and a plain product
TILE = 512  # rows that are unpacked at a time: they stay in a core's cache


class PackedWeight(nn.Module):
    """A matrix [N, K] in few bits. It stands where a weight tensor would: `linear(x, weight)` asks
    for `product`; a slice or an index of rows gives these in numbers of `dtype`.

    Attributes:
        shape: (N, K). dtype: of what is computed with it.
    """

    def __init__(self, shape: tuple[int, int], dtype: torch.dtype, **parts: Tensor | None) -> None:
        super().__init__()
        self.shape = torch.Size(shape)
        self.dtype = dtype
        self._packing: PackedLayout | None = None
        self._known_stack: tuple[tuple[object, ...], PackedLayout | None] | None = None
        for name, part in parts.items():
            self.register_buffer(name, part)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """What `to`, `float` and the like do: numbers are then computed with in another dtype."""
        self._packing = self._known_stack = None
        self.dtype = fn(torch.empty(0, dtype=self.dtype, device=self.device)).dtype
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._settle()
        return self

    def _settle(self) -> None:
        """Put bits into the order in which they are read here, where that depends on the device or
        on what is computed with."""

    def rows(self, first: int, last: int) -> Tensor:
        """Rows [first, last) as numbers [n, K]."""
        raise NotImplementedError

    def columns(self, first: int, last: int) -> Tensor:
        """W^T [K, n] of rows [first, last): what a product takes."""
        return self.rows(first, last).T

    def product(self, x: Tensor) -> Tensor:
        """x W^T of x [..., K]: [..., N], tile by tile, so that never the whole matrix is
        unpacked."""
        self._check(x)
        flat = x.reshape(-1, self.shape[1])
        if uses_kernels(x) and (packing := self.packed_layout()):
            from redraft.ops.triton.product import product

            # Of many rows the product takes longer than the numbers: these are worked out once, not
            # once a tile.
            many = len(flat) > KERNEL_ROWS
            return (flat @ self.whole().T if many else product(flat, packing)).view(
                *x.shape[:-1], -1
            )
        out = x.new_empty(len(flat), self.shape[0])
        for first in range(0, self.shape[0], TILE):
            last = min(first + TILE, self.shape[0])
            torch.mm(flat, self.columns(first, last), out=out[:, first:last])
        return out.view(*x.shape[:-1], -1)

    def _check(self, x: Tensor) -> None:
        if x.dtype != self.dtype:
            raise TypeError(f"this weight is computed with in {self.dtype}, not in {x.dtype}")

    def _load_from_state_dict(self, *_: Any) -> None:
        raise TypeError(
            "a weight in few bits is loaded by redraft.load: how its bits lie depends on the device"
        )

    def products(self, x: Tensor, others: Sequence[PackedWeight]) -> list[Tensor]:
        """Products of x [..., K] with this matrix and others, in one launch where a kernel can."""
        self._check(x)
        flat = x.reshape(-1, self.shape[1])
        every = [self, *others]
        if not uses_kernels(x) or len(flat) > KERNEL_ROWS or (stack := self._stack(every)) is None:
            return [each.product(x) for each in every]
        from redraft.ops.triton.product import product

        together = product(flat, stack).view(*x.shape[:-1], -1)
        return list(together.split([each.shape[0] for each in every], dim=-1))

    def _stack(self, every: list[PackedWeight]) -> PackedLayout | None:
        lying = [one for each in every if (one := each.packed_layout()) is not None]
        places = tuple(one.identity for one in lying)
        if self._known_stack is None or self._known_stack[0] != places:
            self._known_stack = places, stack_of(lying) if len(lying) == len(every) else None
        return self._known_stack[1]

    def packed_layout(self) -> PackedLayout | None:
        """How it lies in memory, for a kernel; None where there is none for it."""
        if self._packing is None or self._packing.values is not next(self.buffers()):
            self._packing = self._lying()
        return self._packing if self._packing is not None and self._packing.has_kernel else None

    def _lying(self) -> PackedLayout | None:
        return None

    def whole(self) -> Tensor:
        """All of it as numbers [N, K]: for tests, and for who has the room."""
        return self.rows(0, self.shape[0])

    @property
    def device(self) -> torch.device:
        return next(self.buffers()).device

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.buffers())

    @property
    def ndim(self) -> int:
        return 2

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Tensor:
        if isinstance(index, slice):
            first, last, stride = index.indices(self.shape[0])
            assert stride == 1, "rows are taken in their order"
            return self.rows(first, last)
        return self.gather(index)

    def gather(self, index: Tensor) -> Tensor:
        """Rows of any number and order [..., K]: for an embedding."""
        flat = [self.rows(at, at + 1) for at in index.reshape(-1).tolist()]
        return torch.cat(flat).view(*index.shape, self.shape[1])


def by_rows(
    weight: Tensor, make: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """What `make` makes of a matrix, some rows at a time: its float32 is several times the
    matrix."""
    first, second = zip(*(make(rows) for rows in weight.split(ROWS)), strict=True)
    return torch.cat(first), torch.cat(second)


def halves(packed: Tensor) -> Tensor:
    """Two numbers of four bits from each byte, the lower half first: uint8 [..., n] to [..., 2
    n]."""
    return torch.stack((packed & 15, packed >> 4), dim=-1).flatten(-2)


def pack(values: Tensor) -> Tensor:
    """The other way: two numbers 0 to 15 a byte, the first in the lower half: [..., K] to uint8
    [..., K / 2]."""
    pairs: Tensor = values.to(torch.uint8).unflatten(-1, (-1, 2))
    return pairs[..., 0] | (pairs[..., 1] << 4)
