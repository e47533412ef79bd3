"""Keys: who may use the server, how much of it, and what each has used."""

from __future__ import annotations

import contextvars
import math
import secrets
import time
import tomllib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from redraft.errors import ConfigError, RedraftError

MINUTE = 60.0
MAX_KEYS, MAX_NAME = 1000, 64
# The name of the key of the request that runs; "" where no key is asked for.
current_key: contextvars.ContextVar[str] = contextvars.ContextVar("current_key", default="")


class KeyLimitError(RedraftError):
    """A key has used what it may in a minute, or has too many requests that run.

    Attributes:
        retry_after: seconds after which the next request is taken.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A key with a name; None sets no limit.

    Attributes:
        requests_per_minute: requests that do work. tokens_per_minute: tokens written; a request
            that has begun is not cut. running: requests at a time.

    Raises:
        ConfigError: the name or the key is empty or too long, or a limit is no positive number.
    """

    name: str
    key: str = field(repr=False)
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    running: int | None = None

    def __post_init__(self) -> None:
        for what, value in (("name", self.name), ("key", self.key)):
            if not isinstance(value, str) or not value.strip() or not value.isascii():
                raise ConfigError(f"the {what} of an API key must be a text of ASCII characters")
        if len(self.name) > MAX_NAME:
            raise ConfigError(f"the name of an API key has more than {MAX_NAME} characters")
        for limit in ("requests_per_minute", "tokens_per_minute", "running"):
            value = getattr(self, limit)
            if value is not None and (type(value) is not int or value < 1):
                raise ConfigError(
                    f"{limit}={value!r} of the API key {self.name!r} must be a whole number of at "
                    "least 1"
                )


def read_keys(file: Path) -> tuple[ApiKey, ...]:
    """Return the keys of a TOML file: a table `[keys.NAME]` each, with `key` and its limits.

    Raises:
        ConfigError: the file cannot be read, or a table is not valid.
    """
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"the file of API keys cannot be read: {error}") from None
    tables = raw.get("keys")
    if not isinstance(tables, dict) or not tables or set(raw) != {"keys"}:
        raise ConfigError(f"{file.name} has no keys: give a table such as [keys.alice] each")
    return checked_keys(_key(name, table) for name, table in tables.items())


def checked_keys(keys: Iterable[ApiKey]) -> tuple[ApiKey, ...]:
    """Return keys of which no two are the same.

    Raises:
        ConfigError: two have one name or one key, or there are too many.
    """
    found = tuple(keys)
    if len(found) > MAX_KEYS:
        raise ConfigError(f"{len(found)} API keys are more than a server takes: {MAX_KEYS}")
    names, values = {one.name for one in found}, {one.key for one in found}
    if min(len(names), len(values)) < len(found):
        raise ConfigError("two API keys have one name, or are the same")
    return found


def _key(name: str, table: Any) -> ApiKey:
    known = {one.name for one in fields(ApiKey)} - {"name"}
    # What stands there may be a secret: no value is told.
    if not isinstance(table, dict) or "key" not in table:
        raise ConfigError(f"the API key {name!r} has no `key`: give a table [keys.{name}] with one")
    if unknown := sorted(set(table) - known):
        may = ", ".join(sorted(known))
        raise ConfigError(f"the API key {name!r} has {unknown[0]!r}: it may have {may}")
    return ApiKey(name=name, **table)


class KeyRing:
    """The keys of a server, and what each has used in the last minute.

    Args:
        keys: none of them asks for a key.
    """

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self.keys = checked_keys(keys)
        self._usage = {one.name: KeyUsage(one) for one in self.keys}

    def __bool__(self) -> bool:
        return bool(self.keys)

    def find(self, given: str) -> KeyUsage | None:
        """Return the usage of a key; None for a wrong one. The time it takes tells nothing."""
        found: KeyUsage | None = None
        for one in self.keys:
            if secrets.compare_digest(given.encode("latin-1", "replace"), one.key.encode()):
                found = self._usage[one.name]
        return found

    def written(self, name: str, tokens: int) -> None:
        """Count tokens of a key."""
        if (usage := self._usage.get(name)) is not None:
            usage.written(tokens)


class KeyUsage:
    """Usage of one key, in the last minute and now."""

    def __init__(self, key: ApiKey) -> None:
        self.key = key
        self.running = 0
        self._requests: deque[float] = deque()
        self._tokens: deque[tuple[float, int]] = deque()
        self._token_count = 0

    def admit(self, *, works: bool) -> None:
        """Count a request that begins.

        Args:
            works: False for one that only reads: it has no limit.

        Raises:
            KeyLimitError: the key has reached a limit.
        """
        now, key = time.monotonic(), self.key
        self._forget(now)
        if works:
            self._check(now)
        self.running += 1
        if works and key.requests_per_minute is not None:
            self._requests.append(now)

    def _check(self, now: float) -> None:
        key = self.key
        if key.running is not None and self.running >= key.running:
            raise KeyLimitError(
                f"{self.running} requests of the key {key.name!r} run, and it may have "
                f"{key.running}",
                1,
            )
        if key.requests_per_minute is not None and len(self._requests) >= key.requests_per_minute:
            raise KeyLimitError(
                f"the key {key.name!r} may send {key.requests_per_minute} requests a minute",
                _until(self._requests[0], now),
            )
        if key.tokens_per_minute is not None and self._token_count >= key.tokens_per_minute:
            raise KeyLimitError(
                f"the key {key.name!r} may have {key.tokens_per_minute} tokens written a minute",
                _until(self._tokens[0][0], now),
            )

    def leave(self) -> None:
        """Count a request that ends."""
        self.running -= 1

    def written(self, tokens: int) -> None:
        """Count tokens that were written."""
        if self.key.tokens_per_minute is None:
            return
        now = time.monotonic()
        self._forget(now)
        self._tokens.append((now, tokens))
        self._token_count += tokens

    def _forget(self, now: float) -> None:
        while self._requests and now - self._requests[0] >= MINUTE:
            self._requests.popleft()
        while self._tokens and now - self._tokens[0][0] >= MINUTE:
            self._token_count -= self._tokens.popleft()[1]


def _until(first: float, now: float) -> int:
    return max(1, math.ceil(first + MINUTE - now))
