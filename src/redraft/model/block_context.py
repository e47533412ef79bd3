"""The context of training: prefix, canvas and clean answer of every example in one pass, under a block mask.

    prefix   (encoder)  sees the prefix before it
    canvas   (decoder)  sees the prefix, as much of it as a cache would keep, and the whole canvas
    answer   (encoder)  sees the prefix and the answer before it: what the canvas becomes, read as a typewriter would

The canvas and the answer stand at the same positions and do not see each other. Without an answer the pass is the shorter.
"""

from __future__ import annotations

import torch
from torch import Tensor

from redraft.config import LayerConfig, ModelConfig
from redraft.model.context import rotary_tables
from redraft.ops.attention import attention


class BlockContext:
    """Context of a pass over [B, P + L] or [B, P + L + L] tokens.

    Args:
        prefix_lengths: int64 [B]; a row's prefix is the first of its P tokens, the rest is padding that nobody sees.
        prefix: P. canvas: L. answer: whether the clean answer follows the canvas.
    """

    def __init__(
        self, config: ModelConfig, prefix_lengths: Tensor, prefix: int, canvas: int, *, answer: bool, dtype: torch.dtype
    ) -> None:
        self.config = config
        device, rows = prefix_lengths.device, len(prefix_lengths)
        after = prefix_lengths[:, None] + torch.arange(canvas, device=device)
        parts = [torch.arange(prefix, device=device).expand(rows, -1), after, *([after] if answer else [])]
        positions = torch.cat(parts, dim=1)
        lengths = [part.shape[1] for part in parts]
        section = torch.repeat_interleave(torch.arange(len(parts), device=device), torch.tensor(lengths, device=device))
        valid = (section > 0) | (positions < prefix_lengths[:, None])
        self.clean = (section != 1)[:, None]
        self._tables = rotary_tables(config, positions, dtype)
        self._masks = {
            layer.kind: block_mask(positions, section, valid, prefix_lengths, layer.sliding_window)
            for layer in dict.fromkeys(config.layers)
        }

    def rotary(self, layer: LayerConfig) -> tuple[Tensor, Tensor]:
        return self._tables[layer.kind]

    def layer_scalar(self, encoder: Tensor, decoder: Tensor) -> Tensor:
        return torch.where(self.clean, encoder, decoder)

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mask = self._masks[self.config.layers[index].kind]
        return attention(query, key.transpose(-2, -3), value.transpose(-2, -3), mask)


def block_mask(positions: Tensor, section: Tensor, valid: Tensor, prefix_lengths: Tensor, window: int | None) -> Tensor:
    """Who sees whom, bool [B, T, T]: section 0 is the prefix, 1 the canvas, 2 the answer."""
    query, key = positions[:, :, None], positions[:, None, :]
    asks, holds = section[:, None], section[None, :]
    causal = key <= query
    # A cache keeps the last window - 1 tokens of the prefix, the same for every position of the canvas.
    kept = torch.ones_like(causal) if window is None else key > (prefix_lengths - window)[:, None, None]
    if window is not None:
        causal = causal & (key > query - window)
    clean = (asks != 1) & (holds != 1) & (holds <= asks) & causal
    canvas = (asks == 1) & ((holds == 1) | ((holds == 0) & kept))
    seen = (clean | canvas) & valid[:, None, :]
    # Padding asks too, and nobody reads its answer: it sees itself, so that no softmax is over nothing.
    return seen | torch.eye(len(section), dtype=torch.bool, device=section.device)
