"""Checks that settings share: each says the name, the value and what would be right."""

from __future__ import annotations

import math
import sys
from typing import Any

from redraft.errors import ConfigError


def whole(name: str, value: Any, *, least: int, most: float = math.inf) -> None:
    """Raise ConfigError unless `value` is an int (a bool is none) in [least, most]."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        below = "" if most == math.inf else f" and at most {most}"
        raise ConfigError(f"{name}={value!r} must be a whole number of at least {least}{below}")


def number(
    name: str, value: Any, *, least: float, most: float = math.inf, open_below: bool = False
) -> None:
    """Raise ConfigError unless `value` is a finite number in [least, most], or (least, most] when
    `open_below`."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not abs(value) <= sys.float_info.max
    ):
        raise ConfigError(f"{name}={value!r} must be a finite number")
    if value < least or value > most or (open_below and value == least):
        above = "more than" if open_below else "at least"
        below = "" if most == math.inf else f" and at most {most:g}"
        raise ConfigError(f"{name}={value!r} must be {above} {least:g}{below}")
