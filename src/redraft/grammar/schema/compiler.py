"""From a JSON Schema to the expression of the texts that it admits.

Every text is valid, but not every valid text is admitted: members are in one order, a character has
one spelling, a number with bounds has no exponent, an object has no members that the schema does
not describe, and recursion has a limit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence

from redraft.errors import ConstraintError, ConstraintUnsatisfiedError
from redraft.grammar.language.builders import dfa_of_texts
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import (
    EMPTY_LANGUAGE,
    Expression,
    Language,
    union,
)
from redraft.grammar.nesting import Nesting
from redraft.grammar.schema.alternatives import Alternatives
from redraft.grammar.schema.arrays import array_items
from redraft.grammar.schema.conjunction import Conjunction
from redraft.grammar.schema.index import SchemaIndex
from redraft.grammar.schema.keywords import TYPES, similar_keyword
from redraft.grammar.schema.members import Members
from redraft.grammar.schema.numbers import admits_number, integers_of, numbers_of
from redraft.grammar.schema.strings import strings_of
from redraft.grammar.schema.subschema import ROOT, Subschema
from redraft.grammar.schema.syntax import Syntax
from redraft.grammar.schema.values import are_distinct, distinct, has_type, not_in
from redraft.text.json_value import Json

# The name of the expansion of a schema that admits every value.
ANY_VALUE = "any value"
# Integers between bounds are a list of values up to this many.
MAX_LISTED = 64
LISTED: dict[str, Sequence[Json]] = {"null": [None], "boolean": [True, False]}


class SchemaCompiler:
    """Compiles one schema.

    Args:
        root: the whole schema, which references point into.
        depth: how often a definition may be nested inside itself.

    Raises, when it is built:
        ConstraintError: a reference cannot be followed.
    """

    def __init__(self, root: Json, syntax: Syntax, depth: int) -> None:
        self.syntax = syntax
        self.depth = depth
        try:
            self.index = SchemaIndex(root)
            self.alternatives = Alternatives(self.index)
            self._nesting = Nesting(ROOT, self.index.references_in)
        except RecursionError:
            raise ConstraintError("the schema is nested too deeply") from None
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
            found = self._whole(types)
        except RecursionError:
            raise ConstraintError("the schema is nested too deeply") from None
        if found.empty:
            raise self._first_empty or ConstraintUnsatisfiedError(
                "schema #: it admits no value at all"
            )
        return found

    def _whole(self, types: Sequence[str]) -> DFA:
        """Return the DFA of the whole schema.

        A long chain of references is compiled from its end: then each definition is known where it
        is referred to, and nothing nests.
        """
        try:
            return minimal_dfa(self.value([self.index.root], types))
        except RecursionError:
            for path in self._nesting.leaves_first:
                self.value([self.index.target(path)])
            return minimal_dfa(self.value([self.index.root], types))

    def warnings(self) -> list[str]:
        """Return a sentence for each keyword or format that has no effect."""
        found = []
        for path, name in self.alternatives.unknown.items():
            near = similar_keyword(name)
            hint = f" (did you mean {near!r}?)" if near and near != name else ""
            found.append(f"schema {path}: the keyword {name!r} has no effect{hint}")
        return found

    def value(self, subschemas: Sequence[Subschema], types: Sequence[str] = TYPES) -> Expression:
        """Return the values that subschemas admit together and that have one of some types."""
        return union(
            [self._conjunction(found, types) for found in self.alternatives.of(subschemas)]
        )

    def texts(self, subschemas: Sequence[Subschema]) -> DFA:
        """Return the strings that subschemas admit together, without quotes and escapes."""
        found = []
        for conjunction in self.alternatives.of(subschemas):
            if "string" not in conjunction.types(TYPES):
                continue
            values = conjunction.constants()
            content = strings_of(conjunction)
            if values is not None:
                content &= dfa_of_texts(value for value in values if isinstance(value, str))
            found.append(Language(content))
        return subschemas[0].dfa(union(found))

    def finite(self, subschemas: Sequence[Subschema]) -> list[Json] | None:
        """Return the values that subschemas admit together; None where there may be many."""
        found: list[Json] = []
        for conjunction in self.alternatives.of(subschemas):
            values = self._listed(conjunction)
            if values is None:
                return None
            found += values
        return distinct(found)

    def _listed(self, conjunction: Conjunction) -> list[Json] | None:
        """Return the values of a conjunction, None where there may be many."""
        types = conjunction.types(TYPES)
        constants = conjunction.constants()
        if constants is not None:
            return self._valid(conjunction, constants, types)
        candidates: list[Json] = []
        for name in types:
            listed = integers_of(conjunction, MAX_LISTED) if name == "integer" else LISTED.get(name)
            if listed is None:
                return None
            candidates += listed
        return not_in(candidates, conjunction.excluded())

    def _conjunction(self, conjunction: Conjunction, wanted: Sequence[str]) -> Expression:
        """Return the values of a conjunction, nested to the depth where references lead to it."""
        types = conjunction.types(wanted)
        if not types:
            return EMPTY_LANGUAGE
        if not conjunction.references:
            return self._of(conjunction, types)
        kept = conjunction.owners - conjunction.references
        level = self._nesting.level(conjunction.references, kept)
        if level > self.depth:
            return EMPTY_LANGUAGE
        key = conjunction.key, types, level
        if key not in self._expansions:
            names = conjunction.references | kept
            found = self._nesting.expand(names, level, lambda: self._of(conjunction, types))
            self._expansions[key] = conjunction.main.dfa(found)
        return Language(self._expansions[key])

    def _of(self, conjunction: Conjunction, types: Sequence[str]) -> Expression:
        values = conjunction.constants()
        if values is not None:
            return self._constants(conjunction, values, types)
        if not conjunction.restrictions("type", "nullable") and {"array", "object"} & set(types):
            return self._any_value(conjunction, types)
        return self._of_types(conjunction, types)

    def _of_types(self, conjunction: Conjunction, types: Sequence[str]) -> Expression:
        """Return the values that the keywords of each type admit."""
        syntax = self.syntax
        excluded = conjunction.excluded()

        def scalars(values: Sequence[Json]) -> Expression:
            return union([syntax.value(value) for value in not_in(values, excluded)])

        def enclosed(kind: type, opening: str, closing: str) -> Expression:
            if any(isinstance(value, kind) for value in excluded):
                return EMPTY_LANGUAGE  # their complement is no DFA of a bounded size
            if kind is list:
                inner = array_items(conjunction, syntax, self)
            else:
                inner = Members(conjunction, syntax, self).expression()
            return syntax.enclosed(opening, inner, closing)

        forms: dict[str, Callable[[], Expression]] = {
            "null": lambda: scalars([None]),
            "boolean": lambda: scalars([True, False]),
            "integer": lambda: numbers_of(conjunction, integer=True),
            "number": lambda: numbers_of(conjunction, integer=False),
            "string": lambda: syntax.string(strings_of(conjunction)),
            "array": lambda: enclosed(list, "[", "]"),
            "object": lambda: enclosed(dict, "{", "}"),
        }
        found = []
        for name in types:
            try:
                form = forms[name]()
            except ConstraintUnsatisfiedError as error:
                # Another type may still have values.
                self._first_empty = self._first_empty or error
                continue
            if name in ("array", "object"):
                found.append(form)
            else:
                found.append(self._note_empty(conjunction, form))
        return union(found)

    def _any_value(self, conjunction: Conjunction, types: Sequence[str]) -> Expression:
        """Return all values of some types, nested to the depth."""
        if self._any_level > self.depth:
            return EMPTY_LANGUAGE
        key = ANY_VALUE, tuple(types), self._any_level
        if key not in self._expansions:
            self._any_level += 1
            try:
                found = self._of_types(conjunction, types)
            finally:
                self._any_level -= 1
            self._expansions[key] = conjunction.main.dfa(found)
        return Language(self._expansions[key])

    def _constants(
        self, conjunction: Conjunction, values: Sequence[Json], types: Sequence[str]
    ) -> Expression:
        """Return the values of enum and const that the other keywords admit too."""
        fitting = self._valid(conjunction, values, types)
        texts = [value for value in fitting if isinstance(value, str)]
        parts = [self.syntax.value(value) for value in fitting if not isinstance(value, str)]
        if texts:
            parts.append(self.syntax.string(dfa_of_texts(texts)))
        names = [name for name in ("enum", "const") if any(conjunction.having(name))]
        return self._note_empty(conjunction, union(parts), *names[:1])

    def _valid(
        self, conjunction: Conjunction, values: Sequence[Json], types: Sequence[str]
    ) -> list[Json]:
        """Return the values that all keywords but enum and const admit."""
        typed = [value for value in values if has_type(value, types)]
        others = conjunction.without("enum", "const")
        if not others.restrictions("type", "nullable"):
            return typed
        strings = strings_of(others) if any(isinstance(value, str) for value in typed) else None

        def is_valid(value: Json) -> bool:
            match value:
                case None | bool():
                    return True
                case str():
                    return strings is not None and strings.accepts(value)
                case int() | float():
                    return admits_number(others, value)
                case list():
                    return self._admits_array(others, value)
            return self._admits_object(others, value)

        return [value for value in typed if is_valid(value)]

    def _admits_array(self, conjunction: Conjunction, value: list[Json]) -> bool:
        if any(here.value("uniqueItems", bool, False) for here in conjunction.subschemas):
            if not are_distinct(value):
                return False
            conjunction = conjunction.without("uniqueItems")
        items: Json = [{"const": item} for item in value]
        exact: Json = {
            "prefixItems": items,
            "items": False,
            "minItems": len(value),
            "maxItems": len(value),
        }
        joined = conjunction.with_part(self._constant(conjunction, value, exact))
        return self._is_possible(lambda: array_items(joined, self.syntax, self))

    def _admits_object(self, conjunction: Conjunction, value: dict[str, Json]) -> bool:
        properties: Json = {name: {"const": part} for name, part in value.items()}
        exact: Json = {
            "properties": properties,
            "required": list(value),
            "additionalProperties": False,
        }
        joined = conjunction.with_part(self._constant(conjunction, value, exact))
        return self._is_possible(lambda: Members(joined, self.syntax, self).expression())

    def _constant(self, conjunction: Conjunction, value: Json, schema: Json) -> Subschema:
        """Return a subschema that admits one value."""
        return conjunction.main.derived(schema, f"constant {json.dumps(value)}")

    def _is_possible(self, form: Callable[[], Expression]) -> bool:
        try:
            return not minimal_dfa(form()).empty
        except ConstraintUnsatisfiedError:
            return False

    def _note_empty(
        self, conjunction: Conjunction, expression: Expression, *names: str
    ) -> Expression:
        """Return an expression; where it is empty, note its place for the error message."""
        found = conjunction.main.dfa(expression)
        if self._first_empty is None and found.empty:
            self._first_empty = conjunction.unsatisfied("admits no value", *names)
        return Language(found)
