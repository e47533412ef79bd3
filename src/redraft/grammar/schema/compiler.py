"""From a JSON Schema to the expression of the texts that it admits.

Every text is valid; not every valid text is among them. There is one order of an object's members, one spelling of each
character, no exponent where a number has bounds, no members that the schema does not name (unless it says which, or names
none), and what recurses does so to a depth.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from redraft.errors import ConstraintError, ConstraintUnsatisfiedError
from redraft.grammar.language.automaton import Automaton
from redraft.grammar.language.expression import EMPTY, NOTHING, Expression, Repeat, Texts, chain, either, literal, optional
from redraft.grammar.schema.keywords import TYPES, Place
from redraft.grammar.schema.numbers import Bound, numbers
from redraft.grammar.schema.strings import FORMATS, strings
from redraft.grammar.schema.syntax import Syntax

ANYTHING = "any value"  # what recurses where a schema asks for nothing


class Compiler:
    """Compiles one schema.

    Args:
        root: the whole schema, which references point into.
        depth: how often a reference may stand inside itself.
    """

    def __init__(self, root: Any, syntax: Syntax, depth: int) -> None:
        self.root = root
        self.syntax = syntax
        self.depth = depth
        self._open: Counter[str] = Counter()  # references that are being followed
        self._done: dict[tuple[Any, ...], Automaton] = {}
        self._nothing: ConstraintUnsatisfiedError | None = None  # the first place that admits nothing

    def automaton(self, types: Sequence[str] = TYPES) -> Automaton:
        """The texts of the whole schema, as far as they are of some types.

        Raises:
            ConstraintError: a keyword is not supported or its value wrong. ConstraintUnsatisfiedError: no text is admitted.
        """
        try:
            found = Automaton.of(self.value(Place(self.root, "#"), types))
        except RecursionError:
            raise ConstraintError("the schema is nested too deeply") from None
        if found.empty:
            raise self._nothing or ConstraintUnsatisfiedError("schema #: it admits no value at all")
        return found

    def value(self, place: Place, types: Sequence[str] = TYPES) -> Expression:
        """Values that a subschema admits, of some types."""
        admitted = narrowed(place.types(), types)
        if "$ref" in place:
            return self._reference(place, admitted)
        for name in ("anyOf", "oneOf", "allOf"):
            if name in place:
                return self._branches(place, name, admitted)
        if "const" in place or "enum" in place:
            return self._listed(place, admitted)
        if not place.besides("type") and {"array", "object"} & set(admitted):
            return self._recursive(ANYTHING, lambda: self._typed(place, admitted), admitted)
        return self._typed(place, admitted)

    def _typed(self, place: Place, types: Sequence[str]) -> Expression:
        forms = {
            "null": lambda: literal("null"),
            "boolean": lambda: either(["true", "false"]),
            "integer": lambda: self._number(place, True),
            "number": lambda: self._number(place, False),
            "string": lambda: self._string(place),
            "array": lambda: self._array(place),
            "object": lambda: self._object(place),
        }
        return either([forms[name]() for name in types])

    def _recursive(self, name: str, compile_: Any, types: Sequence[str]) -> Expression:
        """What may contain itself, to a depth; nothing beyond it."""
        if self._open[name] > self.depth:
            return NOTHING
        key = name, tuple(types), tuple(sorted((+self._open).items()))
        if key not in self._done:
            self._open[name] += 1
            self._done[key] = Automaton.of(compile_())
            self._open[name] -= 1
        return Texts(self._done[key])

    def _reference(self, place: Place, types: Sequence[str]) -> Expression:
        if beside := place.besides("$ref", "type"):
            raise place.error(f"{beside[0]!r} beside $ref is not supported", beside[0])
        return self._recursive(*self._followed(place, types))

    def _followed(self, place: Place, types: Sequence[str]) -> tuple[str, Any, Sequence[str]]:
        target = self.resolved(place)
        return target.path, lambda: self.value(target, types), types

    def resolved(self, place: Place) -> Place:
        """The subschema that a place stands for, its reference followed."""
        pointer = place.of_kind("$ref", str, "")
        if not pointer:
            return place
        found = self.root
        if pointer != "#" and not pointer.startswith("#/"):
            raise place.error(f"{pointer!r} points outside the schema: only #/... can be followed", "$ref")
        for part in pointer.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            elif isinstance(found, Mapping) and name in found:
                found = found[name]
            else:
                raise place.error(f"{pointer!r} points to nothing", "$ref")
        return Place(found, pointer)

    def _branches(self, place: Place, name: str, types: Sequence[str]) -> Expression:
        if beside := place.besides(name, "type"):
            raise place.error(f"{beside[0]!r} beside {name} is not supported", beside[0])
        count = len(place.of_kind(name, list, []))
        if not count:
            raise place.error("must have one schema at least", name)
        branches = [place.inside(name, number) for number in range(count)]
        if name == "allOf" and count > 1:
            raise place.error("allOf of several schemas is not supported: write them as one", name)
        if name == "oneOf":
            self._check_apart(place, branches)
        return either([self.value(branch, types) for branch in branches])

    def _check_apart(self, place: Place, branches: list[Place]) -> None:
        """Whether no value is of two branches, as far as types and a constant member show."""
        resolved = [self.resolved(branch) for branch in branches]
        for number, one in enumerate(resolved):
            for other in resolved[number + 1 :]:
                if set(kinds(one)) & set(kinds(other)) and not told_apart(one, other):
                    raise place.error(
                        f"{one.path} and {other.path} may admit the same value: use anyOf, or give each a required property "
                        "with a const of its own",
                        "oneOf",
                    )

    def _listed(self, place: Place, types: Sequence[str]) -> Expression:
        """Values of enum and const; other keywords beside them are asked of each."""
        values = [place.schema["const"]] if "const" in place else place.of_kind("enum", list, [])
        if "const" in place and "enum" in place:
            values = [value for value in values if value in place.schema["enum"]]
        fitting = [value for value in values if kind(value) in types or (kind(value) == "integer" and "number" in types)]
        listed = either([self.literal(value) for value in fitting])
        if place.besides("type", "enum", "const"):
            rest = {name: value for name, value in place.schema.items() if name not in ("enum", "const")}
            listed = Texts(Automaton.of(listed) & Automaton.of(self._typed(Place(rest, place.path), types)))
        return self._told(place, listed, "enum" if "enum" in place else "const")

    def literal(self, value: Any) -> Expression:
        """One value as it is written."""
        match value:
            case str():
                return self.syntax.string(Automaton.of(literal(value)))
            case list():
                return self.syntax.enclosed("[", self._joined([self.literal(item) for item in value]), "]")
            case Mapping():
                names = self.syntax.order(list(value))
                members = [chain(self.syntax.key(name), self.syntax.colon, self.literal(value[name])) for name in names]
                return self.syntax.enclosed("{", self._joined(members), "}")
        return literal(json.dumps(value))

    def _joined(self, parts: list[Expression]) -> Expression:
        return chain(*(chain(self.syntax.comma, part) if number else part for number, part in enumerate(parts)))

    def _told(self, place: Place, expression: Expression, *names: str) -> Expression:
        """The same; where it has no text at all, the place is kept for the message."""
        found = Automaton.of(expression)
        if self._nothing is None and found.empty:
            self._nothing = ConstraintUnsatisfiedError(str(place.error("admits no value", *names)))
        return Texts(found)

    def _number(self, place: Place, integer: bool) -> Expression:
        low = _tighter(place, "minimum", "exclusiveMinimum", 1)
        high = _tighter(place, "maximum", "exclusiveMaximum", -1)
        multiple = place.number("multipleOf")
        if multiple is not None and multiple <= 0:
            raise place.error(f"{multiple} must be more than 0", "multipleOf")
        return self._told(place, numbers(integer, low, high, multiple))

    def _string(self, place: Place) -> Expression:
        form = place.of_kind("format", str, None)
        if form is not None and form not in FORMATS:
            raise place.error(f"{form!r} is none of the formats {', '.join(FORMATS)}", "format")
        pattern = place.of_kind("pattern", str, None)
        least, most = place.count("minLength") or 0, place.count("maxLength")
        if most is not None and most < least:
            raise _unsatisfied(place, f"minLength {least} is more than maxLength {most}")
        try:
            content = strings(least, most, () if pattern is None else (pattern,), form)
        except ConstraintError as error:
            raise place.error(str(error)) from None
        return self._told(place, self.syntax.string(content))

    def _array(self, place: Place) -> Expression:
        if place.of_kind("uniqueItems", bool, False) and (place.count("maxItems") or 2) > 1:
            raise place.error("uniqueItems is not supported for more than one item", "uniqueItems")
        first = len(place.of_kind("prefixItems", list, []))
        least, most = place.count("minItems") or 0, place.count("maxItems")
        if most is not None and most < least:
            raise _unsatisfied(place, f"minItems {least} is more than maxItems {most}")
        own = [self.value(place.inside("prefixItems", number)) for number in range(first if most is None else min(first, most))]
        more = self._more_items(place, max(least - first, 0), None if most is None else max(most - first, 0), bool(own))
        # From the last item to the first: as many as are asked for, then each with all that follow it or none.
        inner = more
        for number in reversed(range(len(own))):
            item = chain(self.syntax.comma, own[number]) if number else own[number]
            inner = chain(item, inner) if number < least else optional(chain(item, inner))
        return self.syntax.enclosed("[", inner, "]")

    def _more_items(self, place: Place, least: int, most: int | None, behind: bool) -> Expression:
        """Items that follow those of prefixItems, or all."""
        if most == 0:
            return EMPTY
        if "items" not in place and behind:
            return EMPTY if least == 0 else NOTHING  # none that the schema does not describe
        item = self.value(place.inside("items") if "items" in place else Place({}, place.path))
        item = Texts(Automaton.of(item))
        if behind:
            return Repeat(chain(self.syntax.comma, item), least, most)
        several = chain(item, Repeat(chain(self.syntax.comma, item), max(least - 1, 0), None if most is None else most - 1))
        return several if least else optional(several)

    def _object(self, place: Place) -> Expression:
        return self.syntax.enclosed("{", Members(self, place).expression(), "}")


class Members:
    """The members of one object."""

    def __init__(self, compiler: Compiler, place: Place) -> None:
        self.compiler, self.place = compiler, place
        self.syntax = compiler.syntax
        properties = place.of_kind("properties", dict, {})
        required = place.of_kind("required", list, [])
        if not all(isinstance(name, str) for name in required):
            raise place.error(f"{required!r} must be names", "required")
        self.names = self.syntax.order(list(dict.fromkeys([*properties, *required])))
        self.required = set(required)
        self.properties = properties

    def expression(self) -> Expression:
        """Members between the braces."""
        free = self._free()
        self._check_counts(free is not None)
        members = [self._member(name) for name in self.names]
        if free is None:
            return self._from(members, None)
        if not members:
            least, most = self.place.count("minProperties") or 0, self.place.count("maxProperties")
            rest = Repeat(chain(self.syntax.comma, free), 0, None if most is None else max(most - 1, 0))
            some = chain(free, rest)
            return EMPTY if most == 0 else some if least else optional(some)
        return self._from(members, free)

    def _from(self, members: list[Expression], free: Expression | None) -> Expression:
        """Any first member with those that follow it; optional ones may be missing."""
        comma = self.syntax.comma
        more = EMPTY if free is None else Repeat(chain(comma, free))
        behind: list[Expression] = [more]  # what follows each member, from the last on
        for name, member in zip(reversed(self.names), reversed(members), strict=True):
            follows = chain(comma, member)
            behind.insert(0, Texts(Automaton.of(chain(follows if name in self.required else optional(follows), behind[0]))))
        ways: list[Expression] = []
        for number, (name, member) in enumerate(zip(self.names, members, strict=True)):
            ways.append(chain(member, behind[number + 1]))
            if name in self.required:
                return either(ways)
        return either([*ways, EMPTY if free is None else optional(chain(free, more))])

    def _member(self, name: str) -> Expression:
        place = self.place.inside("properties", name) if name in self.properties else Place({}, self.place.path)
        value = Texts(Automaton.of(self.compiler.value(place)))
        if value.automaton.empty and name not in self.required:
            return NOTHING
        return chain(self.syntax.key(name), self.syntax.colon, value)

    def _free(self) -> Expression | None:
        """A member of a name that the schema does not list; None where there is none."""
        given = self.place.schema.get("additionalProperties", not self.names)
        if given is False:
            return None
        if given is True and self.names and "additionalProperties" in self.place:
            given = {}
        place = Place({}, self.place.path) if given is True else self.place.inside("additionalProperties")
        names = Automaton.of(either(list(self.names))) if self.names else None
        others = strings() if names is None else strings() - names
        value = Texts(Automaton.of(self.compiler.value(place)))
        return chain(self.syntax.names(others), self.syntax.colon, value)

    def _check_counts(self, free: bool) -> None:
        least, most = self.place.count("minProperties") or 0, self.place.count("maxProperties")
        if most is not None and (most < least or most < len(self.required)):
            raise _unsatisfied(self.place, f"maxProperties {most} is less than what is required")
        certain = len(self.required & set(self.names))
        if least > max(certain, int(free and not self.names)):
            raise self.place.error("more properties than are required is not supported", "minProperties")
        if most is not None and self.names and (free or most < len(self.names)):
            raise self.place.error("less than all properties is not supported", "maxProperties")


def narrowed(own: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Types of both; integers are numbers."""
    found = [name for name in own if name in wanted or (name == "integer" and "number" in wanted)]
    if "number" in own and "integer" in wanted and "number" not in wanted:
        found.append("integer")
    return tuple(name for name in TYPES if name in found and not (name == "integer" and "number" in found))


def kind(value: Any) -> str:
    """The type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def kinds(place: Place) -> tuple[str, ...]:
    """Types that a subschema admits, those of its constants where it has such."""
    values = [place.schema["const"]] if "const" in place else place.schema.get("enum")
    if values is not None:
        return tuple({"number" if kind(value) == "integer" else kind(value) for value in values})
    return tuple("number" if name == "integer" else name for name in place.types())


def told_apart(one: Place, other: Place) -> bool:
    """Whether constants of two subschemas, or of one required property of both, have no value in common."""

    def constants(place: Place) -> list[Any] | None:
        return [place.schema["const"]] if "const" in place else place.schema.get("enum")

    def apart(first: list[Any] | None, second: list[Any] | None) -> bool:
        return first is not None and second is not None and not any(value in second for value in first)

    if apart(constants(one), constants(other)):
        return True
    if kinds(one) != ("object",) or kinds(other) != ("object",):
        return False
    required = [set(place.schema.get("required", ())) for place in (one, other)]
    shared = required[0] & required[1] & set(one.schema.get("properties", {})) & set(other.schema.get("properties", {}))
    return any(apart(constants(one.inside("properties", name)), constants(other.inside("properties", name))) for name in shared)


def _tighter(place: Place, inclusive: str, exclusive: str, sign: int) -> Bound | None:
    """The tighter of two bounds; `sign` is 1 for lower ones."""
    bounds = [(place.number(inclusive), True), (place.number(exclusive), False)]
    given = [(value, included) for value, included in bounds if value is not None]
    if not given:
        return None
    return Bound(*max(given, key=lambda bound: (sign * bound[0], not bound[1])))


def _unsatisfied(place: Place, message: str) -> ConstraintUnsatisfiedError:
    return ConstraintUnsatisfiedError(str(place.error(message)))
