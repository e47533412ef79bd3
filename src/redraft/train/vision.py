"""Soft tokens of several images of one size, with gradients: what an image encoder learns by."""

from __future__ import annotations

import torch
from torch import Tensor

from redraft.network.vision import VisionEncoder
from redraft.network.vision.encoder import patches_of, pool
from redraft.network.vision.layers import rotary_tables


def soft_tokens(encoder: VisionEncoder, pixels: Tensor) -> Tensor:
    """Return the soft tokens of images, as `encoder(pixels)` does for each, with gradients.

    Args:
        pixels: uint8 [B, height, width, 3], RGB; both sides are multiples of
            `encoder.config.soft_token_pixels`.

    Returns:
        [B, n, width] in the dtype of the weights.
    """
    tower, config = encoder.vision_tower, encoder.config
    height, width = (side // config.patch_size for side in pixels.shape[1:3])
    places = torch.arange(height * width, device=pixels.device)
    columns, rows = places % width, places // width
    patches = torch.stack([patches_of(one, config.patch_size, encoder.dtype) for one in pixels])
    x = tower.patch_embedder(patches, columns, rows)
    table = rotary_tables(columns, rows, config)
    for layer in tower.encoder.layers:
        x = layer(x, table)
    size = config.pooling_kernel_size
    pooled = torch.stack([pool(one, width, size) for one in x]) * config.hidden_size**0.5
    if config.standardize:
        pooled = (pooled - tower.std_bias.float()) * tower.std_scale.float()
    found: Tensor = encoder.embed_vision(pooled.to(x.dtype))
    return found
