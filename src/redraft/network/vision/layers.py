"""The parts of an image encoder's layer, and the layer, with the names of the checkpoint.

Everything runs over the patches of one image, [N, D]; no result depends on another image.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from redraft.config.vision import VisionConfig
from redraft.network.layers import RMSNorm
from redraft.ops.activation import ACTIVATIONS, Activation
from redraft.ops.linear import Linear, linear, multiplies_bfloat16
from redraft.ops.norm import rms_norm

# Rows of a product whose intermediate values are in memory at a time.
BLOCK_ROWS = 2048
Table = tuple[Tensor, Tensor]


def compute_dtype(weight: Tensor) -> torch.dtype:
    """Return the dtype to compute in with a weight: its own, but float32 on a CPU that has no
    instructions for it.

    Such a CPU computes with bfloat16 some forty times slower than with float32, and a weight is
    widened in a small part of the time that its product takes.
    """
    if weight.device.type != "cpu" or (weight.dtype == torch.bfloat16 and multiplies_bfloat16()):
        return weight.dtype
    return torch.float32


def wide_linear(x: Tensor, weight: Tensor) -> Tensor:
    """Return x W^T of x [..., K] and W [N, K], in the dtype of x."""
    return linear(x, weight.to(x.dtype))


class ClippableLinear(nn.Module):
    """A weight without bias whose input and output are clamped where the config says so.

    The limits are numbers of the checkpoint, one of each for the whole weight.
    """

    def __init__(self, config: VisionConfig, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = Linear(in_features, out_features)
        self.clipped = config.use_clipped_linears
        if self.clipped:
            for name in ("input_min", "input_max", "output_min", "output_max"):
                self.register_buffer(name, torch.zeros(()))
            self.input_min: Tensor
            self.input_max: Tensor
            self.output_min: Tensor
            self.output_max: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if not self.clipped:
            return wide_linear(x, self.linear.weight)
        x = x.clamp(self.input_min.to(x.dtype), self.input_max.to(x.dtype))
        out = wide_linear(x, self.linear.weight)
        return out.clamp(self.output_min.to(x.dtype), self.output_max.to(x.dtype))


def rotate(x: Tensor, table: Table) -> Tensor:
    """Return heads [N, heads, D] turned in two halves: the first by the column, the last by the
    row. Within a half, dimension i turns with dimension i + D/4.

    Args:
        table: cosines and sines [N, 1, 2, D/4] in float32; the third dimension is column and row.
    """
    cos, sin = (part.to(x.dtype) for part in table)
    first, second = x.unflatten(-1, (2, 2, -1)).unbind(-2)  # [N, heads, 2, D/4] each
    turned = torch.stack((first * cos - second * sin, second * cos + first * sin), dim=-2)
    return turned.flatten(-3)


def rotary_tables(columns: Tensor, rows: Tensor, config: VisionConfig) -> Table:
    """Return cosines and sines [N, 1, 2, D/4], float32, of patches at columns [N] and rows [N]."""
    half = config.head_dim // 2
    exponents = torch.arange(0, half, 2, dtype=torch.float32, device=columns.device) / half
    frequencies = 1.0 / config.rope_theta**exponents
    places = torch.stack((columns, rows), dim=-1).float()  # [N, 2]
    angles = (places[..., None] * frequencies)[:, None]
    return angles.cos(), angles.sin()


class PatchAttention(nn.Module):
    """Attention of every patch over all patches of its image, with scale 1.

    Queries and keys are normed per head with a weight, values without one.
    """

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.head_dim, self.eps = config.head_dim, config.rms_norm_eps
        size, wide = config.hidden_size, config.num_attention_heads * config.head_dim
        self.q_proj = ClippableLinear(config, size, wide)
        self.k_proj = ClippableLinear(config, size, wide)
        self.v_proj = ClippableLinear(config, size, wide)
        self.o_proj = ClippableLinear(config, wide, size)
        self.q_norm = RMSNorm(config.head_dim, config.rms_norm_eps)
        self.k_norm = RMSNorm(config.head_dim, config.rms_norm_eps)

    def forward(self, x: Tensor, table: Table) -> Tensor:
        heads = (-1, self.head_dim)
        query = rotate(self.q_norm(self.q_proj(x).unflatten(-1, heads)), table)
        key = rotate(self.k_norm(self.k_proj(x).unflatten(-1, heads)), table)
        value = rms_norm(self.v_proj(x).unflatten(-1, heads), None, self.eps)
        out: Tensor = self.o_proj(full_attention(query, key, value))
        return out


def full_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return softmax(Q K^T) V, [..., N, heads * D], of [..., N, heads, D] each; the scores of all
    patches are never in memory together."""
    single = query.dim() == 3
    parts = (part.transpose(-3, -2) for part in (query, key, value))
    query, key, value = (part[None] if single else part for part in parts)
    mixed = F.scaled_dot_product_attention(query, key, value, scale=1.0)
    mixed = mixed.transpose(-3, -2).flatten(-2)
    return mixed[0] if single else mixed


class MLP(nn.Module):
    """A gated feed-forward block: down(activation(gate x) * up x), in blocks of rows."""

    def __init__(self, config: VisionConfig, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self.gate_proj = ClippableLinear(config, config.hidden_size, config.intermediate_size)
        self.up_proj = ClippableLinear(config, config.hidden_size, config.intermediate_size)
        self.down_proj = ClippableLinear(config, config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return by_blocks(self._block, x)

    def _block(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(self.activation(self.gate_proj(x)) * self.up_proj(x))
        return out


def by_blocks(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return a function of each row of x [N, K], block by block."""
    blocks = [function(part) for part in x.split(BLOCK_ROWS)]
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks)


class PatchLayer(nn.Module):
    """Attention, then the feed-forward block; each is normed before and after."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        size, eps = config.hidden_size, config.rms_norm_eps
        self.self_attn = PatchAttention(config)
        self.mlp = MLP(config, ACTIVATIONS[config.hidden_activation])
        self.input_layernorm = RMSNorm(size, eps)
        self.post_attention_layernorm = RMSNorm(size, eps)
        self.pre_feedforward_layernorm = RMSNorm(size, eps)
        self.post_feedforward_layernorm = RMSNorm(size, eps)

    def forward(self, x: Tensor, table: Table) -> Tensor:
        x = x + self.post_attention_layernorm(self.self_attn(self.input_layernorm(x), table))
        update: Tensor = self.post_feedforward_layernorm(
            self.mlp(self.pre_feedforward_layernorm(x))
        )
        return x + update
