"""From requests to events: who runs when, what is encoded, what is denoised, what is committed."""

from redraft.engine.autoregressive import typewrite
from redraft.engine.engine import Engine
from redraft.engine.memory_budget import Share
from redraft.engine.model import Model
from redraft.engine.request import Request

__all__ = ["Engine", "Model", "Request", "Share", "typewrite"]
