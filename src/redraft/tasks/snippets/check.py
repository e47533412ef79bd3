"""Whether a filled snippet is right: never by running it, but by comparing what it says with what
the answer says."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Sequence
from typing import Any

from redraft.tasks.snippets.snippet import pieces
from redraft.tasks.snippets.words import CITIES, PEOPLE


def keeps(answer: str, holes: Sequence[tuple[int, int]], text: str) -> bool:
    """Whether a text is the answer outside the holes, and as many lines, without comments and not
    much longer."""
    first, *middle, last = pieces(answer, holes)
    if not (text.startswith(first) and text.endswith(last)) or len(text) > 2 * len(answer) + 100:
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return (
        at <= end and len(f"{text}.".splitlines()) == len(answer.splitlines()) and "#" not in text
    )


def same_python(answer: str, text: str, rename: bool = True) -> bool:
    """Whether two functions are one and the same; with `rename`, but for the names of their
    variables."""
    return _meaning(answer, rename) == _meaning(text, rename) is not None


def _meaning(code: str, rename: bool) -> str | None:
    """The code's tree as text, its variables numbered as they appear; None where it does not
    parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
        return _dumped(tree, rename)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _dumped(tree: ast.Module, rename: bool) -> str:
    nodes = list(ast.walk(tree))
    own = {node.arg for node in nodes if isinstance(node, ast.arg)}
    own |= {
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    numbers: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.arg) and rename:
            node.arg = numbers.setdefault(node.arg, f"${len(numbers)}")
        elif isinstance(node, ast.Name) and rename and node.id in own:
            node.id = numbers.setdefault(node.id, f"${len(numbers)}")
        elif isinstance(node, ast.FunctionDef):
            _tidy(node)
    return ast.dump(tree)


def _tidy(function: ast.FunctionDef) -> None:
    """Takes the spaces of a docstring for one."""
    first = function.body[0]
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        first.value.value = " ".join(first.value.value.split())


def same_json(answer: str, text: str) -> bool:
    """Whether two documents agree in keys, their order, types and values, but for names that
    nothing else tells."""
    try:
        right, other = (json.loads(part, object_pairs_hook=_Pairs) for part in (answer, text))
    except (ValueError, RecursionError):
        return False
    free = {name for name in PEOPLE + CITIES if answer.count(f'"{name}"') == 1}
    return _agree(right, other, free)


class _Pairs(list[tuple[str, Any]]):
    """An object's fields in order, also where a key comes twice."""


def _agree(right: Any, other: Any, free: set[str]) -> bool:
    if type(right) is not type(other):
        return False
    if isinstance(right, _Pairs):
        return [key for key, _ in right] == [key for key, _ in other] and all(
            _agree(mine, theirs, free) for (_, mine), (_, theirs) in zip(right, other, strict=True)
        )
    if isinstance(right, list):
        return len(right) == len(other) and all(
            _agree(mine, theirs, free) for mine, theirs in zip(right, other, strict=True)
        )
    if right in free:
        return any(right in names and other in names for names in (PEOPLE, CITIES))
    return bool(right == other)
