"""The layers in kernels: what stands between the products of a layer runs in a few launches.

`Layer.forward`, run layer by layer, is the plain form; this computes the same, and rounds where it
rounds. The norm with which a layer begins is computed at the end of the one before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from redraft.network.context import Context
from redraft.network.layers import Layer, RMSNorm
from redraft.network.side_by_side import gains_side_by_side, side_by_side
from redraft.ops.activation import gate_halves
from redraft.ops.experts import route
from redraft.ops.linear import packed_layout, partial_linears
from redraft.ops.triton import uses_row_kernels
from redraft.ops.triton.launch import apart

if TYPE_CHECKING:
    from redraft.ops.triton.residual import FeedForwardInputs


def suits_kernels(
    layers: Iterable[nn.Module], norm: nn.Module, x: Tensor, context: Context | None = None
) -> bool:
    """Return True if `run_in_kernels` computes what the layers compute, in a context if one is
    given.

    A part that is not redraft's own, that has a hook, or whose numbers are of another type than the
    states, is run as the module that it is.
    """
    if not uses_row_kernels(x) or x.ndim != 2 or (context and context.dense_experts):
        return False
    known = [layer for layer in layers if type(layer) is Layer and not _has_hooks(layer)]
    return (
        len(known) > 0
        and len(known) == len(list(layers))
        and _is_plain_norm(norm, x)
        and all(_suits(layer, x) for layer in known)
    )


def _suits(layer: Layer, x: Tensor) -> bool:
    parts = (layer.self_attn, layer.mlp, layer.router, layer.experts)
    numbers = (layer.router.scale, layer.layer_scalar, layer.encoder_layer_scalar)
    return (
        all(_is_plain_norm(norm, x) for norm in _norms(layer))
        and not any(map(_has_hooks, parts))
        and all(one.dtype == x.dtype for one in numbers)
    )


def _norms(layer: Layer) -> Iterator[nn.Module]:
    yield layer.self_attn.q_norm
    yield layer.self_attn.k_norm
    yield layer.input_layernorm
    yield layer.post_attention_layernorm
    yield layer.pre_feedforward_layernorm
    yield layer.pre_feedforward_layernorm_2
    yield layer.post_feedforward_layernorm_1
    yield layer.post_feedforward_layernorm_2
    yield layer.post_feedforward_layernorm


def _is_plain_norm(norm: nn.Module, x: Tensor) -> bool:
    return type(norm) is RMSNorm and norm.weight.dtype == x.dtype and not _has_hooks(norm)


def _has_hooks(part: nn.Module) -> bool:
    return bool(part._forward_hooks or part._forward_pre_hooks)


def run_in_kernels(
    layers: Iterable[nn.Module], norm: nn.Module, x: Tensor, context: Context, first: int = 0
) -> Tensor:
    """Run all layers and the final norm over embeddings x [N, H].

    Returns:
        States [N - first, H] of the tokens from `first` on; see `DiffusionGemma.hidden_states`.
    """
    stack = cast("Sequence[Layer]", list(layers))
    normed: Tensor = stack[0].input_layernorm(x)
    for layer, following in pairwise(stack):
        x, normed = _run_layer(layer, x, normed, following.input_layernorm, context, 0)
    return _run_layer(stack[-1], x, normed, cast("RMSNorm", norm), context, first)[1]


def _run_layer(
    layer: Layer, x: Tensor, normed: Tensor, following: RMSNorm, context: Context, first: int
) -> tuple[Tensor, Tensor]:
    """Return the layer's output for the tokens from `first` on, and the norm that follows.

    Args:
        x, normed: the residual [N, H], and its norm with which the layer begins.
    """
    from redraft.ops.triton.residual import (
        EndWeights,
        FeedForwardWeights,
        after_attention,
        end_layer,
    )

    mixed = _attend(layer, normed, context, first)
    weights = FeedForwardWeights(
        layer.post_attention_layernorm.weight,
        layer.pre_feedforward_layernorm.weight,
        layer.pre_feedforward_layernorm_2.weight,
        layer.router.scale,
    )
    inputs = after_attention(mixed, x[first:], weights, layer.router.eps)
    parted = gains_side_by_side(inputs.dense, layer.mlp.numbers)
    dense, (sparse, mixture) = _feed_forward(layer, inputs, parted)
    ends = EndWeights(
        layer.post_feedforward_layernorm_1.weight,
        layer.post_feedforward_layernorm_2.weight,
        layer.post_feedforward_layernorm.weight,
        following.weight,
    )
    scalars = context.layer_scalar(layer.encoder_layer_scalar, layer.layer_scalar)[first:]
    with apart() if parted else nullcontext():
        return end_layer(inputs.residual, dense, sparse, mixture, ends, scalars, layer.router.eps)


def _attend(layer: Layer, normed: Tensor, context: Context, first: int) -> Tensor:
    """Return attention's output [N - first, H], or parts [S, N - first, H], before its norm."""
    from redraft.ops.triton.heads import norm_and_rotate

    attention = layer.self_attn
    heads = norm_and_rotate(
        attention.products(normed, first),
        context.rotary(attention.layer),
        attention.q_norm.weight,
        attention.k_norm.weight,
        attention.eps,
        context.key_value_places(attention.index),
    )
    return partial_linears(context.attend(attention.index, *heads), [attention.o_proj])[0]


def _feed_forward(
    layer: Layer, inputs: FeedForwardInputs, parted: bool
) -> tuple[Tensor, tuple[Tensor, Tensor | None]]:
    """Return what `_dense` and `_experts` return; parted, they run side by side."""
    dense = partial(_dense, layer, inputs.dense)
    experts = partial(_experts, layer, inputs.experts, inputs.router)
    if parted:
        return side_by_side(inputs.dense.device, dense, experts)
    return dense(), experts()


def _dense(layer: Layer, x: Tensor) -> Tensor:
    """Return the dense block's output [N, H], or parts of it [S, N, H]."""
    gate, up = partial_linears(x, (layer.mlp.gate_proj, layer.mlp.up_proj))
    inner = gate_halves(gate, up, layer.mlp.activation, x.dtype)
    return partial_linears(inner, [layer.mlp.down_proj])[0]


def _experts(layer: Layer, x: Tensor, routed: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the outputs of each token's experts, [N * top_k, H], and their weights.

    Where no kernel reads the experts' matrices it is their sum, [N, H], and None.
    """
    from redraft.ops.triton.experts import expert_outputs

    router, experts = layer.router, layer.experts
    weights, index = route(router.proj(routed), router.top_k, router.per_expert_scale)
    gate_up, down = packed_layout(experts.gate_up_proj), packed_layout(experts.down_proj)
    if gate_up is None or down is None or not len(x):
        return experts(x, weights, index), None
    return expert_outputs(x, gate_up, down, index, experts.activation), weights
