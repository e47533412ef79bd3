"""The function around a line: a text by itself, as people paste it."""

from __future__ import annotations

import re

HEAD = re.compile(r"^([ \t]*)(?:async[ ]+def|def|class)\b", re.M)
REACH = 2000  # characters that the head may stand before the line
LONGEST = 4000  # characters of a function


def enclosing(text: str, start: int) -> tuple[int, int] | None:
    """Return the range of the innermost function or class around the line at `start`, or None.

    The head may be the line itself. Decorators are left out. The range ends without blank lines.
    """
    stop = text.find("\n", start)
    stop = len(text) if stop < 0 else stop
    line = text[start:stop]
    indent = len(line) - len(line.lstrip(" "))
    for found in reversed(list(HEAD.finditer(text, max(0, start - REACH), stop))):
        depth = len(found[1])
        if found.start() == start or depth < indent:
            end = _end(text, found.start(), depth)
            return (found.start(), end) if end > start else None
    return None


def _end(text: str, head: int, depth: int) -> int:
    """Return where the block below a head of this depth ends."""
    at = text.find("\n", head)
    last = at
    limit = min(len(text), head + LONGEST)
    opened = True  # the head itself may have several lines
    while 0 <= at < limit:
        after = text.find("\n", at + 1)
        after = len(text) if after < 0 else after
        line = text[at + 1 : after]
        if line.strip():
            if opened and line.lstrip(" ").startswith((")", "]")):
                opened = False
            elif len(line) - len(line.lstrip(" ")) <= depth:
                break
            last = after
        if after >= len(text):
            break
        at = after
    return last if last > head else len(text)
