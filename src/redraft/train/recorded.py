"""Compare settings with the text that a state file holds of them, also of an earlier version."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

# Classes, and fields of a class, by the names that earlier versions wrote.
RENAMED_CLASSES = {"Source": "TaskShare"}
RENAMED_FIELDS = {
    "Recipe": {"sources": "tasks"},
    "Arithmetic": {"least": "min_operations", "most": "max_operations"},
    "Sudoku": {"least": "min_blanks", "most": "max_blanks"},
}


def is_recorded_as(value: object, text: str) -> bool:
    """Return true if `text` is the repr of a value equal to this one.

    Names may be those of an earlier version, and fields that it did not have must have their
    defaults.
    """
    try:
        return _matches(value, ast.parse(text, mode="eval").body)
    except SyntaxError:
        return False


def _matches(value: object, node: ast.expr) -> bool:
    if is_dataclass(value):
        return _matches_dataclass(value, node)
    if isinstance(value, tuple | list):
        if not isinstance(node, ast.Tuple | ast.List) or len(node.elts) != len(value):
            return False
        return all(map(_matches, value, node.elts))
    if isinstance(value, Mapping):
        if not isinstance(node, ast.Dict) or len(node.keys) != len(value):
            return False
        entries = zip(value.items(), node.keys, node.values, strict=True)
        return all(
            key is not None and _matches(name, key) and _matches(one, written)
            for (name, one), key, written in entries
        )
    try:
        return bool(ast.literal_eval(node) == value)
    except ValueError:
        return False


def _matches_dataclass(value: Any, node: ast.expr) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return False
    name = type(value).__name__
    names = RENAMED_FIELDS.get(name, {})
    written = {names.get(word.arg, word.arg): word.value for word in node.keywords if word.arg}
    shown = {field.name: field for field in fields(value) if field.repr}
    if RENAMED_CLASSES.get(node.func.id, node.func.id) != name or node.args:
        return False
    if not written.keys() <= shown.keys():
        return False
    return all(
        _matches(getattr(value, name), written[name])
        if name in written
        else getattr(value, name) == _default(field)
        for name, field in shown.items()
    )


def _default(field: Field[Any]) -> object:
    """Return a field's default; MISSING, which equals no value, if it has none."""
    return field.default if field.default_factory is MISSING else field.default_factory()
