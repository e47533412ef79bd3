"""Stop strings: where a text ends before one of them."""

from __future__ import annotations

from collections.abc import Sequence


def before_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Return `text` before the first stop string in it, and True where there is one."""
    found = [at for stop in stops if (at := text.find(stop)) >= 0]
    return (text[: min(found)], True) if found else (text, False)


def without_started_stop(text: str, stops: Sequence[str]) -> str:
    """Return `text` without an end that more text could make a stop string."""
    longest = 0
    for stop in stops:
        for length in range(min(len(stop) - 1, len(text)), longest, -1):
            if text.endswith(stop[:length]):
                longest = length
                break
    return text[: len(text) - longest]
