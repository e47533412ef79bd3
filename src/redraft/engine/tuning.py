"""Measure the tiles of a model's kernels on its card, and keep the fastest for later loads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from redraft.config import LayerConfig
from redraft.errors import ConfigError
from redraft.network import DiffusionGemma
from redraft.network.layers import Experts, Layer
from redraft.ops.activation import IN_KERNEL
from redraft.ops.linear import Linear, packed_layout
from redraft.ops.packed_layout import PackedLayout
from redraft.ops.triton import uses_kernels
from redraft.ops.triton.launch import CHAINED, can_chain, launched_on
from redraft.ops.triton.measured_tiles import (
    attention_name,
    card_name,
    forget_tiles,
    integers_name,
    product_name,
    tiles_path,
    trying,
    write_tiles,
)
from redraft.ops.triton.tuning import TileCase, choose_tile, device_clock
from redraft.quant.int8 import Int8Weight

# Copies of a layer that a measurement reads in turn, so that none stays in the card's cache.
COPIES = 4
PREFIX = 1024  # tokens before a canvas, and of a prompt
# Queries, keys, warps, stages.
ATTENTION = (
    (16, 32, 4, 2), (32, 32, 4, 2), (32, 32, 8, 1), (32, 32, 8, 2), (64, 32, 4, 2),
    (64, 32, 8, 2), (64, 64, 4, 2), (64, 64, 8, 2), (128, 32, 8, 2),
)  # fmt: skip
# Rows, columns, warps, stages.
PRODUCTS = (
    (32, 128, 4, 3), (64, 64, 4, 3), (64, 64, 4, 4), (64, 128, 4, 2), (64, 128, 4, 3),
    (64, 128, 4, 4), (64, 128, 2, 3), (64, 256, 4, 2), (64, 256, 4, 3), (64, 128, 8, 3),
    (128, 64, 4, 3), (128, 64, 8, 3), (128, 128, 4, 3), (128, 128, 8, 3),
)  # fmt: skip
# Inputs rounded to int8: an output differs by about a hundredth of the greatest.
INTEGER_TOLERANCE = 0.05


@dataclass(frozen=True)
class Tuned:
    """Result of a measurement.

    Attributes:
        path: the file that later loads read.
        lines: for each kernel its name, the seconds with the built-in tile and with the chosen
            one, and the chosen tile.
    """

    path: Path
    lines: tuple[tuple[str, float, float, tuple[int, ...]], ...]


def check_device(device: str | torch.device) -> torch.device:
    """Return the CUDA device to measure.

    Raises:
        ConfigError: there is none, or it is another kind of device.
    """
    if device == "auto":
        device = "cuda"
    kind = torch.device(device)
    if kind.type != "cuda" or not torch.cuda.is_available():
        raise ConfigError(
            f"device={str(device)!r}: tiles are measured on a CUDA device, and torch "
            f"{torch.__version__} sees {torch.cuda.device_count()} here"
        )
    return kind


@torch.inference_mode()
def tune(model: DiffusionGemma, report: Callable[[str], None] = lambda text: None) -> Tuned:
    """Measure all kernels of a model's shapes, and write the fastest tiles to the file of its card.

    Args:
        report: called with a line for each kernel.

    Raises:
        ConfigError: the model is not on a CUDA device, or its kernels cannot run there.
    """
    device = check_device(model.device)
    if not uses_kernels(model.norm.weight):
        raise ConfigError(f"{device}: its kernels cannot run, so there is nothing to measure")
    index = torch.cuda.current_device() if device.index is None else device.index
    card, found, lines = card_name(index), {}, []
    with launched_on(device):
        clock = device_clock(device)
        for case in tile_cases(model):
            choice = choose_tile(case, clock)
            found[choice.name] = choice.tile
            lines.append((choice.name, choice.built_in_seconds, choice.seconds, choice.tile))
            report(
                f"{choice.name}: {1e6 * choice.built_in_seconds:.1f} to "
                f"{1e6 * choice.seconds:.1f} µs, {choice.tile}"
            )
    path = tiles_path(card)
    write_tiles(path, card, found)
    forget_tiles()
    model.cuda_graphs.clear()
    return Tuned(path, tuple(lines))


def tile_cases(model: DiffusionGemma) -> Iterator[TileCase]:
    """Yield a `TileCase` for each kernel of a model that has a choice of tiles."""
    layers = [layer for layer in model.layers if isinstance(layer, Layer)]
    # One tile serves all heads that are as wide for the kernel.
    kinds = {_kernel_width(layer.self_attn.layer): layer.self_attn.layer for layer in layers}
    for kind in kinds.values():
        yield from _attention_cases(model, kind)
    yield from _expert_cases(model, [layer.experts for layer in layers[:COPIES]])
    yield from _integer_cases(model, layers)
    if can_chain(model.device):
        yield chain_case(model)


def _kernel_width(kind: LayerConfig) -> int:
    """Return the width of heads in the attention kernel: a power of two."""
    return max(16, 1 << (kind.head_dim - 1).bit_length())


def _attention_cases(model: DiffusionGemma, kind: LayerConfig) -> Iterator[TileCase]:
    from redraft.ops.triton.attention import canvas_attention, causal_attention
    from redraft.ops.triton.tiles import attention_tile, card_of

    config, like = model.config, model.norm.weight
    heads, kv_heads, dim = config.num_attention_heads, kind.num_key_value_heads, kind.head_dim
    length, width = config.canvas_length, _kernel_width(kind)
    query = _random(like, length, heads, dim)
    own = _random(like, 2, length, kv_heads, dim)
    prefix = _random(like, 2, kv_heads, PREFIX, dim)
    places = (prefix[0].data_ptr(), prefix[1].data_ptr(), prefix.stride(1), PREFIX)
    table = torch.tensor([places], device=like.device)
    card = card_of(like.device)
    for causal in (False, True):
        name = attention_name(width, like.dtype, causal)

        def run(tile: tuple[int, ...], name: str = name, causal: bool = causal) -> Tensor:
            with trying(name, tile):
                if causal:
                    return causal_attention(query, prefix[0], prefix[1], kind.sliding_window)
                return canvas_attention(query, own[0], own[1], table, length)

        built_in = tuple(attention_tile(card, width, like.itemsize, causal=causal))
        yield TileCase(name, built_in, ATTENTION, run)


def _expert_cases(model: DiffusionGemma, experts: Sequence[Experts]) -> Iterator[TileCase]:
    from redraft.ops.triton.grouping import group_by_expert
    from redraft.ops.triton.product import product
    from redraft.ops.triton.tiles import card_of, expert_tokens, product_tile

    config, like = model.config, model.norm.weight
    rows, top_k, count = config.canvas_length, config.top_k_experts, config.num_experts
    draws = torch.rand(rows, count, device=like.device)
    index = draws.topk(top_k, dim=-1).indices
    card = card_of(like.device)
    tokens = expert_tokens(rows * top_k, count, card)
    groups = group_by_expert(index, count, tokens)
    size, width = config.hidden_size, config.moe_intermediate_size
    for part, x in (
        ("gate_up_proj", _random(like, rows, size)),
        ("down_proj", _random(like, rows * top_k, width)),
    ):
        found = [packed_layout(getattr(one, part)) for one in experts]
        layouts = [layout for layout in found if layout is not None]
        if not layouts or len(layouts) < len(found):
            continue
        first = layouts[0]
        name = product_name(first.form, first.shape, first.group, True, like.dtype)
        gate = IN_KERNEL.get(experts[0].activation) if part == "gate_up_proj" else None

        def run(
            tile: tuple[int, ...], x: Tensor = x, layouts: list[PackedLayout] = layouts,
            name: str = name, gather: bool = part == "gate_up_proj", gate: str | None = gate,
        ) -> Tensor:  # fmt: skip
            with trying(name, tile):
                outputs = [
                    product(x, one, groups, gather=gather, scatter=not gather, gate=gate)
                    for one in layouts
                ]
            return outputs[0]

        built_in = product_tile(
            card, first, like.dtype, tokens, gated=gate is not None, grouped=True
        )
        tile = (built_in.rows, built_in.columns, built_in.warps, built_in.stages)
        yield TileCase(name, tile, PRODUCTS, run)


def _integer_cases(model: DiffusionGemma, layers: Sequence[nn.Module]) -> Iterator[TileCase]:
    """Yield a choice for each shape of int8 matrices: 1 multiplies integers, 0 bfloat16."""

    like = model.norm.weight
    shapes: dict[tuple[int, int], list[Int8Weight]] = {}
    for layer in layers:
        for module in layer.modules():
            weight: object = module.weight if isinstance(module, Linear) else None
            if isinstance(weight, Int8Weight) and weight.scale.shape[-1] == 1:
                shapes.setdefault((weight.shape[0], weight.shape[1]), []).append(weight)
    for shape, weights in shapes.items():
        x, name = _random(like, model.config.canvas_length, shape[1]), integers_name(shape)

        def run(
            tile: tuple[int, ...], x: Tensor = x, weights: list[Int8Weight] = weights,
            name: str = name,
        ) -> Tensor:  # fmt: skip
            with trying(name, tile):
                outputs = [one.product(x) for one in weights[:COPIES]]
            return outputs[0]

        yield TileCase(name, (0,), ((1,),), run, INTEGER_TOLERANCE)


def chain_case(model: DiffusionGemma) -> TileCase:
    """Return the choice to launch small kernels, 1, while those before them still run."""
    from redraft.ops.triton.gated import gated
    from redraft.ops.triton.residual import (
        EndWeights,
        FeedForwardWeights,
        after_attention,
        end_layer,
    )

    layer, eps = cast("Layer", model.layers[0]), model.config.rms_norm_eps
    x = _random(model.norm.weight, model.config.canvas_length, model.config.hidden_size)
    weights = FeedForwardWeights(*[model.norm.weight] * 4)
    ends = EndWeights(*[model.norm.weight] * 4)
    scalars = layer.layer_scalar.expand(len(x), 1)

    def run(tile: tuple[int, ...]) -> Tensor:
        out, normed = x, x
        with trying(CHAINED, tile):
            for _ in range(COPIES):
                inputs = after_attention(normed, out, weights, eps)
                dense = gated(inputs.dense, inputs.experts, "gelu_tanh")
                residual, experts = inputs.residual, inputs.experts
                out, normed = end_layer(residual, dense, experts, None, ends, scalars, eps)
        return out

    return TileCase(CHAINED, (0,), [(1,)], run)


def _random(like: Tensor, *shape: int) -> Tensor:
    generator = torch.Generator(like.device).manual_seed(len(shape))
    return torch.randn(*shape, generator=generator, device=like.device).to(like.dtype)
