"""JSON Schema: every text that is admitted is valid, to two readers that are not ours."""

from __future__ import annotations

import datetime
import enum
import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

from redraft.errors import ConstraintError, ConstraintUnsatisfiedError
from redraft.grammar import JsonSchema
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.schema.numbers import Bound, numbers
from tests.grammar.cases import drawn, guidance_accepts, schema


def plain(given: Any) -> bool:
    """Return True where llguidance reads a schema as the standard does: with bounds it refuses some
    valid spellings of numbers."""
    found = json.dumps(given)
    return not any(word in found for word in ("multipleOf", "inimum", "aximum", "2.5"))


@pytest.mark.parametrize("seed", range(90))
def test_every_text_is_valid(seed: int) -> None:
    rng = random.Random(seed)
    given = schema(rng)
    dfa = JsonSchema(given).dfa
    validator = jsonschema.Draft202012Validator(given)
    for _ in range(12):
        text = drawn(rng, dfa, rng.choice([0, 15, 60]))
        problems = [error.message for error in validator.iter_errors(json.loads(text))]
        assert not problems, (given, text)
        assert not plain(given) or guidance_accepts(given, text), (given, text)


@pytest.mark.parametrize("seed", range(40))
def test_values_that_are_invalid_are_not_admitted(seed: int) -> None:
    """Texts of other schemas, and texts with one character changed."""
    rng = random.Random(1000 + seed)
    given, other = schema(rng), schema(rng)
    dfa, foreign = JsonSchema(given).dfa, JsonSchema(other).dfa
    validator = jsonschema.Draft202012Validator(given)
    for _ in range(30):
        text = drawn(rng, rng.choice([dfa, foreign]), 20)
        at = rng.randrange(len(text))
        text = rng.choice(
            [
                text,
                text[:at] + rng.choice('0",:{}[]ax-.\\ ') + text[at + 1 :],
                text[:at] + text[at + 1 :],
            ]
        )
        if dfa.accepts(text):
            assert validator.is_valid(json.loads(text)), (given, text)


ADMITTED = [
    ({"type": "string"}, ['""', '"é\\n\\"\\\\"', '"a b"'], ["a", '"\n"', '"\\u0041"', "'a'"]),
    (
        {"type": "string", "minLength": 2, "maxLength": 3},
        ['"ab"', '"\\n\\n\\n"', '"😀😀"'],
        ['"a"', '"abcd"'],
    ),
    (
        {"type": "integer", "minimum": -5, "exclusiveMaximum": 12},
        ["-5", "0", "11"],
        ["-6", "12", "1.0", "01", "-0", "1e1"],
    ),
    (
        {"type": "number", "minimum": 0.5, "maximum": 2},
        ["0.5", "1", "1.75", "2.00"],
        ["0.4", "2.01", ".5", "1e0"],
    ),
    ({"type": "number"}, ["-1.5e+10", "0", "2E3"], ["1.", "+1", "NaN", "Infinity"]),
    ({"type": "integer", "multipleOf": 7}, ["0", "-14", "700"], ["8", "1"]),
    (
        {"enum": ["a", 1, None, [1, {"b": 2}]]},
        ['"a"', "1", "null", '[1, {"b":2}]', '[ 1,{ "b": 2 } ]'],
        ['"b"', "[1]"],
    ),
    ({"enum": ["ab", "c", 3], "type": "string", "minLength": 2}, ['"ab"'], ['"c"', "3"]),
    ({"type": ["null", "boolean"]}, ["null", "true"], ["0"]),
    (
        {"type": "array", "items": {"const": 1}, "minItems": 1, "maxItems": 2},
        ["[1]", "[1, 1 ]"],
        ["[]", "[1,]", "[1,1,1]"],
    ),
    (
        {"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "items": False},
        ["[]", "[1]", "[1,2]"],
        ["[2]", "[1,2,3]"],
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}},
            "required": ["b"],
        },
        ['{"b":2}', '{"a":1, "b": 2,"c":3}', '{"b":2,"c":3}'],
        ["{}", '{"a":1}', '{"b":2,"a":1}', '{"b":2,}', '{"b":2,"d":4}'],
    ),
    (
        {"type": "object", "additionalProperties": {"type": "null"}, "minProperties": 1},
        ['{"x":null}'],
        ["{}", '{"x":1}'],
    ),
    (
        {"properties": {"a": {"const": 1}}, "additionalProperties": {"const": 0}, "type": "object"},
        ["{}", '{"a":1}', '{"a":1,"b":0}', '{"b":0}'],
        ['{"a":0}', '{"b":0,"a":1}'],
    ),
    ({"anyOf": [{"const": 1}, {"type": "string", "pattern": "^x"}]}, ["1", '"xy"'], ['"yx"']),
    ({"const": "a", "enum": ["a", "b"]}, ['"a"'], ['"b"']),
    (
        {
            "oneOf": [
                {"properties": {"k": {"const": kind}}, "required": ["k"], "type": "object"}
                for kind in "ab"
            ]
        },
        ['{"k":"a"}', '{"k":"b"}'],
        ['{"k":"c"}'],
    ),
    ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "null"}}}, ["null"], ["1"]),
    ({"allOf": [{"type": "null"}], "title": "t"}, ["null"], ["1"]),
    (
        {"type": "object", "required": ["a"], "additionalProperties": {"type": "null"}},
        ['{"a":null}'],
        ['{"a":1}', "{}"],
    ),
    ({"type": "object", "properties": {}}, ["{}"], ['{"a":1}']),
    (
        {
            "type": "object",
            "propertyNames": {"enum": ["x", "y"]},
            "additionalProperties": {"const": 1},
        },
        ['{"x":1}'],
        ['{"z":1}'],
    ),
    ({"const": True, "enum": [True, 1]}, ["true"], ["1"]),
    ({"enum": [1e-7, 2.0], "type": "number", "maximum": 3}, ["0.0000001", "2"], ["1e-07", "2.0"]),
    ({"type": "integer", "enum": [1.0]}, ["1"], ["1.0"]),
    ({"type": "string", "pattern": r"^[\s\S]+$"}, ['"a\u3000é"', '"\\n"'], ['""']),
    ({"type": "string", "pattern": "^(?:^a$|^b$)$"}, ['"a"', '"b"'], ['"ab"']),
    ({"type": "string", "format": "uri"}, ['"https://a.example/x"'], ['"x"']),
    ({"type": "string", "format": "password", "x-note": 1}, ['"secret"'], []),
    ({"$ref": "#/$defs/a%20b", "$defs": {"a b": {"type": "null"}}}, ["null"], []),
    (
        {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "null"}}},
        ["null"],
        ["1"],
    ),
    ({"name": "n", "strict": True, "schema": {"type": "null"}}, ["null"], ["1"]),
    ('{"type": "null"}', ["null"], ["1"]),
    ({}, ["1", '{"a":[1,{"b":null}]}', '"x"'], ["", "{"]),
    (True, ["1"], [""]),
]


@pytest.mark.parametrize(
    ("given", "inside", "outside"), ADMITTED, ids=lambda value: str(value)[:50]
)
def test_a_schema_admits_what_it_says(given: Any, inside: list[str], outside: list[str]) -> None:
    dfa = JsonSchema(given).dfa
    assert [text for text in inside if not dfa.accepts(text)] == []
    assert [text for text in outside if dfa.accepts(text)] == []


REFUSED = [
    (
        {"type": "object", "properties": {"a": {"contains": {}}}},
        "#/properties/a: the keyword 'contains' is not supported",
    ),
    ({"not": {"items": {}}}, "#/not: the keyword 'not' is not supported here"),
    ({"if": {"uniqueItems": True}, "then": {}}, "#/if: the keyword 'if' is not supported here"),
    ({"properties": {"a": {"type": "strin"}}}, "#/properties/a/type: 'strin'"),
    ({"type": "string", "pattern": "(?<=a)b"}, "lookbehind"),
    ({"type": "string", "minLength": -1}, "#/minLength: -1"),
    ({"type": "integer", "minimum": "0"}, "#/minimum: '0'"),
    ({"type": "integer", "multipleOf": 0}, "#/multipleOf: 0 must be more than 0"),
    ({"type": "array", "items": {"type": "object"}, "uniqueItems": True}, "#/uniqueItems: "),
    ({"$ref": "#/nowhere"}, "'#/nowhere' points to nothing"),
    ({"$ref": "other.json"}, "points outside"),
    (
        {"oneOf": [{"items": {"type": "null"}}, {"minItems": 2, "type": "array"}]},
        "may admit the same value",
    ),
    ({"allOf": []}, "one schema at least"),
    ({"anyOf": []}, "one schema at least"),
    ({"anyOf": [3]}, "#/anyOf/0: a schema is an object"),
    ({"type": "object", "minProperties": 2}, "minProperties"),
    ("{", "not JSON"),
    ([1], "a schema is an object or a boolean"),
    ({"const": float("nan")}, "cannot be written as JSON"),
    ({"const": "\ud800"}, "cannot be written as JSON"),
    ({"const": {1, 2}}, "cannot be written as JSON"),
    ('{"const": Infinity}', "cannot be written as JSON"),
    ('{"const": "\\ud800"}', "cannot be written as JSON"),
    ({"type": "null", "nullable": 1}, "#/nullable: 1 must be a boolean"),
    ({"oneOf": [{"enum": 3}, {"type": "null"}]}, "#/oneOf/0/enum: 3"),
    ({"oneOf": [{"type": "object", "required": 3}, {"type": "object"}]}, "#/oneOf/0/required"),
    (
        {"type": "object", "properties": {"a": {"type": "string", "maxLength": 100000}}},
        "#/properties/a/maxLength: ",
    ),
    (
        {"type": "array", "prefixItems": [{}], "minItems": 2},
        "#/minItems: more items than prefixItems",
    ),
]


@pytest.mark.parametrize(("given", "words"), REFUSED, ids=lambda value: str(value)[:50])
def test_what_cannot_be_used_is_refused_with_its_place(given: Any, words: str) -> None:
    with pytest.raises(ConstraintError) as caught:
        JsonSchema(given)
    assert words in str(caught.value)
    assert not isinstance(caught.value, ConstraintUnsatisfiedError)


def test_a_schema_that_is_nested_too_deeply_is_refused() -> None:
    # The Python version decides whether it is read at all.
    with pytest.raises(ConstraintError, match=r"nested too deeply|not JSON"):
        JsonSchema('{"items":' * 5000 + "{}" + "}" * 5000)


NOTHING = [
    (False, "#"),
    ({"enum": []}, "#/enum"),
    ({"type": "string", "minLength": 3, "maxLength": 1}, "minLength 3 is more than maxLength 1"),
    ({"type": "string", "pattern": "^a$", "minLength": 2}, "#: admits no value"),
    ({"type": "integer", "minimum": 5, "maximum": 4}, "#: admits no value"),
    ({"type": "integer", "minimum": 0.1, "maximum": 0.9}, "#: admits no value"),
    (
        {"properties": {"a": {"enum": []}}, "required": ["a"], "type": "object"},
        "#/properties/a/enum",
    ),
    ({"$ref": "#"}, "no value"),
    ({"$ref": "#", "minLength": 1}, "no value"),
    ({"not": {}}, "no value"),
    ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "no value"),
    (
        {"required": ["ab"], "propertyNames": {"maxLength": 1}, "type": "object"},
        "#/required: 'ab' is required",
    ),
    ({"type": "array", "items": {"$ref": "#"}, "minItems": 1}, "no value"),
    ({"type": "array", "minItems": 2, "maxItems": 1}, "minItems"),
    ({"type": "object", "required": ["a", "b"], "maxProperties": 1}, "maxProperties"),
    (
        {"type": "object", "required": ["a"], "additionalProperties": False},
        "#/additionalProperties",
    ),
]


@pytest.mark.parametrize(("given", "words"), NOTHING, ids=lambda value: str(value)[:50])
def test_a_schema_that_admits_nothing_is_an_error_of_its_own(given: Any, words: str) -> None:
    with pytest.raises(ConstraintUnsatisfiedError) as caught:
        JsonSchema(given)
    assert words in str(caught.value)


def test_recursion_goes_as_deep_as_it_is_told() -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": False}

    def nested(depth: int) -> str:
        return "{}" if not depth else f'{{"next":{nested(depth - 1)}}}'

    for depth in range(3):
        dfa = JsonSchema(tree, depth=depth).dfa
        # The whole schema is no reference: the first one stands inside it.
        assert dfa.accepts(nested(depth + 1))
        assert not dfa.accepts(nested(depth + 2))


def test_numbers_are_compared_as_numbers() -> None:
    rng = random.Random(9)
    for _ in range(60):
        integer = rng.random() < 0.5

        def bound() -> Bound | None:
            value = Decimal(rng.randint(-3000, 3000)) / Decimal(rng.choice([1, 10, 100, 1000]))
            return rng.choice([None, Bound(value, rng.random() < 0.5)])

        low, high = bound(), bound()
        multiple = rng.choice(
            [None, None, Decimal(3), Decimal("0.25"), Decimal("0.1"), Decimal(10)]
        )
        if low is None and high is None and multiple is None:
            continue
        dfa = minimal_dfa(numbers(integer, low, high, multiple))
        places = (
            0
            if integer
            else 9
            if multiple is None
            else max(0, -int(multiple.normalize().as_tuple().exponent))
        )
        for _ in range(120):
            value = Decimal(rng.randint(-4000, 4000)) / Decimal(rng.choice([1, 10, 100, 1000]))
            if (low or high) and rng.random() < 0.4:
                value = (low or high).value + rng.choice(
                    [Decimal(0), Decimal("0.1"), Decimal("-0.001"), Decimal(1)]
                )  # type: ignore[union-attr]
            text = format(abs(value), "f")
            text = ("-" if value < 0 else "") + (
                text + "0" if "." in text and rng.random() < 0.3 else text
            )
            valid = (
                len(text.partition(".")[2]) <= places
                and (low is None or value > low.value or (low.included and value == low.value))
                and (high is None or value < high.value or (high.included and value == high.value))
                and (multiple is None or value % multiple == 0)
            )
            assert dfa.accepts(text) == valid, (integer, low, high, multiple, text)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Person(BaseModel):
    name: str = Field(max_length=8)
    age: int = Field(ge=0, le=120)
    friends: list[Person] = Field(default_factory=list, max_length=1)


def test_a_pydantic_model_is_a_schema_and_its_instances_come_back() -> None:
    constraint = JsonSchema(Person)
    rng = random.Random(0)
    for _ in range(20):
        person = constraint.parse(drawn(rng, constraint.dfa, 60), [], None)  # type: ignore[arg-type]
        assert isinstance(person, Person)
        assert person.age <= 120
    assert constraint.dfa.accepts('{"name":"x","age":3,"friends":[{"name":"y","age":4}]}')


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = Field(ge=0, le=9)


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str | None = None


class Owner(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    born: datetime.date
    colour: Colour
    notes: dict[str, float] = Field(default_factory=dict)


class Node(BaseModel):
    left: Node | None = None
    leaf: Leaf | None = None


class Leaf(BaseModel):
    back: Node | None = None
    twig: Leaf | None = None


def test_pydantic_unions_dates_enums_and_circles_come_back() -> None:
    for model in (Owner, Node):
        constraint = JsonSchema(model)
        rng = random.Random(1)
        for _ in range(20):
            assert isinstance(constraint.parse(drawn(rng, constraint.dfa, 40), [], None), model)  # type: ignore[arg-type]


@pytest.mark.long
def test_rules_that_refer_to_one_another_stay_small() -> None:
    """n definitions that all refer to all others: as many automata as definitions times levels."""
    names = "abcd"
    members = {name: {"$ref": f"#/$defs/{name}"} for name in names}
    definitions = {
        name: {"type": "object", "properties": members, "maxProperties": 4} for name in names
    }
    with pytest.raises(ConstraintError, match="too large"):
        JsonSchema({"$ref": "#/$defs/a", "$defs": definitions}, depth=3)
    circle = {
        name: {"type": "array", "items": {"$ref": f"#/$defs/{after}"}}
        for name, after in zip(names, "bcda", strict=True)
    }
    dfa = JsonSchema({"$ref": "#/$defs/a", "$defs": circle}, depth=2).dfa
    assert len(dfa.table) < 200
    assert dfa.accepts("[" * 12 + "]" * 12)
    assert not dfa.accepts("[" * 13 + "]" * 13)


def test_many_optional_members_are_no_more_work_than_they_are() -> None:
    properties = {f"name{number}": {"type": "string"} for number in range(120)}
    dfa = JsonSchema({"type": "object", "properties": properties}).dfa
    assert len(dfa.table) < 3000
    assert dfa.accepts('{"name3":"x", "name77":""}')
    assert not dfa.accepts('{"name77":"x","name3":""}')
    assert not dfa.accepts('{"name3":"x",}')


def test_bounds_of_any_size_are_exact() -> None:
    huge = 12345678901234567890123456789012349
    dfa = JsonSchema({"type": "integer", "minimum": -huge, "maximum": huge}).dfa
    for value in (huge, -huge):
        assert dfa.accepts(str(value))
        assert not dfa.accepts(str(value + (1 if value > 0 else -1)))


def test_space_is_jsons_own() -> None:
    dfa = JsonSchema({"type": "array", "items": {"type": "null"}}, space=r"\s*").dfa
    assert dfa.accepts("[\n  null,\n\tnull\n]")
    assert not dfa.accepts("[\fnull]")
    for wrong in (3, "a+", "("):
        with pytest.raises(ConstraintError):
            JsonSchema({}, space=wrong)  # type: ignore[arg-type]


def test_a_class_without_json_is_refused() -> None:
    class Strange(BaseModel):
        call: Callable[[int], int]

    with pytest.raises(ConstraintError, match="has no JSON Schema"):
        JsonSchema(Strange)
