"""The image encoder and the encoding of images in the reference, with the official masks.

transformers 5.24 gives DiffusionGemma wrong masks for images: `generate` opens an image on all
layers, `forward` on none. The rule of the JAX original, which transformers has for Gemma 4, opens it
on sliding layers alone; the masks for that are made here and handed over.
"""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor
from transformers import DiffusionGemmaForBlockDiffusion, DynamicCache
from transformers.models.gemma4.modeling_gemma4 import (
    create_masks_for_vision_model,
    get_block_sequence_ids_for_mask,
)

from redraft.network import ImageSpan

BOI, EOI, IMAGE = 157, 158, 159
# Of the shape of the released encoder in small: 36 pixels a soft token, standardized.
SHAPE: dict[str, Any] = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "patch_size": 2,
    "pooling_kernel_size": 3,
    "position_embedding_size": 64,
    "standardize": True,
}


def random_pixels(rng: torch.Generator, rows: int, columns: int) -> Tensor:
    """An image of so many soft tokens, uint8 [height, width, 3]."""
    return torch.randint(0, 256, (rows * 6, columns * 6, 3), generator=rng, dtype=torch.uint8)


@torch.no_grad()
def reference_features(model: DiffusionGemmaForBlockDiffusion, pixels: Tensor) -> Tensor:
    """Soft tokens [n, H] as the reference makes them: patches padded to more than it needs."""
    encoder = model.model.encoder
    size = encoder.config.vision_config.patch_size
    rows, columns = pixels.shape[0] // size, pixels.shape[1] // size
    scaled = (pixels.double() * (1 / 255)).float()
    patches = scaled.view(rows, size, columns, size, 3).transpose(1, 2).reshape(rows * columns, -1)
    down, right = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    places = torch.stack((right, down), -1).reshape(-1, 2)
    padding = 9 * 5
    patches = torch.cat((patches, torch.zeros(padding, patches.shape[1])))
    places = torch.cat((places, torch.full((padding, 2), -1)))
    found: Tensor = encoder.get_image_features(
        patches[None], places[None], return_dict=True
    ).pooler_output
    return found


def prompt_of(
    rng: random.Random, counts: list[int], texts: list[int]
) -> tuple[list[int], list[tuple[int, int]]]:
    """A prompt of random texts with images of so many soft tokens between them, and their places.

    There is one text more than images; a text of no tokens puts an image at the start.
    """
    tokens: list[int] = [rng.randrange(3, 150) for _ in range(texts[0])]
    places = []
    for count, length in zip(counts, texts[1:], strict=True):
        tokens.append(BOI)
        places.append((len(tokens), len(tokens) + count))
        tokens += [IMAGE] * count + [EOI] + [rng.randrange(3, 150) for _ in range(length)]
    return tokens, places


@torch.no_grad()
def reference_states(
    model: DiffusionGemmaForBlockDiffusion, tokens: list[int], features: list[Tensor]
) -> tuple[Tensor, DynamicCache]:
    """Encoder states [N, H] and cache of a prompt whose image tokens are these features."""
    encoder = model.model.encoder
    ids = torch.tensor(tokens)[None]
    embeddings = encoder.get_input_embeddings()(ids)
    kinds = (ids == IMAGE).long()
    if features:
        embeddings = embeddings.masked_scatter(kinds.bool()[..., None], torch.cat(features))
    cache = DynamicCache(config=encoder.config.get_text_config())
    masks = create_masks_for_vision_model(
        config=encoder.config.get_text_config(),
        inputs_embeds=embeddings,
        attention_mask=None,
        cache=cache,
        position_ids=torch.arange(len(tokens))[None],
        block_sequence_ids=get_block_sequence_ids_for_mask(kinds, device=ids.device),
    )
    output = encoder(inputs_embeds=embeddings, attention_mask=masks, cache=cache)
    return output.last_hidden_state[0], cache


def spans_of(places: list[tuple[int, int]], features: list[Tensor]) -> list[ImageSpan]:
    return [ImageSpan(*place, one) for place, one in zip(places, features, strict=True)]
