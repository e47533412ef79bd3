"""JSON values: their types, their equality, and which values schemas have in common."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from redraft.grammar.schema.subschema import TYPES, Subschema
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
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def equal(one: Json, other: Json) -> bool:
    """Return True where two values are equal in JSON: 1 equals 1.0, but not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    return one == other


def contains(values: Sequence[Json], value: Json) -> bool:
    """Return True where one of some values equals another."""
    return any(equal(value, other) for other in values)


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


def constants(subschema: Subschema) -> list[Json] | None:
    """Return the values of const and enum; None where there is neither."""
    if "const" not in subschema and "enum" not in subschema:
        return None
    listed: list[Json] = subschema.value("enum", list, [])
    if "const" not in subschema:
        return listed
    value = subschema.schema["const"]
    return [value] if "enum" not in subschema or contains(listed, value) else []


def are_disjoint(one: Subschema, other: Subschema, tag: str | None) -> bool:
    """Return True where it is certain that no value is valid for both subschemas.

    Their types may show it, or their constants, or the constants of a property: one that both
    require, or the discriminator's `tag`.
    """
    types, others = _types(one), _types(other)
    if not types & others or _have_disjoint_constants(one, other):
        return True
    if types != {"object"} or others != {"object"}:
        return False
    shared = _required_properties(one, tag) & _required_properties(other, tag)
    return any(
        _have_disjoint_constants(one.inside("properties", name), other.inside("properties", name))
        for name in shared
    )


def _required_properties(subschema: Subschema, tag: str | None) -> set[str]:
    """Return the properties that every value has and the schema describes."""
    properties = subschema.value("properties", dict, {})
    required = {*map(str, subschema.value("required", list, []))}
    return properties.keys() & (required | {tag} if tag else required)


def _have_disjoint_constants(one: Subschema, other: Subschema) -> bool:
    first, second = constants(one), constants(other)
    if first is None or second is None:
        return False
    return not any(contains(second, value) for value in first)


def _types(subschema: Subschema) -> set[str]:
    """Return the types that a subschema admits; integers are numbers."""
    values = constants(subschema)
    found = subschema.types() if values is None else [type_of(value) for value in values]
    return {"number" if name == "integer" else name for name in found}
