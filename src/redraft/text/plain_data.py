"""Plain data: messages and tools as JSON values, whatever objects a caller's client has made."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Callable, Mapping

from redraft.errors import ChatTemplateError
from redraft.text.json_value import Json

# Deeper nesting ends in an error in place of Python's RecursionError.
MAX_DEPTH = 100
# Characters of a key, and of all keys, in the name of a place.
MAX_KEY, MAX_PLACE = 100, 1000


def plain(value: object, place: str, depth: int = 0) -> Json:
    """Return a value as JSON: mappings, sequences, dataclasses and pydantic models become dicts and
    lists.

    Args:
        place: names the value in errors, such as `messages[2].content`.

    Raises:
        ChatTemplateError: a part is no JSON value, such as an image; or the nesting is too deep.
    """
    if depth > MAX_DEPTH:
        raise ChatTemplateError(f"{place} is nested more than {MAX_DEPTH} levels deep")
    if value is None or type(value) in (str, int, float, bool):
        return value  # type: ignore[return-value]
    if isinstance(value, str):
        return str.__str__(value)  # an enum's member becomes its plain text
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, Mapping):
        return {
            _key(key, place): plain(item, _within(place, f".{key[:MAX_KEY]}"), depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain(item, _within(place, f"[{at}]"), depth + 1) for at, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        members = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return plain(members, place, depth + 1)
    dump: Callable[[], object] | None = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return plain(dump(), place, depth + 1)
    raise ChatTemplateError(
        f"{place} is a {type(value).__name__}: messages hold texts, numbers, lists and mappings"
    )


def _within(place: str, part: str) -> str:
    """Return the name of a part of a place; of a long one the end is left out."""
    return place if len(place) > MAX_PLACE else place + part


def _key(key: object, place: str) -> str:
    if not isinstance(key, str):
        raise ChatTemplateError(f"{place} has the key {key!r}: keys are texts")
    return str.__str__(key)
