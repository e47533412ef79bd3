"""Alternatives: from subschemas with references and branches to conjunctions without them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from redraft.grammar.schema.conjunction import AppliedSchema, Conjunction
from redraft.grammar.schema.disjoint import are_disjoint
from redraft.grammar.schema.index import SchemaIndex
from redraft.grammar.schema.keywords import APPLIED_IN_PLACE, TYPES
from redraft.grammar.schema.negation import negated
from redraft.grammar.schema.subschema import Subschema
from redraft.grammar.schema.values import common_types
from redraft.text.json_value import Json

MAX_ALTERNATIVES = 2_000
# The options of one choice, each with the subschemas that apply.
Choice = list[list[Subschema]]


class Alternatives:
    """Splits what a value must be valid for into alternatives.

    A value is valid for the subschemas together where it is valid for one of the conjunctions.

    Attributes:
        unknown: the paths and names of keywords that have no effect.
    """

    def __init__(self, index: SchemaIndex) -> None:
        self.index = index
        self.unknown: dict[str, str] = {}
        self._options: dict[str, Choice] = {}

    def of(
        self, subschemas: Sequence[Subschema], scopes: frozenset[str] = frozenset()
    ) -> list[Conjunction]:
        """Return the alternatives, none where no value can be valid.

        Args:
            scopes: the paths of the subschemas that apply these to the same value.

        Raises:
            ConstraintError: there are more than MAX_ALTERNATIVES, or a branch cannot be compiled.
        """
        todo = [AppliedSchema(here, scopes | {here.path}) for here in subschemas]
        found = list(islice(self._expanded(todo, [], {}, frozenset()), MAX_ALTERNATIVES + 1))
        if len(found) > MAX_ALTERNATIVES:
            raise subschemas[0].error(
                f"its branches have more than {MAX_ALTERNATIVES} combinations, which is too large"
            )
        return list({conjunction.key: conjunction for conjunction in found}.values())

    def _expanded(
        self,
        todo: list[AppliedSchema],
        choices: list[tuple[AppliedSchema, Choice]],
        done: dict[str, AppliedSchema],
        references: frozenset[str],
    ) -> Iterator[Conjunction]:
        """Yield the alternatives of parts and of choices that are not made yet."""
        todo, choices, done = list(todo), list(choices), dict(done)
        while todo:
            part = todo.pop(0)
            here = part.subschema
            if here.path in done:
                _widen(done, part)
                _widen_list(todo, part)
                continue
            self._check(here)
            done[here.path] = part
            if "$ref" in here:
                target = self.index.resolve(here)
                if target.path in part.scopes:
                    return  # a circle that reads nothing
                references |= {target.path}
                todo.insert(0, _applied(part, target))
            for number in range(len(here.value("allOf", list, []))):
                todo.append(_applied(part, here.inside("allOf", number)))
            choices += [(part, choice) for choice in self._choices(part)]
        types: Sequence[str] = TYPES
        for part in done.values():
            types = common_types(part.subschema.types(), types)
        if not types:
            return
        if not choices:
            parts = list(done.values())
            restricting = [part for part in parts if part.subschema.restrictions(*APPLIED_IN_PLACE)]
            yield Conjunction(tuple(restricting or parts[:1]), references)
            return
        (part, options), *rest = choices
        for option in options:
            chosen = [_applied(part, here) for here in option]
            yield from self._expanded(chosen, rest, done, references)

    def _check(self, here: Subschema) -> None:
        """Check the keywords of a subschema, and note those that are not known."""
        here.check_keywords()
        for name in here.unknown_keywords():
            self.unknown[f"{here.path}/{name}"] = name
        if "allOf" in here and not here.value("allOf", list, []):
            raise here.error("must have one schema at least", "allOf")

    def _choices(self, part: AppliedSchema) -> Iterator[Choice]:
        """Yield the choices that the keywords of a part ask for."""
        here = part.subschema
        for name in ("anyOf", "oneOf"):
            if name in here:
                count = len(here.value(name, list, []))
                if not count:
                    raise here.error("must have one schema at least", name)
                branches = [here.inside(name, number) for number in range(count)]
                if name == "anyOf":
                    yield [[branch] for branch in branches]
                else:
                    yield self._exactly_one(part, branches)
        if "not" in here:
            yield [[option] for option in self._negated(here, "not")]
        if "if" in here and ("then" in here or "else" in here):
            holds = [here.inside("if"), *([here.inside("then")] if "then" in here else [])]
            otherwise = [here.inside("else")] if "else" in here else []
            yield [holds, *([option, *otherwise] for option in self._negated(here, "if"))]
        for name in ("dependentRequired", "dependentSchemas", "dependencies"):
            yield from _dependencies(here, name)

    def _negated(self, here: Subschema, name: str) -> list[Subschema]:
        """Return the alternatives of the negation of a keyword's subschema."""
        found = negated(self.index, here.inside(name))
        if found is None:
            raise here.error(
                f"the keyword {name!r} is not supported here: its complement cannot be written",
                name,
            )
        return [here.derived(schema, f"{name} {at}") for at, schema in enumerate(found)]

    def _exactly_one(self, part: AppliedSchema, branches: Sequence[Subschema]) -> Choice:
        """Return the options of oneOf: each branch, and where branches overlap, not the others."""
        path = part.subschema.path
        if path not in self._options:
            # A proof that comes back to these branches takes them as they are.
            self._options[path] = [[branch] for branch in branches]
            self._options[path] = list(self._options_of(part, branches))
        return self._options[path]

    def _options_of(
        self, part: AppliedSchema, branches: Sequence[Subschema]
    ) -> Iterator[list[Subschema]]:
        here = part.subschema
        tag = here.value("discriminator", dict, {}).get("propertyName")
        flat = [self.of([here.without("oneOf"), branch], part.scopes) for branch in branches]
        for at, branch in enumerate(branches):
            option = [branch]
            properties = self.index.resolve(branch).value("properties", dict, {})
            if isinstance(tag, str) and tag in properties:
                option.append(here.derived({"required": [tag]}, f"discriminator {at}"))
            for other, conjunctions in enumerate(flat):
                if other == at or are_disjoint(self.of, flat[at], conjunctions, tag):
                    continue
                wrong = negated(self.index, branches[other])
                if wrong is None:
                    raise here.error(
                        f"{branch.path} and {branches[other].path} may admit the same value: use "
                        "anyOf, or give each a required property with a const of its own",
                        "oneOf",
                    )
                option.append(here.derived({"anyOf": wrong} if wrong else False, f"oneOf {other}"))
            yield option


def _dependencies(here: Subschema, name: str) -> Iterator[Choice]:
    """Yield a choice for each member that others depend on: it is absent, or they hold."""
    for key, needed in here.value(name, dict, {}).items():
        absent = here.derived({"absent": [key]}, f"{name} no {key}")
        if isinstance(needed, str):  # draft 3
            needed = [needed]
        names: list[Json] = [key, *needed] if isinstance(needed, list) else [key]
        present = [here.derived({"required": names}, f"{name} {key}")]
        if not isinstance(needed, list):
            present.append(here.inside(name, key))
        yield [[absent], present]


def _applied(part: AppliedSchema, subschema: Subschema) -> AppliedSchema:
    """Return a subschema that a part applies to the same value.

    One that follows from a negation evaluates no members and items.
    """
    if subschema.is_derived:
        return AppliedSchema(subschema, frozenset([subschema.path]))
    return AppliedSchema(subschema, part.scopes | {subschema.path})


def _widen(done: dict[str, AppliedSchema], again: AppliedSchema) -> None:
    """Add the scopes of a part that was reached a second time, also to what it applies."""
    for path, part in done.items():
        if again.subschema.path in part.scopes:
            done[path] = AppliedSchema(part.subschema, part.scopes | again.scopes)


def _widen_list(todo: list[AppliedSchema], again: AppliedSchema) -> None:
    for at, part in enumerate(todo):
        if again.subschema.path in part.scopes:
            todo[at] = AppliedSchema(part.subschema, part.scopes | again.scopes)
