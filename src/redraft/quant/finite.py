"""Finite: NaN, infinity and lost scales in the parts of a quantized matrix, found before use."""

from __future__ import annotations

import torch
from torch import Tensor

from redraft.quant.bits import unpack_nibbles, unpack_rows
from redraft.quant.format import Parts
from redraft.quant.weight import PackedWeight

# The bits of e4m3 without the sign. All of them set is NaN; the format has no infinity.
E4M3_BITS = 0x7F
# Numbers that a whole matrix is multiplied or divided by.
FACTORS = ("weight_scale_2", "weight_global_scale")


def value_problems(parts: Parts) -> list[tuple[str, str]]:
    """Return the role of each part that holds an impossible value, and a sentence about it.

    Args:
        parts: the tensors of one matrix, by role, with their shapes checked.
    """
    found = []
    for role, part in parts.items():
        wrong = _not_finite(part)
        if wrong is not None and wrong.any():
            found.append((role, f"holds NaN or infinity {_places(wrong)}"))
        elif role in FACTORS and not bool((part > 0).all()):
            found.append((role, f"is {float(part.reshape(-1)[0]):g}, a factor is more than 0"))
    if not found and (lost := _lost_groups(parts)) is not None and lost.any():
        found.append(("weight_scale", f"is 0 where the weights are not {_places(lost)}"))
    return found


def overflows(weight: PackedWeight) -> bool:
    """Return True where a scale of a weight is not finite in the dtype that it computes in."""
    parts = [part for part in weight.buffers() if part.is_floating_point()]
    return not all(bool(torch.isfinite(part).all()) for part in parts)


def _not_finite(part: Tensor) -> Tensor | None:
    """Return where a tensor is NaN or infinite; None where its dtype has neither."""
    if part.dtype == torch.float8_e4m3fn:
        return (part.view(torch.uint8) & E4M3_BITS) == E4M3_BITS
    return ~torch.isfinite(part) if part.is_floating_point() else None


def _lost_groups(parts: Parts) -> Tensor | None:
    """Return the groups whose scale is 0 and a weight is not; None where there are no scales."""
    values = parts.get("weight", parts.get("weight_packed"))
    scale = parts.get("weight_scale")
    if values is None or scale is None or scale.dtype == torch.uint8:  # powers of two, never 0
        return None
    scale = scale.reshape(-1, 1) if scale.ndim < 2 else scale
    zero = scale.float() == 0
    if not zero.any() or len(zero) not in (1, len(values)):  # blocks look at their own
        return zero.new_zeros(())
    used = _used(values, parts).unflatten(1, (zero.shape[1], -1))
    lost: Tensor = zero & used.any(-1)
    return lost


def _used(values: Tensor, parts: Parts) -> Tensor:
    """Return where the stored weights, bool [N, weights or bytes], are not 0."""
    if values.dtype == torch.int32:
        return _used_in_words(values, parts)
    # Without the sign bits: the zero of a float has two codes.
    mask = {torch.uint8: 0x77, torch.int8: 0xFF}.get(values.dtype, E4M3_BITS)
    used: Tensor = (values.view(torch.uint8) & mask) != 0
    return used


def _used_in_words(words: Tensor, parts: Parts) -> Tensor:
    """Return where integers in words differ from their zero point, the middle if none is given."""
    rows, columns = parts["weight_shape"].tolist()
    bits = 32 * words.shape[1] // columns
    octets = words.contiguous().view(torch.uint8)
    values = unpack_nibbles(octets) if bits == 4 else octets
    points = torch.full((rows, 1), 1 << (bits - 1), device=words.device)
    if "weight_zero_point" in parts:
        points = unpack_rows(parts["weight_zero_point"], bits, rows)
    used: Tensor = values != points.repeat_interleave(columns // points.shape[1], dim=1)
    return used


def _places(wrong: Tensor) -> str:
    """Return how many elements are wrong, and where the first of them is."""
    first = wrong.nonzero()[0].tolist()
    place = f"at {first}" if first else "there"
    count = int(wrong.sum())
    return place if count == 1 else f"in {count} places, the first {place}"
