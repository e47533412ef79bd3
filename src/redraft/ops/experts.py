"""Mixture of experts: which experts a token goes to, and what they make of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from redraft.ops.batch_invariance import least_rows, pad_rows
from redraft.ops.linear import linear, packing_of
from redraft.ops.triton import uses_kernels

Activation = Callable[[Tensor], Tensor]


def route(scores: Tensor, top_k: int, per_expert_scale: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (float32) and indices, each [N, top_k], from router scores [N, experts].

    Softmax in float32 over all experts, the best `top_k`, renormalised to sum 1, then times each
    expert's own scale.
    """
    if uses_kernels(scores):
        from redraft.ops.triton.route import route as in_kernel

        return in_kernel(scores, top_k, per_expert_scale)
    weights, index = scores.softmax(dim=-1, dtype=torch.float32).topk(top_k, dim=-1)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights * per_expert_scale[index], index


def experts(
    x: Tensor, gate_up: Tensor, down: Tensor, weights: Tensor, index: Tensor, activation: Activation
) -> Tensor:
    """Sum over each token's experts of weight * down(activation(gate x) * up x).

    Args:
        x: [N, H].
        gate_up: [experts, 2 * I, H], the gate's rows first.
        down: [experts, H, I].
        weights, index: [N, top_k], from `route`.

    Returns:
        [N, H] in x's dtype. Tokens are sorted by expert, each expert runs once, and the results are
        added in float32 in the order of each token's own experts, so that the sum is the same in
        every batch.
    """
    tokens, top_k = index.shape
    if not tokens:
        return x
    if (
        uses_kernels(x)
        and (wide_packing := packing_of(gate_up))
        and (narrow_packing := packing_of(down))
    ):
        from redraft.ops.triton.experts import experts_grouped

        return experts_grouped(x, wide_packing, narrow_packing, weights, index, activation)
    order = index.flatten().argsort(stable=True)  # assignments, sorted by expert
    counts = index.flatten().bincount(minlength=gate_up.shape[0]).tolist()
    least = least_rows(x) if tokens >= least_rows(x) else 1
    wide = each_expert(x.index_select(0, order // top_k), gate_up, counts, least)
    # The halves are put together apart: on a half that lies in strides the activation takes several
    # times its time.
    width = down.shape[-1]
    gate, up = (
        torch.cat([part[:, :width] for part in wide]),
        torch.cat([part[:, width:] for part in wide]),
    )
    outputs = torch.cat(each_expert(activation(gate) * up, down, counts, least))
    back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
    chosen = outputs.index_select(0, back).view(tokens, top_k, -1)
    mixed = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
    for rank in range(top_k):
        mixed.addcmul_(chosen[:, rank].float(), weights[:, rank, None])
    return mixed.to(x.dtype)


def each_expert(rows: Tensor, weight: Tensor, counts: list[int], least: int) -> list[Tensor]:
    """Each expert's part of `rows` [N, in], which lie in the order of the experts, so many of each,
    times its own of `weight` [experts, out, in]; experts without rows are left out. A part of fewer
    than `least` rows is padded with zeros."""
    parts = enumerate(rows.split(counts))
    return [
        linear(pad_rows(part, least), weight[number])[: len(part)]
        for number, part in parts
        if len(part)
    ]


def experts_dense(
    x: Tensor, gate_up: Tensor, down: Tensor, weights: Tensor, index: Tensor, activation: Activation
) -> Tensor:
    """The same as `experts`, by running every expert on every token and weighing most of them with
    zero.

    More work in two large products of static shape: faster where experts are few and narrow, as in
    training a small model.
    """
    count, width = gate_up.shape[0], gate_up.shape[1] // 2
    spread = torch.zeros(len(x), count, dtype=weights.dtype, device=x.device).scatter(
        1, index, weights
    )
    gate, up = F.linear(x, gate_up.flatten(0, 1)).view(len(x), count, 2 * width).chunk(2, dim=-1)
    hidden = activation(gate) * up * spread.unsqueeze(-1).to(x.dtype)
    return F.linear(hidden.flatten(1), down.transpose(1, 2).flatten(0, 1).T)
