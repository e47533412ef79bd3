"""Numbers: decimal notations of values within bounds, or of multiples, as DFAs over digits.

A number is read digit by digit. Its comparison with a bound follows from the count of its digits
before the point and from the first digit that differs; its remainder modulo the step of
`multipleOf` from that of the digits so far. An exponent is admitted only where no keyword restricts
the value: the digits alone do not say how large such a number is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

from redraft.grammar.language.builders import dfa_from_step
from redraft.grammar.language.dfa import DFA
from redraft.grammar.language.expression import (
    EMPTY_LANGUAGE,
    Expression,
    Language,
    concat,
    union,
)
from redraft.grammar.regex import regex_fullmatch
from redraft.grammar.schema.conjunction import Conjunction
from redraft.text.json_value import Json

INTEGER = r"0|-?[1-9][0-9]*"
NUMBER = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?"
SYMBOLS = "0123456789."
# A number with a point has at most as many digits, from the first that is not 0 on: readers keep
# numbers as doubles, and more digits may be rounded to a bound, or over it.
MAX_DIGITS = 15
MAX_STEP_DIGITS = 1000  # of what all values are multiples of


@dataclass(frozen=True)
class Bound:
    """A limit of a value, which may equal it where it is `included`."""

    value: Decimal
    included: bool

    @cached_property
    def digits(self) -> tuple[str, str]:
        """The digits before and behind the point, without trailing zeros."""
        whole, _, part = format(self.value.copy_abs(), "f").partition(".")
        return whole, part.rstrip("0")


@dataclass(frozen=True)
class DigitState:
    """A state of the DFA: the facts about the digits so far.

    Attributes:
        integer_digits: the digits before the point, counted up to one more than any bound has.
        decimals: the digits behind the point, counted in the same way; -1 before the point.
        order: for each bound, -1, 0 or 1: the digits so far are below it, equal to it or above it.
        remainder: the digits so far modulo the step of the multiples.
        is_zero: the first digit is 0, which no other digit may follow.
        significant: the digits from the first that is not 0 on, counted up to MAX_DIGITS.
    """

    integer_digits: int
    decimals: int
    order: tuple[int, ...]
    remainder: int
    is_zero: bool
    significant: int


@dataclass(frozen=True)
class Magnitude:
    """The notations of values of at least 0.

    Attributes:
        integer: values have no point.
        low, high: bounds of at least 0, or None.
        multiple: the values are multiples of it; None for any value.
        positive: 0 is not among the values.
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
    def max_decimals(self) -> int | None:
        """The number of digits that may stand behind the point; None for no limit."""
        if self.integer:
            return 0
        return None if self.multiple is None else self.step_decimals

    @cached_property
    def _step(self) -> tuple[int, int]:
        if self.multiple is None:
            return 1, 0
        whole, _, part = format(self.multiple, "f").partition(".")
        part = part.rstrip("0")
        return int(whole + part), len(part)

    @property
    def step(self) -> int:
        """The step between multiples, in units of its own last digit."""
        return self._step[0]

    @property
    def step_decimals(self) -> int:
        """The number of digits of the step behind the point."""
        return self._step[1]

    def dfa(self) -> DFA:
        """Return the DFA of the notations."""
        start = DigitState(0, -1, tuple(0 for _ in self.bounds), 0, False, 0)
        return dfa_from_step(start, self.next_state, self.is_final, SYMBOLS)

    def next_state(self, state: DigitState, symbol: str) -> DigitState | None:
        """Return the state after one more character, None where it is not allowed."""
        if symbol == ".":
            return self._after_point(state)
        remainder = (state.remainder * 10 + int(symbol)) % self.step
        significant = state.significant + (state.significant > 0 or symbol != "0")
        if state.decimals < 0:
            if state.is_zero:
                return None
            longest = max((len(bound.digits[0]) for bound in self.bounds), default=0) + 1
            return DigitState(
                min(state.integer_digits + 1, longest),
                -1,
                self._compared(state, symbol, 0, state.integer_digits),
                remainder,
                not state.integer_digits and symbol == "0",
                min(significant, 1 if self.integer else MAX_DIGITS),
            )
        if self.max_decimals is not None and state.decimals >= self.max_decimals:
            return None
        if significant > MAX_DIGITS:
            return None
        lengths = [len(bound.digits[1]) for bound in self.bounds]
        return DigitState(
            state.integer_digits,
            min(state.decimals + 1, max([self.step_decimals, *lengths]) + 1),
            self._compared(state, symbol, 1, state.decimals),
            remainder,
            False,
            significant,
        )

    def _after_point(self, state: DigitState) -> DigitState | None:
        if state.decimals >= 0 or not state.integer_digits or self.max_decimals == 0:
            return None
        if state.significant == MAX_DIGITS:
            return None
        order = self._order_at_point(state)
        return DigitState(state.integer_digits, 0, order, state.remainder, False, state.significant)

    def _compared(self, state: DigitState, symbol: str, side: int, at: int) -> tuple[int, ...]:
        """Return the order with one more digit; the first digit that differs decides.

        Args:
            side: 0 before the point, 1 behind it.
            at: the index of the digit on its side.
        """
        found = []
        for bound, so_far in zip(self.bounds, state.order, strict=True):
            digits = bound.digits[side]
            other = digits[at] if at < len(digits) else "0"
            found.append(so_far or (symbol > other) - (symbol < other))
        return tuple(found)

    def _order_at_point(self, state: DigitState) -> tuple[int, ...]:
        """Return the order once the count of digits before the point is known."""
        found = []
        for bound, so_far in zip(self.bounds, state.order, strict=True):
            length = len(bound.digits[0])
            count = state.integer_digits
            found.append((count > length) - (count < length) or so_far)
        return tuple(found)

    def is_final(self, state: DigitState) -> bool:
        """Return True where the digits so far are such a value."""
        if not state.integer_digits or state.decimals == 0:
            return False
        if self.positive and not state.significant:
            return False
        decimals = max(state.decimals, 0)
        if self.multiple is not None:
            # The remainder as if all digits of the step had been written: the others are 0.
            scale: int = 10 ** (self.step_decimals - decimals)
            if state.remainder * scale % self.step:
                return False
        order = self._order_at_point(state) if state.decimals < 0 else state.order
        # A bound with more digits behind the point is above digits that are equal so far.
        full = [
            so_far or -(len(bound.digits[1]) > decimals)
            for bound, so_far in zip(self.bounds, order, strict=True)
        ]
        sides = [*([1] if self.low else []), *([-1] if self.high else [])]
        return all(
            position == side or (position == 0 and bound.included)
            for position, side, bound in zip(full, sides, self.bounds, strict=True)
        )


def numbers(
    integer: bool, low: Bound | None, high: Bound | None, multiple: Decimal | None
) -> Expression:
    """Return the notations of numbers.

    Args:
        integer: they have no point.
        low, high: bounds, which may be negative; None for no bound.
        multiple: they are multiples of it; None for any number.
    """
    if low is None and high is None and multiple is None:
        return regex_fullmatch(INTEGER if integer else NUMBER)
    parts: list[Expression] = []
    if _is_contradiction(low, high):
        return EMPTY_LANGUAGE
    if high is None or high.value >= 0:
        positive_low = low if low is not None and low.value >= 0 else None
        magnitude = Magnitude(integer, positive_low, high, multiple, positive=False)
        parts.append(Language(magnitude.dfa()))
    if low is None or low.value < 0:
        # A minus sign turns the bounds around: -5 <= x means that |x| <= 5.
        smallest = _negated(high) if high is not None and high.value <= 0 else None
        largest = _negated(low) if low is not None else None
        magnitude = Magnitude(integer, smallest, largest, multiple, positive=True)
        parts.append(concat("-", Language(magnitude.dfa())))
    return union(parts) if parts else EMPTY_LANGUAGE


def numbers_of(conjunction: Conjunction, integer: bool) -> Expression:
    """Return the numbers that the keywords of numbers admit."""
    low, high = _bounds(conjunction)
    multiple = _step(conjunction)
    # A negation excludes values: what is left lies between them.
    values = [value for value in conjunction.excluded() if _is_number(value)]
    cuts = sorted({_decimal(value) for value in values})
    parts = []
    for cut in cuts:
        below = Bound(cut, included=False)
        parts.append(numbers(integer, low, _tighter(high, below, is_low=False), multiple))
        low = _tighter(low, below, is_low=True)
    return union([*parts, numbers(integer, low, high, multiple)])


def admits_number(conjunction: Conjunction, value: float) -> bool:
    """Return True where the keywords of numbers admit a value."""
    number, (low, high), step = _decimal(value), _bounds(conjunction), _step(conjunction)
    if low and (number < low.value or (number == low.value and not low.included)):
        return False
    if high and (number > high.value or (number == high.value and not high.included)):
        return False
    return step is None or Fraction(number) % Fraction(step) == 0


def integers_of(conjunction: Conjunction, limit: int) -> list[Json] | None:
    """Return the integers within the bounds; None where they are more than a limit."""
    low, high = _bounds(conjunction)
    if low is None or high is None or high.value - low.value > limit:
        return None
    found = range(math.floor(low.value), math.ceil(high.value) + 1)
    return [value for value in found if admits_number(conjunction, value)]


def _bounds(conjunction: Conjunction) -> tuple[Bound | None, Bound | None]:
    return (
        _tightest(conjunction, "minimum", "exclusiveMinimum", is_low=True),
        _tightest(conjunction, "maximum", "exclusiveMaximum", is_low=False),
    )


def _step(conjunction: Conjunction) -> Decimal | None:
    """Return the number that all values are multiples of, None where there is none."""
    found: Decimal | None = None
    for here in conjunction.having("multipleOf"):
        step = here.number("multipleOf")
        if step is None or step <= 0:
            raise here.error(f"{step} must be more than 0", "multipleOf")
        found = step if found is None else _common_multiple(found, step)
        if found.adjusted() > MAX_STEP_DIGITS:
            raise here.error(
                f"the common multiple has more than {MAX_STEP_DIGITS} digits", "multipleOf"
            )
    return found


def _decimal(value: Json) -> Decimal:
    return Decimal(repr(value)) if value else Decimal(0)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _common_multiple(one: Decimal, other: Decimal) -> Decimal:
    """Return the smallest number that is a multiple of both."""
    first, second = one.as_integer_ratio(), other.as_integer_ratio()
    found = Fraction(math.lcm(first[0], second[0]), math.gcd(first[1], second[1]))
    return Decimal(found.numerator) / Decimal(found.denominator)


def _is_contradiction(low: Bound | None, high: Bound | None) -> bool:
    return low is not None and high is not None and low.value > high.value


def _negated(bound: Bound) -> Bound:
    return Bound(bound.value.copy_negate() if bound.value else Decimal(0), bound.included)


def _tightest(
    conjunction: Conjunction, inclusive: str, exclusive: str, *, is_low: bool
) -> Bound | None:
    """Return the tightest of the bounds of two keywords, None where there are none."""
    found: Bound | None = None
    for here in conjunction.subschemas:
        # In draft 4 the exclusive keyword is a switch of the inclusive one.
        switch = here.schema.get(exclusive)
        is_switch = isinstance(switch, bool)
        bounds = [(here.number(inclusive), switch is not True)]
        if not is_switch:
            bounds.append((here.number(exclusive), False))
        for value, included in bounds:
            if value is not None:
                found = _tighter(found, Bound(value, included), is_low=is_low)
    return found


def _tighter(one: Bound | None, other: Bound, *, is_low: bool) -> Bound:
    """Return the tighter of two bounds."""
    if one is None:
        return other
    if one.value == other.value:
        return Bound(one.value, one.included and other.included)
    return one if (one.value > other.value) == is_low else other
