"""Tool schemas for templates that take them apart.

Gemma's template writes a parameter's `type` as one word, beside `nullable`, `enum`, `items`,
`properties` and `required`. It misreads all else that JSON Schema has: lists of types, anyOf,
references, a missing type. So a copy of each schema is made that says the same in these words. The
schema itself stays what arguments are checked against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from redraft.errors import ChatTemplateError
from redraft.text.json_value import Json
from redraft.text.plain_data import plain

Schema = dict[str, Json]
Path = tuple[str, ...]

# The type of a schema that admits any value. JSON Schema has no word for it.
ANY_TYPE = "any"
# Keywords that belong to one type, for schemas that leave the type out.
TYPE_BY_KEYWORD = {
    "properties": "object",
    "additionalProperties": "object",
    "patternProperties": "object",
    "required": "object",
    "items": "array",
    "prefixItems": "array",
    "minItems": "array",
    "maxItems": "array",
    "pattern": "string",
    "minLength": "string",
    "maxLength": "string",
    "format": "string",
    "minimum": "number",
    "maximum": "number",
    "exclusiveMinimum": "number",
    "exclusiveMaximum": "number",
    "multipleOf": "number",
}
# Keywords that say how schemas are put together. The copy has their meaning in other words.
JOINING = ("$ref", "$defs", "definitions", "anyOf", "oneOf", "allOf", "const")
# References can make a small schema large, and hold themselves.
MAX_SCHEMAS, MAX_VISITS = 10_000, 2
MAX_MEMBERS = 300_000  # that are copied, of all schemas together
CHARACTERS = 16  # of a text that count as a member
MAX_PATH, MAX_REFERENCE = 64, 4096  # references behind each other, and characters of one


def plain_tools(tools: Sequence[Mapping[str, Any]]) -> list[Schema]:
    """Return tools as plain data.

    Raises:
        ChatTemplateError: they are no list of mappings.
    """
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Sequence):
        raise ChatTemplateError(f"tools is a {type(tools).__name__}: give a list of functions")
    found = []
    for at, given in enumerate(tools):
        tool = plain(given, f"tools[{at}]")
        if not isinstance(tool, dict):
            raise ChatTemplateError(f"tools[{at}] must be a function with a name and parameters")
        found.append(tool)
    return found


def simple_tool(tool: Schema) -> Schema:
    """Return a tool with a schema in the few words that such templates know.

    Raises:
        ChatTemplateError: it has no function with a name, or its schema cannot be read.
    """
    function = tool.get("function", tool)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ChatTemplateError("a tool needs a function with a name and parameters")
    function = {key: value for key, value in function.items() if value is not None}
    parameters = function.get("parameters")
    if parameters:
        if not isinstance(parameters, dict):
            raise ChatTemplateError(f"tool {function['name']}: parameters must be a JSON Schema")
        try:
            function["parameters"] = _Simplifier(parameters).parameters()
        except ChatTemplateError as error:
            raise ChatTemplateError(f"tool {function['name']}: {error}") from None
    if "function" not in tool:
        return {"type": "function", "function": function}
    return tool | {"function": function}


class _Simplifier:
    """Simplifies the schemas of one tool.

    Attributes:
        root: the tool's parameters, where references point to.
        count: the schemas that were read. members: what they hold.
    """

    def __init__(self, root: Schema) -> None:
        self.root = root
        self.count = self.members = 0

    def parameters(self) -> Schema:
        """Return the schema of all parameters, which is an object's."""
        return self.simple(self.root, ()) | {"type": "object"}

    def simple(self, schema: Json, path: Path) -> Schema:
        """Return a schema whose `type` is one word.

        Args:
            path: the references that led here.
        """
        found, path = self.flat(schema, path)
        words = _types(found)
        kept = [word for word in words if word != "null"]
        found["type"] = next(iter(kept), "null" if words else ANY_TYPE)
        if len(kept) < len(words) and kept:
            found["nullable"] = True
        if len(kept) > 1:
            note = " or ".join(kept)
            described = found.get("description")
            found["description"] = f"{described} ({note})" if described else note
        if found["type"] == "object" and isinstance(found.get("properties"), dict):
            children = _mapping(found.get("properties"))
            found["properties"] = {name: self.property(one, path) for name, one in children.items()}
        if isinstance(found.get("items"), dict) and found["items"]:
            found["items"] = self.simple(found["items"], path)
        return {key: value for key, value in found.items() if value is not None}

    def property(self, schema: Json, path: Path) -> Schema:
        """Return the schema of a property. An object without properties gets none: templates would
        take its keywords for properties."""
        found = self.simple(schema, path)
        return {"properties": {}} | found if found["type"] == "object" else found

    def count_members(self, schema: Schema, path: Path) -> None:
        """Count what a schema holds, where it is copied.

        Raises:
            ChatTemplateError: all of them hold too much, or refer too deep.
        """
        self.members += len(schema)
        for value in schema.values():
            if isinstance(value, dict | list):
                self.members += len(value)
            elif isinstance(value, str):
                self.members += len(value) // CHARACTERS
        if self.members > MAX_MEMBERS or len(path) > MAX_PATH:
            raise ChatTemplateError(
                f"its schema has more than {MAX_MEMBERS} members, or {MAX_PATH} references behind "
                "each other"
            )

    def flat(self, schema: Json, path: Path) -> tuple[Schema, Path]:
        """Return a schema without references, allOf, anyOf and oneOf, and the path behind them.

        Its own keywords go before those of the schemas that it is put together from.
        """
        self.count += 1
        if self.count > MAX_SCHEMAS:
            raise ChatTemplateError(f"its schema has more than {MAX_SCHEMAS} parts")
        if not isinstance(schema, dict):
            return {}, path
        self.count_members(schema, path)
        found = {key: value for key, value in schema.items() if key not in JOINING}
        if "const" in schema:
            found.setdefault("enum", [schema["const"]])
        if not isinstance(found.get("required", []), list):
            del found["required"]  # draft 3 has a truth value here
        if isinstance(reference := schema.get("$ref"), str):
            target = _target(self.root, reference)
            if path.count(reference) < MAX_VISITS:
                target, path = self.flat(target, (*path, reference))
            else:  # a type that holds itself
                target = {key: target[key] for key in ("type", "description") if key in target}
            found = _both(found, target)
        for member in _list(schema.get("allOf")):
            more, path = self.flat(member, path)
            found = _both(found, more)
            self.count_members(found, path)
        for keyword in ("anyOf", "oneOf"):
            options = []
            for option in _list(schema.get(keyword)):
                one, path = self.flat(option, path)
                options.append(one)
            found = _both(found, _any_of(options)) if options else found
        return found, path


def _target(root: Schema, reference: str) -> Schema:
    """Return the schema that a reference names; one that is not in the tool admits anything."""
    found: Json = root
    if not reference.startswith("#"):
        return {}
    if len(reference) > MAX_REFERENCE:
        raise ChatTemplateError(f"a reference has more than {MAX_REFERENCE} characters")
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            found = _mapping(found).get(name)
    return {key: value for key, value in _mapping(found).items() if key != "$defs"}


def _both(first: Schema, second: Schema) -> Schema:
    """Return what two schemas say together. The first goes before the second."""
    found = second | first
    if "properties" in first and "properties" in second:
        found["properties"] = _mapping(second["properties"]) | _mapping(first["properties"])
    if required := [*_list(first.get("required")), *_list(second.get("required"))]:
        found["required"] = list(dict.fromkeys(name for name in required if isinstance(name, str)))
    return found


def _any_of(options: list[Schema]) -> Schema:
    """Return one schema for several of which one holds, as far as one can say it."""
    real = [option for option in options if _types(option) != ["null"]]
    words = chain.from_iterable(_types(option) or [ANY_TYPE] for option in options)
    found: Schema = dict(real[0]) if len(real) == 1 else _union(real)
    return found | {"type": list(dict.fromkeys(words))}


def _union(options: list[Schema]) -> Schema:
    """Return all properties of some schemas, and the names that each of them requires."""
    found: Schema = {}
    texts = dict.fromkeys(str(one["description"]) for one in options if one.get("description"))
    if texts:
        found["description"] = "; ".join(texts)
    if options and all("enum" in option for option in options):
        values = chain.from_iterable(_list(option["enum"]) for option in options)
        found["enum"] = list(values)
    if lists := [option["items"] for option in options if isinstance(option.get("items"), dict)]:
        found["items"] = lists[0]
    objects = [option for option in options if "object" in _types(option)]
    if objects:
        properties: Schema = {}
        for option in objects:
            properties = _mapping(option.get("properties")) | properties
        found["properties"] = properties
        first, *others = (_list(option.get("required")) for option in objects)
        for names in others:
            known = {name for name in names if isinstance(name, str)}
            first = [name for name in first if isinstance(name, str) and name in known]
        found["required"] = first
    return found


def _types(schema: Schema) -> list[str]:
    """Return the types that a schema admits, each once; none where it does not say."""
    stated = schema.get("type")
    words = [word for word in (_list(stated) or [stated]) if isinstance(word, str) and word]
    if not words:
        words = [_type_of(value) for value in _list(schema.get("enum"))]
    if not words:
        words = [word for keyword, word in TYPE_BY_KEYWORD.items() if keyword in schema][:1]
    if words and schema.get("nullable") is True:
        words.append("null")
    return list(dict.fromkeys(words))


def _type_of(value: Json) -> str:
    names = {str: "string", bool: "boolean", int: "integer", float: "number", dict: "object"}
    return "null" if value is None else names.get(type(value), "array")


def _mapping(value: Json) -> Schema:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
