"""Check a filled snippet: compare its syntax tree, or its JSON, with the answer's; never run it."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Sequence

from redraft.tasks.snippets.words import CITIES, PEOPLE
from redraft.tasks.task import outside


def keeps(answer: str, holes: Sequence[tuple[int, int]], text: str) -> bool:
    """Return True where a text equals the answer outside the holes, has as many lines and no
    comments, and is not much longer."""
    first, *middle, last = outside(answer, holes)
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
    """Return True where two functions have one syntax tree; with `rename`, apart from the names of
    their variables."""
    return _tree_text(answer, rename) == _tree_text(text, rename) is not None


def _tree_text(code: str, rename: bool) -> str | None:
    """Return the syntax tree as text, None where the code does not parse.

    With `rename` the variables are numbered in the order in which they appear.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
        return _dump(tree, rename)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _dump(tree: ast.Module, rename: bool) -> str:
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
            _join_docstring(node)
    return ast.dump(tree)


def _join_docstring(function: ast.FunctionDef) -> None:
    """Replace each run of white space in a docstring by one space."""
    first = function.body[0]
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        first.value.value = " ".join(first.value.value.split())


def same_json(answer: str, text: str) -> bool:
    """Return True where two documents agree in keys, their order, types and values.

    A name that the rest of the document does not determine may be any other of its list.
    """
    try:
        right, other = (json.loads(part, object_pairs_hook=_Pairs) for part in (answer, text))
    except (ValueError, RecursionError):
        return False
    free = {name for name in PEOPLE + CITIES if answer.count(f'"{name}"') == 1}
    return _agree(right, other, free)


class _Pairs(list[tuple[str, object]]):
    """The fields of an object in order; a key may come twice."""


def _agree(right: object, other: object, free: set[str]) -> bool:
    if type(right) is not type(other):
        return False
    if isinstance(right, _Pairs) and isinstance(other, _Pairs):
        if [key for key, _ in right] != [key for key, _ in other]:
            return False
        right, other = [value for _, value in right], [value for _, value in other]
    if isinstance(right, list) and isinstance(other, list):
        return len(right) == len(other) and all(
            _agree(mine, theirs, free) for mine, theirs in zip(right, other, strict=True)
        )
    if right in free:
        return any(right in names and other in names for names in (PEOPLE, CITIES))
    return bool(right == other)
