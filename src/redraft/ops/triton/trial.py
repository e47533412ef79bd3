"""A trial of the kernels: small ones of each kind that a card or its compiler may not be up to."""

from __future__ import annotations

import torch

from redraft.ops.packed_layout import PackedLayout, pack_blocks
from redraft.ops.triton.attention import causal_attention
from redraft.ops.triton.combine import combine
from redraft.ops.triton.product import product


def check_kernels(device: torch.device) -> None:
    """Run a sum, a product with int4 numbers (inline assembly and tensor cores), and attention.

    Raises:
        RuntimeError: a result is wrong. What compiling or running raises is raised as it is.
    """
    ones = torch.ones(2, 16, device=device)
    if not bool((combine(ones, ones[:1, :2].contiguous()) == 2).all()):
        raise RuntimeError("a kernel added wrongly")
    # The stored number 9 is 1, and each scale is 0.5.
    values = pack_blocks(torch.full((64, 128), 9, device=device))
    scales = torch.full((64, 2), 0.5, device=device)
    layout = PackedLayout("int4", (64, 128), values, scales, group=64)
    rows = torch.ones(16, 128, dtype=torch.bfloat16, device=device)
    if not bool((product(rows, layout) == 64).all()):
        raise RuntimeError("a kernel multiplied wrongly")
    heads = torch.ones(1, 16, 64, dtype=torch.bfloat16, device=device)
    found = causal_attention(heads.transpose(0, 1).contiguous(), heads, heads, None)
    if not bool((found == 1).all()):
        raise RuntimeError("a kernel weighed values wrongly")
