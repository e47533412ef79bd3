"""Soft tokens with gradients are those of the encoder, image by image."""

from __future__ import annotations

import pytest
import torch

from redraft.testing import tiny_encoder
from redraft.train.vision import soft_tokens


@pytest.mark.parametrize("standardize", [False, True])
def test_soft_tokens_of_several_images_are_those_of_each(standardize: bool) -> None:
    encoder = tiny_encoder(seed=3, standardize=standardize)
    side = encoder.config.soft_token_pixels
    pixels = torch.randint(0, 256, (3, 4 * side, 5 * side, 3), dtype=torch.uint8)
    expected = torch.stack([encoder(one) for one in pixels])
    torch.testing.assert_close(soft_tokens(encoder, pixels), expected, atol=1e-5, rtol=1e-5)


def test_every_weight_gets_a_gradient() -> None:
    encoder = tiny_encoder(seed=4).requires_grad_(True)
    side = encoder.config.soft_token_pixels
    pixels = torch.randint(0, 256, (2, 2 * side, 2 * side, 3), dtype=torch.uint8)
    soft_tokens(encoder, pixels).square().sum().backward()
    for name, one in encoder.named_parameters():
        assert one.grad is not None, name
        assert bool(one.grad.abs().sum() > 0), name
