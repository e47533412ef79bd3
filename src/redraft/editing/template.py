"""Template: a text with holes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import index

from redraft.config.check import check_integer
from redraft.errors import ConstraintError, RequestError
from redraft.grammar import ConstraintLike, as_constraint

MARK = "<hole>"
MAX_TOKENS = 24


@dataclass(frozen=True)
class Hole:
    """A place to fill, with room for `min_tokens` to `max_tokens` tokens.

    Padding may leave a part of it empty. With a constraint, what fills it is a text of the
    constraint.

    Raises:
        ConfigError: a number is not a whole number of at least 1, or they are in the wrong order.
        ConstraintError: the constraint is none, or its texts hold special tokens.
    """

    min_tokens: int = 1
    max_tokens: int = MAX_TOKENS
    constraint: ConstraintLike | None = None

    def __post_init__(self) -> None:
        check_integer("min_tokens", self.min_tokens, minimum=1)
        check_integer("max_tokens", self.max_tokens, minimum=self.min_tokens)
        constraint = as_constraint(self.constraint)
        object.__setattr__(self, "constraint", constraint)
        if constraint is not None and constraint.has_special_tokens:
            raise ConstraintError("special tokens are no text: this constraint cannot be a hole's")


@dataclass(frozen=True)
class Template:
    """texts: what stands around the holes, one more than there are holes; the first and the last
    may be empty."""

    texts: tuple[str, ...]
    holes: tuple[Hole, ...]

    def __post_init__(self) -> None:
        if (
            not isinstance(self.texts, tuple | list)
            or not isinstance(self.holes, tuple | list)
            or len(self.texts) != len(self.holes) + 1
        ):
            raise RequestError("a Template has one text more than it has holes: see Template.of")
        for text in self.texts:
            check_text(text)
        if foreign := [hole for hole in self.holes if not isinstance(hole, Hole)]:
            raise RequestError(f"a Template has Holes between its texts, not {foreign[0]!r}")

    @classmethod
    def of(
        cls, template: str | Sequence[str | Hole] | Template, hole: Hole | None = None
    ) -> Template:
        """Return the template of a text with `<hole>` marks, or of texts and Holes in their order.

        Raises:
            RequestError: there is no hole, or two of them touch, so that nobody could tell where
                one ends.
        """
        if isinstance(template, Template):
            return template
        if not isinstance(template, Iterable):
            raise RequestError(
                f"a template is a text, or a list of texts and Holes, not {type(template).__name__}"
            )
        if isinstance(template, str):
            texts = template.split(MARK)
            holes = [hole or Hole()] * (len(texts) - 1)
        else:
            texts, holes = _texts_and_holes(template)
        if not holes:
            raise RequestError(
                f"the template has no hole: mark one with {MARK}, or give a Hole among its texts"
            )
        if any(not text for text in texts[1:-1]):
            raise RequestError(
                "two holes touch: there must be text between them, or they are one hole"
            )
        return cls(tuple(texts), tuple(holes))

    @classmethod
    def around(
        cls, text: str, spans: Sequence[tuple[int, int]], hole: Hole | None = None
    ) -> Template:
        """Return `text` with a hole for each span of characters (first, last).

        Args:
            spans: in any order; one of no characters is a place to insert something. hole: how wide
                each may become; None for the usual widths.

        Raises:
            RequestError: a span lies outside the text, or two overlap or touch.
        """
        check_text(text)
        texts: list[str] = []
        at = 0
        for first, last in sorted(checked_spans(text, spans)):
            if texts and first <= at:
                raise RequestError(
                    f"the span ({first}, {last}) overlaps or touches the one before it, which ends "
                    f"at {at}"
                )
            texts.append(text[at:first])
            at = last
        parts: list[str | Hole] = []
        for one in texts:
            parts += [one, hole or Hole()]
        return cls.of([*parts, text[at:]])

    def filled(self, fills: Sequence[str]) -> str:
        """Return the text with something in each hole.

        Args:
            fills: in the order of the holes, one each.

        Raises:
            RequestError: there are more or fewer than holes.
        """
        if len(fills) != len(self.holes):
            raise RequestError(f"{len(fills)} fills for {len(self.holes)} holes: give one each")
        pairs = zip(self.texts, fills, strict=False)
        return "".join((*chain.from_iterable(pairs), self.texts[-1]))


def check_text(text: object) -> None:
    """Check that what should be a text is one.

    Raises:
        RequestError: it is not.
    """
    if not isinstance(text, str):
        raise RequestError(f"a text must be a str, not {type(text).__name__}")


def checked_spans(text: str, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans of characters as pairs of integers that lie in the text.

    Raises:
        RequestError: they are no such pairs.
    """
    try:
        pairs = [(index(first), index(last)) for first, last in spans]
    except (TypeError, ValueError):
        raise RequestError(
            f"spans={spans!r} must be a list of pairs of characters, as in [(0, 5)]"
        ) from None
    for first, last in pairs:
        check_span(text, first, last)
    return pairs


def check_span(text: str, first: int, last: int) -> None:
    """Check that characters `first` to `last` lie in the text.

    Raises:
        RequestError: they do not.
    """
    if not 0 <= first <= last <= len(text):
        raise RequestError(
            f"the span ({first}, {last}) does not lie in the text of {len(text)} characters"
        )


def _texts_and_holes(parts: Sequence[str | Hole]) -> tuple[list[str], list[Hole]]:
    texts, holes = [""], []
    for part in parts:
        if isinstance(part, Hole):
            holes.append(part)
            texts.append("")
        elif isinstance(part, str):
            texts[-1] += part
        else:
            raise RequestError(
                f"a template is made of texts and Holes, not of {type(part).__name__}"
            )
    return texts, holes
