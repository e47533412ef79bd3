"""Keywords of JSON Schema: which are known, and their values, checked."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from redraft.errors import ConstraintError, ConstraintUnsatisfiedError

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
ANNOTATIONS = frozenset(
    "$schema $id $comment $anchor $defs definitions title description default examples deprecated readOnly writeOnly "
    "discriminator contentMediaType contentEncoding contentSchema".split()
)
STRUCTURE = frozenset("$ref type enum const anyOf oneOf allOf".split())
OF_TYPE = {
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
ANY_FORMAT = ("password", "binary")  # formats that ask nothing of a text
HINTS = {"nullable": 'write type: [..., "null"]', "json_schema": "give the schema alone"}
KNOWN = ANNOTATIONS | STRUCTURE | {name for names in OF_TYPE.values() for name in names}


class Place:
    """A subschema and where it stands."""

    def __init__(self, schema: Any, path: str) -> None:
        self.path = path
        if isinstance(schema, bool):
            schema = {} if schema else {"enum": []}
        if not isinstance(schema, Mapping):
            raise self.error(f"a schema is an object or a boolean, not {schema!r}")
        self.schema: Mapping[str, Any] = schema
        for name in schema:
            if name not in KNOWN and not str(name).startswith("x-"):
                near = difflib.get_close_matches(str(name), KNOWN, n=1)
                hint = HINTS.get(str(name)) or (f"did you mean {near[0]!r}?" if near else "")
                raise self.error(
                    f"the keyword {name!r} is not supported{f' ({hint})' if hint else ''}"
                )

    def error(self, message: str, *names: str) -> ConstraintError:
        """An error that names this place, or one inside it."""
        return ConstraintError(f"schema {'/'.join([self.path, *names])}: {message}")

    def unsatisfied(self, message: str, *names: str) -> ConstraintUnsatisfiedError:
        """The same where nothing can be admitted."""
        return ConstraintUnsatisfiedError(str(self.error(message, *names)))

    def __contains__(self, name: str) -> bool:
        return name in self.schema

    def inside(self, *names: str | int) -> Place:
        """A subschema of this one."""
        found: Any = self.schema
        for name in names:
            found = found[name]
        return Place(
            found,
            "/".join(
                [self.path, *(str(name).replace("~", "~0").replace("/", "~1") for name in names)]
            ),
        )

    def besides(self, *names: str) -> list[str]:
        """Keywords other than these that ask for something."""
        return [name for name in self.schema if name in KNOWN - ANNOTATIONS and name not in names]

    def types(self) -> tuple[str, ...]:
        """The types that it admits; "number" without "integer" admits integers too."""
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
        """A keyword whose value is a whole number of at least 0; None where it is absent."""
        value = self.schema.get(name)
        if name not in self.schema:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.error(f"{value!r} must be a whole number of at least 0", name)
        return value

    def number(self, name: str) -> Decimal | None:
        """A keyword whose value is a number; None where it is absent."""
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

    def of_kind(self, name: str, kind: type, otherwise: Any) -> Any:
        """A keyword whose value is of a Python type; `otherwise` where it is absent."""
        value = self.schema.get(name, otherwise)
        if name in self.schema and not isinstance(value, kind):
            raise self.error(
                f"{value!r} must be {'an object' if kind is dict else f'a {kind.__name__}'}", name
            )
        return value


def as_json(schema: Any) -> str:
    """A schema as JSON text.

    Raises:
        ConstraintError: it cannot be written so.
    """
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ConstraintError(f"the schema cannot be written as JSON: {error}") from None
    return text
