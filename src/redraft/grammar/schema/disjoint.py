"""Disjoint: the proof that no value is valid for two branches of oneOf."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from redraft.grammar.schema.conjunction import Conjunction
from redraft.grammar.schema.keywords import TYPES
from redraft.grammar.schema.subschema import Subschema
from redraft.grammar.schema.values import in_all, type_of

MAX_NESTED = 2
Flatten = Callable[[Sequence[Subschema]], list[Conjunction]]


def are_disjoint(
    flatten: Flatten,
    ones: Sequence[Conjunction],
    others: Sequence[Conjunction],
    tag: object = None,
    nested: int = 0,
) -> bool:
    """Return True where it is certain that no value is valid for one of each.

    Their types may show it, or their constants, or a property that both require (or the
    discriminator's `tag`), or a property that one requires and the other forbids.
    """
    for one in ones:
        for other in others:
            if not _pair_is_disjoint(flatten, one, other, tag, nested):
                return False
    return True


def _pair_is_disjoint(
    flatten: Flatten, one: Conjunction, other: Conjunction, tag: object, nested: int
) -> bool:
    types, more = _types(one), _types(other)
    if not types & more or _constants_are_disjoint(one, other):
        return True
    if types & more != {"object"} or nested > MAX_NESTED:
        return False
    # A value that is valid for both has what either requires.
    names = _required(one) | _required(other) | ({tag} if isinstance(tag, str) else set())
    for name in sorted(names):
        mine, theirs = _described(one, name), _described(other, name)
        if not mine or not theirs:
            continue
        if are_disjoint(flatten, flatten(mine), flatten(theirs), nested=nested + 1):
            return True
    return False


def _described(conjunction: Conjunction, name: str) -> list[Subschema]:
    """Return the subschemas of a property."""
    found: list[Subschema] = []
    for here in conjunction.subschemas:
        if name in here.value("properties", dict, {}):
            found.append(here.inside("properties", name))
        elif "additionalProperties" in here and "patternProperties" not in here:
            found.append(here.inside("additionalProperties"))
    return found


def _required(conjunction: Conjunction) -> set[str]:
    found: set[str] = set()
    for here in conjunction.having("required"):
        found |= set(here.names("required"))
    return found


def _constants_are_disjoint(one: Conjunction, other: Conjunction) -> bool:
    first, second = one.constants(), other.constants()
    if first is None or second is None:
        return False
    return not in_all(first, second)


def _types(conjunction: Conjunction) -> set[str]:
    """Return the types that a conjunction admits; integers are numbers."""
    values = conjunction.constants()
    found = conjunction.types(TYPES) if values is None else [type_of(value) for value in values]
    return {"number" if name == "integer" else name for name in found}
