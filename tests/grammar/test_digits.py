"""Numbers of more digits than Python reads, in every place of a constraint that may hold one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from redraft.errors import ConstraintError
from redraft.grammar import Grammar, JsonSchema, Regex

DIGITS = "9" * 5000  # Python reads 4,300
CASES: dict[str, Callable[[], object]] = {
    "repetition": lambda: Regex(f"a{{{DIGITS}}}"),
    "repetition up to": lambda: Regex(f"a{{1,{DIGITS}}}"),
    "group": lambda: Regex(f"(a)(?({DIGITS})a|b)"),
    "pattern": lambda: JsonSchema({"type": "string", "pattern": f"a{{{DIGITS}}}"}),
    "names": lambda: JsonSchema({"type": "object", "patternProperties": {f"a{{{DIGITS}}}": {}}}),
    "reference": lambda: JsonSchema({"$ref": f"#/enum/{DIGITS}", "enum": [{}]}),
    "multiple": lambda: JsonSchema(
        {"type": "integer", "allOf": [{"multipleOf": one**2000} for one in (3, 7, 11)]}
    ),
    "rule": lambda: Grammar(f'start: "a"~{DIGITS}'),
    "terminal": lambda: Grammar(f"start: /a{{{DIGITS}}}/"),
    "priority": lambda: Grammar(f'start: A\nA.{DIGITS}: "a"'),
}


@pytest.mark.parametrize("name", CASES)
def test_a_number_of_too_many_digits_is_told(name: str) -> None:
    with pytest.raises(ConstraintError):
        CASES[name]()


def test_numbers_that_can_be_read_are_read() -> None:
    assert Regex("a{3}").dfa.accepts("aaa")
    reference = JsonSchema({"$ref": "#/prefixItems/1", "prefixItems": [{}, {"const": 7}]})
    assert reference.dfa.accepts("7")
    both = JsonSchema({"type": "integer", "allOf": [{"multipleOf": 4}, {"multipleOf": 6}]})
    assert both.dfa.accepts("24")
    assert not both.dfa.accepts("18")
