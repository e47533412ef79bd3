"""VisionEncoder: pixels -> patches -> layers -> pooled soft tokens -> the text network's width.

The encoder of Gemma 4 (after the JAX library `gemma` and transformers' Gemma4VisionModel), run over
one image at a time and without padding, so that no result depends on a neighbour.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from redraft.config.vision import VisionConfig
from redraft.errors import ConfigError
from redraft.network.vision.layers import PatchLayer, compute_dtype, rotary_tables, wide_linear
from redraft.ops.activation import ACTIVATIONS
from redraft.ops.linear import Linear
from redraft.ops.norm import rms_norm


class PatchEmbedder(nn.Module):
    """Embeds patches, and adds what is learned for their column and their row."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.input_proj = Linear(config.patch_values, config.hidden_size)
        self.position_embedding_table = nn.Parameter(
            torch.zeros(2, config.position_embedding_size, config.hidden_size)
        )

    def forward(self, patches: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
        """Return [N, D] of patches [N, 3 * size^2] at columns [N] and rows [N]."""
        by_column, by_row = self.position_embedding_table
        places: Tensor = by_column[columns] + by_row[rows]
        return wide_linear(patches, self.input_proj.weight) + places


class Layers(nn.Module):
    """The stack of layers."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(PatchLayer(config) for _ in range(config.num_hidden_layers))


class VisionTower(nn.Module):
    """Everything up to the pooled features of an image."""

    def __init__(self, config: VisionConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embedder = PatchEmbedder(config)
        self.encoder = Layers(config)
        if config.standardize:
            self.register_buffer("std_bias", torch.zeros(config.hidden_size))
            self.register_buffer("std_scale", torch.ones(config.hidden_size))
            self.std_bias: Tensor
            self.std_scale: Tensor

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features [n, D] of an image; see `VisionEncoder.forward`."""
        size = self.config.patch_size
        height, width = (side // size for side in pixels.shape[:2])
        places = torch.arange(height * width, device=pixels.device)
        columns, rows = places % width, places // width
        x = self.patch_embedder(
            patches_of(pixels, size, compute_dtype(self.patch_embedder.input_proj.weight)),
            columns,
            rows,
        )
        table = rotary_tables(columns, rows, self.config)
        for layer in self.encoder.layers:
            x = layer(x, table)
        pooled = pool(x, width, self.config.pooling_kernel_size) * self.config.hidden_size**0.5
        if self.config.standardize:
            pooled = (pooled - self.std_bias.float()) * self.std_scale.float()
        features: Tensor = pooled.to(x.dtype)
        return features


class Projection(nn.Module):
    """Norms features without a weight, and projects them to the text network's width."""

    def __init__(self, config: VisionConfig, width: int) -> None:
        super().__init__()
        self.eps = config.rms_norm_eps
        self.embedding_projection = Linear(config.hidden_size, width)

    def forward(self, features: Tensor) -> Tensor:
        normed = rms_norm(features, None, self.eps)
        return wide_linear(normed, self.embedding_projection.weight)


class VisionEncoder(nn.Module):
    """An image encoder. Names of its weights are those in checkpoints behind `model.encoder.`.

    Args:
        config: its shape.
        width: hidden size of the text network.

    Raises:
        ConfigError: the activation is not a known one.
    """

    def __init__(self, config: VisionConfig, width: int) -> None:
        super().__init__()
        if config.hidden_activation not in ACTIVATIONS:
            raise ConfigError(
                f"vision_config.hidden_activation={config.hidden_activation!r} is not one of "
                f"{', '.join(ACTIVATIONS)}"
            )
        self.config, self.width = config, width
        self.vision_tower = VisionTower(config)
        self.embed_vision = Projection(config, width)

    @property
    def dtype(self) -> torch.dtype:
        return self.embed_vision.embedding_projection.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.embed_vision.embedding_projection.weight.device

    @torch.inference_mode()
    def forward(self, pixels: Tensor) -> Tensor:
        """Return the soft tokens of an image.

        Args:
            pixels: uint8 [height, width, 3], RGB; both sides are multiples of
                `config.soft_token_pixels`.

        Returns:
            [n, width] in the dtype of the weights, row by row of the image; n = height * width /
            soft_token_pixels^2. They stand in the place of scaled embeddings as they are.
        """
        side = self.config.soft_token_pixels
        assert pixels.dtype == torch.uint8, pixels.dtype
        assert pixels.shape[0] % side == pixels.shape[1] % side == 0, pixels.shape
        features: Tensor = self.embed_vision(self.vision_tower(pixels.to(self.device)))
        return features.to(self.dtype)

    def nbytes(self) -> int:
        """Return the bytes of all weights."""
        return sum(tensor.nbytes for tensor in self.state_dict().values())


def patches_of(pixels: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Return patches [N, 3 * size^2] of pixels [height, width, 3], row by row.

    The numbers of a patch are in the order row, column, colour. A value p of 0 to 255 becomes
    2 (p / 255 - 0.5), rounded as the reference does it: the quotient from float64 to float32.
    """
    values = (torch.arange(256, dtype=torch.float64) * (1 / 255)).float()
    values = (2 * (values - 0.5)).to(pixels.device, dtype)
    height, width = (side // size for side in pixels.shape[:2])
    tiles = pixels.view(height, size, width, size, 3).transpose(1, 2)
    return values[tiles.reshape(height * width, -1).long()]


def pool(x: Tensor, width: int, size: int) -> Tensor:
    """Return the means, float32 [N / size^2, D], of squares of `size` x `size` patches.

    Args:
        x: [N, D], patches row by row; `width` of them are a row.
    """
    grid = x.float().view(-1, size, width // size, size, x.shape[-1])
    return grid.mean(dim=(1, 3)).flatten(0, 1)
