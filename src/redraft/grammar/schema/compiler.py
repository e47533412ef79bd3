"""From a JSON Schema to the expression of the texts that it admits.

Every text is valid, but not every valid text is admitted: members are in one order, a character has
one spelling, a number with bounds has no exponent, an object has no members that the schema does
not describe, and recursion has a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from urllib.parse import unquote

from redraft.errors import ConstraintError, ConstraintUnsatisfiedError
from redraft.grammar.language.builders import dfa_of_texts
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import (
    EMPTY_LANGUAGE,
    Expression,
    Language,
    literal,
    union,
)
from redraft.grammar.nesting import Nesting
from redraft.grammar.schema.arrays import array_items
from redraft.grammar.schema.members import Members
from redraft.grammar.schema.numbers import numbers_of
from redraft.grammar.schema.strings import strings_of
from redraft.grammar.schema.subschema import TYPES, Subschema
from redraft.grammar.schema.syntax import Syntax
from redraft.grammar.schema.values import are_disjoint, common_types, constants, has_type
from redraft.text.json_value import Json

ROOT = "#"
# The name of the expansion of a schema that admits every value.
ANY_VALUE = "any value"
# Keywords whose values hold no subschemas that are part of this one.
NOT_WALKED = ("const", "enum", "$defs", "definitions", "default", "examples")


class SchemaCompiler:
    """Compiles one schema.

    Args:
        root: the whole schema, which references point into.
        depth: how often a definition may be nested inside itself.
    """

    def __init__(self, root: Json, syntax: Syntax, depth: int) -> None:
        self.root = root
        self.syntax = syntax
        self.depth = depth
        self._nesting = Nesting(ROOT, self._references_in)
        self._any_level = 0  # the nesting of values of ANY_VALUE at the place that is compiled
        self._expansions: dict[Hashable, DFA] = {}
        self._first_empty: ConstraintUnsatisfiedError | None = None

    def compile(self, types: Sequence[str] = TYPES) -> DFA:
        """Return the DFA of the values of the whole schema that have one of some types.

        Raises:
            ConstraintError: a keyword is not supported, or its value is wrong.
            ConstraintUnsatisfiedError: no value is admitted.
        """
        try:
            found = minimal_dfa(self.value(Subschema(self.root, ROOT), types))
        except RecursionError:
            raise ConstraintError("the schema is nested too deeply") from None
        if found.empty:
            raise self._first_empty or ConstraintUnsatisfiedError(
                "schema #: it admits no value at all"
            )
        return found

    def value(
        self, subschema: Subschema, types: Sequence[str] = TYPES, tag: str | None = None
    ) -> Expression:
        """Return the values that a subschema admits and that have one of some types.

        Args:
            tag: a member that objects must have.
        """
        admitted = common_types(subschema.types(), types)
        if "$ref" in subschema:
            if beside := subschema.restrictions("$ref", "type"):
                raise subschema.error(f"{beside[0]!r} beside $ref is not supported", beside[0])
            return self._referred(self.resolve(subschema), admitted, tag)
        for name in ("anyOf", "oneOf", "allOf"):
            if name in subschema:
                return self._branches(subschema, name, admitted)
        if (values := constants(subschema)) is not None:
            return self._constants(subschema, values, admitted)
        if not subschema.restrictions("type") and {"array", "object"} & set(admitted):
            return self._any_value(subschema, admitted)
        return self._of_types(subschema, admitted, tag)

    def _of_types(
        self, subschema: Subschema, types: Sequence[str], tag: str | None = None
    ) -> Expression:
        """Return the values that the keywords of each type admit."""
        syntax, noted = self.syntax, self._note_empty
        forms: dict[str, Callable[[], Expression]] = {
            "null": lambda: literal("null"),
            "boolean": lambda: union(["true", "false"]),
            "integer": lambda: noted(subschema, numbers_of(subschema, integer=True)),
            "number": lambda: noted(subschema, numbers_of(subschema, integer=False)),
            "string": lambda: noted(subschema, syntax.string(strings_of(subschema))),
            "array": lambda: syntax.enclosed("[", array_items(subschema, syntax, self.value), "]"),
            "object": lambda: syntax.enclosed(
                "{", Members(subschema, syntax, self.value, tag).expression(), "}"
            ),
        }
        return union([forms[name]() for name in types])

    def _any_value(self, subschema: Subschema, types: Sequence[str]) -> Expression:
        """Return all values of some types, nested to the depth."""
        if self._any_level > self.depth:
            return EMPTY_LANGUAGE
        key = ANY_VALUE, tuple(types), self._any_level
        if key not in self._expansions:
            self._any_level += 1
            self._expansions[key] = subschema.dfa(self._of_types(subschema, types))
            self._any_level -= 1
        return Language(self._expansions[key])

    def _referred(self, target: Subschema, types: Sequence[str], tag: str | None) -> Expression:
        """Return the values of the target of a reference, nested to the depth."""
        name = target.path
        level = self._nesting.level(name)
        if level > self.depth:
            return EMPTY_LANGUAGE
        key = name, tuple(types), tag, level
        if key not in self._expansions:
            found = self._nesting.expand(name, lambda: self.value(target, types, tag))
            self._expansions[key] = target.dfa(found)
        return Language(self._expansions[key])

    def resolve(self, subschema: Subschema) -> Subschema:
        """Return the target of a subschema's reference, or itself where it has none."""
        pointer = subschema.value("$ref", str, "")
        if not pointer:
            return subschema
        found = self.root
        if pointer != ROOT and not pointer.startswith("#/"):
            raise subschema.error(
                f"{pointer!r} points outside the schema: only #/... can be followed", "$ref"
            )
        for part in pointer.split("/")[1:]:
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            elif isinstance(found, dict) and name in found:
                found = found[name]
            else:
                raise subschema.error(f"{pointer!r} points to nothing", "$ref")
        return Subschema(found, pointer)

    def _references_in(self, pointer: str) -> list[str]:
        """Return the targets of the references inside a subschema."""
        here = self.resolve(Subschema({"$ref": pointer}, ROOT))

        def walk(schema: Json) -> Iterator[str]:
            if isinstance(schema, dict):
                if isinstance(schema.get("$ref"), str):
                    yield self.resolve(Subschema({"$ref": schema["$ref"]}, here.path)).path
                for name, part in schema.items():
                    if name not in NOT_WALKED:
                        yield from walk(part)
            elif isinstance(schema, list):
                for part in schema:
                    yield from walk(part)

        return list(dict.fromkeys(walk(dict(here.schema))))

    def _branches(self, subschema: Subschema, name: str, types: Sequence[str]) -> Expression:
        """Return the values of anyOf, oneOf or allOf."""
        if beside := subschema.restrictions(name, "type"):
            raise subschema.error(f"{beside[0]!r} beside {name} is not supported", beside[0])
        count = len(subschema.value(name, list, []))
        if not count:
            raise subschema.error("must have one schema at least", name)
        branches = [subschema.inside(name, number) for number in range(count)]
        if name == "allOf" and count > 1:
            raise subschema.error(
                "allOf of several schemas is not supported: write them as one", name
            )
        tag = None
        if name == "oneOf":
            tag = subschema.value("discriminator", dict, {}).get("propertyName")
            self._check_disjoint(subschema, [self.resolve(branch) for branch in branches], tag)
        return union([self.value(branch, types, tag) for branch in branches])

    def _check_disjoint(
        self, subschema: Subschema, branches: Sequence[Subschema], tag: str | None
    ) -> None:
        """Raise where a value may be valid for two branches of oneOf."""
        for number, one in enumerate(branches):
            for other in branches[number + 1 :]:
                if not are_disjoint(one, other, tag):
                    raise subschema.error(
                        f"{one.path} and {other.path} may admit the same value: use anyOf, or "
                        "give each a required property with a const of its own",
                        "oneOf",
                    )

    def _constants(
        self, subschema: Subschema, values: Sequence[Json], types: Sequence[str]
    ) -> Expression:
        """Return the values of enum and const that the other keywords admit too."""
        fitting = [value for value in values if has_type(value, types)]
        texts = [value for value in fitting if isinstance(value, str)]
        parts = [self.syntax.value(value) for value in fitting if not isinstance(value, str)]
        if texts:
            parts.append(self.syntax.string(dfa_of_texts(texts)))
        found = union(parts)
        if subschema.restrictions("type", "enum", "const"):
            others = dict(subschema.schema)
            others.pop("enum", None)
            others.pop("const", None)
            typed = self._of_types(Subschema(others, subschema.path), types)
            found = Language(minimal_dfa(found) & subschema.dfa(typed))
        return self._note_empty(subschema, found, "enum" if "enum" in subschema else "const")

    def _note_empty(self, subschema: Subschema, expression: Expression, *names: str) -> Expression:
        """Return an expression; where it is empty, note its place for the error message."""
        found = subschema.dfa(expression)
        if self._first_empty is None and found.empty:
            self._first_empty = subschema.unsatisfied("admits no value", *names)
        return Language(found)
