from __future__ import annotations

import json
import re
from typing import Any

import pytest

from redraft.errors import ChatTemplateError
from redraft.text import ChatTemplate
from redraft.text.tool_schemas import plain_tools, simple_tool
from tests.text.templates import RELEASE, template

HELLO = [{"role": "user", "content": "hi"}]


def tool(parameters: Any, **function: Any) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": "f", "description": "d"} | function | {"parameters": parameters},
    }


def simple(schema: Any, **parameters: Any) -> Any:
    """The simple form of one property's schema."""
    found = simple_tool(tool({"type": "object", "properties": {"p": schema}} | parameters))
    return found["function"]["parameters"]["properties"]["p"]


STRING, INTEGER = {"type": "string"}, {"type": "integer"}
NULL = {"type": "null"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": ["string", "null"]}, STRING | {"nullable": True}),
        ({"type": ["null", "integer"], "description": "n"}, INTEGER | {"nullable": True, "description": "n"}),
        ({"type": ["string"]}, STRING),
        ({"type": ["string", "integer"]}, STRING | {"description": "string or integer"}),
        ({"type": ["string", "integer"], "description": "x"}, STRING | {"description": "x (string or integer)"}),
        ({"anyOf": [STRING, NULL], "default": None, "title": "T"}, STRING | {"nullable": True, "title": "T"}),
        ({"oneOf": [NULL, STRING | {"description": "a"}]}, STRING | {"nullable": True, "description": "a"}),
        ({"anyOf": [STRING | {"description": "a"}], "description": "b"}, STRING | {"description": "b"}),
        ({"anyOf": [INTEGER, STRING, NULL]}, INTEGER | {"nullable": True, "description": "integer or string"}),
        ({"anyOf": [{"enum": ["a"]}, {"const": "b"}]}, STRING | {"enum": ["a", "b"]}),
        ({"anyOf": [{"anyOf": [STRING, NULL]}, NULL]}, STRING | {"nullable": True}),
        ({"enum": ["a", "b"]}, STRING | {"enum": ["a", "b"]}),
        ({"enum": ["a", None]}, STRING | {"enum": ["a", None], "nullable": True}),
        ({"enum": [1, 2]}, INTEGER | {"enum": [1, 2]}),
        ({"const": "a"}, STRING | {"enum": ["a"]}),
        ({"const": None}, NULL | {"enum": [None]}),
        ({}, {"type": "any"}),
        (True, {"type": "any"}),
        (None, {"type": "any"}),
        ({"description": "x", "type": None}, {"type": "any", "description": "x"}),
        ({"minimum": 1}, {"type": "number", "minimum": 1}),
        ({"pattern": "a"}, STRING | {"pattern": "a"}),
        ({"items": STRING}, {"type": "array", "items": STRING}),
        ({"items": {"type": ["string", "null"]}}, {"type": "array", "items": STRING | {"nullable": True}}),
        ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {"type": "any"}}}),
        ({"type": "object", "additionalProperties": STRING}, {"type": "object", "additionalProperties": STRING, "properties": {}}),
        ({"allOf": [STRING, {"description": "x"}]}, STRING | {"description": "x"}),
        ({"required": True, "type": "string"}, STRING),
        ({"description": None, "type": "string"}, STRING),
        ({"$ref": "#/$defs/no"}, {"type": "any"}),
        ({"$ref": "https://example.org/x"}, {"type": "any"}),
        ({"nullable": True, "type": "string"}, STRING | {"nullable": True}),
    ],
)  # fmt: skip
def test_a_schema_says_the_same_in_the_templates_words(schema: Any, expected: Any) -> None:
    assert simple(schema) == expected


def test_objects_are_put_together() -> None:
    a = {"type": "object", "properties": {"k": STRING, "a": INTEGER}, "required": ["k", "a"]}
    b = {"type": "object", "properties": {"k": INTEGER, "b": STRING}, "required": ["k"]}
    assert simple({"anyOf": [a, b]}) == {
        "type": "object",
        "properties": {"k": STRING, "a": INTEGER, "b": STRING},
        "required": ["k"],
    }
    assert simple({"allOf": [a, b], "properties": {"c": STRING}}) == {
        "type": "object",
        "properties": {"k": STRING, "a": INTEGER, "b": STRING, "c": STRING},
        "required": ["k", "a"],
    }


def test_references_are_followed_and_a_type_that_holds_itself_ends() -> None:
    node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, NULL]}}}
    found = simple({"$ref": "#/$defs/Node", "description": "head"}, **{"$defs": {"Node": node}})
    assert found["description"] == "head"
    once = found["properties"]["next"]
    assert once["nullable"]
    assert once["properties"]["next"] == {"type": "object", "nullable": True, "properties": {}}


@pytest.mark.parametrize("chain", [{"$ref": "#/$defs/a"}, {"anyOf": [{"$ref": "#/$defs/a"}] * 2}])
def test_references_in_a_circle_end(chain: Any) -> None:
    assert simple({"$ref": "#/$defs/a"}, **{"$defs": {"a": chain}})["type"]


def test_schemas_without_end_are_refused() -> None:
    wide = {f"p{n}": {"$ref": f"#/$defs/d{n % 9}"} for n in range(9)}
    definitions = {f"d{n}": {"type": "object", "properties": wide} for n in range(9)}
    with pytest.raises(ChatTemplateError, match="tool f: its schema has more than"):
        simple({"$ref": "#/$defs/d0"}, **{"$defs": definitions})


PLAIN = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "where", "enum": ["a", "b"]},
        "days": {"type": "integer", "nullable": True},
        "more": {
            "type": "array",
            "items": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]},
        },
        "o": {
            "type": "object",
            "properties": {"y": {"type": "array", "items": {}}},
            "required": ["y"],
        },
    },
    "required": ["city"],
}


def test_a_plain_schema_is_written_as_it_was() -> None:
    release = ChatTemplate(template(RELEASE))
    given = tool(PLAIN)
    assert release.render(HELLO, tools=[simple_tool(given)]) == release.render(HELLO, tools=[given])
    (compiled,) = release._templates.values()
    raw = compiled.render({"messages": HELLO, "tools": [given], "add_generation_prompt": True})
    assert release.render(HELLO, tools=[given]) == raw


@pytest.mark.parametrize("missing", ["type", "description"])
def test_a_declaration_has_its_braces_and_no_none(missing: str) -> None:
    function = tool(
        {key: value for key, value in PLAIN.items() if key != missing}, description=None
    )
    text = ChatTemplate(template(RELEASE)).render(HELLO, tools=[function, function["function"]])
    assert text.count("{") == text.count("}")
    assert text.count("declaration:f{") == 2
    assert "None" not in text


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": ["string", "null"]},
        {"anyOf": [STRING, NULL]},
        True,
        {"$ref": "#"},
        {"enum": [1, "a"]},
    ],
)
def test_the_releases_template_writes_one_type_for_each_parameter(schema: Any) -> None:
    parameters = {
        "properties": {"a": schema, "l": {"items": schema}, "o": {"properties": {"x": schema}}}
    }
    text = ChatTemplate(template(RELEASE)).render(HELLO, tools=[tool(parameters)])
    types = re.findall(r'type:<\|"\|>(.*?)<\|"\|>', text)
    assert len(types) > 4
    assert all(re.fullmatch("[A-Z]+", word) for word in types)


def test_a_template_that_copies_schemas_gets_them_as_they_are() -> None:
    given = tool({"properties": {"a": {"anyOf": [STRING, NULL]}}}, strict=None)
    copier = ChatTemplate("{{ tools[0] | tojson }}")
    assert json.loads(copier.render(HELLO, tools=[given])) == given


@pytest.mark.parametrize("tools", ["f", {"name": "f"}, [3], [{"type": "function"}], [tool(3)]])
def test_tools_that_are_none_are_refused(tools: Any) -> None:
    with pytest.raises(ChatTemplateError):
        [simple_tool(one) for one in plain_tools(tools)]
