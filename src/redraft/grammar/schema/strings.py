"""Strings: the ones that a schema admits, and JSON's escapes."""

from __future__ import annotations

from functools import lru_cache

from redraft.errors import ConstraintError
from redraft.grammar.language.builders import dfa_of_texts
from redraft.grammar.language.charset import ANY_CHARACTER, Charset
from redraft.grammar.language.determinise import minimal_dfa
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import (
    Expression,
    Language,
    Repeat,
    Symbol,
    concat,
    literal,
    union,
)
from redraft.grammar.regex import regex_fullmatch, regex_search
from redraft.grammar.schema.subschema import Subschema
from redraft.grammar.schema.values import constants

# Month and day of a year that is not a leap year.
MONTH_AND_DAY = (
    "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
    "|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|02-(0[1-9]|1[0-9]|2[0-8])"
)
DATE = f"[1-9][0-9]{{3}}-({MONTH_AND_DAY})"
HOUR_AND_MINUTE = "([01][0-9]|2[0-3]):[0-5][0-9]"
TIME = rf"{HOUR_AND_MINUTE}:[0-5][0-9](\.[0-9]{{1,6}})?(Z|[+-]{HOUR_AND_MINUTE})"
BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?"
# A pattern for each format. Each is a subset of its format, with limits on lengths.
FORMATS = {
    "date": DATE,
    "time": TIME,
    "date-time": f"{DATE}T{TIME}",
    "duration": (
        "P([0-9]{1,4}W|[0-9]{1,4}D(T[0-9]{1,4}H)?|T[0-9]{1,4}(H([0-9]{1,4}M)?|M([0-9]{1,4}S)?|S))"
    ),
    "email": (
        r"[A-Za-z0-9_+-]{1,20}(\.[A-Za-z0-9_+-]{1,20}){0,2}"
        rf"@{LABEL}(\.{LABEL})?\.[A-Za-z]{{2,8}}"
    ),
    "hostname": rf"{LABEL}(\.{LABEL}){{0,3}}",
    "ipv4": rf"{BYTE}(\.{BYTE}){{3}}",
    "ipv6": "[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}",
    "uri": (
        rf"https?://{LABEL}(\.{LABEL}){{0,2}}\.[A-Za-z]{{2,8}}"
        r"(/[A-Za-z0-9._~-]{1,20}){0,4}/?"
    ),
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
}
# Formats that do not restrict a string.
FREE_FORMATS = ("password", "binary")
SHORT_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\t": "\\t",
    "\r": "\\r",
    "\b": "\\b",
    "\f": "\\f",
}
DELETE = 0x7F  # JSON does not ask for its escape, but some readers do
CONTROL = Charset(((0, 0x1F), (DELETE, DELETE)))
ESCAPED = CONTROL | Charset.chars('"\\')


def strings(
    minimum: int = 0,
    maximum: int | None = None,
    patterns: tuple[str, ...] = (),
    form: str | None = None,
) -> DFA:
    """Return the strings of `minimum` to `maximum` characters in which all patterns match.

    Args:
        form: a format of FORMATS that they must have.

    Raises:
        ConstraintError: a pattern cannot be used.
    """
    found = minimal_dfa(Repeat(Symbol(ANY_CHARACTER), minimum, maximum))
    for pattern in patterns:
        found &= minimal_dfa(regex_search(pattern))
    if form is not None:
        found &= minimal_dfa(regex_fullmatch(FORMATS[form]))
    return found


def strings_of(subschema: Subschema) -> DFA:
    """Return the strings that the keywords of strings admit."""
    form = subschema.value("format", str, None)
    known = (*FORMATS, *FREE_FORMATS)
    if form is not None and form not in known:
        raise subschema.error(f"{form!r} is none of the formats {', '.join(known)}", "format")
    pattern = subschema.value("pattern", str, None)
    minimum, maximum = subschema.count("minLength") or 0, subschema.count("maxLength")
    if maximum is not None and maximum < minimum:
        raise subschema.unsatisfied(f"minLength {minimum} is more than maxLength {maximum}")
    patterns = () if pattern is None else (pattern,)
    try:
        return strings(minimum, maximum, patterns, None if form in FREE_FORMATS else form)
    except ConstraintError as error:
        raise subschema.error(str(error)) from None


def names_of(subschema: Subschema) -> DFA:
    """Return the strings that a whole subschema admits, also by its const and enum."""
    values = constants(subschema)
    found = strings()
    if values is not None:
        found = dfa_of_texts(value for value in values if isinstance(value, str))
    return found & strings_of(subschema)


@lru_cache(maxsize=4096)
def escaped(charset: Charset) -> Expression:
    """Return the characters of a set as a JSON string has them.

    A character that needs no escape has none; another has one escape, the short one if there is
    one. Control characters without a short escape are left out, unless the set has no others:
    texts rarely contain them.
    """
    spellings: list[Expression] = [
        literal(escape) for char, escape in SHORT_ESCAPES.items() if ord(char) in charset
    ]
    if plain := charset - ESCAPED:
        spellings.append(Symbol(plain))
    if not spellings:
        codes = (*range(0x20), DELETE)
        spellings = [literal(f"\\u{code:04x}") for code in codes if code in charset]
    # Minimised, because every character of a long string has a copy of it.
    return Language(minimal_dfa(union(spellings)))


def json_string(content: DFA) -> Expression:
    """Return JSON strings of some content, with their quotes."""
    return concat('"', Language(content, escaped), '"')
