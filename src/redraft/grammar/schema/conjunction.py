"""Conjunction: subschemas that one value must be valid for, all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Protocol

from redraft.errors import ConstraintError, ConstraintUnsatisfiedError
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import Expression
from redraft.grammar.schema.keywords import APPLIED_IN_PLACE, TYPES
from redraft.grammar.schema.subschema import Subschema
from redraft.grammar.schema.values import common_types, distinct, in_all, not_in
from redraft.text.json_value import Json


@dataclass(frozen=True, eq=False)
class AppliedSchema:
    """One subschema of a conjunction.

    Attributes:
        scopes: the paths of the subschemas that apply it to the same value, its own among them.
    """

    subschema: Subschema
    scopes: frozenset[str]


@dataclass(frozen=True, eq=False)
class Conjunction:
    """Subschemas without references and branches.

    Attributes:
        parts: at least one; the first is named in errors.
        references: the paths of the definitions that lead to them.
    """

    parts: tuple[AppliedSchema, ...]
    references: frozenset[str] = frozenset()

    @cached_property
    def subschemas(self) -> list[Subschema]:
        return [part.subschema for part in self.parts]

    @property
    def main(self) -> Subschema:
        """The subschema that errors name: the first that restricts a value."""
        restricting = (here for here in self.subschemas if here.restrictions(*APPLIED_IN_PLACE))
        return next(restricting, self.subschemas[0])

    @property
    def owners(self) -> frozenset[str]:
        """The definitions that the parts belong to."""
        return frozenset(here.owner for here in self.subschemas)

    @cached_property
    def key(self) -> frozenset[object]:
        """The identity of the set of values."""
        if any(here.looks_around for here in self.subschemas):
            return frozenset((part.subschema.path, part.scopes) for part in self.parts)
        return frozenset(here.path for here in self.subschemas)

    def having(self, name: str) -> Iterator[Subschema]:
        """Yield the subschemas that have a keyword."""
        return (here for here in self.subschemas if name in here)

    def restrictions(self, *but: str) -> list[str]:
        """Return the keywords that restrict a value, without those of `but`."""
        found: list[str] = []
        for here in self.subschemas:
            found += here.restrictions(*but, *APPLIED_IN_PLACE)
        return found

    def types(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """Return the types of `wanted` that all parts admit."""
        found = tuple(wanted)
        for here in self.subschemas:
            found = common_types(here.types(), found)
        return found

    def counts(self, minimum: str, maximum: str) -> tuple[int, int | None]:
        """Return the tightest bounds of two keywords.

        Raises:
            ConstraintUnsatisfiedError: no count is within both.
        """
        lows = [here.count(minimum) or 0 for here in self.subschemas]
        highs = [high for here in self.subschemas if (high := here.count(maximum)) is not None]
        low, high = max(lows), min(highs, default=None)
        if high is not None and high < low:
            raise self.unsatisfied(f"{minimum} {low} is more than {maximum} {high}")
        return low, high

    def constants(self) -> list[Json] | None:
        """Return the values that const and enum of all parts admit; None where there are none."""
        listed: list[list[Json]] = []
        for here in self.subschemas:
            listed += _constants(here)
        if not listed:
            return None
        return not_in(distinct(in_all(*listed)), self.excluded())

    def excluded(self) -> list[Json]:
        """Return the values that a negation excludes."""
        found: list[Json] = []
        for here in self.subschemas:
            found += here.value("excluded", list, [])
        return found

    def with_part(self, subschema: Subschema) -> Conjunction:
        """Return this conjunction with one subschema more, before the others."""
        part = AppliedSchema(subschema, frozenset([subschema.path]))
        return Conjunction((part, *self.parts), self.references)

    def without(self, *names: str) -> Conjunction:
        """Return this conjunction without some keywords."""
        parts = [AppliedSchema(part.subschema.without(*names), part.scopes) for part in self.parts]
        return Conjunction(tuple(parts), self.references)

    def in_scope(self, path: str) -> list[Subschema]:
        """Return the subschemas that the one at a path applies to the same value, with itself."""
        return [part.subschema for part in self.parts if path in part.scopes]

    def error(self, message: str, *names: str) -> ConstraintError:
        """Return an error that names the place of the first keyword of `names`, or the main one."""
        return self._place(names).error(message, *names)

    def located(self, *names: str) -> AbstractContextManager[None]:
        """Return a context that names the same place in errors of constraints."""
        return self._place(names).located(*names)

    def _place(self, names: Sequence[str]) -> Subschema:
        return next(chain.from_iterable(map(self.having, names)), self.main)

    def unsatisfied(self, message: str, *names: str) -> ConstraintUnsatisfiedError:
        """Return an error for a place that admits no value."""
        return ConstraintUnsatisfiedError(str(self.error(message, *names)))


def _constants(here: Subschema) -> Iterator[list[Json]]:
    """Yield the values of enum and of const, where there are any."""
    if "enum" in here:
        yield here.value("enum", list, [])
    if "const" in here:
        yield [here.schema["const"]]


class Values(Protocol):
    """The values of subschemas, as the keywords of arrays and objects need them."""

    def value(self, subschemas: Sequence[Subschema], types: Sequence[str] = TYPES) -> Expression:
        """Return the values that subschemas admit together and that have one of some types."""
        ...

    def texts(self, subschemas: Sequence[Subschema]) -> DFA:
        """Return the strings that subschemas admit together, without quotes and escapes."""
        ...

    def finite(self, subschemas: Sequence[Subschema]) -> list[Json] | None:
        """Return the values that subschemas admit together; None where there may be many."""
        ...
