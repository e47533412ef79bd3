"""Objects: the members between the braces."""

from __future__ import annotations

from collections.abc import Iterator

from redraft.grammar.language.builders import dfa_of_texts
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import (
    EMPTY_LANGUAGE,
    Expression,
    Repeat,
    concat,
    is_empty,
    optional,
    union,
)
from redraft.grammar.regex import regex_search
from redraft.grammar.schema.conjunction import Conjunction, Values
from redraft.grammar.schema.separated import (
    COMMA,
    UNCOUNTED_COMMA,
    counted,
    without_first_comma,
)
from redraft.grammar.schema.strings import strings
from redraft.grammar.schema.subschema import Subschema
from redraft.grammar.schema.syntax import Syntax

MAX_CELLS = 128
# Names, and the patterns that match them.
NameCell = tuple[DFA, frozenset[str]]


class Members:
    """The members of an object: those that the schema names, in its order, then free ones."""

    def __init__(self, conjunction: Conjunction, syntax: Syntax, values: Values) -> None:
        self.conjunction, self.syntax, self.values = conjunction, syntax, values
        self.required: set[str] = set()
        self.patterns: dict[str, DFA] = {}
        named: dict[str, None] = {}
        self.absent: set[str] = set()
        for here in conjunction.subschemas:
            named.update(dict.fromkeys(here.value("properties", dict, {})))
            self.required |= set(here.names("required"))
            self.absent |= set(here.names("absent"))
            for pattern in here.value("patternProperties", dict, {}):
                self.patterns[pattern] = _pattern(here, pattern)
        for here in conjunction.subschemas:
            named.update(dict.fromkeys(here.names("required")))
        self.possible_names = self._possible_names()
        kept = [name for name in named if name not in self.absent and self._is_possible(name)]
        if lost := self.required - set(kept):
            raise conjunction.unsatisfied(
                f"{min(lost)!r} is required, and no name that is admitted", "required"
            )
        self.names = syntax.order(kept)

    def expression(self) -> Expression:
        """Return all that may stand between the braces."""
        minimum, maximum = self.conjunction.counts("minProperties", "maxProperties")
        if maximum is not None and maximum < len(self.required):
            raise self.conjunction.unsatisfied(
                f"maxProperties {maximum} is less than what is required", "maxProperties"
            )
        parts: list[Expression] = []
        possible = 0
        for name in self.names:
            member = self._member(name)
            possible += member is not EMPTY_LANGUAGE
            member = concat(COMMA, member)
            parts.append(member if name in self.required else optional(member))
        free = self._free_member()
        if free is not None:
            if minimum > len(self.required):
                # Two free members may have the same name: only one of them counts.
                more = Repeat(concat(UNCOUNTED_COMMA, free))
                parts.append(optional(concat(COMMA, free, more)))
            else:
                parts.append(Repeat(concat(COMMA, free)))
        if minimum > possible + (free is not None):
            if free is None:
                raise self.conjunction.unsatisfied(
                    f"minProperties {minimum} is more than all properties", "minProperties"
                )
            raise self.conjunction.error(
                "more properties than are described, and one, is not supported: name them in "
                "properties",
                "minProperties",
            )
        main = self.conjunction.main
        found = main.dfa(concat(*parts))
        if minimum > len(self.required) or maximum is not None:
            found = counted(found, minimum, maximum)
        return without_first_comma(found, self.syntax.comma)

    def _member(self, name: str) -> Expression:
        """Return a member that the schema names; the empty language where it has no value."""
        matched = frozenset(
            pattern for pattern, names in self.patterns.items() if names.accepts(name)
        )
        described = self._described(name, matched)
        main = described[0] if described else self.conjunction.main.anything()
        value = self.values.value(described or [main])
        with main.located():
            key = self.syntax.key(name)
        if is_empty(value):
            return EMPTY_LANGUAGE
        return concat(key, self.syntax.colon, value)

    def _described(self, name: str | None, matched: frozenset[str]) -> list[Subschema]:
        """Return the subschemas of the value of a member.

        Args:
            name: None for a name that no subschema lists.
            matched: the patterns that match the name.
        """
        found: list[Subschema] = []
        for here in self.conjunction.subschemas:
            found += _own_described(here, name, matched)
            if "unevaluatedProperties" in here and not any(
                _own_described(other, name, matched)
                or ("unevaluatedProperties" in other and other is not here)
                for other in self.conjunction.in_scope(here.path)
            ):
                found.append(here.inside("unevaluatedProperties"))
        return found

    def _free_member(self) -> Expression | None:
        """Return a member whose name the schema does not list; None where there are none.

        Where the schema lists members there are no others, unless it describes those too: the
        standard would allow any, but nobody asks for them.
        """
        lists_members = any(
            "properties" in here or "patternProperties" in here
            for here in self.conjunction.subschemas
        )
        is_open = not self.names and not lists_members
        members: list[Expression] = []
        for names, matched in self._name_cells():
            described = self._described(None, matched)
            if not described and not is_open:
                continue
            main = described[0] if described else self.conjunction.main.anything()
            value = self.values.value(described or [main])
            if not is_empty(value):
                members.append(concat(self.syntax.names(names), self.syntax.colon, value))
        return union(members) if members else None

    def _name_cells(self) -> Iterator[NameCell]:
        """Yield the names that the schema does not list, by the patterns that match them."""
        listed = {*self.names, *self.absent}
        for here in self.conjunction.subschemas:
            listed |= set(here.value("properties", dict, {}))
        names = self.possible_names
        cells: list[NameCell] = [(names - dfa_of_texts(listed) if listed else names, frozenset())]
        for pattern, matching in self.patterns.items():
            split: list[NameCell] = []
            for names, matched in cells:
                split += [(names & matching, matched | {pattern}), (names - matching, matched)]
            cells = [cell for cell in split if not cell[0].empty]
            if len(cells) > MAX_CELLS:
                raise self.conjunction.error(
                    f"its patterns divide names into more than {MAX_CELLS} sets, which is too many",
                    "patternProperties",
                )
        yield from (cell for cell in cells if not cell[0].empty)

    def _is_possible(self, name: str) -> bool:
        return self.possible_names.accepts(name)

    def _possible_names(self) -> DFA:
        """Return the names that members may have."""
        found = [here.inside("propertyNames") for here in self.conjunction.having("propertyNames")]
        return self.values.texts(found) if found else strings()


def _own_described(here: Subschema, name: str | None, matched: frozenset[str]) -> list[Subschema]:
    """Return the subschemas that the keywords of one subschema have for a member."""
    found: list[Subschema] = []
    if name is not None and name in here.value("properties", dict, {}):
        found.append(here.inside("properties", name))
    for pattern in here.value("patternProperties", dict, {}):
        if pattern in matched:
            found.append(here.inside("patternProperties", pattern))
    if not found and "additionalProperties" in here:
        found.append(here.inside("additionalProperties"))
    return found


def _pattern(here: Subschema, pattern: str) -> DFA:
    """Return the names that a pattern matches."""
    with here.located("patternProperties"):
        return minimal_dfa(regex_search(pattern))
