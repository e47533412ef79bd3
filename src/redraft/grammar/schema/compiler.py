"""From a JSON Schema to the expression of the texts that it admits.

Every text is valid; not every valid text is among them. There is one order of an object's members,
one spelling of each character, no exponent where a number has bounds, no members that the schema
does not name (unless it says which, or names none), and what recurses does so to a depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from redraft.errors import ConstraintError, ConstraintUnsatisfiedError
from redraft.grammar.language.builders import listed
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import (
    EMPTY,
    NOTHING,
    Expression,
    Repeat,
    Texts,
    chain,
    either,
    literal,
    optional,
)
from redraft.grammar.recursion import Nesting
from redraft.grammar.schema.keywords import ANY_FORMAT, TYPES, Place
from redraft.grammar.schema.members import Members
from redraft.grammar.schema.numbers import Bound, numbers
from redraft.grammar.schema.strings import FORMATS, strings
from redraft.grammar.schema.syntax import Syntax
from redraft.grammar.schema.values import apart, constants, fits, narrowed, written

ROOT = "#"
ANYTHING = "any value"  # what recurses where a schema asks for nothing


class Compiler:
    """Compiles one schema.

    Args:
        root: the whole schema, which references point into.
        depth: how often what refers to itself may stand inside itself.
    """

    def __init__(self, root: Any, syntax: Syntax, depth: int) -> None:
        self.root = root
        self.syntax = syntax
        self.depth = depth
        self._nesting = Nesting(ROOT, self._references_in)
        self._anything = 0  # how deep we are in values of which nothing is asked
        self._done: dict[tuple[Any, ...], DFA] = {}
        self._nothing: ConstraintUnsatisfiedError | None = (
            None  # the first place that admits nothing
        )

    def automaton(self, types: Sequence[str] = TYPES) -> DFA:
        """The texts of the whole schema, as far as they are of some types.

        Raises:
            ConstraintError: a keyword is not supported or its value wrong.
                ConstraintUnsatisfiedError: no text is admitted.
        """
        try:
            found = DFA.of(self.value(Place(self.root, ROOT), types))
        except RecursionError:
            raise ConstraintError("the schema is nested too deeply") from None
        if found.empty:
            raise self._nothing or ConstraintUnsatisfiedError("schema #: it admits no value at all")
        return found

    def automaton_of(self, expression: Expression, place: Place) -> DFA:
        """An automaton; where it becomes too large, the place is told."""
        try:
            return DFA.of(expression)
        except ConstraintError as error:
            raise place.error(str(error)) from None

    def value(
        self, place: Place, types: Sequence[str] = TYPES, tag: str | None = None
    ) -> Expression:
        """Values that a subschema admits, of some types; an object has the member `tag`."""
        admitted = narrowed(place.types(), types)
        if "$ref" in place:
            if beside := place.besides("$ref", "type"):
                raise place.error(f"{beside[0]!r} beside $ref is not supported", beside[0])
            return self._referred(self.resolved(place), admitted, tag)
        for name in ("anyOf", "oneOf", "allOf"):
            if name in place:
                return self._branches(place, name, admitted)
        if (values := constants(place)) is not None:
            return self._listed(place, values, admitted)
        if not place.besides("type") and {"array", "object"} & set(admitted):
            return self._any(place, admitted)
        return self._typed(place, admitted, tag)

    def _typed(self, place: Place, types: Sequence[str], tag: str | None = None) -> Expression:
        forms: dict[str, Callable[[], Expression]] = {
            "null": lambda: literal("null"),
            "boolean": lambda: either(["true", "false"]),
            "integer": lambda: self._number(place, True),
            "number": lambda: self._number(place, False),
            "string": lambda: self._told(place, self.syntax.string(self._strings(place))),
            "array": lambda: self._array(place),
            "object": lambda: self.syntax.enclosed(
                "{", Members(self, place, tag).expression(), "}"
            ),
        }
        return either([forms[name]() for name in types])

    def _any(self, place: Place, types: Sequence[str]) -> Expression:
        """Values of which nothing but their type is asked, nested to the depth."""
        if self._anything > self.depth:
            return NOTHING
        key = ANYTHING, tuple(types), self._anything
        if key not in self._done:
            self._anything += 1
            self._done[key] = self.automaton_of(self._typed(place, types), place)
            self._anything -= 1
        return Texts(self._done[key])

    def _referred(self, target: Place, types: Sequence[str], tag: str | None) -> Expression:
        name = target.path
        level = self._nesting.level(name)
        if level > self.depth:
            return NOTHING
        key = name, tuple(types), tag, level
        if key not in self._done:
            found = self._nesting.inside(name, lambda: self.value(target, types, tag))
            self._done[key] = self.automaton_of(found, target)
        return Texts(self._done[key])

    def resolved(self, place: Place) -> Place:
        """The subschema that a place stands for, its reference followed."""
        pointer = place.of_kind("$ref", str, "")
        if not pointer:
            return place
        found = self.root
        if pointer != ROOT and not pointer.startswith("#/"):
            raise place.error(
                f"{pointer!r} points outside the schema: only #/... can be followed", "$ref"
            )
        for part in pointer.split("/")[1:]:
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            elif isinstance(found, Mapping) and name in found:
                found = found[name]
            else:
                raise place.error(f"{pointer!r} points to nothing", "$ref")
        return Place(found, pointer)

    def _references_in(self, pointer: str) -> list[str]:
        """Where the references inside a subschema point."""
        here = self.resolved(Place({"$ref": pointer}, ROOT))

        def walk(schema: Any) -> Iterator[str]:
            if isinstance(schema, Mapping):
                if isinstance(schema.get("$ref"), str):
                    yield self.resolved(Place({"$ref": schema["$ref"]}, here.path)).path
                for name, part in schema.items():
                    if name not in ("const", "enum", "$defs", "definitions", "default", "examples"):
                        yield from walk(part)
            elif isinstance(schema, list):
                for part in schema:
                    yield from walk(part)

        return list(dict.fromkeys(walk(here.schema)))

    def _branches(self, place: Place, name: str, types: Sequence[str]) -> Expression:
        if beside := place.besides(name, "type"):
            raise place.error(f"{beside[0]!r} beside {name} is not supported", beside[0])
        count = len(place.of_kind(name, list, []))
        if not count:
            raise place.error("must have one schema at least", name)
        branches = [place.inside(name, number) for number in range(count)]
        if name == "allOf" and count > 1:
            raise place.error("allOf of several schemas is not supported: write them as one", name)
        tag = None
        if name == "oneOf":
            tag = place.of_kind("discriminator", dict, {}).get("propertyName")
            self._check_apart(place, [self.resolved(branch) for branch in branches], tag)
        return either([self.value(branch, types, tag) for branch in branches])

    def _check_apart(self, place: Place, branches: list[Place], tag: str | None) -> None:
        """Whether no value is of two branches."""
        for number, one in enumerate(branches):
            for other in branches[number + 1 :]:
                if not apart(one, other, tag):
                    raise place.error(
                        f"{one.path} and {other.path} may admit the same value: use anyOf, or give each a required property "
                        "with a const of its own",
                        "oneOf",
                    )

    def _listed(self, place: Place, values: list[Any], types: Sequence[str]) -> Expression:
        """Values of enum and const; other keywords beside them are asked of each."""
        fitting = [value for value in values if fits(value, types)]
        words = [value for value in fitting if isinstance(value, str)]
        rest = [self.literal(value) for value in fitting if not isinstance(value, str)]
        found = either([*rest, *([self.syntax.string(listed(words))] if words else [])])
        if place.besides("type", "enum", "const"):
            others = {
                name: value for name, value in place.schema.items() if name not in ("enum", "const")
            }
            found = Texts(
                DFA.of(found)
                & self.automaton_of(self._typed(Place(others, place.path), types), place)
            )
        return self._told(place, found, "enum" if "enum" in place else "const")

    def literal(self, value: Any) -> Expression:
        """One value as it is written."""
        match value:
            case None | bool():
                return literal({None: "null", True: "true", False: "false"}[value])
            case int() | float():
                return literal(written(value))
            case str():
                return self.syntax.string(DFA.of(literal(value)))
            case list():
                return self.syntax.enclosed(
                    "[", self._joined([self.literal(item) for item in value]), "]"
                )
        names = self.syntax.order(list(value))
        members = [
            chain(self.syntax.key(name), self.syntax.colon, self.literal(value[name]))
            for name in names
        ]
        return self.syntax.enclosed("{", self._joined(members), "}")

    def _joined(self, parts: list[Expression]) -> Expression:
        return chain(
            *(
                chain(self.syntax.comma, part) if number else part
                for number, part in enumerate(parts)
            )
        )

    def _told(self, place: Place, expression: Expression, *names: str) -> Expression:
        """The same; where it has no text at all, the place is kept for the message."""
        found = self.automaton_of(expression, place)
        if self._nothing is None and found.empty:
            self._nothing = place.unsatisfied("admits no value", *names)
        return Texts(found)

    def _number(self, place: Place, integer: bool) -> Expression:
        low = _tighter(place, "minimum", "exclusiveMinimum", low=True)
        high = _tighter(place, "maximum", "exclusiveMaximum", low=False)
        multiple = place.number("multipleOf")
        if multiple is not None and multiple <= 0:
            raise place.error(f"{multiple} must be more than 0", "multipleOf")
        return self._told(place, numbers(integer, low, high, multiple))

    def content(self, place: Place) -> DFA:
        """The strings of a schema, by their characters."""
        values = constants(place)
        found = (
            strings()
            if values is None
            else listed(value for value in values if isinstance(value, str))
        )
        return found & self._strings(place)

    def _strings(self, place: Place) -> DFA:
        form = place.of_kind("format", str, None)
        if form is not None and form not in (*FORMATS, *ANY_FORMAT):
            raise place.error(
                f"{form!r} is none of the formats {', '.join((*FORMATS, *ANY_FORMAT))}", "format"
            )
        pattern = place.of_kind("pattern", str, None)
        least, most = place.count("minLength") or 0, place.count("maxLength")
        if most is not None and most < least:
            raise place.unsatisfied(f"minLength {least} is more than maxLength {most}")
        try:
            return strings(
                least,
                most,
                () if pattern is None else (pattern,),
                None if form in ANY_FORMAT else form,
            )
        except ConstraintError as error:
            raise place.error(str(error)) from None

    def _array(self, place: Place) -> Expression:
        least, most = place.count("minItems") or 0, place.count("maxItems")
        if place.of_kind("uniqueItems", bool, False) and (most is None or most > 1):
            raise place.error("uniqueItems is not supported for more than one item", "uniqueItems")
        if most is not None and most < least:
            raise place.unsatisfied(f"minItems {least} is more than maxItems {most}")
        first = len(place.of_kind("prefixItems", list, []))
        own = [
            self.value(place.inside("prefixItems", number))
            for number in range(first if most is None else min(first, most))
        ]
        inner = self._more_items(
            place, max(least - first, 0), None if most is None else max(most - first, 0), bool(own)
        )
        # From the last item to the first: as many as are asked for, then each with all that follow
        # it or none.
        for number in reversed(range(len(own))):
            item = chain(self.syntax.comma, own[number]) if number else own[number]
            inner = chain(item, inner) if number < least else optional(chain(item, inner))
        return self.syntax.enclosed("[", inner, "]")

    def _more_items(self, place: Place, least: int, most: int | None, behind: bool) -> Expression:
        """Items that follow those of prefixItems, or all."""
        if most == 0:
            return EMPTY
        if "items" not in place and behind:  # none that the schema does not describe
            if least:
                raise place.error("more items than prefixItems describes: give items", "minItems")
            return EMPTY
        where = place.inside("items") if "items" in place else Place({}, place.path)
        item = Texts(self.automaton_of(self.value(where), where))
        if behind:
            return Repeat(chain(self.syntax.comma, item), least, most)
        several = chain(
            item,
            Repeat(
                chain(self.syntax.comma, item),
                max(least - 1, 0),
                None if most is None else most - 1,
            ),
        )
        return several if least else optional(several)


def _tighter(place: Place, inclusive: str, exclusive: str, *, low: bool) -> Bound | None:
    """The tighter of two bounds."""
    bounds = [(place.number(inclusive), True), (place.number(exclusive), False)]
    given = [(value, included) for value, included in bounds if value is not None]
    if not given:
        return None
    return Bound(
        *max(given, key=lambda bound: (bound[0] if low else bound[0].copy_negate(), not bound[1]))
    )
