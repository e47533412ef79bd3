"""JSON Schema's standard beyond the common keywords, held against the `jsonschema` package."""

from __future__ import annotations

import json
import os
import random
import re
import time
import warnings
from typing import Any

import jsonschema
import pytest

from redraft.errors import ConstraintError, ConstraintUnsatisfiedError
from redraft.grammar import JsonSchema
from tests.grammar.cases import drawn
from tests.grammar.standard_cases import relaxed, rich

# Random schemas; REDRAFT_CASES=4000 makes it a long run.
CASES = int(os.environ.get("REDRAFT_CASES", "12"))
# Of these the other direction is checked too: a few in a thousand of the rest admit less than the
# standard on purpose (objects are closed, numbers of an enum have one spelling).
COMPLETE = 150
# Spellings of numbers that a keyword may rule out: an exponent, a negative zero, many digits.
ODD_NUMBER = re.compile(r"[0-9][eE]|-0(?![0-9.])|-0\.0*(?![0-9])|[0-9.]{16}")

ADMITTED: list[tuple[Any, list[str], list[str]]] = [
    # Bounds at negative zero.
    ({"type": "integer", "minimum": -0.0}, ["0", "7"], ["-1", "-0"]),
    ({"type": "number", "maximum": -0.0}, ["0", "-0.5"], ["0.5", "1"]),
    ({"type": "number", "exclusiveMinimum": -0.0, "maximum": 1}, ["0.5", "1"], ["0", "-1"]),
    ({"enum": [-0.0]}, ["0"], ["-0", "-0.0"]),
    # More digits than a double has could be rounded onto a bound.
    ({"type": "number", "exclusiveMinimum": 5}, ["5.0000001"], ["5.00000000000000000001"]),
    # Addresses inside the schema.
    (
        {
            "$id": "https://a.example/root.json",
            "$ref": "other.json#/$defs/n",
            "$defs": {
                "o": {"$id": "other.json", "$defs": {"n": {"$ref": "#it"}, "i": {"$anchor": "it"}}},
            },
        },
        ["null", "1"],
        [],
    ),
    (
        {
            "items": {"$ref": "urn:x:y"},
            "type": "array",
            "$defs": {"y": {"$id": "urn:x:y", "type": "null"}},
        },
        ["[null]"],
        ["[1]"],
    ),
    ({"$ref": "#a", "definitions": {"x": {"$id": "#a", "const": 1}}}, ["1"], ["2"]),
    ({"$ref": "#/$defs/a", "minimum": 3, "$defs": {"a": {"type": "integer"}}}, ["3"], ["2", "3.5"]),
    (
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "$ref": "#/definitions/a",
            "minimum": 3,
            "definitions": {"a": {"type": "integer"}},
        },
        ["2"],
        ["null"],
    ),
    # Host names.
    (
        {"type": "string", "format": "hostname"},
        ['"localhost"', f'"{"a" * 63}.example.com"', '"a-b.c1"', '"x"'],
        ['"a..b"', '"-a"', '"a-"', '"xn--a.com"', '"a_b"', f'"{"a" * 64}"', '"1.2.3.4"', '""'],
    ),
    # OpenAPI's nullable, where the schema names no draft.
    ({"type": "string", "nullable": True, "maxLength": 1}, ["null", '"a"'], ['"ab"']),
    ({"type": "string", "nullable": False}, ['""'], ["null"]),
    ({"type": "string", "nullable": True, "enum": ["a"]}, ['"a"'], ["null"]),
    (
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "string",
            "nullable": True,
        },
        ['""'],
        ["null"],
    ),
    # Members by pattern.
    (
        {
            "type": "object",
            "properties": {"id": {"type": "integer"}},
            "patternProperties": {"^x-": {"type": "string"}, "d$": {"minimum": 1}},
            "additionalProperties": False,
        },
        ['{"id":1}', '{"id":2,"x-a":"b"}', '{"x-":"","x-b":""}', '{"ad":1}', '{"x-d":"s"}'],
        ['{"id":0}', '{"x-a":1}', '{"y":1}', '{"ad":0}'],
    ),
    # Sets.
    (
        {"type": "array", "items": {"enum": ["a", "b", 1]}, "uniqueItems": True, "minItems": 2},
        ['["b","a"]', '[1,"a","b"]'],
        ["[1]", '["a","a"]', "[1,1]", "[]"],
    ),
    (
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        ["[]", '["apple","bear","čaj"]', '["","b"]'],
        ['["a","a"]', '["a","b","a"]'],
    ),
    (
        {"type": "array", "items": {"enum": list("abcdefghijk")}, "uniqueItems": True},
        ['["a","k"]', json.dumps(list("abcdefghijk"))],
        ['["a","a"]'],
    ),
    (
        {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "maxItems": 3},
        ["[0,15,20]", "[-3,1]"],
        ["[1,1]", "[0,1,2,3]"],
    ),
    # What no part of a schema describes.
    (
        {
            "allOf": [{"properties": {"a": {"type": "null"}}}],
            "type": "object",
            "properties": {"b": {"type": "null"}},
            "unevaluatedProperties": False,
        },
        ['{"b":null,"a":null}', "{}"],
        ['{"c":null}'],
    ),
    (
        {
            "type": "object",
            "allOf": [{"additionalProperties": {"type": "null"}}],
            "required": ["z"],
            "unevaluatedProperties": False,
        },
        ['{"z":null}', '{"z":null,"y":null}'],
        ['{"z":1}', "{}"],
    ),
    # allOf of several.
    (
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"minimum": 1}}, "required": ["a"]},
                {"properties": {"a": {"type": "integer"}, "b": {"type": "null"}}},
                {"$ref": "#/$defs/small"},
            ],
            "$defs": {"small": {"properties": {"a": {"maximum": 3}}, "maxProperties": 2}},
        },
        ['{"a":1}', '{"a":3,"b":null}'],
        ['{"a":4}', '{"a":0}', '{"b":null}', '{"a":1.5}'],
    ),
    ({"allOf": [{"multipleOf": 4}, {"multipleOf": 6}], "type": "integer"}, ["0", "12"], ["4", "6"]),
    ({"anyOf": [{"minimum": 5}, {"maximum": 2}], "type": "integer"}, ["5", "2"], ["3", "4"]),
    # Draft 4.
    (
        {"type": "integer", "minimum": 1, "exclusiveMinimum": True, "maximum": 3},
        ["2", "3"],
        ["1", "4"],
    ),
    (
        {"type": "array", "items": [{"const": 1}], "additionalItems": {"const": 2}},
        ["[]", "[1]", "[1,2,2]"],
        ["[2]"],
    ),
    ({"type": "array", "items": [{"const": 1}], "additionalItems": False}, ["[1]"], ["[1,1]"]),
    (
        {
            "$schema": "http://json-schema.org/draft-04/schema#",
            "id": "http://a.example/s",
            "allOf": [{"$ref": "s#/definitions/p"}],
            "definitions": {"p": {"type": "boolean"}},
        },
        ["true"],
        ["1"],
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"const": 1}, "b": {"const": 2}},
            "dependencies": {"a": ["b"]},
        },
        ['{"b":2}', '{"a":1,"b":2}', "{}"],
        ['{"a":1}'],
    ),
    # Counts of members.
    (
        {"type": "object", "properties": {n: {"const": 1} for n in "abc"}, "minProperties": 2},
        ['{"a":1,"c":1}', '{"a":1,"b":1,"c":1}'],
        ['{"a":1}', "{}"],
    ),
    (
        {"type": "object", "properties": {n: {"const": 1} for n in "abc"}, "maxProperties": 1},
        ['{"c":1}', "{}"],
        ['{"a":1,"b":1}'],
    ),
    # Negations that can be written.
    ({"type": "string", "not": {"enum": ["a"]}}, ['"b"', '""'], ['"a"']),
    ({"type": "string", "not": {"pattern": "^a"}}, ['"b"'], ['"ab"']),
    (
        {
            "type": "object",
            "properties": {"k": {"enum": ["a", "b"]}, "n": {"const": 1}},
            "required": ["k"],
            "if": {"properties": {"k": {"const": "a"}}},
            "then": {"required": ["n"]},
        },
        ['{"k":"a","n":1}', '{"k":"b"}', '{"k":"b","n":1}'],
        ['{"k":"a"}'],
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"const": 1}, "b": {"const": 2}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        ['{"a":1}', '{"b":2}'],
        ['{"a":1,"b":2}', "{}"],
    ),
]


@pytest.mark.parametrize(("given", "inside", "outside"), ADMITTED, ids=lambda v: str(v)[:40])
def test_the_standard_means_what_it_says(given: Any, inside: list[str], outside: list[str]) -> None:
    dfa = JsonSchema(given).dfa
    assert [text for text in inside if not dfa.accepts(text)] == []
    assert [text for text in outside if dfa.accepts(text)] == []


def test_unknown_keywords_are_annotations_and_are_reported() -> None:
    given = {"type": "string", "maxLenght": 3, "x-order": 1, "colour": "red", "then": {}}
    with pytest.warns(UserWarning, match="has no effect") as caught:
        constraint = JsonSchema(given)
    said = [str(one.message) for one in caught]
    assert said[0] == (
        "schema #/maxLenght: the keyword 'maxLenght' has no effect (did you mean 'maxLength'?)"
    )
    assert len(said) == len(constraint.warnings) == 3
    assert not any("x-order" in sentence for sentence in said)
    assert constraint.dfa.accepts('"long enough"')
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        JsonSchema({"type": "string", "title": "t", "format": "colour", "$comment": "c"})


@pytest.mark.filterwarnings("ignore:schema")
@pytest.mark.parametrize("seed", range(CASES))
def test_random_schemas_are_exact(seed: int) -> None:
    """Every text is valid, and a valid text of a wider schema is admitted."""
    rng = random.Random(seed)
    given = rich(rng)
    validator = jsonschema.Draft202012Validator(given)
    dfa = None
    try:
        dfa = JsonSchema(given).dfa
    except ConstraintUnsatisfiedError:
        pass
    except ConstraintError:
        return
    for _ in range(8 if dfa else 0):
        text = drawn(rng, dfa, rng.choice([0, 15, 60]))
        if "\\n" not in text:  # Python's `$` also matches before a last line break
            assert validator.is_valid(json.loads(text)), (given, text)
    wider = relaxed(rng, given) if isinstance(given, dict) else None
    if wider is None or seed >= COMPLETE:
        return
    try:
        other = JsonSchema(wider).dfa
    except ConstraintError:
        return
    for _ in range(8):
        text = drawn(rng, other, rng.choice([0, 15, 40]))
        if not ODD_NUMBER.search(text) and validator.is_valid(json.loads(text)):
            assert dfa is not None, (given, wider, text)
            assert dfa.accepts(text), (given, wider, text)


LONG: list[tuple[Any, str, str]] = [
    (
        {"type": "array", "items": {"type": "string"}, "maxItems": 1000},
        json.dumps(["x"] * 1000),
        json.dumps(["x"] * 1001),
    ),
    (
        {"type": "array", "items": {"type": "number"}, "minItems": 1000, "maxItems": 1000},
        json.dumps([1.5] * 1000),
        json.dumps([1.5] * 999),
    ),
    ({"type": "string", "maxLength": 1000}, f'"{"é" * 1000}"', f'"{"é" * 1001}"'),
    ({"enum": [f"word {n}" for n in range(5000)]}, '"word 4999"', '"word 5000"'),
]


@pytest.mark.parametrize(("given", "inside", "outside"), LONG, ids=["strings", "n", "long", "enum"])
def test_long_bounds_are_quick_and_kept(given: Any, inside: str, outside: str) -> None:
    started = time.process_time()
    dfa = JsonSchema(given).dfa
    assert time.process_time() - started < 4  # under a second alone; CI shares its cores
    assert dfa.accepts(inside)
    assert not dfa.accepts(outside)
    assert JsonSchema(given).dfa is dfa
