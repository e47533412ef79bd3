"""Checks of a setting's value. Each error says the name, the value and what would be valid."""

from __future__ import annotations

import math
import sys

from redraft.errors import ConfigError


def check_boolean(name: str, value: object) -> None:
    """Raise ConfigError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name}={value!r} must be true or false")


def check_integer(name: str, value: object, *, minimum: int, maximum: float = math.inf) -> None:
    """Raise ConfigError unless `value` is an int in [minimum, maximum]; a bool is not an int."""
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        limit = "" if maximum == math.inf else f" and at most {maximum}"
        raise ConfigError(f"{name}={value!r} must be a whole number of at least {minimum}{limit}")


def check_number(
    name: str,
    value: object,
    *,
    minimum: float,
    maximum: float = math.inf,
    exclusive: bool = False,
) -> None:
    """Raise ConfigError unless `value` is a finite int or float in [minimum, maximum].

    Args:
        exclusive: the minimum itself is not valid.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not abs(value) <= sys.float_info.max
    ):
        raise ConfigError(f"{name}={value!r} must be a finite number")
    if value < minimum or value > maximum or (exclusive and value == minimum):
        bound = "more than" if exclusive else "at least"
        limit = "" if maximum == math.inf else f" and at most {maximum:g}"
        raise ConfigError(f"{name}={value!r} must be {bound} {minimum:g}{limit}")
