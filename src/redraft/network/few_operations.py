"""The layers on a processor in fewer operations: what several parts of a layer compute is computed
once.

`Layer.forward`, run layer by layer, is the plain form; this gives the same bits. In a small network
an operation costs as much as the numbers that it computes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from redraft.network.context import Context
from redraft.network.layers import Attention, Layer, RMSNorm, Router
from redraft.ops.experts import route
from redraft.ops.rope import apply_rotary


def suits_few_operations(layers: Iterable[nn.Module], x: Tensor) -> bool:
    """Return True if `run_in_few_operations` computes what the layers compute, bit for bit.

    That is in float32 on a processor, without gradients, where all parts are redraft's own and have
    no hook.
    """
    if (
        x.device.type != "cpu"
        or x.dtype != torch.float32
        or x.ndim != 2
        or torch.is_grad_enabled()
        or torch.compiler.is_compiling()
    ):
        return False
    return all(_suits(layer) for layer in layers)


def _suits(layer: nn.Module) -> bool:
    if type(layer) is not Layer or type(layer.self_attn) is not Attention:
        return False
    norms = (
        layer.pre_feedforward_layernorm,
        layer.pre_feedforward_layernorm_2,
        layer.self_attn.q_norm,
        layer.self_attn.k_norm,
    )
    own = (layer, layer.self_attn, layer.router, *norms)
    return (
        type(layer.router) is Router
        and all(type(norm) is RMSNorm and norm.weight.dtype == torch.float32 for norm in norms)
        and {norm.eps for norm in norms} == {layer.router.eps}
        and not any(part._forward_hooks or part._forward_pre_hooks for part in own)
    )


def run_in_few_operations(
    layers: Iterable[nn.Module], norm: nn.Module, x: Tensor, context: Context, first: int = 0
) -> Tensor:
    """Run all layers and the final norm over embeddings x [N, H].

    Returns:
        States [N - first, H] of the tokens from `first` on; see `DiffusionGemma.hidden_states`.
    """
    *front, last = cast("Sequence[Layer]", list(layers))
    for layer in front:
        x = _run_layer(layer, x, context, 0)
    normed: Tensor = norm(_run_layer(last, x, context, first))
    return normed


def _run_layer(layer: Layer, x: Tensor, context: Context, first: int) -> Tensor:
    mixed = _attend(layer.self_attn, layer.input_layernorm(x), context, first)
    x = (x[first:] if first else x) + layer.post_attention_layernorm(mixed)
    scalars = context.layer_scalar(layer.encoder_layer_scalar, layer.layer_scalar)[first:]
    return _feed_forward(layer, x, context.dense_experts).mul_(scalars)


def _attend(attention: Attention, x: Tensor, context: Context, first: int) -> Tensor:
    """Return `attention(x, context, first)`: queries, keys and values have one norm."""
    if first:
        found: Tensor = attention(x, context, first)
        return found
    dim = attention.layer.head_dim
    query, key, value = attention.products(x)
    parts = (query, key) if value is key else (query, key, value)
    unit = _unit(torch.cat(parts, 1).unflatten(1, (-1, dim)), attention.eps)
    queries, keys = query.shape[1] // dim, key.shape[1] // dim
    turning = queries + keys
    norms = attention.q_norm.weight, attention.k_norm.weight
    weights = torch.cat((norms[0].expand(queries, dim), norms[1].expand(keys, dim)))
    turned = apply_rotary(unit[:, :turning] * weights, context.rotary(attention.layer))
    values = unit[:, queries:turning] if value is key else unit[:, turning:]
    mixed = context.attend(attention.index, turned[:, :queries], turned[:, queries:], values)
    out: Tensor = attention.o_proj(mixed)
    return out


def _feed_forward(layer: Layer, x: Tensor, dense_experts: bool) -> Tensor:
    """Return `layer.feed_forward(x)`: its three norms of x are one."""
    router = layer.router
    unit = _unit(x, router.eps)
    dense = layer.mlp(unit * layer.pre_feedforward_layernorm.weight)
    dense = layer.post_feedforward_layernorm_1(dense)
    scores = router.proj((unit * router.scale).mul_(x.shape[-1] ** -0.5))
    weights, index = route(scores, router.top_k, router.per_expert_scale)
    inputs = unit.mul_(layer.pre_feedforward_layernorm_2.weight)
    sparse = layer.experts(inputs, weights, index, dense=dense_experts)
    dense = dense.add_(layer.post_feedforward_layernorm_2(sparse))
    update: Tensor = layer.post_feedforward_layernorm(dense)
    return x + update


def _unit(x: Tensor, eps: float) -> Tensor:
    """Return x [..., D] divided by the root mean square of its last dimension; see `rms_norm`."""
    return x * x.square().mean(-1, keepdim=True).add_(eps).pow_(-0.5)
