"""Located errors: a ConstraintError gets the place where it arose, and keeps its class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redraft.errors import ConstraintError


@contextmanager
def located(place: str) -> Iterator[None]:
    """Name a place in the errors of constraints that the block raises.

    The class stays: a spent budget is no fault of the place.
    """
    try:
        yield
    except ConstraintError as error:
        raise type(error)(f"{place}: {error}") from None
