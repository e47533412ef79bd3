"""Shares, intervals and pictures of `redraft eval`."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from redraft.errors import ConfigError

if TYPE_CHECKING:
    from redraft.evals import DifficultyRow
    from redraft.evals.evaluate_infill import InfillRow

EXAMPLES = 200  # of a held-out set, unless --count says otherwise


def plotter(picture: Path) -> ModuleType:
    """Return the module that draws, after a check that the picture can be written.

    Raises:
        ConfigError: it cannot be, or matplotlib is missing.
    """
    from redraft.evals import plot

    place = picture if picture.exists() else picture.parent
    if picture.is_dir() or not os.access(place, os.W_OK):
        raise ConfigError(f"{picture} cannot be written: name a file in a folder that can be")
    return plot


def interval(row: DifficultyRow | InfillRow) -> str:
    """Return the 95 % interval of a share as text."""
    return f"{100 * row.low:.0f} to {100 * row.high:.0f} %"


def percent(share: float | None) -> str:
    """Return a share as text; an empty text for None."""
    return "" if share is None else f"{100 * share:.1f} %"
