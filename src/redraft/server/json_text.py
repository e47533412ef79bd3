"""JSON text: what the server answers with, written so that no request holds up the others.

A request can hold halves of surrogate pairs, and an answer can repeat it. UTF-8 has no bytes for
them, so they are written as escapes. A long value is written in steps, which let other threads run.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from fastapi.responses import JSONResponse

from redraft.server.runtime.pools import written

LONG = 64 << 10  # characters of a value that is written in a thread
STEP = 4 << 10  # characters that are written at a time, about
ITEMS = 32  # of a list, that are written together where they are short


def is_shorter(value: Any, limit: int) -> bool:
    """Return True where some JSON has fewer characters than a limit, about; it is read no further
    than that."""
    waiting = [value]
    while waiting and limit > 0:
        one = waiting.pop()
        limit -= len(one) if isinstance(one, str) else 2
        if isinstance(one, dict):
            waiting += itertools.chain.from_iterable(itertools.islice(one.items(), limit + 1))
        elif isinstance(one, list | tuple):
            waiting += one[: limit + 1]
    return limit > 0


def json_text(value: Any) -> str:
    """Return a value as JSON that UTF-8 can hold; a long one is written in steps."""
    parts = [_dumped(value)] if is_shorter(value, LONG) else _steps(value)
    return "".join(parts)


def _dumped(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    # In JSON the escape of half a pair has the form of Python's.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _steps(value: Any) -> Iterator[str]:
    """Yield the parts of the JSON of a value."""
    if is_shorter(value, STEP) or not isinstance(value, dict | list | tuple):
        yield _dumped(value)
    elif isinstance(value, dict):
        for at, (name, one) in enumerate(value.items()):
            # A name that is no text is written as `json` writes it.
            head = _dumped({name: None}).removesuffix("null}")
            yield head if at == 0 else ", " + head[1:]
            yield from _steps(one)
        yield "}"
    else:
        for first in range(0, len(value), ITEMS):
            yield ", " if first else "["
            some = value[first : first + ITEMS]
            if is_shorter(some, STEP):
                yield _dumped(some)[1:-1]
                continue
            for at, one in enumerate(some):
                yield ", " if at else ""
                yield from _steps(one)
        yield "]"


class JsonAnswer(JSONResponse):
    """An answer in JSON, whatever it repeats of its request."""

    def render(self, content: Any) -> bytes:
        """Return the bytes of a value."""
        return json_text(content).encode()


async def json_answer(content: Any) -> JsonAnswer:
    """Return an answer; that of a long value is written in a thread."""
    if is_shorter(content, LONG):
        return JsonAnswer(content)
    return await written(JsonAnswer, content)
