"""Several adapters of one network: each row of a pass has its own, or none.

y = W x for all rows at once, then y += scale * B (A x) for the rows of each adapter. Rows without
one are not touched, and a row's bits do not depend on the other rows (see `ops.batch_invariance`).
`Adapter.attach`, which gives all rows one adapter, is the naive form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, cast

from torch import Tensor, nn

from redraft.adapters.attach import adapters_of, weights_of
from redraft.adapters.load import Adapter
from redraft.adapters.weights import AdaptedMatrix, Base, ExpertBase, update
from redraft.errors import ConfigError, MemoryLimitError
from redraft.network import DiffusionGemma, place_weight
from redraft.network.memory_estimate import GIB, USABLE, free_memory
from redraft.ops.adapter_rows import adapter_rows
from redraft.ops.batch_invariance import pad_for_invariance
from redraft.ops.linear import WeightLike, linear, packed_layout
from redraft.ops.packed_layout import PackedLayout
from redraft.quant import ExpertList, PackedWeight

# A, B and the scale.
RowUpdate = tuple[Tensor, Tensor, float]


def attach_by_row(network: DiffusionGemma, adapters: Mapping[str, Adapter]) -> None:
    """Give a network adapters that rows are read with, by name, in place.

    Args:
        adapters: by the name that a row's cache says, `Cache.adapter`.

    Raises:
        ConfigError: the network has adapters, or has not the weights of one. CheckpointError: a
            weight has another shape. MemoryLimitError: there is no memory for the updates.
    """
    if network.adapters or adapters_of(network):
        raise ConfigError("the network has an adapter: begin with the base again")
    for adapter in adapters.values():
        adapter.check(network)
    _check_memory(network, adapters)
    weights = dict(weights_of(network))
    for name in dict.fromkeys(chain.from_iterable(one.updates for one in adapters.values())):
        weight = weights[name]
        made: WeightByRow | ExpertsByRow
        if isinstance(weight, ExpertList) or weight.ndim == 3:
            made = ExpertsByRow(cast(ExpertBase, weight))
        else:
            made = WeightByRow(weight)
        for owner, adapter in adapters.items():
            if name in adapter.updates:
                low, high = (one.to(network.device, network.dtype) for one in adapter.updates[name])
                made.add(owner, low, high, adapter.config.scale)
        place_weight(network, name, made)
        network.adapter_width = max(network.adapter_width, sum(weight.shape[-2:]))
    network.adapters = tuple(adapters)
    network.cuda_graphs.clear()


def _check_memory(network: DiffusionGemma, adapters: Mapping[str, Adapter]) -> None:
    pairs = chain.from_iterable(one.updates.values() for one in adapters.values())
    numbers = sum(side.numel() for side in chain.from_iterable(pairs))
    needed, free = numbers * network.dtype.itemsize, free_memory(network.device)
    if needed > free * USABLE:
        raise MemoryLimitError(
            f"the adapters need {needed / GIB:.2f} GiB and {free / GIB:.2f} are free: name fewer"
        )


class ByRow(nn.Module):
    """A weight [..., N, K] with an update for the rows of each adapter.

    Args:
        base: the weight.
    """

    def __init__(self, base: Base | ExpertBase) -> None:
        super().__init__()
        self.base: Any = base.requires_grad_(False)
        self.shape, self.dtype = base.shape, base.dtype
        # A buffer's name is no free text: adapters have numbers here.
        self._owners: dict[str, tuple[int, float]] = {}

    def add(self, owner: str, low: Tensor, high: Tensor, scale: float) -> None:
        """Add an adapter's update, A [..., r, K] and B [..., N, r], in the network's dtype."""
        number = len(self._owners)
        self._owners[owner] = number, scale
        self.register_buffer(f"low_{number}", low, persistent=False)
        self.register_buffer(f"high_{number}", high, persistent=False)

    def update_of(self, owner: str) -> RowUpdate | None:
        """Return an adapter's update; None where it leaves this weight as it is."""
        if owner not in self._owners:
            return None
        number, scale = self._owners[owner]
        return getattr(self, f"low_{number}"), getattr(self, f"high_{number}"), scale

    def packed_layout(self) -> PackedLayout | None:
        """Return the base's layout; None in a pass with adapters, for no kernel reads updates."""
        if adapter_rows() is not None or (isinstance(self.base, Tensor) and self.base.ndim < 3):
            return None
        return packed_layout(self.base)


class WeightByRow(AdaptedMatrix, ByRow):
    """A matrix [N, K] with updates."""

    def product(self, x: Tensor) -> Tensor:
        """Return W x, and for each row its adapter's update: [n, N] of x [n, K]."""
        return self._updated(linear(x, self.base), x)

    def products(self, x: Tensor, others: Sequence[WeightLike]) -> list[Tensor]:
        """Return the products with this weight and with others."""
        weights = [self, *others]
        bases = [one.base if isinstance(one, WeightByRow) else one for one in weights]
        if all(isinstance(one, PackedWeight) for one in bases):
            found = bases[0].products(x, bases[1:])
        else:
            found = [linear(x, one) for one in bases]
        return [
            one._updated(out, x) if isinstance(one, WeightByRow) else out
            for one, out in zip(weights, found, strict=True)
        ]

    def _updated(self, out: Tensor, x: Tensor) -> Tensor:
        """Add the updates to W x, in place."""
        rows = adapter_rows()
        if rows is None:
            return out
        for name in rows.names:
            if (found := self.update_of(name)) is not None:
                add_update(out, x, rows.of(name, len(x)), *found)
        return out


class ExpertsByRow(ByRow):
    """Matrices [experts, N, K] with updates."""

    def __getitem__(self, number: int) -> Tensor | PackedWeight:
        """Return an expert's own matrix, for a pass without adapters."""
        found: Tensor | PackedWeight = self.base[number]
        return found

    def for_rows(self, numbers: Tensor, counts: Sequence[int]) -> ExpertsOfRows:
        """Return the matrices for rows that are sorted by expert; see `ExpertsOfRows`."""
        return ExpertsOfRows(self, numbers, counts)


class ExpertsOfRows:
    """Matrices with updates, for rows that are sorted by expert.

    Args:
        numbers: the adapter of each row, its place among those of the pass, -1 for none; int64
            [n], in the processor's memory. counts: rows of each expert.
    """

    def __init__(self, weight: ExpertsByRow, numbers: Tensor, counts: Sequence[int]) -> None:
        self.weight, self._numbers = weight, numbers.split(list(counts))

    def __getitem__(self, number: int) -> ExpertOfRows:
        return ExpertOfRows(self.weight, number, self._numbers[number])


class ExpertOfRows:
    """The matrix of one expert with its updates, for the length of a product."""

    def __init__(self, weight: ExpertsByRow, number: int, numbers: Tensor) -> None:
        self.weight, self.number, self.numbers = weight, number, numbers

    def product(self, x: Tensor) -> Tensor:
        """Return [n, N] of rows x [n, K]; those behind the expert's own are padding."""
        out = linear(x, self.weight.base[self.number])
        rows = adapter_rows()
        assert rows is not None
        for place, name in enumerate(rows.names):
            if (found := self.weight.update_of(name)) is not None:
                low, high, scale = found
                mine = (self.numbers == place).nonzero()[:, 0].to(x.device)
                add_update(out, x, mine, low[self.number], high[self.number], scale)
        return out

    def products(self, x: Tensor, others: Sequence[WeightLike]) -> list[Tensor]:
        return [self.product(x), *(other.product(x) for other in others)]

    def packed_layout(self) -> PackedLayout | None:
        return None

    def __getitem__(self, index: Any) -> Tensor:
        raise TypeError("an embedding has no adapter here")


def add_update(
    out: Tensor, x: Tensor, rows: Tensor, low: Tensor, high: Tensor, scale: float
) -> None:
    """Add scale * B (A x) to some rows of `out` [n, N], in place.

    Args:
        x: [n, K]. rows: int64 [m]. low, high: A [r, K] and B [N, r], in x's dtype.
    """
    if len(rows):
        given = pad_for_invariance(x.index_select(0, rows))
        out.index_add_(0, rows, update(given, low, high, scale)[: len(rows)])
