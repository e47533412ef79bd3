"""GPTQ, AWQ and AutoRound: integers of 2, 3, 4 or 8 bits in words that hold several of one column
or of one row, transposed, with a scale and a zero point for each group of a row.

They are read, and kept as they are in int4 or int8: number = (value - zero) * scale.

    GPTQ     qweight [K * bits / 32, N], words along K; zero points are stored less one
    GPTQ v2  the same, with zero points as they are
    AWQ      qweight [K, N / 8], words along N, in which columns are interleaved

`g_idx` [K] is the group of each column. Where it is sorted, groups are as they would be without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from redraft.errors import CheckpointError
from redraft.quant.bits import pack_nibbles, unpack_stream
from redraft.quant.column_order import ReorderedWeight
from redraft.quant.format import FLOATS, Format, Parts, Shape, Shapes, Storage
from redraft.quant.int4 import MIDDLE, Int4Weight
from redraft.quant.int8 import Int8Weight
from redraft.quant.weight import PackedWeight

WIDTHS = (2, 3, 4, 8)
MIN_GROUP = 16
# Values uint8 [N, K], zero points int32 [N, groups] and scales [N, groups].
Numbers = tuple[Tensor, Tensor, Tensor]
Decoder = Callable[[Parts], Numbers]
# The number of AWQ's word of eight in each place, from the lowest bits.
AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
GPTQ, GPTQ_V2, AWQ = "gptq", "gptq_v2", "awq"


def _along(words: Tensor, bits: int) -> Tensor:
    """Return the numbers in each row of int32 words [n, w], uint8 [n, 32 w / bits]."""
    return unpack_stream(words.contiguous().view(torch.uint8), bits)


def _awq(words: Tensor) -> Tensor:
    """Return the numbers in AWQ's int32 words [n, w], uint8 [n, 8 w]."""
    numbers: Tensor = _along(words, 4).unflatten(-1, (-1, 8))
    return numbers[..., list(AWQ_ORDER)].flatten(-2)


def _weight(numbers: Numbers, parts: Parts, bits: int, dtype: torch.dtype) -> PackedWeight:
    """Return a matrix."""
    values, zeros, stored = numbers
    scale = stored.float()
    order = column_order(parts)
    if order is not None:
        values = values[:, order]
    _check_scales(values, zeros, scale)
    middle = 1 << (bits - 1)
    weight: PackedWeight
    if bits == 8:
        centred = (values ^ 0x80).view(torch.int8)
        offset = (middle - zeros) * scale
        symmetric = bool((zeros == middle).all())
        weight = Int8Weight(
            centred.contiguous(), scale.to(dtype), dtype, None if symmetric else offset.to(dtype)
        )
    else:
        shift = MIDDLE - middle
        weight = Int4Weight(pack_nibbles(values + shift), scale, -(zeros + shift) * scale, dtype)
    return weight if order is None else ReorderedWeight(weight, order)


def column_order(parts: Parts) -> Tensor | None:
    """Return the columns sorted by group; None where they are sorted."""
    if (index := parts.get("g_idx")) is None:
        return None
    sorted_groups = _groups(index, parts["scales"].shape[0])
    return None if torch.equal(index.long(), sorted_groups) else index.argsort(stable=True)


def _groups(index: Tensor, groups: int) -> Tensor:
    """Return the group of each column where they are sorted, int64 [K]."""
    numbers = torch.arange(groups, device=index.device)
    return numbers.repeat_interleave(len(index) // groups)


def _check_order(parts: Parts) -> None:
    """Check that each group has the same number of columns.

    Raises:
        CheckpointError: it has not.
    """
    if (index := parts.get("g_idx")) is None:
        return
    groups = parts["scales"].shape[0]
    if not torch.equal(index.long().sort().values, _groups(index, groups)):
        raise CheckpointError(
            f"g_idx does not give {groups} groups of {len(index) // groups} columns each: such an "
            "order is not read"
        )


def _check_scales(values: Tensor, zeros: Tensor, scale: Tensor) -> None:
    lost = scale == 0
    if bool(lost.any()):
        used: Tensor = values.unflatten(1, (scale.shape[1], -1)) != zeros.unsqueeze(-1)
        if bool((used.any(-1) & lost).any()):
            raise CheckpointError("a matrix has a scale of 0 where the weights are not 0")


def _shapes(
    words: Callable[[int, int], Shape], per_word: Callable[[int], int]
) -> Callable[[int, int, Mapping[str, Shape]], Shapes]:
    def shapes(rows: int, columns: int, found: Mapping[str, Shape]) -> Shapes:
        scale = found["scales"]
        groups = scale[0] if len(scale) == 2 and scale[0] > 0 else 1
        fits = columns % groups == 0 and columns // groups >= MIN_GROUP
        groups = groups if fits else 1
        return {
            "qweight": (words(rows, columns),),
            "qzeros": ((groups, per_word(rows)),),
            "scales": ((groups, rows),),
            "g_idx": ((columns,),),
        }

    return shapes


def _gptq(bits: int, less: int) -> Decoder:
    """Return what decodes GPTQ's parts.

    Args:
        less: the number by which zero points are stored too small.
    """

    def decode(parts: Parts) -> Numbers:
        values = _along(parts["qweight"].T, bits)
        # A zero point of 0 is stored as the greatest number: there is none of 16.
        zeros = (_along(parts["qzeros"], bits).T.int() + less) & ((1 << bits) - 1)
        return values, zeros, parts["scales"].T.contiguous()

    return decode


def _decode_awq(parts: Parts) -> Numbers:
    values, zeros = _awq(parts["qweight"]).T.contiguous(), _awq(parts["qzeros"]).T.int()
    return values, zeros, parts["scales"].T.contiguous()


# What decodes the parts of a storage, by its name.
DECODERS: dict[str, Decoder] = {
    **{f"{GPTQ} of {bits} bits": _gptq(bits, 1) for bits in WIDTHS},
    **{f"{GPTQ_V2} of {bits} bits": _gptq(bits, 0) for bits in WIDTHS},
    f"{AWQ} of 4 bits": _decode_awq,
}


def _storage(method: str, bits: int) -> Storage:
    name = f"{method} of {bits} bits"
    if method == AWQ:
        shapes = _shapes(lambda rows, columns: (columns, rows // 8), lambda rows: rows // 8)
    else:
        shapes = _shapes(
            lambda rows, columns: (columns * bits // 32, rows), lambda rows: rows * bits // 32
        )
    return Storage(
        name=name,
        method=method,
        needs_config=method != AWQ,
        dtypes={"qweight": ("I32",), "qzeros": ("I32",), "scales": FLOATS},
        optional={} if method == AWQ else {"g_idx": ("I32", "I64")},
        shapes=shapes,
        load=lambda parts, dtype: _weight(DECODERS[name](parts), parts, bits, dtype),
        check=_check_order,
    )


INTEGERS = Format(
    name="gptq",
    config={"type": "int"},
    storages=(
        *(_storage(GPTQ, bits) for bits in WIDTHS),
        *(_storage(GPTQ_V2, bits) for bits in WIDTHS),
        _storage(AWQ, 4),
    ),
)
