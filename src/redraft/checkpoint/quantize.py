"""Quantization: which weights of the network are quantized, and to which format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from redraft.checkpoint.names import EXPERTS, fused_parts, to_file
from redraft.errors import ConfigError
from redraft.network import EMBEDDING
from redraft.quant import FORMATS, ExpertList, Format, PackedWeight, quantizable_formats
from redraft.quant.format import Parts

# Dense matrices of a layer that are quantized.
DENSE = (
    "self_attn.q_proj.weight",
    "self_attn.k_proj.weight",
    "self_attn.v_proj.weight",
    "self_attn.o_proj.weight",
    "mlp.gate_proj.weight",
    "mlp.up_proj.weight",
    "mlp.down_proj.weight",
)
# Modules that other readers must not expect quantized, as patterns of compressed-tensors.
NEVER_QUANTIZED = ("lm_head", "re:.*router.*", "re:.*vision_tower.*", "re:.*embed_vision.*")


@dataclass(frozen=True)
class Quantization:
    """The format of dense and expert matrices. Router, norms, scalars and self-conditioning are not
    quantized.

    Args:
        format: a name of `quant.FORMATS`: int8, int4 or fp8.
        group: columns that share a scale, for formats with groups.
        embedding: the format of the embedding table: int8, or None to leave it as it is.

    Raises:
        ConfigError: an unknown format, or a group size that no format has.
    """

    format: str
    group: int = 64
    embedding: str | None = None

    def __post_init__(self) -> None:
        check_not_gguf(self.format)
        if self.format not in quantizable_formats():
            raise ConfigError(
                f"{self.format!r} is not a format to quantize to: "
                f"there are {', '.join(quantizable_formats())}"
            )
        groups = self._format.groups or _all_groups()
        if self.group not in groups:
            raise ConfigError(
                f"a group has {', '.join(map(str, groups))} columns, not {self.group}"
            )
        tables = [name for name, one in FORMATS.items() if one.for_embedding]
        if self.embedding is not None and self.embedding not in tables:
            raise ConfigError(
                f"the embedding can be quantized to {' or '.join(tables)}, or not at all; "
                f"not to {self.embedding!r}"
            )

    @property
    def _format(self) -> Format:
        return FORMATS[self.format]

    def _format_of(self, target: str) -> Format:
        """Return the format of a weight that is covered."""
        if target == EMBEDDING:
            assert self.embedding is not None
            return FORMATS[self.embedding]
        return self._format

    def covers(self, target: str, shape: Sequence[int]) -> bool:
        """Return True if a weight of the network is quantized.

        A weight whose rows do not divide into groups is not.
        """
        if target == EMBEDDING:
            return self.embedding is not None
        return target.endswith((*DENSE, *EXPERTS)) and self._format.fits(shape[-1], self.group)

    def quantize(
        self, target: str, weight: Tensor | PackedWeight | ExpertList, dtype: torch.dtype
    ) -> Tensor | PackedWeight | ExpertList:
        """Return the weight, quantized if it is covered and not quantized yet."""
        if not isinstance(weight, Tensor) or not self.covers(target, weight.shape):
            return weight
        form = self._format_of(target)
        if target == EMBEDDING:
            return form.quantize(weight, dtype, self.group).as_table()
        if weight.ndim == 2:
            return form.quantize(weight, dtype, self.group)
        count = len(fused_parts(target))
        experts = []
        for expert in weight:
            parts = expert.chunk(count)
            experts.append([form.quantize(part, dtype, self.group) for part in parts])
        return ExpertList.of_parts(experts)

    def nbytes(self, target: str, shape: Sequence[int], dtype: torch.dtype) -> int:
        """Return the bytes in memory of a weight that is covered."""
        *experts, rows, columns = shape
        count = torch.Size(experts).numel() * max(1, len(fused_parts(target)))
        matrix = rows // max(1, len(fused_parts(target))), columns
        return count * self._format_of(target).nbytes(matrix, dtype, self.group)

    def parts(self, target: str, weight: Tensor, dtype: torch.dtype) -> Parts:
        """Return the tensors that a file has of a matrix, by their names there."""
        base = to_file(target).removesuffix(".weight")
        parts = self._format_of(target).parts(weight, dtype, self.group)
        return {f"{base}.{role}": part.contiguous() for role, part in parts.items()}

    def expert_parts(self, target: str, number: int, weight: Tensor, dtype: torch.dtype) -> Parts:
        """Return the tensors that a file has of one expert, whose fused matrices are split."""
        prefix = target.rpartition(".")[0]
        names = fused_parts(target)
        found: Parts = {}
        for name, part in zip(names, weight.chunk(len(names)), strict=True):
            found |= self.parts(f"{prefix}.{number}.{name}.weight", part, dtype)
        return found

    def describe(self, unquantized: Sequence[str]) -> dict[str, object]:
        """Return a config's description of it, in compressed-tensors' words.

        Args:
            unquantized: modules that are not quantized, by their names in a file.
        """
        compressions = [self._format.compression("Linear", self.group)]
        if self.embedding is not None:
            compressions.append(FORMATS[self.embedding].compression("Embedding", self.group))
        names = {compression["format"] for compression in compressions}
        return {
            "quant_method": "compressed-tensors",
            "format": names.pop() if len(names) == 1 else "mixed-precision",
            "quantization_status": "compressed",
            "config_groups": {f"group_{number}": one for number, one in enumerate(compressions)},
            "ignore": [*unquantized, *NEVER_QUANTIZED],
        }

    def to_dict(self) -> dict[str, object]:
        """Return the settings; two quantizations are equal if these are."""
        return asdict(self)


def check_not_gguf(name: str) -> None:
    """Check that a format is not one of GGUF.

    Raises:
        ConfigError: it is.
    """
    if re.fullmatch(r"gguf|i?q\d(_\w+)?|tq\d_0", name, re.IGNORECASE):
        raise ConfigError(
            f"{name} is a format of GGUF, which is read and not written: llama.cpp has not merged "
            "its support of this model (pull requests 24423 and 24427), so that the names in a "
            f"file are not settled; there are {', '.join(quantizable_formats())}"
        )


def _all_groups() -> tuple[int, ...]:
    return tuple(sorted(set().union(*(one.groups for one in FORMATS.values()))))
