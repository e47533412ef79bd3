"""How far a sampler with a fixed schedule is."""

from __future__ import annotations

from torch import Tensor

from redraft.diffusion.step import ScheduledStep


def progress(step: ScheduledStep, steps: int | None) -> tuple[Tensor, Tensor]:
    """Return n and N of a schedule, int64 [B].

    N is `steps`, or the steps that a canvas may take, where these are fewer or `steps` is None.
    Steps behind the schedule's end are like its last one.
    """
    limit = step.limit if steps is None else step.limit.clamp_max(steps)
    return step.number.minimum(limit), limit
