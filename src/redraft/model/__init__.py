"""The DiffusionGemma stack: one set of weights, read causally by `encode` and both ways by `denoise`."""

from redraft.model.cache import Cache
from redraft.model.context import PREFILL_CHUNK
from redraft.model.transformer import DiffusionGemma

__all__ = ["PREFILL_CHUNK", "Cache", "DiffusionGemma"]
