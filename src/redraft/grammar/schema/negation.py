"""Negation: schemas of values that a subschema does not admit, for `not`, `if` and `oneOf`.

Every value of the negation is invalid for the subschema. The converse does not hold: a keyword
whose complement cannot be written as schemas contributes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from redraft.grammar.schema.index import SchemaIndex
from redraft.grammar.schema.keywords import KEYWORDS_OF_TYPE, TYPES
from redraft.grammar.schema.subschema import Subschema
from redraft.text.json_value import Json

Schemas = list[Json]
MAX_NESTED = 6

OPPOSITE_BOUNDS = {
    "minimum": "exclusiveMaximum",
    "exclusiveMinimum": "maximum",
    "maximum": "exclusiveMinimum",
    "exclusiveMaximum": "minimum",
}
OPPOSITE_COUNTS = {
    "minLength": "maxLength",
    "minItems": "maxItems",
    "minProperties": "maxProperties",
    "maxLength": "minLength",
    "maxItems": "minItems",
    "maxProperties": "minProperties",
}


def negated(index: SchemaIndex, subschema: Subschema, nested: int = 0) -> Schemas | None:
    """Return schemas; a value that one of them admits is invalid for the subschema.

    Returns:
        None where no keyword of the subschema has a complement that can be written.
    """
    here = index.resolve(subschema)
    if nested > MAX_NESTED:
        return None
    found: Schemas = []
    known = True
    for name in here.restrictions():
        part = _negated_keyword(index, here, name, nested + 1)
        known = known and part is not None
        found += part or []
    return found if found or known else None


def _negated_keyword(index: SchemaIndex, here: Subschema, name: str, nested: int) -> Schemas | None:
    """Return the negation of one keyword, None where it cannot be written."""

    def inner(keyword: str, key: str | int | None = None) -> Schemas | None:
        return negated(index, here.inside(keyword, key), nested)

    if name in OPPOSITE_BOUNDS:
        return _opposite_bound(here, name)
    if name in OPPOSITE_COUNTS:
        return _opposite_count(here, name)
    match name:
        case "type" | "nullable":
            return _other_types(here) if name == "type" else []
        case "enum" | "const":
            values = here.value("enum", list, []) if name == "enum" else [here.schema["const"]]
            return [{"excluded": values}]
        case "required":
            return [{"type": "object", "absent": [key]} for key in here.names("required")]
        case "pattern":
            pattern = here.value("pattern", str, "")
            return [{"type": "string", "excludedPattern": pattern}]
        case "properties":
            return _one_property(here, inner)
        case "allOf":
            return _any_of([inner(name, at) for at in range(len(here.value(name, list, [])))])
        case "anyOf":
            return _all_of([inner(name, at) for at in range(len(here.value(name, list, [])))])
        case "not":
            value = here.schema["not"]
            return None if "$ref" in str(value) else [value]
    return None


def _other_types(here: Subschema) -> Schemas:
    """Return the types that a subschema does not admit."""
    own = set(here.types())
    if "integer" in own:
        own.add("number")  # numbers that are not whole have no type of their own
    if "number" in own:
        own.add("integer")
    others: list[Json] = [name for name in TYPES if name not in own]
    return [{"type": others}] if others else []


def _opposite_bound(here: Subschema, name: str) -> Schemas | None:
    value = here.schema[name]
    if isinstance(value, bool) or isinstance(here.schema.get(f"exclusive{name.title()}"), bool):
        return None  # the notation of draft 4
    here.number(name)  # raises where it is no number
    return [{"type": "number", OPPOSITE_BOUNDS[name]: value}]


def _opposite_count(here: Subschema, name: str) -> Schemas:
    count = here.count(name)
    assert count is not None
    kind = next(kind for kind, names in KEYWORDS_OF_TYPE.items() if name in names)
    opposite = OPPOSITE_COUNTS[name]
    if name.startswith("max"):
        return [{"type": kind, opposite: count + 1}]
    return [{"type": kind, opposite: count - 1}] if count else []


def _one_property(here: Subschema, inner: Callable[[str, str], Schemas | None]) -> Schemas | None:
    """Return the objects of which one property is invalid."""
    parts: list[Schemas | None] = []
    for key in here.value("properties", dict, {}):
        values = inner("properties", key)
        wrong: Json = {
            "type": "object",
            "required": [key],
            "properties": {key: {"anyOf": values or []}},
        }
        parts.append(None if values is None else [wrong] if values else [])
    return _any_of(parts)


def _any_of(parts: list[Schemas | None]) -> Schemas | None:
    """Return the union of negations; those that cannot be written are left out."""
    known = [part for part in parts if part is not None]
    found: Schemas = []
    for part in known:
        found += part
    return found if found or len(known) == len(parts) else None


def _all_of(parts: list[Schemas | None]) -> Schemas | None:
    """Return the intersection of negations."""
    if any(part is None for part in parts):
        return None
    if any(not part for part in parts):
        return []
    every: list[Json] = [{"anyOf": part or []} for part in parts]
    return [{"allOf": every}]
