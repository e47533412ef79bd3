"""Body budget: the memory of the bodies of all requests that run or wait."""

from __future__ import annotations

from starlette.exceptions import HTTPException

# Bytes of a body that are taken in any case, so that long bodies keep no chat out.
ALWAYS_TAKEN = 64 << 10
RETRY_SECONDS = 2


class BodyBudget:
    """Counts the bytes of bodies from their arrival to the end of their answers.

    Args:
        limit: bytes of all of them together.

    Attributes:
        held: bytes now.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def begin(self) -> BodyCount:
        """Return what counts one body."""
        return BodyCount(self)


class BodyCount:
    """Counts one body. All of them are counted in the event loop."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self.received = 0

    def add(self, count: int) -> None:
        """Count bytes that have arrived.

        Raises:
            HTTPException: there is no room for them now.
        """
        self.received += count
        self._budget.held += count
        if self._budget.held > self._budget.limit and self.received > ALWAYS_TAKEN:
            raise HTTPException(
                503,
                f"the requests that run or wait have {self._budget.limit} bytes together: try "
                "again later",
                {"Retry-After": str(RETRY_SECONDS)},
            )

    def close(self) -> None:
        """Give the bytes back."""
        self._budget.held -= self.received
        self.received = 0
