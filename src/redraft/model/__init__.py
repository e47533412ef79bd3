"""The DiffusionGemma stack: one set of weights, read causally by `encode` and both ways by `denoise`."""

from redraft.model.cache import Cache
from redraft.model.context import PREFILL_CHUNK, READ_BLOCK
from redraft.model.transformer import DiffusionGemma

__all__ = ["PREFILL_CHUNK", "READ_BLOCK", "Cache", "DiffusionGemma"]
