"""JSON values: their types, their equality, their notation."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from decimal import Decimal

from redraft.grammar.schema.keywords import TYPES
from redraft.text.json_value import Json


def type_of(value: Json) -> str:
    """Return the JSON Schema type of a value; 1.0 is an integer."""
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


def number_text(value: float) -> str:
    """Return a number without an exponent, and without a point where it is whole."""
    text = format(Decimal(repr(value)), "f") if value else "0"
    return text.rstrip("0").rstrip(".") if "." in text else text


def identity(value: Json) -> Hashable:
    """Return a key that two values share where they are equal in JSON: 1 and 1.0, not true."""
    match value:
        case bool() | None:
            return type(value), value
        case list():
            return "array", tuple(map(identity, value))
        case dict():
            return "object", frozenset((name, identity(part)) for name, part in value.items())
    return value


def distinct(values: Iterable[Json]) -> list[Json]:
    """Return values without those that equal an earlier one."""
    found: dict[Hashable, Json] = {}
    for value in values:
        found.setdefault(identity(value), value)
    return list(found.values())


def in_all(first: Sequence[Json], *others: Sequence[Json]) -> list[Json]:
    """Return the values of the first list that all others have too."""
    if not others:
        return list(first)
    shared = set(map(identity, first)).intersection(*(map(identity, other) for other in others))
    return [value for value in first if identity(value) in shared]


def not_in(values: Sequence[Json], excluded: Sequence[Json]) -> list[Json]:
    """Return the values that a list does not have."""
    found = set(map(identity, excluded))
    return [value for value in values if identity(value) not in found] if found else list(values)


def are_distinct(values: Sequence[Json]) -> bool:
    """Return True where no two of some values are equal."""
    return len(distinct(values)) == len(values)


def common_types(own: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the types that are in both lists; an integer is a number."""
    found = [name for name in own if name in wanted or (name == "integer" and "number" in wanted)]
    if "number" in own and "integer" in wanted and "number" not in wanted:
        found.append("integer")
    return tuple(
        name for name in TYPES if name in found and not (name == "integer" and "number" in found)
    )


def has_type(value: Json, types: Sequence[str]) -> bool:
    """Return True where a value is of one of some types."""
    return type_of(value) in types or (type_of(value) == "integer" and "number" in types)
