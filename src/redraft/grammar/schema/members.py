"""Members: what stands between the braces of an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redraft.grammar.language.builders import listed, rebased
from redraft.grammar.language.charset import Charset
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import (
    EMPTY,
    NOTHING,
    Expression,
    One,
    Repeat,
    Texts,
    chain,
    either,
    optional,
)
from redraft.grammar.schema.keywords import Place
from redraft.grammar.schema.strings import strings

if TYPE_CHECKING:
    from redraft.grammar.schema.compiler import Compiler

COMMA = Charset(((1 << 31, 1 << 31),))  # stands before each member until the first is known


class Members:
    """The members of one object: those that the schema names, in its order, and behind them free
    ones."""

    def __init__(self, compiler: Compiler, place: Place, tag: str | None) -> None:
        """tag: a member that is required whatever the schema says."""
        self.compiler, self.place = compiler, place
        self.syntax = compiler.syntax
        self.properties = place.of_kind("properties", dict, {})
        required = place.of_kind("required", list, [])
        if not all(isinstance(name, str) for name in required):
            raise place.error(f"{required!r} must be names", "required")
        self.required = set(required) | ({tag} if tag in self.properties else set())
        self.names = self.syntax.order(list(dict.fromkeys([*self.properties, *required])))

    def expression(self) -> Expression:
        """All that may stand there."""
        self.free_names = self._names()
        free = self._free()
        self._check_counts(free is not None)
        if not self.names and free is not None:
            return self._free_alone(free)
        each = [chain(One(COMMA), self._member(name)) for name in self.names]
        parts = [
            one if name in self.required else optional(one)
            for name, one in zip(self.names, each, strict=True)
        ]
        if free is not None:
            parts.append(Repeat(chain(One(COMMA), free)))
        found = self.compiler.automaton_of(chain(*parts), self.place)
        kind = found.alphabet.kind(COMMA.intervals[0][0])
        if kind < 0 or found.table[0, kind] < 0:
            return EMPTY if found.final[0] else NOTHING
        some = Texts(rebased(found, int(found.table[0, kind]), found.final), self._spelled)
        return optional(some) if found.final[0] else some

    def _spelled(self, charset: Charset) -> Expression:
        """The mark before a member as a comma, everything else as it is."""
        rest = One(charset - COMMA)
        return (
            rest
            if not charset & COMMA
            else either([self.syntax.comma, rest])
            if rest.of
            else self.syntax.comma
        )

    def _free_alone(self, free: Expression) -> Expression:
        least, most = self.place.count("minProperties") or 0, self.place.count("maxProperties")
        if most == 0:
            return EMPTY
        more = Repeat(chain(self.syntax.comma, free), 0, None if most is None else most - 1)
        return chain(free, more) if least else optional(chain(free, more))

    def _member(self, name: str) -> Expression:
        if name in self.properties:
            place = self.place.inside("properties", name)
        elif "additionalProperties" in self.place:
            place = self.place.inside("additionalProperties")
        else:
            place = Place({}, self.place.path)
        value = self.compiler.automaton_of(self.compiler.value(place), place)
        try:
            key = self.syntax.key(name)
        except ValueError as error:
            raise place.error(str(error)) from None
        return NOTHING if value.empty else chain(key, self.syntax.colon, Texts(value))

    def _free(self) -> Expression | None:
        """A member of a name that the schema does not list; None where there is none."""
        given = self.place.schema.get("additionalProperties", "properties" not in self.place)
        if given is False or (
            given is True and "additionalProperties" not in self.place and self.names
        ):
            return None
        place = Place({}, self.place.path)
        if "additionalProperties" in self.place:
            place = self.place.inside("additionalProperties")
        names = self.free_names
        if self.names:
            names = names - listed(self.names)
        value = self.compiler.automaton_of(self.compiler.value(place), place)
        return (
            None
            if names.empty or value.empty
            else chain(self.syntax.names(names), self.syntax.colon, Texts(value))
        )

    def _names(self) -> DFA:
        """Names that members may have."""
        if "propertyNames" not in self.place:
            return strings()
        names = self.compiler.content(self.place.inside("propertyNames"))
        if refused := [name for name in self.names if not names.accepts(name)]:
            raise self.place.error(f"{refused[0]!r} is no name that it admits", "propertyNames")
        return names

    def _check_counts(self, free: bool) -> None:
        least, most = self.place.count("minProperties") or 0, self.place.count("maxProperties")
        if most is not None and (most < least or most < len(self.required)):
            raise self.place.unsatisfied(f"maxProperties {most} is less than what is required")
        if least > max(len(self.required), int(free and not self.names)):
            raise self.place.error(
                "more properties than are required is not supported", "minProperties"
            )
        if most is not None and self.names and (free or most < len(self.names)):
            raise self.place.error("less than all properties is not supported", "maxProperties")
