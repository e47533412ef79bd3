"""Random cases of a property: some of them always, all of them in `make test-long`."""

from __future__ import annotations

from typing import Any

import pytest


def cases(count: int, always: int) -> list[Any]:
    """Return the numbers of `count` cases; those behind the first `always` are marked long."""
    return [
        *range(always),
        *(pytest.param(case, marks=pytest.mark.long) for case in range(always, count)),
    ]
