"""From requests to events: who runs when, what is encoded, what is denoised, what is committed."""

from redraft.engine.engine import Engine
from redraft.engine.memory import Share
from redraft.engine.model import Model
from redraft.engine.request import Request
from redraft.engine.typewriter import typewrite

__all__ = ["Engine", "Model", "Request", "Share", "typewrite"]
