"""The linear temperature schedule, a row each."""

from __future__ import annotations

import torch
from torch import Tensor

from redraft.diffusion.options import DenoisingOptions


def scheduled_temperature(options: DenoisingOptions, step: Tensor) -> Tensor:
    """Return the temperature float32 [B] of rows at step int64 [B] (1 for the first of N).

    t_min + (t_max - t_min) * n / N with n = N + 1 - step steps left, times the row's own
    `temperature` where that is not 0.
    """
    # A row that goes on beyond its last step, beside others, stays at the last temperature.
    left = (options.max_denoising_steps + 1 - step).clamp_min(1)
    scheduled = options.t_min + (options.t_max - options.t_min) * (
        left / options.max_denoising_steps
    )
    return scheduled * torch.where(options.temperature > 0, options.temperature, 1.0)
