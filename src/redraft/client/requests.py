"""Requests of the clients: paths, bodies and headers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redraft.errors import ConfigError

Messages = str | Sequence[Mapping[str, Any]]
Spans = Sequence[tuple[int, int]]
DEFAULT_URL = "http://127.0.0.1:8000"
KEY = "REDRAFT_API_KEY"


@dataclass(frozen=True)
class StreamRequest:
    """A request whose answer is a stream."""

    path: str
    body: dict[str, Any]


def base_url(url: str) -> str:
    """Return the address of a server without `/v1` and slash behind it.

    Raises:
        ConfigError: it is no address of HTTP.
    """
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"{url!r} is no address of a server: give http://HOST:PORT")
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def headers(key: str | None) -> dict[str, str]:
    """Return the headers of a request; without a key that of $REDRAFT_API_KEY, if it is set."""
    found = os.environ.get(KEY) if key is None else key
    return {"authorization": f"Bearer {found}"} if found else {}


def chat(messages: Messages, fields: Mapping[str, Any], *, drafts: bool) -> StreamRequest:
    """Return the request of a chat; a text is a user's only message."""
    given = [{"role": "user", "content": messages}] if isinstance(messages, str) else [*messages]
    return _text("/v1/chat/completions", {"messages": given}, fields, drafts=drafts)


def completion(prompt: str, fields: Mapping[str, Any], *, drafts: bool) -> StreamRequest:
    """Return the request that continues a prompt."""
    return _text("/v1/completions", {"prompt": prompt}, fields, drafts=drafts)


def infill(template: str, fields: Mapping[str, Any]) -> StreamRequest:
    """Return the request that fills the `<hole>` marks of a template."""
    return StreamRequest("/v1/infill", {"template": template} | dict(fields) | {"stream": True})


def edit(text: str, spans: Spans, fields: Mapping[str, Any]) -> StreamRequest:
    """Return the request that rewrites spans of characters, from first to last (not included)."""
    body = {"text": text, "spans": [list(span) for span in spans]}
    return StreamRequest("/v1/edits", body | dict(fields) | {"stream": True})


def _text(
    path: str, body: dict[str, Any], fields: Mapping[str, Any], *, drafts: bool
) -> StreamRequest:
    options = {"include_usage": True, "include_drafts": drafts}
    return StreamRequest(path, body | dict(fields) | {"stream": True, "stream_options": options})
