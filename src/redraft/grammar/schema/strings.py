"""Strings: the ones that a schema admits, and JSON's escapes."""

from __future__ import annotations

from functools import lru_cache

from redraft.grammar.language.builders import counted, dfa_of_texts
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
from redraft.grammar.schema.conjunction import Conjunction

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
# No two hyphens in a row: "xn--" begins an encoded label.
LABEL = "[A-Za-z0-9](-?[A-Za-z0-9])*"
# The last label of a host name is not all digits: that could be an address.
LAST_LABEL = "[A-Za-z](-?[A-Za-z0-9])*"
SHORT_LABEL = "[A-Za-z0-9](-?[A-Za-z0-9]){0,30}"
# A host name has at most 253 characters: (labels before the last, the length of each).
HOST_NAMES = (((0, 2), 63), ((3, 5), 40))
DOMAIN = rf"({SHORT_LABEL}\.){{1,3}}[A-Za-z]{{2,12}}"
PATH = r"(/[A-Za-z0-9._~-]{1,40}){0,6}/?"
URI = rf"https?://{DOMAIN}{PATH}"
EMAIL = rf"[A-Za-z0-9_+-]{{1,32}}(\.[A-Za-z0-9_+-]{{1,20}}){{0,2}}@{DOMAIN}"
POINTER = "(/([^/~]|~[01])*)*"
# A pattern for each format. Each is a subset of its format, with limits on lengths.
FORMATS = {
    "date": DATE,
    "time": TIME,
    "date-time": f"{DATE}T{TIME}",
    "duration": (
        "P([0-9]{1,4}W|[0-9]{1,4}D(T[0-9]{1,4}H)?|T[0-9]{1,4}(H([0-9]{1,4}M)?|M([0-9]{1,4}S)?|S))"
    ),
    "email": EMAIL,
    "idn-email": EMAIL,
    "ipv4": rf"{BYTE}(\.{BYTE}){{3}}",
    "ipv6": "[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}",
    "uri": URI,
    "iri": URI,
    "uri-reference": rf"{URI}|{PATH}",
    "iri-reference": rf"{URI}|{PATH}",
    "uri-template": URI,
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "json-pointer": POINTER,
    "relative-json-pointer": f"(0|[1-9][0-9]{{0,3}})(#|{POINTER})",
    "regex": r"\^?([A-Za-z0-9 _-]|\\[dws.]|\.)*\$?",
}
HOST_FORMATS = ("hostname", "idn-hostname")
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


def strings(minimum: int = 0, maximum: int | None = None) -> DFA:
    """Return the strings of `minimum` to `maximum` characters."""
    return counted(ANY_CHARACTER, minimum, maximum)


def strings_of(conjunction: Conjunction) -> DFA:
    """Return the strings that the keywords of strings admit.

    A format that is not known restricts nothing, as the standard says.

    Raises:
        ConstraintError: a pattern cannot be used.
    """
    minimum, maximum = conjunction.counts("minLength", "maxLength")
    with conjunction.located("minLength" if maximum is None else "maxLength"):
        found = strings(minimum, maximum)
    for name in ("format", "pattern", "excludedPattern"):
        for here in conjunction.having(name):
            text = here.value(name, str, "")
            with here.located(*(["pattern"] if "attern" in name else [])):
                if name == "format":
                    form = _format(text)
                    found = found if form is None else found & form
                elif name == "pattern":
                    found &= minimal_dfa(regex_search(text))
                else:
                    found -= minimal_dfa(regex_search(text))
    return found - dfa_of_texts(text for text in conjunction.excluded() if isinstance(text, str))


@lru_cache(maxsize=64)
def _format(name: str) -> DFA | None:
    """Return the strings of a format; None where it is not known."""
    if name in HOST_FORMATS:
        return minimal_dfa(union([_host_name(labels, length) for labels, length in HOST_NAMES]))
    return minimal_dfa(regex_fullmatch(FORMATS[name])) if name in FORMATS else None


def _host_name(labels: tuple[int, int], length: int) -> Expression:
    """Return host names of so many labels and a last one, each up to a length."""
    short = strings(1, length)
    label = minimal_dfa(regex_fullmatch(LABEL)) & short
    last = minimal_dfa(regex_fullmatch(LAST_LABEL)) & short
    return concat(Repeat(concat(Language(label), "."), *labels), Language(last))


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
    plain = not any(charset & ESCAPED for charset in content.alphabet.charsets)
    return concat('"', Language(content, None if plain else escaped), '"')
