"""DenoisingOptions: the settings of a batch of rows, each its own, as tensors [B]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.config import GenerationConfig
from redraft.ops.vocabulary import LogitEdits, SpanConstraint


@dataclass(frozen=True, kw_only=True)
class DenoisingOptions:
    """Fields of the same names in GenerationConfig, a row each; `temperature` multiplies the
    schedule. edits,
    constraints: of each row."""

    max_denoising_steps: Tensor
    t_min: Tensor
    t_max: Tensor
    temperature: Tensor
    entropy_bound: Tensor
    stability_threshold: Tensor
    confidence_threshold: Tensor
    edits: Sequence[LogitEdits | None]
    constraints: Sequence[Sequence[SpanConstraint]]

    @classmethod
    def of(
        cls,
        configs: Sequence[GenerationConfig],
        edits: Sequence[LogitEdits | None] | None = None,
        device: torch.device | str = "cpu",
        constraints: Sequence[Sequence[SpanConstraint]] | None = None,
    ) -> DenoisingOptions:
        """Stack the settings of one row each."""

        def column(name: str, dtype: torch.dtype) -> Tensor:
            return torch.tensor(
                [getattr(config, name) for config in configs], dtype=dtype, device=device
            )

        whole, real = torch.int64, torch.float32
        return cls(
            max_denoising_steps=column("max_denoising_steps", whole),
            t_min=column("t_min", real),
            t_max=column("t_max", real),
            temperature=column("temperature", real),
            entropy_bound=column("entropy_bound", real),
            stability_threshold=column("stability_threshold", whole),
            confidence_threshold=column("confidence_threshold", real),
            edits=[None] * len(configs) if edits is None else edits,
            constraints=[()] * len(configs) if constraints is None else constraints,
        )
