"""Settings of a server."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from redraft.server.keys import ApiKey

# Bytes of a request: of text, and of text with images.
TEXT_BODY, IMAGE_BODY = 4 << 20, 24 << 20


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a server.

    Attributes:
        api_key: key that every caller sends; None asks for none. keys: further ones, with names
            and limits.
        cors_origins: origins whose pages may use the server beside its own. proxies: addresses and
            networks of reverse proxies whose `X-Forwarded-*` are believed, "unix" for the socket.
        hosts: accepted Host headers (stops DNS rebinding); None accepts any.
        max_batch_size: requests that each model runs at a time. max_waiting: size of the waiting
            queue.
        max_body: bytes of a request; None for 4 MiB, or 24 where a model reads images.
        max_bodies: bytes of all requests that run or wait. One that is small is always taken.
        timeout: seconds in which every request ends: with its best draft shortly before, or with an
            error; None sets no limit.
        stall_timeout: seconds that a client may read nothing before
            it is dropped.
        memory: bytes for caches and passes of all models, beside their weights; None sets no limit.
        prefix_cache: bytes of these for the prefix cache.
        grace: seconds that requests have to finish when the server stops.
        root_path: path prefix under which a reverse proxy has the server, such as /redraft.
        compile_soon: start the process that compiles constraints with the server, not when it is
            needed.
        state: the SQLite file of sessions and pages; None keeps them in memory.
    """

    api_key: str | None = None
    keys: tuple[ApiKey, ...] = ()
    cors_origins: Collection[str] = ()
    proxies: Collection[str] = ()
    hosts: Collection[str] | None = None
    max_batch_size: int = 8
    max_waiting: int = 64
    max_body: int | None = None
    max_bodies: int = 256 << 20
    timeout: float | None = None
    stall_timeout: float = 60.0
    memory: int | None = None
    prefix_cache: int = 256 << 20
    grace: float = 8.0
    compile_soon: bool = False
    root_path: str = ""
    state: Path | None = None

    def body_limit(self, *, images: bool) -> int:
        """Return the bytes that a request may have, where a model reads images or none does."""
        if self.max_body is not None:
            return self.max_body
        return IMAGE_BODY if images else TEXT_BODY

    @property
    def all_keys(self) -> tuple[ApiKey, ...]:
        """The keys; the one without a name is called `default`."""
        own = () if self.api_key is None else (ApiKey(name="default", key=self.api_key),)
        return (*own, *self.keys)
