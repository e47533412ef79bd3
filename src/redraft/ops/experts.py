"""Mixture of experts: which experts a token goes to, and what they make of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from redraft.ops.linear import linear
from redraft.ops.rows import VECTOR_ROWS, least_rows, pad_rows

Activation = Callable[[Tensor], Tensor]
NARROW = 1 << 13  # weights of an expert's gate and up, together, up to which all experts run at once


def route(scores: Tensor, top_k: int, per_expert_scale: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (float32) and indices, each [N, top_k], from router scores [N, experts].

    Softmax in float32 over all experts, the best `top_k`, renormalised to sum 1, then times each expert's own scale.
    """
    weights, index = scores.softmax(dim=-1, dtype=torch.float32).topk(top_k, dim=-1)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights * per_expert_scale[index], index


def experts(x: Tensor, gate_up: Tensor, down: Tensor, weights: Tensor, index: Tensor, activation: Activation) -> Tensor:
    """Sum over each token's experts of weight * down(activation(gate x) * up x).

    Args:
        x: [N, H].
        gate_up: [experts, 2 * I, H], the gate's rows first.
        down: [experts, H, I].
        weights, index: [N, top_k], from `route`.

    Returns:
        [N, H] in x's dtype. Tokens are sorted by expert, each expert runs once, and the results are added in float32 in the
        order of each token's own experts, so that the sum is the same in every batch.
    """
    tokens, top_k = index.shape
    if not tokens:
        return x
    order = index.flatten().argsort(stable=True)  # assignments, sorted by expert
    counts = index.flatten().bincount(minlength=gate_up.shape[0])
    run = _at_once if gate_up[0].numel() <= NARROW else _one_by_one
    outputs, place = run(x.index_select(0, order // top_k), gate_up, down, counts, activation, tokens >= least_rows(x))
    back = torch.empty_like(order).scatter_(0, order, place)
    chosen = outputs.index_select(0, back).view(tokens, top_k, -1)
    mixed = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
    for rank in range(top_k):
        mixed.addcmul_(chosen[:, rank].float(), weights[:, rank, None])
    return mixed.to(x.dtype)


def _one_by_one(
    rows: Tensor, gate_up: Tensor, down: Tensor, counts: Tensor, activation: Activation, alike: bool
) -> tuple[Tensor, Tensor]:
    """What each expert makes of its `rows`, which lie in the order of the experts, so many of each: outputs, and where in them
    each row's lies. `alike` pads products so that a row's sums do not depend on how many there are."""
    parts, least = counts.tolist(), least_rows(rows) if alike else 1
    wide = each_expert(rows, gate_up, parts, least)
    # The halves are put together apart: on a half that lies in strides the activation takes several times its time.
    width = down.shape[-1]
    gate, up = torch.cat([part[:, :width] for part in wide]), torch.cat([part[:, width:] for part in wide])
    outputs = torch.cat(each_expert(activation(gate) * up, down, parts, least))
    return outputs, torch.arange(len(rows), device=rows.device)


def _at_once(
    rows: Tensor, gate_up: Tensor, down: Tensor, counts: Tensor, activation: Activation, alike: bool
) -> tuple[Tensor, Tensor]:
    """The same in two batched products, every expert's rows padded to those of the fullest: a third of the time where experts
    are so narrow that a call costs more than its work."""
    count, width = len(counts), down.shape[-1]
    most = int(counts.max())
    room = -(-most // VECTOR_ROWS) * VECTOR_ROWS if alike else most
    starts = torch.arange(count, device=rows.device) * room - (counts.cumsum(0) - counts)
    place = torch.arange(len(rows), device=rows.device) + starts.repeat_interleave(counts, output_size=len(rows))
    padded = rows.new_zeros(count * room, rows.shape[1]).index_copy_(0, place, rows).view(count, room, -1)
    gate, up = (part.contiguous() for part in torch.bmm(padded, gate_up.transpose(1, 2)).split(width, dim=-1))
    return torch.bmm(activation(gate) * up, down.transpose(1, 2)).flatten(0, 1), place


def each_expert(rows: Tensor, weight: Tensor, counts: list[int], least: int) -> list[Tensor]:
    """Each expert's part of `rows` [N, in], which lie in the order of the experts, so many of each, times its own of `weight`
    [experts, out, in]; experts without rows are left out. A part of fewer than `least` rows is padded with zeros."""
    parts = enumerate(rows.split(counts))
    return [linear(pad_rows(part, least), weight[number])[: len(part)] for number, part in parts if len(part)]


def experts_dense(x: Tensor, gate_up: Tensor, down: Tensor, weights: Tensor, index: Tensor, activation: Activation) -> Tensor:
    """The same as `experts`, by running every expert on every token and weighing most of them with zero.

    More work in two large products of static shape: faster where experts are few and narrow, as in training a small model.
    """
    count, width = gate_up.shape[0], gate_up.shape[1] // 2
    spread = torch.zeros(len(x), count, dtype=weights.dtype, device=x.device).scatter(1, index, weights)
    gate, up = F.linear(x, gate_up.flatten(0, 1)).view(len(x), count, 2 * width).chunk(2, dim=-1)
    hidden = activation(gate) * up * spread.unsqueeze(-1).to(x.dtype)
    return F.linear(hidden.flatten(1), down.transpose(1, 2).flatten(0, 1).T)
