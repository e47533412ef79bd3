"""Server-sent events: from the bytes of a stream to the JSON of its chunks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from redraft.errors import RemoteEngineError

DONE = b"[DONE]"


def chunks_of(parts: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a stream; the end is `data: [DONE]`, or that of the connection.

    Lines end at a line feed alone: texts may hold every other character that ends lines.

    Raises:
        RemoteEngineError: a chunk is no JSON object.
    """
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            data = _data(line)
            if data == DONE:
                return
            if data:
                yield _object(data)
    if (data := _data(rest)) and data != DONE:
        yield _object(data)


def _data(line: bytes) -> bytes:
    """Return what a line carries; nothing for comments, other fields and empty lines."""
    name, _, value = line.rstrip(b"\r").partition(b":")
    return value.strip() if name == b"data" else b""


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RemoteEngineError(f"the server sent what is no JSON object: {data[:200]!r}")
    return found
