"""The DiffusionGemma stack: one set of weights, read causally by `encode` and both ways by
`denoise`."""

from redraft.network.cache import Cache
from redraft.network.context import PREFILL_CHUNK, READ_BLOCK
from redraft.network.transformer import DiffusionGemma

__all__ = ["PREFILL_CHUNK", "READ_BLOCK", "Cache", "DiffusionGemma"]
