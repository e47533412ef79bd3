"""A trial of the kernels: small ones of each kind that a card or its compiler may not be up to."""

from __future__ import annotations

import torch
from torch import Tensor

from redraft.ops.packed_layout import PackedLayout, pack_blocks
from redraft.ops.triton.attention import causal_attention
from redraft.ops.triton.combine import combine
from redraft.ops.triton.decode import decode
from redraft.ops.triton.gated import gated
from redraft.ops.triton.grouping import group_by_expert
from redraft.ops.triton.heads import norm_and_rotate
from redraft.ops.triton.product import product
from redraft.ops.triton.residual import (
    EndWeights,
    FeedForwardWeights,
    after_attention,
    end_layer,
)

EPS = 1e-6
# What bfloat16 rounds to, of numbers up to 4.
TOLERANCE = 0.03


def check_kernels(device: torch.device) -> None:
    """Run a sum, a product with int4 numbers (inline assembly and tensor cores) and their decoding,
    the grouping by experts, and attention.

    Raises:
        RuntimeError: a result is wrong. What compiling or running raises is raised as it is.
    """
    ones = torch.ones(2, 16, device=device)
    _check(combine(ones, ones[:1, :2].contiguous()), 2, "added")
    # The stored number 9 is 1, and each scale is 0.5.
    values = pack_blocks(torch.full((64, 128), 9, device=device))
    scales = torch.full((64, 2), 0.5, device=device)
    layout = PackedLayout("int4", (64, 128), values, scales, group=64)
    rows = torch.ones(16, 128, dtype=torch.bfloat16, device=device)
    _check(product(rows, layout), 64, "multiplied")
    _check(decode(layout, torch.bfloat16), 0.5, "decoded")
    _check_groups(device)
    heads = torch.ones(1, 16, 64, dtype=torch.bfloat16, device=device)
    found = causal_attention(heads.transpose(0, 1).contiguous(), heads, heads, None)
    _check(found, 1, "weighed values")


def check_row_kernels(device: torch.device) -> None:
    """Run the kernels for what stands between a layer's products, on rows whose results are known.

    Raises:
        RuntimeError, others: as for `check_kernels`.
    """
    rows = torch.tensor([[3.0, 0.0] * 16, [0.0, 4.0] * 16], dtype=torch.bfloat16, device=device)
    unit = (rows > 0) * 2**0.5  # a row over the root of its mean square
    ones = torch.ones(32, dtype=torch.bfloat16, device=device)
    _check(gated(rows, rows, "relu"), rows * rows, "gated")
    inputs = after_attention(rows, rows, FeedForwardWeights(ones, ones, ones, ones), EPS)
    _check(inputs.residual, rows + unit, "added a residual")
    for normed in inputs[1:3]:
        _check(normed, unit, "normed")
    _check(inputs.router, unit * 32**-0.5, "scaled")
    mixture = torch.full((2, 2), 0.5, device=device)
    ends = EndWeights(ones, ones, ones, ones)
    each = rows.repeat_interleave(2, 0)
    out, following = end_layer(rows, rows, each, mixture, ends, ones[:2, None], EPS)
    _check(out, rows + unit, "ended a layer")
    _check(following, unit, "normed what follows")
    _check_heads(rows, unit, ones)


def _check_heads(rows: Tensor, unit: Tensor, ones: Tensor) -> None:
    """Rotate heads of two tokens by a right angle, and write keys and values to a cache too."""
    table = torch.zeros_like(rows), torch.ones_like(rows)
    cache = torch.zeros(2, 1, 2, 32, dtype=rows.dtype, device=rows.device)  # keys, then values
    keys, values = cache
    owners = torch.zeros(2, dtype=torch.int32, device=rows.device)
    place = (keys.data_ptr(), values.data_ptr(), keys.stride(0), 0)
    places = owners, torch.tensor([place], device=rows.device)
    heads = norm_and_rotate((rows, rows, rows), table, ones, ones, EPS, places)
    turned = torch.cat((-unit[:, 16:], unit[:, :16]), dim=1)
    for found in (heads.query[:, 0], heads.key[:, 0], keys[0]):
        _check(found, turned, "rotated")
    for found in (heads.value[:, 0], values[0]):
        _check(found, unit, "normed values")


def _check_groups(device: torch.device) -> None:
    groups = group_by_expert(torch.tensor([[2, 0], [2, 1]], device=device), 3, 1)
    found = torch.cat((groups.order, groups.edges, groups.owners[:4]))
    _check(found, torch.tensor([1, 3, 0, 2, 0, 1, 2, 4, 0, 1, 2, 2], device=device), "sorted")


def _check(found: Tensor, expected: Tensor | float, what: str) -> None:
    if not bool(((found.double() - expected).abs() < TOLERANCE).all()):
        raise RuntimeError(f"a kernel {what} wrongly")
