"""DenoisingOptions: the settings of a batch of rows, each its own, as tensors [B]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.config import GenerationConfig
from redraft.diffusion.grouping import StrategyGroup, grouped
from redraft.diffusion.sampler import Sampler
from redraft.diffusion.samplers import EntropyBoundSampler
from redraft.diffusion.stopping import StableAndConfident, StoppingCriteria
from redraft.ops.vocabulary import LogitEdits, SpanConstraint


@dataclass(frozen=True, kw_only=True)
class DenoisingOptions:
    """The settings of B rows.

    Attributes:
        max_denoising_steps: int64 [B]. t_min, t_max, temperature: float32 [B]; `temperature`
            multiplies the schedule. See the fields of the same names in GenerationConfig.
        samplers, stopping: strategies, each with its rows; together they hold every row once.
        edits: logit edits, one a row, or None. span_constraints: those of each row.
    """

    max_denoising_steps: Tensor
    t_min: Tensor
    t_max: Tensor
    temperature: Tensor
    samplers: Sequence[StrategyGroup[Sampler]]
    stopping: Sequence[StrategyGroup[StoppingCriteria]]
    edits: Sequence[LogitEdits | None]
    span_constraints: Sequence[Sequence[SpanConstraint]]

    @classmethod
    def of(
        cls,
        configs: Sequence[GenerationConfig],
        edits: Sequence[LogitEdits | None] | None = None,
        device: torch.device | str = "cpu",
        span_constraints: Sequence[Sequence[SpanConstraint]] | None = None,
        *,
        samplers: Sequence[Sampler | None] | None = None,
        stopping: Sequence[StoppingCriteria | None] | None = None,
    ) -> DenoisingOptions:
        """Stack the settings of one row each.

        Args:
            samplers: one a row; None for the EntropyBoundSampler of the row's config.
            stopping: one a row; None for the StableAndConfident of the row's config.
        """

        def column(name: str, dtype: torch.dtype) -> Tensor:
            return torch.tensor(
                [getattr(config, name) for config in configs], dtype=dtype, device=device
            )

        none = [None] * len(configs)
        entropy_bound = column("entropy_bound", torch.float32)
        stability = column("stability_threshold", torch.int64)
        confidence = column("confidence_threshold", torch.float32)

        # Rows with the default strategy share one object, whose settings are tensors.
        def default_sampler(rows: Tensor | slice) -> Sampler:
            return EntropyBoundSampler(entropy_bound[rows])

        def default_stopping(rows: Tensor | slice) -> StoppingCriteria:
            return StableAndConfident(stability[rows], confidence[rows])

        return cls(
            max_denoising_steps=column("max_denoising_steps", torch.int64),
            t_min=column("t_min", torch.float32),
            t_max=column("t_max", torch.float32),
            temperature=column("temperature", torch.float32),
            samplers=grouped(samplers or none, default_sampler, device),
            stopping=grouped(stopping or none, default_stopping, device),
            edits=none if edits is None else edits,
            span_constraints=[()] * len(configs) if span_constraints is None else span_constraints,
        )
