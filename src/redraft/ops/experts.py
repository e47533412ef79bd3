"""Mixture of experts: which experts a token goes to, and the sum of their outputs."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from redraft.ops.activation import Activation
from redraft.ops.adapter_rows import adapter_rows
from redraft.ops.batch_invariance import VECTOR_ROWS, min_rows, pad_rows
from redraft.ops.linear import linear, packed_layout, suits_onednn
from redraft.ops.triton import uses_kernels

# Numbers of all experts' second matrices up to which all experts run on every token on a CPU: a
# product of some 100 rows and so few numbers takes less time than to sort the rows.
FEW_NUMBERS = 1 << 15


def route(scores: Tensor, top_k: int, per_expert_scale: Tensor) -> tuple[Tensor, Tensor]:
    """Choose the experts of each token.

    Softmax in float32 over all experts, the best `top_k`, renormalised to sum 1, then times each
    expert's own scale.

    Args:
        scores: [N, experts], from the router.
        per_expert_scale: [experts].

    Returns:
        Weights (float32) and indices (int64), [N, top_k] each.
    """
    if uses_kernels(scores):
        from redraft.ops.triton.route import route as in_kernel

        return in_kernel(scores, top_k, per_expert_scale)
    weights, index = scores.softmax(dim=-1, dtype=torch.float32).topk(top_k, dim=-1)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    if torch.is_grad_enabled():
        return weights * per_expert_scale[index], index
    # The same numbers in a third of the time.
    return weights * per_expert_scale.index_select(0, index.flatten()).view(index.shape), index


def experts(
    x: Tensor, gate_up: Tensor, down: Tensor, weights: Tensor, index: Tensor, activation: Activation
) -> Tensor:
    """Return the sum over each token's experts of weight * down(activation(gate x) * up x).

    Tokens are sorted by expert, and each expert runs once. The results are added in float32 in the
    order of each token's own experts, so that the sum is the same in every batch.

    Args:
        x: [N, H].
        gate_up: [experts, 2 * I, H], the gate's rows first.
        down: [experts, H, I].
        weights, index: [N, top_k], from `route`.

    Returns:
        [N, H] in x's dtype.
    """
    tokens, top_k = index.shape
    if not tokens:
        return x
    if (
        uses_kernels(x)
        and (gate_up_layout := packed_layout(gate_up))
        and (down_layout := packed_layout(down))
    ):
        from redraft.ops.triton.experts import experts_grouped

        return experts_grouped(x, gate_up_layout, down_layout, weights, index, activation)
    if _suits_all(x, gate_up, down):
        return _all_experts(x, gate_up, down, weights, index, activation)
    order = index.flatten().argsort(stable=True)  # assignments, sorted by expert
    counts = index.flatten().bincount(minlength=gate_up.shape[0]).tolist()
    width = down.shape[-1]
    minimum = min_rows(x) if tokens >= min_rows(x) else 1
    if (rows := adapter_rows()) is not None:
        numbers = rows.numbers(tokens)[(order // top_k).cpu()]
        gate_up, down = (for_rows(one, numbers, counts) for one in (gate_up, down))
    wide = each_expert(x.index_select(0, order // top_k), gate_up, counts, minimum)
    # Each half is made contiguous: on a strided half the activation takes several times as long.
    gate = torch.cat([part[:, :width] for part in wide])
    up = torch.cat([part[:, width:] for part in wide])
    outputs = torch.cat(each_expert(activation(gate) * up, down, counts, minimum))
    back = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
    chosen = outputs.index_select(0, back).view(tokens, top_k, -1)
    mixed = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
    for rank in range(top_k):
        mixed.addcmul_(chosen[:, rank].float(), weights[:, rank, None])
    return mixed.to(x.dtype)


def _suits_all(x: Tensor, gate_up: Any, down: Any) -> bool:
    """Return True where `_all_experts` is faster: few narrow experts, on a CPU in float32.

    It depends on the weights, and not on how many tokens there are, so that a row is computed alike
    in every batch. Passes that are not padded (`pad_for_invariance`) go the other way.
    """
    return (
        isinstance(gate_up, Tensor)
        and isinstance(down, Tensor)
        and down.numel() <= FEW_NUMBERS
        and len(x) % VECTOR_ROWS == 0
        and len(x) >= min_rows(x)
        and suits_onednn(x, gate_up[0])
        and gate_up.dtype == down.dtype
        and gate_up.is_contiguous()
        and down.is_contiguous()
        and adapter_rows() is None
    )


def _all_experts(
    x: Tensor, gate_up: Tensor, down: Tensor, weights: Tensor, index: Tensor, activation: Activation
) -> Tensor:
    """Compute `experts` in two products: all experts on each token, then the chosen ones' outputs.

    An element of a product adds the same numbers in the same order, whichever columns stand beside
    it, so the result has the same bits; tests/ops/test_ops.py compares them.
    """
    (tokens, top_k), (count, size, width) = index.shape, down.shape
    first = torch.arange(0, tokens * count, count)[:, None]
    wide = linear(x, gate_up.view(2 * count * width, size)).view(tokens * count, 2 * width)
    chosen = wide.index_select(0, (first + index).flatten())
    gate, up = (half.contiguous() for half in chosen.split(width, dim=1))
    outputs = linear(activation(gate).mul_(up), down.view(count * size, width))
    places = torch.arange(0, tokens * top_k * count, count).add_(index.flatten())
    own = outputs.view(-1, size).index_select(0, places)
    own = own.view(tokens, top_k, size)
    mixed = torch.zeros_like(x)
    for rank in range(top_k):
        mixed.addcmul_(own[:, rank], weights[:, rank, None])
    return mixed


def for_rows(weight: Any, numbers: Tensor, counts: list[int]) -> Any:
    """Return the matrices for rows that are sorted by expert: with the update of each row's
    adapter, where the weight has updates.

    Args:
        weight: [experts, out, in]. numbers: the adapter of each row. counts: see `each_expert`.
    """
    return weight.for_rows(numbers, counts) if hasattr(weight, "for_rows") else weight


def each_expert(rows: Tensor, weight: Tensor, counts: list[int], minimum: int) -> list[Tensor]:
    """Return each expert's product with its own rows. Experts without rows are left out.

    Args:
        rows: [N, in], in the order of the experts.
        weight: [experts, out, in].
        counts: the number of rows of each expert.
        minimum: fewer rows than this are padded with zeros.
    """
    parts = enumerate(rows.split(counts))
    return [
        linear(pad_rows(part, minimum), weight[number])[: len(part)]
        for number, part in parts
        if len(part)
    ]


def experts_dense(
    x: Tensor, gate_up: Tensor, down: Tensor, weights: Tensor, index: Tensor, activation: Activation
) -> Tensor:
    """Return what `experts` returns, by running every expert on every token.

    Most outputs are weighted with zero. It is more work, in two large products of static shape:
    faster where experts are few and narrow, as in the training of a small network.
    """
    count, width = gate_up.shape[0], gate_up.shape[1] // 2
    spread = torch.zeros(len(x), count, dtype=weights.dtype, device=x.device).scatter(
        1, index, weights
    )
    gate, up = F.linear(x, gate_up.flatten(0, 1)).view(len(x), count, 2 * width).chunk(2, dim=-1)
    hidden = activation(gate) * up * spread.unsqueeze(-1).to(x.dtype)
    return F.linear(hidden.flatten(1), down.transpose(1, 2).flatten(0, 1).T)
