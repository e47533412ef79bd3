"""Strings: which a schema admits, and how they are written."""

from __future__ import annotations

from functools import lru_cache

from redraft.grammar import regex
from redraft.grammar.language.charset import ANY, Charset
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import (
    Expression,
    One,
    Repeat,
    Texts,
    chain,
    either,
    literal,
)

LEAP = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])"
DATE = f"[1-9][0-9]{{3}}-({LEAP})"
TIME = (
    r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)
BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?"
FORMATS = {
    "date": DATE,
    "time": TIME,
    "date-time": f"{DATE}T{TIME}",
    "duration": r"P([0-9]{1,4}W|[0-9]{1,4}D(T[0-9]{1,4}H)?|T[0-9]{1,4}(H([0-9]{1,4}M)?|M([0-9]{1,4}S)?|S))",
    "email": rf"[A-Za-z0-9_+-]{{1,20}}(\.[A-Za-z0-9_+-]{{1,20}}){{0,2}}@{LABEL}(\.{LABEL})?\.[A-Za-z]{{2,8}}",
    "hostname": rf"{LABEL}(\.{LABEL}){{0,3}}",
    "ipv4": rf"{BYTE}(\.{BYTE}){{3}}",
    "ipv6": "[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}",
    "uri": rf"https?://{LABEL}(\.{LABEL}){{0,2}}\.[A-Za-z]{{2,8}}(/[A-Za-z0-9._~-]{{1,20}}){{0,4}}/?",
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
}
SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f"}
CONTROL = Charset(
    ((0, 0x1F), (0x7F, 0x7F))
)  # the last need not be escaped, but some readers want it
ESCAPED = CONTROL | Charset.chars('"\\')


def strings(
    least: int = 0, most: int | None = None, patterns: tuple[str, ...] = (), form: str | None = None
) -> DFA:
    """Strings of `least` to `most` characters in which all patterns match, of a format of FORMATS.

    Raises:
        ConstraintError: a pattern cannot be used.
    """
    found = DFA.of(Repeat(One(ANY), least, most))
    for pattern in patterns:
        found &= DFA.of(regex.search(pattern))
    if form is not None:
        found &= DFA.of(regex.whole(FORMATS[form]))
    return found


@lru_cache(maxsize=4096)
def in_json(charset: Charset) -> Expression:
    """How the characters of a set are written inside a JSON string: as they are where they may be,
    else by one escape each. Control characters without a short escape are left out unless there are
    no others."""
    spelled: list[Expression] = [
        literal(escape) for char, escape in SHORT.items() if ord(char) in charset
    ]
    if plain := charset - ESCAPED:
        spelled.append(One(plain))
    if not spelled:  # nobody writes control characters where there is a choice
        spelled = [literal(f"\\u{code:04x}") for code in (*range(0x20), 0x7F) if code in charset]
    return Texts(
        DFA.of(either(spelled))
    )  # every character of a long string has this: it should be small


def json_string(content: DFA) -> Expression:
    """Strings of this content in JSON, their quotes with them."""
    return chain('"', Texts(content, in_json), '"')
