"""Random schemas of all keywords that the standard has and redraft compiles."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

from tests.grammar.cases import Schema, number_schema, string_schema

NAMES = ["a", "b", "name", "x-1", "é"]
PATTERNS = ["^x-", "[0-9]$", "^[a-c]$", "a"]
TEXTS = ["a", "b", "ab", "x-1", "", "é"]
# Keywords that can be taken out: what is left admits more.
REMOVABLE = (
    "minLength maxLength pattern minimum maximum exclusiveMinimum exclusiveMaximum multipleOf enum "
    "const minItems maxItems uniqueItems minProperties maxProperties propertyNames required allOf "
    "anyOf oneOf not if then else dependentRequired dependentSchemas"
).split()


def scalar(rng: random.Random) -> Schema:
    match rng.randrange(6):
        case 0:
            return string_schema(rng)
        case 1:
            return number_schema(rng)
        case 2:
            return {"type": rng.choice(["boolean", "null", ["null", "string"], "integer"])}
        case 3:
            return {"enum": rng.sample([*TEXTS, 1, 2.5, None, True, [1], {"a": 1}, -0.0], 3)}
        case 4:
            return {"type": "integer", "minimum": -0.0, "maximum": rng.choice([5, 12, -0.0])}
    return {"const": rng.choice(["a", 1, None, [], {"a": "b"}])}


def array(rng: random.Random, depth: int) -> Schema:
    found: Schema = {"type": "array"}
    if rng.random() < 0.7:
        found["items"] = rich(rng, depth + 1)
    if rng.random() < 0.3:
        found["prefixItems"] = [rich(rng, depth + 1) for _ in range(rng.randint(1, 2))]
        if rng.random() < 0.3:
            found["unevaluatedItems"] = rng.choice([False, {"type": "null"}])
    if rng.random() < 0.4:
        found["minItems"] = rng.randint(0, 2)
    if rng.random() < 0.5:
        found["maxItems"] = rng.randint(2, 7)
    if rng.random() < 0.2:
        found["uniqueItems"] = True
        found["items"] = rng.choice(
            [
                {"enum": ["a", "b", 1, None]},
                {"type": "string"},
                {"type": ["integer", "boolean"]},
                {"type": "number", "minimum": 0},
                {"enum": list("abcdefghij")},
                {"type": "integer", "minimum": 1, "maximum": 5},
            ]
        )
    return found


def members(rng: random.Random, depth: int) -> Schema:
    names = rng.sample(NAMES, rng.randint(1, 4))
    found: Schema = {"type": "object"}
    if rng.random() < 0.8:
        found["properties"] = {name: rich(rng, depth + 1) for name in names}
    if rng.random() < 0.5:
        found["required"] = [name for name in names if rng.random() < 0.4]
    if rng.random() < 0.4:
        chosen = rng.sample(PATTERNS, rng.randint(1, 2))
        found["patternProperties"] = {pattern: rich(rng, depth + 2) for pattern in chosen}
    if rng.random() < 0.4:
        found["additionalProperties"] = rng.choice([False, True, scalar(rng)])
    if rng.random() < 0.2:
        found["propertyNames"] = rng.choice([{"maxLength": 1}, {"pattern": "^[a-z]"}, True])
    if rng.random() < 0.2:
        found[rng.choice(["minProperties", "maxProperties"])] = rng.randint(0, 2)
    if rng.random() < 0.2:
        one, other = rng.sample(NAMES, 2)
        found["dependentRequired"] = {one: [other]}
    if rng.random() < 0.1:
        found["dependentSchemas"] = {rng.choice(NAMES): members(rng, depth + 2)}
    if rng.random() < 0.2:
        found["unevaluatedProperties"] = rng.choice([False, False, {"type": "integer"}])
    return found


def rich(rng: random.Random, depth: int = 0) -> Any:
    """Return a random schema."""
    if depth > 2 or rng.random() < 0.35:
        return scalar(rng)
    if rng.random() < 0.04:
        return rng.choice([True, {}, {"title": "t"}])
    found = rng.choice([array, members, members])(rng, depth)
    if rng.random() < 0.25:
        more = rng.choice([members, array])(rng, depth + 2)
        more.pop("type", None)
        found["allOf"] = [more] if rng.random() < 0.5 else [more, {"minProperties": 1}]
    if rng.random() < 0.15:
        found["anyOf"] = [
            {"required": [rng.choice(NAMES)]},
            {"properties": {rng.choice(NAMES): scalar(rng)}},
        ]
    if rng.random() < 0.15:
        found["not"] = rng.choice(
            [{"required": [rng.choice(NAMES)]}, {"const": []}, {"maxItems": 1}, {"type": "array"}]
        )
    if rng.random() < 0.15:
        name = rng.choice(NAMES)
        found["if"] = {"properties": {name: {"const": "a"}}, "required": [name]}
        found["then"] = {"required": [rng.choice(NAMES)]}
        found["else"] = {"minProperties": 1}
    if rng.random() < 0.15:
        one, other = rng.sample(NAMES, 2)
        found["oneOf"] = [{"required": [one]}, {"required": [other]}]
    if rng.random() < 0.15:
        found = {"$ref": "#/$defs/it", "$defs": {"it": found}} if not depth else found
        if rng.random() < 0.5 and not depth:
            found["minProperties"] = 1
    return found


def relaxed(rng: random.Random, schema: Schema) -> Schema | None:
    """Return a schema without one of its keywords, anywhere; None where it has none to take."""
    found = copy.deepcopy(schema)
    places = [(part, name) for part in parts(found) for name in part if name in REMOVABLE]
    if not places:
        return None
    part, name = rng.choice(places)
    del part[name]
    return found


def parts(schema: Any) -> Iterator[Schema]:
    """Yield all subschemas (and some objects that are none), outermost first."""
    if isinstance(schema, dict):
        yield schema
        for name, value in schema.items():
            if name not in ("const", "enum", "dependentRequired"):
                yield from parts(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from parts(value)
