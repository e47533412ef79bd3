"""Settings: frozen, checked once when they are built, with Hugging Face's field names."""

from redraft.config.generation import GenerationConfig, GenerationOptions
from redraft.config.model import LayerConfig, ModelConfig, RopeConfig
from redraft.config.model_card import KnownTask, ModelCard

__all__ = [
    "GenerationConfig",
    "GenerationOptions",
    "KnownTask",
    "LayerConfig",
    "ModelCard",
    "ModelConfig",
    "RopeConfig",
]
