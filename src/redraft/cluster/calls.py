"""Calls: requests of HTTP and the parts of their answers, between the front and the replicas."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Header = tuple[bytes, bytes]
# The fields whose texts begin a prompt, in its order, over all dialects.
PROMPT = (
    "system",
    "instructions",
    "messages",
    "prompt",
    "input",
    "input_prefix",
    "template",
    "text",
)
BLOCK = 256  # characters of a prompt that count as one step of a prefix
MAX_BLOCKS = 128
MAX_PARSED = 256 << 10  # bytes of a body that is read for its prompt; of others the bytes count
# Headers that say where a request came from: the front has judged them.
JUDGED = (b"authorization", b"x-api-key", b"api-key", b"origin", b"sec-fetch-site")


@dataclass(frozen=True)
class Call:
    """A request.

    Attributes:
        path, query: of the URL. headers: without those that the front has judged. body: all of it.
        key: name of the caller's API key; "" for none. secret, created: see `drawn.drawing`.
        prefixes: digests of its prompt's beginnings, the shortest first.
    """

    method: str
    path: str
    query: bytes
    headers: tuple[Header, ...]
    body: bytes
    key: str
    secret: bytes
    created: float
    prefixes: tuple[bytes, ...]


@dataclass(frozen=True)
class AnswerPart:
    """A part of an answer.

    Attributes:
        status, headers, route: of the first part; route is the path as the application names it.
        body: bytes. tokens: written for the caller's key since the part before.
    """

    body: bytes = b""
    status: int = 0
    headers: tuple[Header, ...] = ()
    route: str = ""
    tokens: int = 0


def passed_headers(headers: list[Header]) -> tuple[Header, ...]:
    """Return the headers of a request that a replica reads."""
    return tuple((name, value) for name, value in headers if name.lower() not in JUDGED)


def prefixes_of(path: str, body: bytes) -> tuple[bytes, ...]:
    """Return digests of the beginnings of a request's prompt, the shortest first.

    The first stands for the model or adapter alone: what one has cached, another cannot use.
    Requests without a body are told apart by their path.
    """
    if not body:
        return (_digest(b"", path.encode()),)
    return tuple(_chained(*_model_and_prompt(body)))


def _model_and_prompt(body: bytes) -> tuple[str, str]:
    if len(body) <= MAX_PARSED:
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            given = [found[name] for name in PROMPT if found.get(name)]
            return str(found.get("model", "")), "".join(_text(one) for one in given)
    return "", body[: BLOCK * MAX_BLOCKS].decode("latin-1")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _chained(model: str, prompt: str) -> Iterator[bytes]:
    digest = _digest(b"", model.encode("utf-8", "backslashreplace"))
    yield digest
    # A last block that is not full is one of its own: a short prompt has a prefix too.
    for start in range(0, min(len(prompt), BLOCK * MAX_BLOCKS), BLOCK):
        block = prompt[start : start + BLOCK].encode("utf-8", "backslashreplace")
        digest = _digest(digest, block)
        yield digest


def _digest(before: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(before + data, digest_size=8).digest()
