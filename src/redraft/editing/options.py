"""Options of an infill: how widths are searched, and how every candidate is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from redraft.config import GenerationOptions
from redraft.config.check import check_integer
from redraft.diffusion import SamplerSpec, StoppingSpec

MAX_CANDIDATES = 6  # unless given
CANDIDATES_LIMIT = 256


class RepairOptions(GenerationOptions, total=False):
    """Options of `Model.repair`: those of a generation, and its strategies."""

    sampler: SamplerSpec | None
    stopping: StoppingSpec | None


class InfillOptions(RepairOptions, total=False):
    """Options of `Model.infill`: those of a repair, and those of the search."""

    max_candidates: int
    max_steps: int | None
    heal: bool


@dataclass(frozen=True)
class Search:
    """How the widths of holes are searched.

    Attributes:
        max_candidates: sets of widths that are tried at most, 256 or fewer.
        max_steps: denoising steps of all candidates together, after which those that have not
            settled are taken as they stand; None for no limit.
        heal: where a hole begins or ends inside a word, try every width with the token beside it
            written anew too.
        sampler, stopping: as for `Model.generate`.

    Raises:
        ConfigError: a number is not a whole number of at least 1, or there are more candidates.
    """

    max_candidates: int = MAX_CANDIDATES
    max_steps: int | None = None
    heal: bool = True
    sampler: SamplerSpec | None = None
    stopping: StoppingSpec | None = None

    def __post_init__(self) -> None:
        check_integer("max_candidates", self.max_candidates, minimum=1, maximum=CANDIDATES_LIMIT)
        if self.max_steps is not None:
            check_integer("max_steps", self.max_steps, minimum=1)


def split_options(options: Mapping[str, Any]) -> tuple[Search, dict[str, Any]]:
    """Return the search that options ask for, and the options of the generation."""
    names = {field.name for field in fields(Search)}
    search = {name: value for name, value in options.items() if name in names}
    settings = {name: value for name, value in options.items() if name not in names}
    return Search(**search), settings
