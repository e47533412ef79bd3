"""Numbers: decimal notations of values within bounds, or multiples of something, as automata over
digits.

Read digit by digit, a number is compared with a bound by its count of digits so far and by the
first digit that differs, and its remainder is that of the digits so far. Numbers with an exponent
are written only where nothing is asked of them: their digits alone do not tell how large they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from redraft.grammar import regex
from redraft.grammar.language.builders import explored
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import NOTHING, Expression, Texts, chain, either

INTEGER = r"0|-?[1-9][0-9]*"
NUMBER = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?"
SYMBOLS = "0123456789."


@dataclass(frozen=True)
class Bound:
    """A number of at least 0, and whether values may equal it."""

    value: Decimal
    included: bool

    @cached_property
    def digits(self) -> tuple[str, str]:
        """Before and behind the point, without needless zeros."""
        whole, _, part = format(self.value, "f").partition(".")
        return whole, part.rstrip("0")


@dataclass(frozen=True)
class Seen:
    """What is known of the digits so far.

    whole: how many before the point, counted up to one more than any bound has. part: how many
    behind it, -1 before the point.
    against: of each bound, whether the digits are below (-1), equal to or above (1) its own so far.
    rest: remainder.
    zero: whether the first digit is 0, which no other may follow. positive: whether any digit is
    not 0.
    """

    whole: int
    part: int
    against: tuple[int, ...]
    rest: int
    zero: bool
    positive: bool


@dataclass(frozen=True)
class Magnitude:
    """Values of at least 0.

    integer: without a point. low, high: bounds, or None. multiple: of what they are multiples, None
    for anything. positive: more than 0.
    """

    integer: bool
    low: Bound | None
    high: Bound | None
    multiple: Decimal | None
    positive: bool

    @property
    def bounds(self) -> list[Bound]:
        return [bound for bound in (self.low, self.high) if bound is not None]

    @cached_property
    def places(self) -> int | None:
        """Digits behind the point at most."""
        if self.integer:
            return 0
        return None if self.multiple is None else self.decimals

    @cached_property
    def step(self) -> tuple[int, int]:
        """The step between multiples in units of its last digit, and how many digits it has behind
        the point."""
        if self.multiple is None:
            return 1, 0
        whole, _, part = format(self.multiple, "f").partition(".")
        part = part.rstrip("0")
        return int(whole + part), len(part)

    @property
    def decimals(self) -> int:
        return self.step[1]

    @property
    def modulus(self) -> int:
        return self.step[0]

    def automaton(self) -> DFA:
        """Their notations."""
        start = Seen(0, -1, tuple(0 for _ in self.bounds), 0, False, False)
        return explored(start, self.after, self.ends, SYMBOLS)

    def after(self, seen: Seen, symbol: str) -> Seen | None:
        """One more character."""
        if symbol == ".":
            fits = seen.part < 0 and seen.whole > 0 and self.places != 0
            return (
                Seen(seen.whole, 0, self._at_point(seen), seen.rest, False, seen.positive)
                if fits
                else None
            )
        rest = (seen.rest * 10 + int(symbol)) % self.modulus
        positive = seen.positive or symbol != "0"
        if seen.part < 0:
            if seen.zero:
                return None
            longest = max((len(bound.digits[0]) for bound in self.bounds), default=0) + 1
            against = self._compared(seen, symbol, 0, seen.whole)
            return Seen(
                min(seen.whole + 1, longest),
                -1,
                against,
                rest,
                not seen.whole and symbol == "0",
                positive,
            )
        if self.places is not None and seen.part >= self.places:
            return None
        longest = max([self.decimals, *(len(bound.digits[1]) for bound in self.bounds)]) + 1
        return Seen(
            seen.whole,
            min(seen.part + 1, longest),
            self._compared(seen, symbol, 1, seen.part),
            rest,
            False,
            positive,
        )

    def _compared(self, seen: Seen, symbol: str, side: int, at: int) -> tuple[int, ...]:
        found = []
        for bound, so_far in zip(self.bounds, seen.against, strict=True):
            digits = bound.digits[side]
            other = digits[at] if at < len(digits) else "0"
            found.append(so_far or (symbol > other) - (symbol < other))
        return tuple(found)

    def _at_point(self, seen: Seen) -> tuple[int, ...]:
        """Against each bound, once the count of digits before the point is known."""
        found = []
        for bound, so_far in zip(self.bounds, seen.against, strict=True):
            length = len(bound.digits[0])
            found.append((seen.whole > length) - (seen.whole < length) or so_far)
        return tuple(found)

    def ends(self, seen: Seen) -> bool:
        """Whether the digits so far are such a value."""
        if not seen.whole or seen.part == 0 or (self.positive and not seen.positive):
            return False
        written = max(seen.part, 0)
        if self.multiple is not None and seen.rest * 10 ** (self.decimals - written) % self.modulus:
            return False
        against = self._at_point(seen) if seen.part < 0 else seen.against
        full = [
            so_far or -(len(bound.digits[1]) > written)
            for bound, so_far in zip(self.bounds, against, strict=True)
        ]
        kinds = [*([1] if self.low else []), *([-1] if self.high else [])]
        return all(
            order == kind or (order == 0 and bound.included)
            for order, kind, bound in zip(full, kinds, self.bounds, strict=True)
        )


def numbers(
    integer: bool, low: Bound | None, high: Bound | None, multiple: Decimal | None
) -> Expression:
    """Notations of numbers from `low` to `high`, which may be negative, None where there is
    none."""
    if low is None and high is None and multiple is None:
        return regex.whole(INTEGER if integer else NUMBER)
    parts: list[Expression] = []
    if high is None or high.value >= 0:
        over = low if low is not None and low.value >= 0 else None
        parts.append(Texts(Magnitude(integer, over, high, multiple, False).automaton()))
    if low is None or low.value < 0:
        least = _negated(high) if high is not None and high.value <= 0 else None
        most = _negated(low) if low is not None else None
        parts.append(chain("-", Texts(Magnitude(integer, least, most, multiple, True).automaton())))
    return either(parts) if parts else NOTHING


def _negated(bound: Bound) -> Bound:
    return Bound(bound.value.copy_negate() if bound.value else Decimal(0), bound.included)
