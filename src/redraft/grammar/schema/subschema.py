"""Subschema: a part of a JSON Schema with its place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeVar
from urllib.parse import urljoin

from redraft.errors import ConstraintError, ConstraintUnsatisfiedError
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import Expression
from redraft.grammar.located import located
from redraft.grammar.schema.keywords import (
    DEFINITIONS,
    INTERNAL,
    KEYWORDS,
    NEEDS,
    REFUSED,
    RESTRICTIONS,
    TYPES,
    draft_of,
)
from redraft.text.json_value import Json

ROOT = "#"
TYPE_NAMES = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
# The first draft in which keywords beside $ref have an effect.
FIRST_WITH_REF_SIBLINGS = 2019

T = TypeVar("T")
Default = TypeVar("Default")


@dataclass(frozen=True, eq=False)
class Subschema:
    """A part of a schema.

    Attributes:
        schema: its keywords; the boolean schemas are written with keywords.
        path: a JSON pointer to it, which no other subschema has.
        base: the address that references in it are relative to.
        draft: the draft that `$schema` names, None where it names none.
        owner: the path of the definition that it is a part of.

    Raises, when it is built by `of`:
        ConstraintError: it is not an object or a boolean.
    """

    schema: Mapping[str, Json]
    path: str
    base: str = ""
    draft: int | None = None
    owner: str = ROOT

    @classmethod
    def of(
        cls, schema: Json, path: str, base: str = "", draft: int | None = None, owner: str = ROOT
    ) -> Subschema:
        """Build the subschema of a JSON value, and check its type."""
        if isinstance(schema, bool):
            schema = {} if schema else {"enum": []}
        found = cls({}, path, base, draft, owner)
        if not isinstance(schema, Mapping):
            raise found.error(f"a schema is an object or a boolean, not {schema!r}")
        if "$schema" in schema:
            draft = draft_of(schema["$schema"]) or draft
        if "$ref" in schema and draft is not None and draft < FIRST_WITH_REF_SIBLINGS:
            kept = {name: schema[name] for name in ("$ref", *DEFINITIONS) if name in schema}
            return replace(found, schema=kept, draft=draft)
        base = address_of(schema, base, draft)
        return replace(found, schema=schema, base=base, draft=draft)

    def check_keywords(self) -> None:
        """Raise where a keyword restricts values in a way that cannot be compiled."""
        for name in self.schema:
            if name in REFUSED:
                raise self.error(f"the keyword {name!r} is not supported: {REFUSED[name]}")

    def error(self, message: str, *names: str) -> ConstraintError:
        """Return an error that names this place, or one inside it."""
        return ConstraintError(f"{self._place(names)}: {message}")

    def located(self, *names: str) -> AbstractContextManager[None]:
        """Return a context that names this place, or one inside it, in errors of constraints."""
        return located(self._place(names))

    def _place(self, names: Sequence[str]) -> str:
        return f"schema {'/'.join([self.path, *names])}"

    def unsatisfied(self, message: str, *names: str) -> ConstraintUnsatisfiedError:
        """Return an error for a place that admits no value."""
        return ConstraintUnsatisfiedError(str(self.error(message, *names)))

    def dfa(self, expression: Expression) -> DFA:
        """Return the minimal DFA of an expression of this subschema; errors name this place."""
        with self.located():
            return minimal_dfa(expression)

    def __contains__(self, name: str) -> bool:
        return name in self.schema

    def inside(self, keyword: str, name: str | int | None = None) -> Subschema:
        """Return the subschema of a keyword, or the one that is at `name` in the keyword's list or
        object."""
        found = self.schema[keyword]
        path = [self.path, escaped_name(keyword)]
        if name is not None:
            assert isinstance(found, dict | list)
            found = found[name]  # type: ignore[index]
            path.append(escaped_name(str(name)))
        return self.of(found, "/".join(path), self.base, self.draft, self.owner)

    def derived(self, schema: Json, name: str) -> Subschema:
        """Return a subschema that follows from this one, at a place that the schema lacks."""
        return self.of(schema, f"{self.path}/({name})", self.base, self.draft, self.owner)

    def anything(self) -> Subschema:
        """Return a subschema at this place that admits every value."""
        return self.derived({}, "any")

    @property
    def looks_around(self) -> bool:
        """True where what the schema admits depends on the subschemas beside it."""
        return "unevaluatedProperties" in self or "unevaluatedItems" in self

    @property
    def is_derived(self) -> bool:
        """True where the schema has no such place: it follows from another one."""
        return self.path.endswith(")") and "/(" in self.path

    def without(self, *names: str) -> Subschema:
        """Return this subschema without some of its keywords."""
        kept = {name: value for name, value in self.schema.items() if name not in names}
        return replace(self, schema=kept)

    def restrictions(self, *but: str) -> list[str]:
        """Return the keywords that restrict a value, without those of `but`."""
        return [name for name in self.schema if name in RESTRICTIONS and name not in but]

    def unknown_keywords(self) -> list[str]:
        """Return the keywords that have no effect because no one knows them."""
        found = [str(name) for name in self.schema if name not in KEYWORDS | INTERNAL]
        idle = [name for name, other in NEEDS.items() if name in self and other not in self]
        return [name for name in found if not name.startswith("x-")] + idle

    def types(self) -> tuple[str, ...]:
        """Return the types that it admits; "number" stands for integers too.

        OpenAPI's `nullable` adds null to `type`, where the schema names no draft of JSON Schema.
        """
        given = self.schema.get("type", list(TYPES))
        types = [given] if isinstance(given, str) else given
        if not isinstance(types, list) or not types or any(name not in TYPES for name in types):
            raise self.error(f"{given!r} is none of the types {', '.join(TYPES)}", "type")
        if self.draft is None and self.value("nullable", bool, False):
            types = ["null", *types]
        return tuple(
            name
            for name in TYPES
            if name in types and not (name == "integer" and "number" in types)
        )

    def count(self, name: str) -> int | None:
        """Return a keyword's value, a whole number of at least 0; None where it is absent."""
        if name not in self.schema:
            return None
        value = self.schema[name]
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
        # Adding 0 makes a positive zero of a negative one.
        return Decimal(repr(value)) if value else Decimal(0)

    def value(self, name: str, kind: type[T], default: Default) -> T | Default:
        """Return a keyword's value, which is of a Python type; `default` where it is absent."""
        if name not in self.schema:
            return default
        value = self.schema[name]
        if not isinstance(value, kind):
            raise self.error(f"{value!r} must be {TYPE_NAMES[kind]}", name)
        return value

    def names(self, keyword: str) -> list[str]:
        """Return a keyword's value, a list of strings; the empty list where it is absent."""
        found = self.value(keyword, list, [])
        if not all(isinstance(name, str) for name in found):
            raise self.error(f"{found!r} must be names", keyword)
        return found


def address_of(schema: Mapping[str, Json], base: str, draft: int | None) -> str:
    """Return the address that references in a schema are relative to.

    An identifier that is only a fragment (of draft 4 to 7) is an anchor, and changes no address.
    """
    given = schema.get("id" if draft in (3, 4) else "$id")
    if not isinstance(given, str) or given.startswith("#"):
        return base
    return joined_address(base, given).partition("#")[0]


def joined_address(base: str, reference: str) -> str:
    """Return the absolute address of a reference (RFC 3986); a base may be of any scheme."""
    if not reference or reference.startswith("#"):
        return base + reference
    try:
        return urljoin(base, reference)
    except ValueError:
        return reference


def escaped_name(name: str) -> str:
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
