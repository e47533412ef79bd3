"""From requests to events: who runs when, what is encoded, what is denoised, what is committed."""

from redraft.engine.engine import (
    Engine,
    responsive_chunk,
    responsive_inference,
    responsive_positions,
)
from redraft.engine.memory_budget import Share
from redraft.engine.processor import Processor
from redraft.engine.request import Method, Request
from redraft.engine.scoring import Scoring, TokenLikelihood
from redraft.engine.work import Work

__all__ = [
    "Engine",
    "Method",
    "Processor",
    "Request",
    "Scoring",
    "Share",
    "TokenLikelihood",
    "Work",
    "responsive_chunk",
    "responsive_inference",
    "responsive_positions",
]
