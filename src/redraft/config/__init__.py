"""Settings: frozen, checked once when they are built, with Hugging Face's field names."""

from redraft.config.generation import GenerationConfig, GenerationOptions
from redraft.config.model import LayerConfig, ModelConfig, RopeConfig

__all__ = ["GenerationConfig", "GenerationOptions", "LayerConfig", "ModelConfig", "RopeConfig"]
