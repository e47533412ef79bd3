"""The parts of a layer, and the layer. Attribute names are those of the checkpoint."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from redraft.config import LayerConfig, ModelConfig
from redraft.errors import ConfigError
from redraft.network.context import Context
from redraft.ops.activation import ACTIVATIONS, Activation, gated
from redraft.ops.experts import experts, experts_dense, route
from redraft.ops.linear import Linear, packed_layout, parallel_linears
from redraft.ops.norm import rms_norm
from redraft.ops.rope import apply_rotary


def activation(config: ModelConfig) -> Activation:
    """Return the feed-forward activation that the config names.

    Raises:
        ConfigError: it is not a known one.
    """
    if config.hidden_activation not in ACTIVATIONS:
        raise ConfigError(
            f"hidden_activation={config.hidden_activation!r} is not one of {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[config.hidden_activation]


class RMSNorm(nn.Module):
    """RMSNorm with a weight."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


class GatedMLP(nn.Module):
    """A gated feed-forward block without biases: down(activation(gate x) * up x).

    Attributes:
        numbers: of its three matrices.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.numbers = 3 * config.hidden_size * config.intermediate_size
        self.activation = activation(config)
        self.gate_proj = Linear(config.hidden_size, config.intermediate_size)
        self.up_proj = Linear(config.hidden_size, config.intermediate_size)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = parallel_linears(x, (self.gate_proj, self.up_proj))
        out: Tensor = self.down_proj(gated(gate, up, self.activation))
        return out


class Attention(nn.Module):
    """Grouped-query attention.

    Queries and keys are normed per head and then rotated. Values are normed without a weight and
    never rotated. Full layers have no v_proj: their values are the normed output of k_proj.
    """

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.layer: LayerConfig = config.layers[index]
        self.eps = config.rms_norm_eps
        wide = config.num_attention_heads * self.layer.head_dim
        narrow = self.layer.num_key_value_heads * self.layer.head_dim
        self.q_proj = Linear(config.hidden_size, wide)
        self.k_proj = Linear(config.hidden_size, narrow)
        self.v_proj = None if self.layer.keys_are_values else Linear(config.hidden_size, narrow)
        self.o_proj = Linear(wide, config.hidden_size)
        self.q_norm = RMSNorm(self.layer.head_dim, config.rms_norm_eps)
        self.k_norm = RMSNorm(self.layer.head_dim, config.rms_norm_eps)

    def forward(self, x: Tensor, context: Context, first: int = 0) -> Tensor:
        query, key, value = self.project(x, context.rotary(self.layer), first)
        out: Tensor = self.o_proj(context.attend(self.index, query, key, value))
        return out

    def project(
        self, x: Tensor, table: tuple[Tensor, Tensor], first: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of hidden states [..., H].

        Args:
            table: cosines and sines [..., D] of the positions.
            first: keys and values are computed for all states, queries from this one on.

        Returns:
            query [..., heads, D]; key and value [..., kv_heads, D] each.
        """
        heads = (-1, self.layer.head_dim)
        raw_query, raw_key, raw_value = self.products(x, first)
        query, raw_key = raw_query.unflatten(-1, heads), raw_key.unflatten(-1, heads)
        raw_value = raw_value.unflatten(-1, heads)
        query_table = (table[0][first:], table[1][first:]) if first else table
        return (
            apply_rotary(self.q_norm(query), query_table),
            apply_rotary(self.k_norm(raw_key), table),
            rms_norm(raw_value, None, self.eps),
        )

    def products(self, x: Tensor, first: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Return the products of states [..., H] with the matrices of queries, keys and values.

        They are not normed. See `project`; where keys are values, one tensor stands for both.
        """
        projections = [self.k_proj] if self.v_proj is None else [self.k_proj, self.v_proj]
        if first:
            raw_query = self.q_proj(x[first:])
            raw_key, *values = parallel_linears(x, projections)
        else:
            raw_query, raw_key, *values = parallel_linears(x, [self.q_proj, *projections])
        return raw_query, raw_key, values[0] if values else raw_key


class Router(nn.Module):
    """Chooses experts for each token, from the residual before any other norm.

    The residual is normed without a weight. Routing by the experts' own input, which is another
    norm of the same residual, would choose other experts.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.eps = config.rms_norm_eps
        self.top_k = config.top_k_experts
        self.proj = Linear(config.hidden_size, config.num_experts)
        self.scale = nn.Parameter(torch.ones(config.hidden_size))
        self.per_expert_scale = nn.Parameter(torch.ones(config.num_experts))

    def forward(self, residual: Tensor) -> tuple[Tensor, Tensor]:
        scaled = rms_norm(residual, None, self.eps) * self.scale * residual.shape[-1] ** -0.5
        return route(self.proj(scaled), self.top_k, self.per_expert_scale)


class Experts(nn.Module):
    """The weights of all experts, fused: the rows of gate, then those of up."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activation = activation(config)
        count, width, size = config.num_experts, config.moe_intermediate_size, config.hidden_size
        self.gate_up_proj = nn.Parameter(torch.zeros(count, 2 * width, size))
        self.down_proj = nn.Parameter(torch.zeros(count, size, width))

    @property
    def in_kernels(self) -> bool:
        """True if a kernel can read all weights in the layout that they have in memory."""
        return None not in map(packed_layout, (self.gate_up_proj, self.down_proj))

    def forward(self, x: Tensor, weights: Tensor, index: Tensor, *, dense: bool = False) -> Tensor:
        """Return the mixed output [N, H] of each token's experts; see `ops.experts`.

        Args:
            dense: run every expert on every token, which suits the training of small networks.
        """
        run = experts_dense if dense else experts
        return run(x, self.gate_up_proj, self.down_proj, weights, index, self.activation)


class Layer(nn.Module):
    """Attention, then the dense feed-forward block and the experts side by side.

    Each part is normed before and after. A scalar multiplies the layer's output.
    """

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        size, eps = config.hidden_size, config.rms_norm_eps
        self.self_attn = Attention(config, index)
        self.mlp = GatedMLP(config)
        self.router = Router(config)
        self.experts = Experts(config)
        self.input_layernorm = RMSNorm(size, eps)
        self.post_attention_layernorm = RMSNorm(size, eps)
        self.pre_feedforward_layernorm = RMSNorm(size, eps)
        self.pre_feedforward_layernorm_2 = RMSNorm(size, eps)
        self.post_feedforward_layernorm_1 = RMSNorm(size, eps)
        self.post_feedforward_layernorm_2 = RMSNorm(size, eps)
        self.post_feedforward_layernorm = RMSNorm(size, eps)
        self.register_buffer("layer_scalar", torch.ones(1))
        self.register_buffer("encoder_layer_scalar", torch.ones(1))
        self.layer_scalar: Tensor
        self.encoder_layer_scalar: Tensor

    def forward(self, x: Tensor, context: Context, first: int = 0) -> Tensor:
        """Return the states [N - first, H] of the tokens from `first` on, of x [N, H].

        The tokens before `first` only leave their keys and values in the context.
        """
        mixed = self.self_attn(self.input_layernorm(x), context, first)
        x = (x[first:] if first else x) + self.post_attention_layernorm(mixed)
        return (
            self.feed_forward(x, dense_experts=context.dense_experts)
            * context.layer_scalar(self.encoder_layer_scalar, self.layer_scalar)[first:]
        )

    def feed_forward(self, x: Tensor, *, dense_experts: bool = False) -> Tensor:
        """Return the residual x [..., H] plus the output of dense feed-forward and experts."""
        dense = self.post_feedforward_layernorm_1(self.mlp(self.pre_feedforward_layernorm(x)))
        tokens = x.reshape(-1, x.shape[-1])
        sparse = self.experts(
            self.pre_feedforward_layernorm_2(tokens), *self.router(tokens), dense=dense_experts
        )
        sparse = self.post_feedforward_layernorm_2(sparse).view(x.shape)
        update: Tensor = self.post_feedforward_layernorm(dense + sparse)
        return x + update


class SelfConditioning(GatedMLP):
    """Joins canvas embeddings with the soft embedding of the previous step.

    It is applied at the first step too, with zeros.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.eps = config.rms_norm_eps
        self.pre_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def join(self, embeddings: Tensor, signal: Tensor) -> Tensor:
        """Return rms_norm(embeddings + MLP(pre_norm(signal))); all are [..., H]."""
        return rms_norm(embeddings + self(self.pre_norm(signal)), None, self.eps)
