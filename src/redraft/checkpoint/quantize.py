"""Quantization: which weights of the model are put into few bits, and how: in memory, or as the
parts of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from redraft.checkpoint.names import EXPERTS, to_file
from redraft.errors import ConfigError
from redraft.quant import FORMATS, ExpertList, Int8Table, Joined, PackedWeight
from redraft.quant.fp8 import nearest_fp8
from redraft.quant.int4 import MIDDLE, nearest_int4
from redraft.quant.int8 import nearest_int8
from redraft.quant.weight import pack

GROUPS = (32, 64, 128)
DENSE = tuple(f"{part}_proj.weight" for part in ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate",
                                                 "mlp.up", "mlp.down"))  # fmt: skip
EMBEDDING = "embed_tokens.weight"
Parts = dict[str, Tensor]


def _int8_parts(weight: Tensor, dtype: torch.dtype, _: int) -> Parts:
    values, scale = nearest_int8(weight, dtype)
    return {"weight": values, "weight_scale": scale}


def _int4_parts(weight: Tensor, dtype: torch.dtype, group: int) -> Parts:
    values, scale = nearest_int4(weight, dtype, group)
    packed = pack(values + MIDDLE).view(
        torch.int32
    )  # eight numbers a word, the first in the lowest bits
    return {
        "weight_packed": packed,
        "weight_scale": scale,
        "weight_shape": torch.tensor(weight.shape),
    }


def _fp8_parts(weight: Tensor, dtype: torch.dtype, _: int) -> Parts:
    values, scale = nearest_fp8(weight, dtype)
    return {"weight": values, "weight_scale": scale}


PARTS: dict[str, Callable[[Tensor, torch.dtype, int], Parts]] = {
    "int8": _int8_parts, "int4": _int4_parts, "fp8": _fp8_parts,
}  # fmt: skip
# compressed-tensors' words: the format, and what is said of the weights.
COMPRESSED: dict[str, tuple[str, dict[str, Any]]] = {
    "int8": ("int-quantized", {"num_bits": 8, "type": "int", "strategy": "channel"}),
    "int4": ("pack-quantized", {"num_bits": 4, "type": "int", "strategy": "group"}),
    "fp8": ("float-quantized", {"num_bits": 8, "type": "float", "strategy": "channel"}),
}


@dataclass(frozen=True)
class Quantization:
    """The format of dense and expert matrices. Router, norms, scalars and self-conditioning stay
    whole.

    Args:
        format: int8, int4 or fp8. group: columns that share a scale, for int4. embedding: int8 rows
            for it too, or None.

    Raises:
        ConfigError: an unknown format, or a group that is none.
    """

    format: str
    group: int = 64
    embedding: str | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ConfigError(
                f"{self.format!r} is no format to quantize to: there are {', '.join(FORMATS)}"
            )
        if self.group not in GROUPS:
            raise ConfigError(
                f"a group has {', '.join(map(str, GROUPS))} columns, not {self.group}"
            )
        if self.embedding not in (None, "int8"):
            raise ConfigError(f"the embedding can be int8, or stay whole; not {self.embedding!r}")

    def covers(self, target: str, shape: Sequence[int]) -> bool:
        """Whether a weight of the model is put into few bits. One whose rows do not divide into
        groups stays whole."""
        if target == EMBEDDING:
            return self.embedding is not None
        return target.endswith((*DENSE, *EXPERTS)) and (
            self.format != "int4" or shape[-1] % self.group == 0
        )

    def of(self, target: str, weight: Any, dtype: torch.dtype) -> Any:
        """The weight in few bits, where it is whole and one of those that are covered."""
        if not isinstance(weight, Tensor) or not self.covers(target, weight.shape):
            return weight
        if target == EMBEDDING:
            return Int8Table.of(weight, dtype)
        if weight.ndim == 3:
            count = len(_fused(target))
            parts = [[self.matrix(part, dtype) for part in one.chunk(count)] for one in weight]
            return ExpertList([each[0] if count == 1 else Joined(each) for each in parts])
        return self.matrix(weight, dtype)

    def matrix(self, weight: Tensor, dtype: torch.dtype) -> PackedWeight:
        """A matrix in few bits."""
        kind: Any = FORMATS[self.format]
        found: PackedWeight = kind.of(weight, dtype, self.group if self.format == "int4" else None)
        return found

    def parts(self, target: str, weight: Tensor, dtype: torch.dtype) -> Parts:
        """A matrix as the tensors that a file has of it, by their names there."""
        base = to_file(target).removesuffix(".weight")
        make = PARTS["int8"] if target == EMBEDDING else PARTS[self.format]
        return {
            f"{base}.{role}": part.contiguous()
            for role, part in make(weight, dtype, self.group).items()
        }

    def expert_parts(self, target: str, number: int, weight: Tensor, dtype: torch.dtype) -> Parts:
        """The same of one expert, whose fused matrices are told apart."""
        prefix = target.rpartition(".")[0]
        names = _fused(target)
        found: Parts = {}
        for name, part in zip(names, weight.chunk(len(names)), strict=True):
            found |= self.parts(f"{prefix}.{number}.{name}.weight", part, dtype)
        return found

    def described(self, whole: Sequence[str]) -> dict[str, Any]:
        """What a config says of it, in compressed-tensors' words. whole: modules that stay
        whole."""
        form, weights = COMPRESSED[self.format]
        said = weights | {
            "symmetric": True,
            "dynamic": False,
            "group_size": self.group if self.format == "int4" else None,
        }
        groups = {"group_0": {"targets": ["Linear"], "weights": said, "format": form}}
        if self.embedding:
            table = COMPRESSED["int8"][1] | {
                "symmetric": True,
                "dynamic": False,
                "group_size": None,
            }
            groups["group_1"] = {
                "targets": ["Embedding"],
                "weights": table,
                "format": "int-quantized",
            }
        return {
            "quant_method": "compressed-tensors",
            "format": "mixed-precision" if self.embedding and form != "int-quantized" else form,
            "quantization_status": "compressed",
            "config_groups": groups,
            "ignore": [
                *whole,
                "lm_head",
                *(f"re:.*{part}.*" for part in ("router", "vision_tower", "embed_vision")),
            ],
        }

    def to_dict(self) -> dict[str, Any]:
        """Its settings, for who wants to know whether two are alike."""
        return asdict(self)


def _fused(target: str) -> tuple[str, ...]:
    return next(names for end, names in EXPERTS.items() if target.endswith(end))
