"""LoRA adapters: low-rank updates of frozen weights, their files, and merging them."""

from redraft.adapters.attach import adapters_of, attach, detach
from redraft.adapters.by_row import attach_by_row
from redraft.adapters.config import LoraConfig
from redraft.adapters.files import save_adapter
from redraft.adapters.load import Adapter, load_adapter
from redraft.adapters.merge import merge, merged_weights
from redraft.adapters.weights import LoraExperts, LoraWeight

__all__ = [
    "Adapter",
    "LoraConfig",
    "LoraExperts",
    "LoraWeight",
    "adapters_of",
    "attach",
    "attach_by_row",
    "detach",
    "load_adapter",
    "merge",
    "merged_weights",
    "save_adapter",
]
