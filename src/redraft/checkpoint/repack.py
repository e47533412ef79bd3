"""Repack: quantized weights in compressed-tensors' words, bit for bit, whoever wrote them.

ModelOpt's and MLX's NVFP4           -> nvfp4-pack-quantized
MLX's mxfp4, mxfp8                   -> mxfp4-pack-quantized, mxfp8-quantized
FP8 in DeepSeek's blocks             -> float-quantized, in blocks
GPTQ, AWQ, AutoRound, all their bits -> pack-quantized of 4 or 8 bits, with zero points
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.checkpoint.load import read_part
from redraft.checkpoint.names import fused_parts, to_file
from redraft.checkpoint.plan import LoadPlan, MatrixPlan, WeightPlan
from redraft.checkpoint.quantize import NEVER_QUANTIZED
from redraft.checkpoint.shards import ShardReader, TensorInfo
from redraft.errors import CheckpointError
from redraft.quant.format import Parts
from redraft.quant.fp8 import BLOCK
from redraft.quant.gptq import DECODERS, column_order
from redraft.quant.packed_words import words_of

NO_FORM = "compressed-tensors has no exact form of it; take --format bfloat16, or int8, int4 or fp8"
FLOAT4: dict[str, object] = {"num_bits": 4, "type": "float", "symmetric": True}
FLOAT8: dict[str, object] = {"num_bits": 8, "type": "float", "symmetric": True}


@dataclass(frozen=True)
class Target:
    """The form that a storage gets in a copy.

    Attributes:
        form: `format` in a config. weights: the settings there.
        pack: returns the parts, given those of the source.
    """

    form: str
    weights: Mapping[str, object]
    pack: Callable[[Parts], Parts]


def _bytes(words: Tensor) -> Tensor:
    return words.contiguous().view(torch.uint8)


def _modelopt(parts: Parts) -> Parts:
    return {
        "weight_packed": parts["weight"],
        "weight_scale": parts["weight_scale"],
        "weight_global_scale": _inverse(parts["weight_scale_2"].float().reshape(1)),
    }


def _inverse(factor: Tensor) -> Tensor:
    """Return the float32 whose inverse is a factor; the nearest where there is none."""
    near = 1 / factor
    for end in (0.0, float("inf")):
        other = near.nextafter(torch.full_like(near, end))
        if not torch.equal(1 / near, factor) and torch.equal(1 / other, factor):
            return other
    return near


def _mlx_nvfp4(parts: Parts) -> Parts:
    return {
        "weight_packed": _bytes(parts["weight"]),
        "weight_scale": parts["scales"].view(torch.float8_e4m3fn),
        "weight_global_scale": torch.ones(1),
    }


def _mlx_mxfp4(parts: Parts) -> Parts:
    return {"weight_packed": _bytes(parts["weight"]), "weight_scale": parts["scales"]}


def _mlx_mxfp8(parts: Parts) -> Parts:
    values = _bytes(parts["weight"]).view(torch.float8_e4m3fn)
    return {"weight": values, "weight_scale": parts["scales"]}


def _deepseek(parts: Parts) -> Parts:
    return {"weight": parts["weight"], "weight_scale": parts["weight_scale_inv"]}


NVFP4 = FLOAT4 | {"strategy": "tensor_group", "group_size": 16}
BLOCKS = FLOAT8 | {"strategy": "block", "block_structure": [BLOCK, BLOCK]}
# By the name of a storage.
TARGETS = {
    "NVFP4 (ModelOpt)": Target("nvfp4-pack-quantized", NVFP4, _modelopt),
    "nvfp4 (MLX)": Target("nvfp4-pack-quantized", NVFP4, _mlx_nvfp4),
    "mxfp4 (MLX)": Target(
        "mxfp4-pack-quantized", FLOAT4 | {"strategy": "group", "group_size": 32}, _mlx_mxfp4
    ),
    "mxfp8 (MLX)": Target(
        "mxfp8-quantized", FLOAT8 | {"strategy": "group", "group_size": 32}, _mlx_mxfp8
    ),
    "fp8 in blocks (DeepSeek)": Target("float-quantized", BLOCKS, _deepseek),
}


class Repacking:
    """The weights of a plan in compressed-tensors' words.

    Raises:
        CheckpointError: nothing is quantized, or a weight has no counterpart. It is named.
    """

    def __init__(self, plan: LoadPlan, tensors: Mapping[str, TensorInfo]) -> None:
        self._plan, self._tensors = plan, tensors
        self._groups: dict[str, tuple[Target, list[str]]] = {}
        self._whole: list[str] = []
        for weight in plan.weights:
            for base, matrix in _matrices(weight):
                if matrix.storage is None:
                    self._whole.append(base)
                    continue
                target = _target(base, matrix, tensors)
                key = f"{target.form} {target.weights}"
                names = self._groups.setdefault(key, (target, []))[1]
                names += [name for name, _ in _split(base, weight, matrix, {"": torch.empty(0)})]
        if not self._groups:
            raise CheckpointError("no weight is quantized: there is nothing to repack")

    def tensors(self, reader: ShardReader) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Yield the network's name of each weight, and its tensors by their names in the copy."""
        for weight in self._plan.weights:
            if weight.tensor is not None:
                yield weight.target, {to_file(weight.target): reader.read(weight.tensor)}
                continue
            found: dict[str, Tensor] = {}
            for base, matrix in _matrices(weight):
                parts = {role: read_part(reader, matrix, role) for role in matrix.names}
                if matrix.storage is not None:
                    matrix.storage.check(parts)
                    parts = _target(base, matrix, self._tensors).pack(parts)
                for name, piece in _split(base, weight, matrix, parts):
                    found[name] = piece.clone(memory_format=torch.contiguous_format)
            yield weight.target, found

    def describe(self) -> dict[str, object]:
        """Return the `quantization_config` of the copy."""
        ordered = sorted(self._groups.values(), key=lambda one: -len(one[1]))
        groups = {}
        for number, (target, modules) in enumerate(ordered):
            # The names of a module go before its class.
            modules = [name.rstrip(".") for name in modules]
            named = modules if number else ["Linear", *(m for m in modules if "embed" in m)]
            groups[f"group_{number}"] = {
                "targets": named,
                "weights": {**target.weights, "dynamic": False},
                "format": target.form,
            }
        forms = {target.form for target, _ in ordered}
        return {
            "quant_method": "compressed-tensors",
            "format": forms.pop() if len(forms) == 1 else "mixed-precision",
            "quantization_status": "compressed",
            "config_groups": groups,
            "ignore": [*self._whole, *NEVER_QUANTIZED],
        }


def _matrices(weight: WeightPlan) -> Iterator[tuple[str, MatrixPlan]]:
    """Yield each matrix with its name in the copy, where experts lie one by one; that of gate and
    up in one is of their tensor."""
    base = to_file(weight.target)
    if weight.matrix is not None:
        yield base.removesuffix(".weight"), weight.matrix
    names, prefix = fused_parts(weight.target), base.rpartition(".")[0]
    for number, expert in enumerate(weight.experts):
        for at, matrix in enumerate(expert):
            name = names[at] if len(expert) == len(names) else base.rpartition(".")[2]
            yield f"{prefix}.{number}.{name}", matrix


def _split(
    base: str, weight: WeightPlan, matrix: MatrixPlan, parts: Parts
) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a matrix; those of gate and up in one are cut in two."""
    names = fused_parts(weight.target)
    prefix, _, last = base.rpartition(".")
    if not names or last in names:
        yield from ((f"{base}.{role}", part) for role, part in parts.items())
        return
    rows = matrix.shape[0]
    for role, part in parts.items():
        # What belongs to the whole matrix, such as a factor, belongs to both.
        pieces = part.chunk(len(names)) if part.shape[:1] == (rows,) else (part,) * len(names)
        yield from (
            (f"{prefix}.{name}.{role}", piece) for name, piece in zip(names, pieces, strict=True)
        )


def _target(base: str, matrix: MatrixPlan, tensors: Mapping[str, TensorInfo]) -> Target:
    storage = matrix.storage
    assert storage is not None
    if (decode := DECODERS.get(storage.name)) is not None:
        groups = matrix.infos(tensors)["scales"].shape[0]
        bits = 8 if " 8 bits" in storage.name else 4
        settings = {
            "num_bits": bits,
            "type": "int",
            "symmetric": False,
            "strategy": "group",
            "group_size": matrix.shape[1] // groups,
        }

        def pack(parts: Parts) -> Parts:
            if column_order(parts) is not None:
                raise CheckpointError(f"{base} has the order of columns of act-order: {NO_FORM}")
            return _integers(decode(parts), bits)

        return Target("pack-quantized", settings, pack)
    if storage.name not in TARGETS:
        raise CheckpointError(f"{base} is stored as {storage.name}: {NO_FORM}")
    return TARGETS[storage.name]


def _integers(decoded: tuple[Tensor, Tensor, Tensor], bits: int) -> Parts:
    values, zeros, scale = decoded
    return {
        "weight_packed": words_of(values, bits),
        "weight_scale": scale,
        "weight_zero_point": words_of(zeros.T, bits).T,
        "weight_shape": torch.tensor(values.shape),
    }
