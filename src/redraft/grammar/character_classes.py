"""The charsets of \\d, \\w and \\s, and of characters that differ by case alone.

Dialects of regular expressions differ in these classes. Only characters on which all agree are
used: \\d, \\w and \\s are the ASCII ones, and \\D, \\W and \\S exclude the Unicode ones.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import cache

from redraft.grammar.language.charset import ANY_CHARACTER, FIRST_SPECIAL, Charset

ASCII = {
    "CATEGORY_DIGIT": Charset.of([(ord("0"), ord("9"))]),
    "CATEGORY_SPACE": Charset.chars(" \t\n\r\f\v"),
    "CATEGORY_WORD": Charset.of(
        [(ord("0"), ord("9")), (ord("A"), ord("Z")), (ord("_"), ord("_")), (ord("a"), ord("z"))]
    ),
}


@cache
def category(name: str, wide: bool = False) -> Charset:
    """Return the charset of a category of Python's parser, such as CATEGORY_NOT_DIGIT.

    Args:
        wide: also take the characters on which dialects differ. A category inside a negated set
            needs them: what is left is then in the set of every dialect.
    """
    plain = name.replace("_NOT_", "_")
    if plain == name:
        return ASCII[plain] | _unicode(plain) if wide else ASCII[plain]
    return ANY_CHARACTER - (ASCII[plain] if wide else ASCII[plain] | _unicode(plain))


@cache
def case_variants() -> dict[str, set[str]]:
    """The other cases of each character that has any."""
    found: dict[str, set[str]] = {}
    for number in range(FIRST_SPECIAL):
        char = chr(number)
        for other in (char.lower(), char.upper()):
            if len(other) == 1 and other != char:
                found.setdefault(char, set()).add(other)
                found.setdefault(other, set()).add(char)
    return found


def ignoring_case(charset: Charset) -> Charset:
    """Return a charset with the other cases of its characters."""
    # Twice, because a character may have two variants: k and K also match the Kelvin sign.
    for _ in range(2):
        others: list[tuple[int, int]] = []
        for char, variants in case_variants().items():
            if ord(char) in charset:
                others += [(ord(variant), ord(variant)) for variant in variants]
        charset |= Charset.of(others)
    return charset


@cache
def _unicode(name: str) -> Charset:
    test: Callable[[str], bool] = {
        "CATEGORY_DIGIT": str.isdigit,
        "CATEGORY_SPACE": lambda char: char.isspace() or char == "\ufeff",
        "CATEGORY_WORD": lambda char: char.isalnum() or char == "_",
    }[name]
    numbers = range(min(FIRST_SPECIAL, sys.maxunicode + 1))
    return Charset.of(_runs(number for number in numbers if test(chr(number)))) & ANY_CHARACTER


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Return ascending numbers as intervals of consecutive ones."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = runs[-1][0], number
        else:
            runs.append((number, number))
    return runs
