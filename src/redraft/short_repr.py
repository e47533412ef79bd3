"""Short reprs: results with thousands of numbers in a line that a person reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

MAX_ITEMS, MAX_TEXT = 6, 70
Kind = TypeVar("Kind")


def short(value: object) -> str:
    """Return the repr of a value, with the middle of long sequences and texts left out."""
    if isinstance(value, str) and len(value) > MAX_TEXT:
        half = MAX_TEXT // 2
        return f"{value[:half] + '...' + value[-half:]!r} ({len(value)} characters)"
    if isinstance(value, tuple | list) and len(value) > MAX_ITEMS:
        first = ", ".join(short(item) for item in value[: MAX_ITEMS - 1])
        return f"({first}, ... {len(value)} in all)"
    if isinstance(value, tuple | list):
        inside = ", ".join(short(item) for item in value)
        if isinstance(value, list):
            return f"[{inside}]"
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return f"{value:.4g}" if isinstance(value, float) else repr(value)


def with_short_repr(*, without: tuple[str, ...] = ()) -> Callable[[type[Kind]], type[Kind]]:
    """Give a dataclass a short repr.

    Args:
        without: fields that it leaves out.
    """

    def change(kind: type[Kind]) -> type[Kind]:
        def short_repr(self: Any) -> str:
            shown = [one.name for one in fields(self) if one.repr and one.name not in without]
            inside = ", ".join(f"{name}={short(getattr(self, name))}" for name in shown)
            return f"{type(self).__name__}({inside})"

        kind.__repr__ = short_repr  # type: ignore[method-assign]
        return kind

    return change
