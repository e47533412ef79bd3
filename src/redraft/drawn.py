"""Drawn: numbers and times that nobody gave: ids, seeds, the time of an answer.

They are random, unless a caller says what they follow from: then an answer that is written twice
is the same byte for byte.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Draws:
    """Numbers that follow from a secret.

    Attributes:
        secret: of one request. created: seconds since 1970. count: how often was drawn.
    """

    secret: bytes
    created: float
    count: int = field(default=0, init=False)

    def draw(self, size: int) -> bytes:
        """Return the next `size` bytes, at most 32."""
        self.count += 1
        number = self.count.to_bytes(8, "big")
        return hashlib.sha256(self.secret + number).digest()[:size]


_current: ContextVar[Draws | None] = ContextVar("draws", default=None)


@contextmanager
def drawing(secret: bytes, created: float) -> Iterator[Draws]:
    """Let all numbers of this context follow from a secret, and its time be `created`."""
    draws = Draws(secret, created)
    before = _current.set(draws)
    try:
        yield draws
    finally:
        _current.reset(before)


def token_hex(size: int) -> str:
    """Return `size` bytes, at most 32, as hexadecimal digits."""
    draws = _current.get()
    return secrets.token_hex(size) if draws is None else draws.draw(size).hex()


def random_bits(count: int) -> int:
    """Return an integer of at most `count` bits, at most 256."""
    draws = _current.get()
    if draws is None:
        return secrets.randbits(count)
    return int.from_bytes(draws.draw(32), "big") >> (256 - count)


def now() -> float:
    """Return the time of the answer, in seconds since 1970."""
    draws = _current.get()
    return time.time() if draws is None else draws.created


def secret_of_request() -> bytes:
    """Return the secret that numbers follow from here; b"" for none."""
    draws = _current.get()
    return b"" if draws is None else draws.secret
