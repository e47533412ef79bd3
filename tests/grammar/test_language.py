"""Patterns and automata, held against Python's own matcher, interegular and plain enumeration."""

from __future__ import annotations

import itertools
import random
import re

import interegular
import numpy as np
import pytest

from redraft.errors import ConstraintError
from redraft.grammar.language.builders import dfa_of_texts
from redraft.grammar.language.charset import ANY_CHARACTER, Charset
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.language.expression import Repeat, Symbol, concat, literal, optional, union
from redraft.grammar.regex import regex_fullmatch, regex_search
from tests.grammar.cases import drawn, guidance_matches, pattern

LETTERS = "abcé1.x"


def texts(rng: random.Random, count: int) -> list[str]:
    return ["".join(rng.choices(LETTERS, k=rng.randint(0, 6))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(60))
def test_a_pattern_has_the_texts_that_other_matchers_find(seed: int) -> None:
    rng = random.Random(seed)
    source = pattern(rng)
    whole, some = minimal_dfa(regex_fullmatch(source)), minimal_dfa(regex_search(source))
    for text in [*texts(rng, 60), *(drawn(rng, whole, 6) for _ in range(10))]:
        assert whole.accepts(text) == bool(re.fullmatch(source, text)), (source, text)
        assert some.accepts(text) == bool(re.search(source, text)), (source, text)
        assert whole.accepts(text) == guidance_matches(source, text), (source, text)


@pytest.mark.parametrize(
    "source", ["a*b+", "(ab|c)*", "[a-c]{2,3}x?", "a(b|[^a])+", "(a|ab)(c|bcd)?", "é|.b"]
)
def test_an_automaton_is_interegulars(source: str) -> None:
    dfa, fsm = (
        minimal_dfa(regex_fullmatch(source)),
        interegular.parse_pattern(source).to_fsm(),
    )
    rng = random.Random(source)
    for text in [*texts(rng, 200), *(drawn(rng, dfa, 6) for _ in range(50))]:
        assert dfa.accepts(text) == fsm.accepts(text), text


ANCHORED = [
    "^a",
    "b$",
    "^a|b$",
    "^(ab)*$",
    "(^a)?b",
    "a(b$|c)",
    "^$",
    r"\Aa\Z",
    "(?i)aB[c-d]",
    "(?s)a.b",
    "(?x) a b # c",
    "(?i:é)a",
    "^^a",
    "^(^a$)$",
    r"[\s\S]b",
]


@pytest.mark.parametrize("source", ANCHORED)
def test_anchors_and_flags_mean_what_they_mean_elsewhere(source: str) -> None:
    whole, some = minimal_dfa(regex_fullmatch(source)), minimal_dfa(regex_search(source))
    letters = "abB\nÉ"
    for text in (
        "".join(found) for length in range(5) for found in itertools.product(letters, repeat=length)
    ):
        assert whole.accepts(text) == bool(re.fullmatch(source, text)), text
        if not text.endswith("\n"):  # Python's $ also matches before a last line end
            assert some.accepts(text) == bool(re.search(source, text)), text


@pytest.mark.parametrize("name", ["d", "w", "s"])
def test_classes_are_within_every_dialects(name: str) -> None:
    inside = minimal_dfa(regex_fullmatch(f"\\{name}"))
    outside = minimal_dfa(regex_fullmatch(f"\\{name.upper()}"))
    for code in (*range(0x3000), 0x4E00, 0xFEFF, 0x1D7CE, 0x10FFFF):
        char = chr(code)
        narrow, wide = re.fullmatch(f"\\{name}", char, re.ASCII), re.fullmatch(f"\\{name}", char)
        assert inside.accepts(char) == bool(narrow)
        assert not (outside.accepts(char) and wide), hex(code)


REFUSED = {
    "(?<=a)b": "lookbehind",
    "a(?=b)": "lookahead",
    "a(?!b)": "lookahead",
    r"(a)\1": "reference",
    r"\bab": "word boundary",
    "a++": "possessive",
    "(?>a)": "atomic",
    "(?m)^a": "flag",
    "a(": "not valid",
    "[b-a]": "not valid",
    "(a{5000}){5000}": "too large",
    "\ud800": "surrogate",
    "a{99999999999}": "not valid",
    "(" * 3000 + "a" + ")" * 3000: "too deeply",
}


@pytest.mark.parametrize(("source", "word"), REFUSED.items())
def test_what_no_finite_automaton_can_do_is_refused_by_name(source: str, word: str) -> None:
    with pytest.raises(ConstraintError, match=word):
        minimal_dfa(regex_fullmatch(source))


def test_differences_and_intersections_are_of_sets() -> None:
    rng = random.Random(3)
    for _ in range(25):
        one, other = (
            minimal_dfa(regex_fullmatch(pattern(rng))),
            minimal_dfa(regex_fullmatch(pattern(rng))),
        )
        both, rest = one & other, one - other
        for text in [*texts(rng, 40), *(drawn(rng, one, 5) for _ in range(10) if not one.empty)]:
            assert both.accepts(text) == (one.accepts(text) and other.accepts(text))
            assert rest.accepts(text) == (one.accepts(text) and not other.accepts(text))


def test_an_automaton_is_the_least_of_its_language() -> None:
    """Two states that no text tells apart would be one too many."""
    rng = random.Random(4)
    for _ in range(25):
        dfa = minimal_dfa(regex_fullmatch(pattern(rng)))
        size, kinds = dfa.table.shape
        apart = dfa.final[:, None] != dfa.final[None]
        padded = np.vstack([dfa.table, np.full((1, kinds), -1)])
        wide = np.zeros((size + 1, size + 1), dtype=bool)
        for _ in range(size):
            wide[:size, :size] = apart
            wide[size, :size] = wide[:size, size] = (
                True  # the dead state differs from all that are live
            )
            following = [
                wide[padded[:size, kind][:, None], padded[:size, kind][None]]
                for kind in range(kinds)
            ]
            apart = apart | np.logical_or.reduce([apart, *following])
        assert (apart | np.eye(size, dtype=bool)).all()


def test_sets_of_characters_are_sets() -> None:
    rng = random.Random(5)

    def some() -> Charset:
        pairs = [sorted(rng.choices(range(40), k=2)) for _ in range(rng.randint(0, 4))]
        return Charset.of((first, last) for first, last in pairs)

    for _ in range(200):
        one, other = some(), some()
        mine, theirs = ({code for code in range(60) if code in charset} for charset in (one, other))
        for found, expected in (
            (one | other, mine | theirs),
            (one & other, mine & theirs),
            (one - other, mine - theirs),
        ):
            assert {code for code in range(60) if code in found} == expected
            assert found == Charset.of(found.intervals)


def test_expressions_are_what_they_say() -> None:
    expression = concat(
        "x", union(["ab", "c"]), Repeat(Symbol(Charset.chars("de")), 1, 2), optional("!")
    )
    dfa = minimal_dfa(expression)
    assert dfa.accepts("xabd!")
    assert dfa.accepts("xcee")
    assert not dfa.accepts("xc")
    assert not dfa.accepts("xcddd")
    assert minimal_dfa(union([])).empty
    assert minimal_dfa(literal("")).accepts("")
    assert minimal_dfa(Repeat(Symbol(ANY_CHARACTER))).universal
    assert not minimal_dfa(Repeat(Symbol(ANY_CHARACTER), 1)).universal


def test_case_does_not_matter_where_a_flag_says_so() -> None:
    for source in ("(?i)k", "(?i)[^K]", "(?i)[j-l]", "(?i)[^\u017f]"):
        dfa = minimal_dfa(regex_fullmatch(source))
        for char in "jJkK\u212alsS\u017fxé":
            assert dfa.accepts(char) == bool(re.fullmatch(source, char)), (source, char)


def test_repeating_nothing_is_nothing() -> None:
    dfa = minimal_dfa(regex_fullmatch("(){4000000000}a|(){0,4000000000}b"))
    assert dfa.accepts("a")
    assert dfa.accepts("b")


def test_many_texts_are_no_more_work_than_their_characters() -> None:
    rng = random.Random(8)
    words = ["".join(rng.choices("abcdefgh", k=12)) for _ in range(3000)]
    dfa = dfa_of_texts(words)
    assert all(map(dfa.accepts, words))
    assert not any(dfa.accepts(word[:-1]) for word in words)
    with pytest.raises(ConstraintError, match="surrogate"):
        dfa_of_texts(["\ud800"])
