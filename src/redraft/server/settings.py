"""Settings of a server."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How it is to be served.

    Attributes:
        api_key: asked of every caller, where there is one.
        hosts: names by which the server may be called, lest another's name be pointed at it; None
            for any.
        max_batch_size: texts written at a time, by each model. max_waiting: requests that may wait
            besides.
        max_body: bytes of a request. patience: seconds that a client may take to read what it is
            sent, before it is dropped.
        memory: bytes for caches and passes of all models, beside their weights; None for no limit.
        prefix_cache: bytes of these in which beginnings of prompts are kept.
        state: the file of what outlasts a restart; without one it is kept in memory.
    """

    api_key: str | None = None
    hosts: Collection[str] | None = None
    max_batch_size: int = 8
    max_waiting: int = 64
    max_body: int = 4 << 20
    patience: float = 60.0
    memory: int | None = None
    prefix_cache: int = 256 << 20
    state: Path | None = None
