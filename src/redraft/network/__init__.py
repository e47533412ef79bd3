"""The DiffusionGemma network: one set of weights, run causally by `encode` and in both directions
by `denoise`."""

from redraft.network.cache import Cache
from redraft.network.joined import join_weights
from redraft.network.placing import place_weight
from redraft.network.segments import (
    ENCODE_BLOCK,
    PREFILL_CHUNK,
    ImageSpan,
    block_edges,
    end_of_image,
)
from redraft.network.transformer import EMBEDDING, DiffusionGemma

__all__ = [
    "EMBEDDING",
    "ENCODE_BLOCK",
    "PREFILL_CHUNK",
    "Cache",
    "DiffusionGemma",
    "ImageSpan",
    "block_edges",
    "end_of_image",
    "join_weights",
    "place_weight",
]
