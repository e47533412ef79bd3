"""Values of JSON, and what keywords say of them without a look at their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from redraft.grammar.schema.keywords import TYPES, Place


def kind(value: Any) -> str:
    """The type of a value; 1.0 is an integer."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def written(value: float) -> str:
    """A number as it is written: without an exponent, and without a point where it is whole."""
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal in JSON: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return bool(one == other)


def narrowed(own: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Types of both; integers are numbers."""
    found = [name for name in own if name in wanted or (name == "integer" and "number" in wanted)]
    if "number" in own and "integer" in wanted and "number" not in wanted:
        found.append("integer")
    return tuple(
        name for name in TYPES if name in found and not (name == "integer" and "number" in found)
    )


def fits(value: Any, types: Sequence[str]) -> bool:
    """Whether a value is of one of some types."""
    return kind(value) in types or (kind(value) == "integer" and "number" in types)


def constants(place: Place) -> list[Any] | None:
    """The values of const and enum; None where there is neither."""
    if "const" not in place and "enum" not in place:
        return None
    listed: list[Any] = place.of_kind("enum", list, [])
    if "const" not in place:
        return listed
    value = place.schema["const"]
    return [value] if "enum" not in place or any(same(value, other) for other in listed) else []


def apart(one: Place, other: Place, tag: str | None) -> bool:
    """Whether no value is of two schemas, as far as their types show, their constants, or those of
    a property of both: one that both require, or the `tag` that tells them apart."""
    if not set(_kinds(one)) & set(_kinds(other)) or _distinct(one, other):
        return True
    if _kinds(one) != {"object"} or _kinds(other) != {"object"}:
        return False
    members = [place.of_kind("properties", dict, {}) for place in (one, other)]
    needed = [
        {*map(str, place.of_kind("required", list, [])), *([tag] if tag else [])}
        for place in (one, other)
    ]
    shared = needed[0] & needed[1] & members[0].keys() & members[1].keys()
    return any(
        _distinct(one.inside("properties", name), other.inside("properties", name))
        for name in shared
    )


def _distinct(one: Place, other: Place) -> bool:
    """Whether both have constants, none of them alike."""
    first, second = constants(one), constants(other)
    return (
        first is not None
        and second is not None
        and not any(same(a, b) for a in first for b in second)
    )


def _kinds(place: Place) -> set[str]:
    """Types that a schema admits, integers among the numbers."""
    values = constants(place)
    found = place.types() if values is None else [kind(value) for value in values]
    return {"number" if name == "integer" else name for name in found}
