"""Subschema: a part of a JSON Schema with its place, and the keywords that are known."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import TypeVar

from redraft.errors import ConstraintError, ConstraintUnsatisfiedError
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import Expression
from redraft.text.json_value import Json

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
# Keywords that do not restrict a value.
ANNOTATIONS = frozenset(
    "$schema $id $comment $anchor $defs definitions title description default examples deprecated "
    "readOnly writeOnly discriminator contentMediaType contentEncoding contentSchema".split()
)
STRUCTURE = frozenset("$ref type enum const anyOf oneOf allOf".split())
KEYWORDS_OF_TYPE = {
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "object": (
        "properties",
        "required",
        "additionalProperties",
        "propertyNames",
        "minProperties",
        "maxProperties",
    ),
}
HINTS = {"nullable": 'write type: [..., "null"]', "json_schema": "give the schema alone"}
RESTRICTIONS = STRUCTURE.union(*KEYWORDS_OF_TYPE.values())
KEYWORDS = ANNOTATIONS | RESTRICTIONS
TYPE_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}

T = TypeVar("T")
Default = TypeVar("Default")


class Subschema:
    """A part of a schema.

    Attributes:
        schema: its keywords; the boolean schemas are written with keywords.
        path: a JSON pointer to it.

    Raises, when it is built:
        ConstraintError: it is not an object or a boolean, or has a keyword that is not supported.
    """

    def __init__(self, schema: Json, path: str) -> None:
        self.path = path
        if isinstance(schema, bool):
            schema = {} if schema else {"enum": []}
        if not isinstance(schema, Mapping):
            raise self.error(f"a schema is an object or a boolean, not {schema!r}")
        self.schema: Mapping[str, Json] = schema
        for name in schema:
            if name not in KEYWORDS and not str(name).startswith("x-"):
                near = difflib.get_close_matches(str(name), KEYWORDS, n=1)
                hint = HINTS.get(str(name)) or (f"did you mean {near[0]!r}?" if near else "")
                raise self.error(
                    f"the keyword {name!r} is not supported{f' ({hint})' if hint else ''}"
                )

    def error(self, message: str, *names: str) -> ConstraintError:
        """Return an error that names this place, or one inside it."""
        return ConstraintError(f"schema {'/'.join([self.path, *names])}: {message}")

    def unsatisfied(self, message: str, *names: str) -> ConstraintUnsatisfiedError:
        """Return an error for a place that admits no value."""
        return ConstraintUnsatisfiedError(str(self.error(message, *names)))

    def dfa(self, expression: Expression) -> DFA:
        """Return the minimal DFA of an expression of this subschema; errors name this place."""
        try:
            return minimal_dfa(expression)
        except ConstraintError as error:
            raise self.error(str(error)) from None

    def __contains__(self, name: str) -> bool:
        return name in self.schema

    def inside(self, keyword: str, name: str | int | None = None) -> Subschema:
        """Return the subschema of a keyword, or the one that is at `name` in the keyword's list or
        object."""
        found = self.schema[keyword]
        path = [self.path, _escaped(keyword)]
        if name is not None:
            assert isinstance(found, dict | list)
            found = found[name]  # type: ignore[index]
            path.append(_escaped(str(name)))
        return Subschema(found, "/".join(path))

    def anything(self) -> Subschema:
        """Return a subschema at this place that admits every value."""
        return Subschema({}, self.path)

    def restrictions(self, *but: str) -> list[str]:
        """Return the keywords that restrict a value, without those of `but`."""
        return [name for name in self.schema if name in RESTRICTIONS and name not in but]

    def types(self) -> tuple[str, ...]:
        """Return the types that it admits; "number" stands for integers too."""
        given = self.schema.get("type", list(TYPES))
        types = [given] if isinstance(given, str) else given
        if not isinstance(types, list) or not types or any(name not in TYPES for name in types):
            raise self.error(f"{given!r} is none of the types {', '.join(TYPES)}", "type")
        return tuple(
            name
            for name in TYPES
            if name in types and not (name == "integer" and "number" in types)
        )

    def count(self, name: str) -> int | None:
        """Return a keyword's value, a whole number of at least 0; None where it is absent."""
        value = self.schema.get(name)
        if name not in self.schema:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.error(f"{value!r} must be a whole number of at least 0", name)
        return value

    def number(self, name: str) -> Decimal | None:
        """Return a keyword's value, a number; None where it is absent."""
        if name not in self.schema:
            return None
        value = self.schema[name]
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not Decimal(repr(value)).is_finite()
        ):
            raise self.error(f"{value!r} must be a number", name)
        return Decimal(repr(value))

    def value(self, name: str, kind: type[T], default: Default) -> T | Default:
        """Return a keyword's value, which is of a Python type; `default` where it is absent."""
        if name not in self.schema:
            return default
        value = self.schema[name]
        if not isinstance(value, kind):
            raise self.error(f"{value!r} must be {TYPE_NAMES[kind]}", name)
        return value


def _escaped(name: str) -> str:
    """Return a name as a JSON pointer has it (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def json_text(schema: object) -> str:
    """Return a schema as JSON text.

    Raises:
        ConstraintError: JSON cannot express it.
    """
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ConstraintError(f"the schema cannot be written as JSON: {error}") from None
    return text
