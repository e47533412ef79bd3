"""Objects: the members between the braces."""

from __future__ import annotations

from collections.abc import Callable

from redraft.grammar.language.builders import dfa_from_state, dfa_of_texts
from redraft.grammar.language.charset import Charset
from redraft.grammar.language.dfa import DEAD, DFA
from redraft.grammar.language.expression import (
    EMPTY_LANGUAGE,
    EMPTY_TEXT,
    Expression,
    Language,
    Repeat,
    Symbol,
    concat,
    optional,
    union,
)
from redraft.grammar.schema.strings import names_of, strings
from redraft.grammar.schema.subschema import Subschema
from redraft.grammar.schema.syntax import Syntax

# A symbol that no text has. It stands for the comma before each member, the first one too, until
# the members are one DFA; then the first of them is taken off.
SEPARATOR = 1 << 31
COMMA = Charset(((SEPARATOR, SEPARATOR),))


class Members:
    """The members of an object: those that the schema names, in its order, then free ones.

    Args:
        value: the values of a subschema of the members.
        tag: a member that is required whatever the schema says, if the schema names it.
    """

    def __init__(
        self,
        subschema: Subschema,
        syntax: Syntax,
        value: Callable[[Subschema], Expression],
        tag: str | None,
    ) -> None:
        self.subschema, self.syntax, self.value = subschema, syntax, value
        self.properties = subschema.value("properties", dict, {})
        required = subschema.value("required", list, [])
        if not all(isinstance(name, str) for name in required):
            raise subschema.error(f"{required!r} must be names", "required")
        self.required = set(required) | ({tag} if tag in self.properties else set())
        self.names = syntax.order(list(dict.fromkeys([*self.properties, *required])))

    def expression(self) -> Expression:
        """Return all that may stand between the braces."""
        free = self._free_member(self._possible_names())
        self._check_counts(free is not None)
        if not self.names and free is not None:
            return self._only_free(free)
        parts: list[Expression] = []
        for name in self.names:
            member = concat(Symbol(COMMA), self._member(name))
            parts.append(member if name in self.required else optional(member))
        if free is not None:
            parts.append(Repeat(concat(Symbol(COMMA), free)))
        return self._without_first_comma(self.subschema.dfa(concat(*parts)))

    def _without_first_comma(self, dfa: DFA) -> Expression:
        """Return the texts of a DFA with commas for their separators, without the first one."""
        column = dfa.alphabet.class_of(SEPARATOR)
        if column < 0 or dfa.table[0, column] == DEAD:
            return EMPTY_TEXT if dfa.final[0] else EMPTY_LANGUAGE
        behind = dfa_from_state(dfa, int(dfa.table[0, column]), dfa.final)
        some = Language(behind, self._with_comma)
        return optional(some) if dfa.final[0] else some

    def _with_comma(self, charset: Charset) -> Expression:
        """Return a transition's characters; the separator becomes a comma."""
        rest = Symbol(charset - COMMA)
        if not charset & COMMA:
            return rest
        return union([self.syntax.comma, rest]) if rest.charset else self.syntax.comma

    def _only_free(self, member: Expression) -> Expression:
        """Return the members of an object whose schema names none."""
        minimum, maximum = self._counts()
        if maximum == 0:
            return EMPTY_TEXT
        limit = None if maximum is None else maximum - 1
        several = concat(member, Repeat(concat(self.syntax.comma, member), 0, limit))
        return several if minimum else optional(several)

    def _member(self, name: str) -> Expression:
        """Return a member that the schema names."""
        if name in self.properties:
            described = self.subschema.inside("properties", name)
        elif "additionalProperties" in self.subschema:
            described = self.subschema.inside("additionalProperties")
        else:
            described = self.subschema.anything()
        value = described.dfa(self.value(described))
        try:
            key = self.syntax.key(name)
        except ValueError as error:
            raise described.error(str(error)) from None
        if value.empty:
            return EMPTY_LANGUAGE
        return concat(key, self.syntax.colon, Language(value))

    def _free_member(self, names: DFA) -> Expression | None:
        """Return a member whose name the schema does not list; None where there are none.

        Without additionalProperties there are none beside named ones: the standard would allow
        any, but nobody asks for them.
        """
        named = "additionalProperties" in self.subschema
        given = self.subschema.schema.get(
            "additionalProperties", "properties" not in self.subschema
        )
        if given is False or (given is True and not named and self.names):
            return None
        described = self.subschema.anything()
        if named:
            described = self.subschema.inside("additionalProperties")
        if self.names:
            names = names - dfa_of_texts(self.names)
        value = described.dfa(self.value(described))
        if names.empty or value.empty:
            return None
        return concat(self.syntax.names(names), self.syntax.colon, Language(value))

    def _possible_names(self) -> DFA:
        """Return the names that members may have."""
        if "propertyNames" not in self.subschema:
            return strings()
        names = names_of(self.subschema.inside("propertyNames"))
        if refused := [name for name in self.names if not names.accepts(name)]:
            raise self.subschema.error(f"{refused[0]!r} is no name that it admits", "propertyNames")
        return names

    def _counts(self) -> tuple[int, int | None]:
        minimum = self.subschema.count("minProperties") or 0
        return minimum, self.subschema.count("maxProperties")

    def _check_counts(self, has_free: bool) -> None:
        """Raise where minProperties and maxProperties would have to be counted."""
        minimum, maximum = self._counts()
        if maximum is not None and (maximum < minimum or maximum < len(self.required)):
            raise self.subschema.unsatisfied(
                f"maxProperties {maximum} is less than what is required"
            )
        if minimum > max(len(self.required), int(has_free and not self.names)):
            raise self.subschema.error(
                "more properties than are required is not supported", "minProperties"
            )
        if maximum is not None and self.names and (has_free or maximum < len(self.names)):
            raise self.subschema.error("less than all properties is not supported", "maxProperties")
