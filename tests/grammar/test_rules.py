"""Grammars, against Lark's own parser."""

from __future__ import annotations

import random

import lark
import pytest

from redraft.errors import ConstraintError, ConstraintUnsatisfiedError
from redraft.grammar import Grammar
from tests.grammar.cases import drawn

ARITHMETIC = """
start: sum
sum: product | sum "+" product | sum "-" product
product: atom | product "*" atom
atom: NUMBER | "-" atom | "(" sum ")"
NUMBER: /[0-9]+/
"""
GRAMMARS = {
    "arithmetic": ARITHMETIC,
    "json": """
        start: value
        value: object | array | STRING | NUMBER | "true" | "null"
        array: "[" [value ("," value)*] "]"
        object: "{" [pair ("," pair)*] "}"
        pair: STRING ":" value
        STRING: /"[a-z]*"/
        NUMBER: /-?[0-9]{1,3}/
    """,
    "ambiguous": 'start: e\ne: e "+" e | "!" e | e "?" | "x" | "(" e ")"',
    "query": """
        start: "select"i " " names " from " NAME (" where " condition)?
        names: "*" | NAME ("," NAME)*
        condition: NAME "=" (NAME | INT) (" and "i condition)?
        NAME: /[a-z_]+/
        %import common.INT
    """,
    "spaces": 'start: "a" b+\nb: "b" | "(" b* ")"\n%import common.WS\n%ignore WS',
    "strings": (
        "start: pair+\npair: ESCAPED_STRING /:/ SIGNED_NUMBER\n"
        "%import common (ESCAPED_STRING, SIGNED_NUMBER)"
    ),
    "empty": 'start: a?\na: "x" a "y" |',
    "mutual": 'start: a\na: "x" b | "1"\nb: a "y" | "2"',
}


@pytest.mark.parametrize("name", GRAMMARS)
def test_every_text_is_derived(name: str) -> None:
    source = GRAMMARS[name]
    dfa = Grammar(source).dfa
    parser = lark.Lark(source, parser="earley", lexer="dynamic_complete")
    rng = random.Random(name)
    for _ in range(40):
        parser.parse(drawn(rng, dfa, rng.choice([0, 8, 20])))  # raises where it is not


@pytest.mark.parametrize("name", ["arithmetic", "ambiguous", "query"])
def test_what_is_not_derived_is_not_admitted(name: str) -> None:
    source = GRAMMARS[name]
    dfa = Grammar(source).dfa
    parser = lark.Lark(source, parser="earley", lexer="dynamic_complete")
    rng = random.Random(name)
    for _ in range(150):
        text = drawn(rng, dfa, 8)
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice("x+*()-1 ?!") + text[at + 1 :]
        try:
            parser.parse(text)
            derived = True
        except lark.exceptions.LarkError:
            derived = False
        assert dfa.accepts(text) <= derived, text


def test_repetition_has_no_limit_and_nesting_has_the_one_it_is_given() -> None:
    dfa = Grammar(ARITHMETIC, depth=2).dfa
    assert dfa.accepts("+".join(["1"] * 100))
    assert dfa.accepts("*".join(["-1"] * 100))
    assert dfa.accepts("((1+2)*3)-(4)")
    assert not dfa.accepts("(((1)))")
    assert Grammar(ARITHMETIC, depth=3).dfa.accepts("(((1)))")


def test_another_rule_may_begin() -> None:
    assert Grammar(ARITHMETIC, start="atom").dfa.accepts("(1)")
    assert not Grammar(ARITHMETIC, start="atom").dfa.accepts("1+1")


REFUSED = {
    "start: foo": "'foo' used but not defined",
    "start: 'a": "line 1 column 8",
    'x: "a"': "start",
    "start: A\nA: /(?<=x)y/": "terminal A",
    "%import .mine (BAR)\nstart: BAR": "not files",
    "%import common.NOPE\nstart: NOPE": "NOPE",
    'start: "a" %%': "line 1 column 12",
    "%declare A\nstart: A": "A",
    'start: "x" A\nA: /^a/': "an anchor",
    'start: "x" "y"\n%ignore /#.*/': "could swallow what follows",
    "start: /(/": "grammar: ",
}


@pytest.mark.parametrize(("source", "words"), REFUSED.items())
def test_a_grammar_that_cannot_be_used_is_refused_with_its_place(source: str, words: str) -> None:
    with pytest.raises(ConstraintError) as caught:
        Grammar(source)
    assert words in str(caught.value)


def test_a_grammar_without_an_end_derives_nothing() -> None:
    with pytest.raises(ConstraintUnsatisfiedError, match="derives no text"):
        Grammar('start: "a" start "b"')


def test_white_space_may_be_anywhere_between_terminals() -> None:
    dfa = Grammar('start: "a" "b"\n%import common.WS\n%ignore WS').dfa
    for text in ("ab", " a  b", "a\n b\n"):
        assert dfa.accepts(text)


def test_rules_that_derive_one_another_stay_small() -> None:
    """The expressions of a query language: eight levels of precedence in one circle."""
    rules = "\n".join(
        f'r{number}: r{number + 1} ("op{number}" r{number + 1})*' for number in range(8)
    )
    source = f'start: r0\n{rules}\nr8: /[a-z]/ | "(" r0 ")" | "not" r8'
    dfa = Grammar(source, depth=3).dfa
    assert len(dfa.table) < 3000
    assert dfa.accepts("(((a)op3b)op7notc)")
    assert not dfa.accepts("((((a))))")


def test_what_is_no_grammar_is_told() -> None:
    for source, start in ((3, "start"), ('start: "a"', 3), ('start: "a"', "other")):
        with pytest.raises(ConstraintError):
            Grammar(source, start=start)  # type: ignore[arg-type]
