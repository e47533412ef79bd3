"""Quantization: which weights of the model are put into few bits, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from redraft.errors import ConfigError
from redraft.quant import FORMATS, ExpertList, Int8Table, PackedWeight

GROUPS = (32, 64, 128)
DENSE = tuple(f"{part}_proj.weight" for part in ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate",
                                                 "mlp.up", "mlp.down"))  # fmt: skip
EXPERTS = ("experts.gate_up_proj", "experts.down_proj")
EMBEDDING = "embed_tokens.weight"


@dataclass(frozen=True)
class Quantization:
    """The format of dense and expert matrices. Router, norms, scalars and self-conditioning stay whole.

    Args:
        format: int8, int4 or fp8. group: columns that share a scale, for int4. embedding: int8 rows for it too, or None.

    Raises:
        ConfigError: an unknown format, or a group that is none.
    """

    format: str
    group: int = 64
    embedding: str | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ConfigError(f"{self.format!r} is no format to quantize to: there are {', '.join(FORMATS)}")
        if self.group not in GROUPS:
            raise ConfigError(f"a group has {', '.join(map(str, GROUPS))} columns, not {self.group}")
        if self.embedding not in (None, "int8"):
            raise ConfigError(f"the embedding can be int8, or stay whole; not {self.embedding!r}")

    def covers(self, target: str, shape: Sequence[int]) -> bool:
        """Whether a weight of the model is put into few bits. One whose rows do not divide into groups stays whole."""
        if target == EMBEDDING:
            return self.embedding is not None
        return target.endswith((*DENSE, *EXPERTS)) and (self.format != "int4" or shape[-1] % self.group == 0)

    def of(self, target: str, weight: Any, dtype: torch.dtype) -> Any:
        """The weight in few bits, where it is whole and one of those that are covered."""
        if not isinstance(weight, Tensor) or not self.covers(target, weight.shape):
            return weight
        if target == EMBEDDING:
            return Int8Table.of(weight, dtype)
        if weight.ndim == 3:
            return ExpertList([self.matrix(one, dtype) for one in weight])
        return self.matrix(weight, dtype)

    def matrix(self, weight: Tensor, dtype: torch.dtype) -> PackedWeight:
        """A matrix in few bits."""
        kind: Any = FORMATS[self.format]
        found: PackedWeight = kind.of(weight, dtype, self.group if self.format == "int4" else None)
        return found
