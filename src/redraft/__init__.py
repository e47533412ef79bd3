"""redraft: DiffusionGemma as software.

    model = redraft.load("path/to/checkpoint")
    print(model.generate("Once upon a time", seed=1).text)

Names are imported when they are first used: `import redraft` alone does not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redraft import diffusion as diffusion
    from redraft import editing as editing
    from redraft import engine as engine
    from redraft import grammar as grammar
    from redraft import tasks as tasks
    from redraft import text as text
    from redraft.api import Model, load
    from redraft.checkpoint import Quantization
    from redraft.config import GenerationConfig, ModelConfig
    from redraft.editing import Hole, Infilled, Repaired, Template
    from redraft.errors import RedraftError
    from redraft.events import Committed, Draft, Event, Failed, Finished
    from redraft.grammar import ChatAnswer, Choice, Grammar, JsonSchema, Regex, ToolCalls
    from redraft.remote import RemoteModel, connect

__version__ = "0.1.0"
__all__ = [
    "ChatAnswer",
    "Choice",
    "Committed",
    "Draft",
    "Event",
    "Failed",
    "Finished",
    "GenerationConfig",
    "Grammar",
    "Hole",
    "Infilled",
    "JsonSchema",
    "Model",
    "ModelConfig",
    "Quantization",
    "RedraftError",
    "Regex",
    "RemoteModel",
    "Repaired",
    "Template",
    "ToolCalls",
    "connect",
    "load",
]
# Packages that researchers use: `redraft.diffusion.KlassSampler`.
_PACKAGES = ("diffusion", "editing", "engine", "grammar", "tasks", "text")
_HOMES = {
    "redraft.api": ("Model", "load"),
    "redraft.config": ("GenerationConfig", "ModelConfig"),
    "redraft.checkpoint": ("Quantization",),
    "redraft.editing": ("Hole", "Infilled", "Repaired", "Template"),
    "redraft.errors": ("RedraftError",),
    "redraft.events": ("Committed", "Draft", "Event", "Failed", "Finished"),
    "redraft.grammar": ("ChatAnswer", "Choice", "Grammar", "JsonSchema", "Regex", "ToolCalls"),
    "redraft.remote": ("RemoteModel", "connect"),
}


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"redraft.{name}")
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'redraft' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({"__version__", "__doc__", *__all__, *_PACKAGES})
