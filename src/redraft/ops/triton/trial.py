"""A trial of the kernels: small ones of each kind that a card or its compiler may not be up to."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from redraft.ops.packed_layout import FOUR_IN_A_WORD, Form, PackedLayout, pack_words, table_of
from redraft.ops.triton.attention import canvas_attention, causal_attention
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
from redraft.ops.triton.table import weighted_rows

EPS = 1e-6
# What bfloat16 rounds to, of numbers up to 4.
TOLERANCE = 0.03


def check_kernels(device: torch.device) -> None:
    """Run a sum, a product on tensor cores, the grouping by experts, and attention.

    Raises:
        RuntimeError: a result is wrong. What compiling or running raises is raised as it is.
    """
    ones = torch.ones(2, 16, device=device)
    _check(combine(ones, ones[:1, :2].contiguous()), 2, "added")
    rows = torch.ones(16, 128, dtype=torch.bfloat16, device=device)
    _check(product(rows, PackedLayout("plain", (64, 128), rows.new_ones(64, 128))), 128, "added")
    _check_groups(device)
    heads = torch.ones(1, 16, 64, dtype=torch.bfloat16, device=device)
    found = causal_attention(heads.transpose(0, 1).contiguous(), heads, heads, None)
    _check(found, 1, "weighed values")
    nowhere = torch.zeros(1, 4, dtype=torch.int64, device=device)  # a canvas without a prefix
    queries = heads.transpose(0, 1).contiguous()
    _check(canvas_attention(queries, queries, queries, nowhere, 16), 1, "weighed a canvas")


def check_form(device: torch.device, form: str) -> None:
    """Multiply with a matrix of random bits: few rows, many, those of an expert, and whole.

    Args:
        form: how its numbers are encoded, a `Form`.

    Raises:
        RuntimeError, others: as for `check_kernels`.
    """
    layout, numbers = _matrix(device, form)
    ones = torch.eye(128, dtype=torch.bfloat16, device=device)
    _check(product(ones[:16], layout), numbers.T[:16], "multiplied")
    _check(product(ones, layout), numbers.T, "multiplied")
    _check(decode(layout, torch.bfloat16), numbers, "decoded")
    pair = table_of([layout, layout], 2)
    assert pair is not None
    groups = group_by_expert(torch.zeros(16, 1, dtype=torch.int64, device=device), 1, 16)
    opened = numbers.clamp_min(0) * numbers
    _check(product(ones[:16], pair, groups, gate="relu"), opened.T[:16], "gated")
    if form == "int8":
        table = PackedLayout(
            "int8", (64, 128), numbers.to(torch.int8), torch.ones_like(ones[:64, :1])
        )
        _check(weighted_rows(ones[:16, :64], table), numbers[:16], "weighed rows")


# The magnitudes of e2m1.
MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


def _matrix(device: torch.device, form: str) -> tuple[PackedLayout, Tensor]:
    """Return a matrix [64, 128] of random bits, whose numbers bfloat16 holds, and its numbers."""
    generator = torch.Generator().manual_seed(0)
    most = 16 if form in FOUR_IN_A_WORD else 256
    bits = torch.randint(0, most, (64, 128), generator=generator, dtype=torch.uint8).to(device)
    factors, group, scale_dtype = None, 0, torch.bfloat16
    scales = torch.ones(64, 1, dtype=scale_dtype, device=device)
    if form == "int8":
        bits &= 0x8F  # to 15, and from -128: their products with themselves are in bfloat16 too
        numbers = bits.view(torch.int8).float()
    elif form == "int4":
        numbers, group, scales = (bits.float() - 8) / 2, 64, scales.expand(64, 2) / 2
    elif form == "fp8":
        bits &= 0xBF  # numbers below 2
        numbers = bits.view(torch.float8_e4m3fn).float()
    else:
        every = torch.tensor(MAGNITUDES, device=device)
        numbers, group, scale_dtype = torch.cat((every, -every))[bits.long()], 16, torch.uint8
        factors = torch.ones(1, device=device)
        scales = torch.full((64, 8), 0x38, dtype=torch.uint8, device=device)  # 1 in e4m3
    values = pack_words(bits, form)
    layout = PackedLayout(
        cast("Form", form), (64, 128), values, scales.contiguous(), factors=factors, group=group,
        scale_dtype=scale_dtype, in_words=True,
    )  # fmt: skip
    return layout, numbers


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
