"""Load plan: which tensors of a checkpoint become which weight of the network.

It is made from the headers and the config, before any weight is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from redraft.checkpoint.names import (
    fused_parts,
    is_vision,
    shared_original,
    stacked_bases,
    to_file,
)
from redraft.checkpoint.shards import TensorInfo
from redraft.checkpoint.source import Checkpoint
from redraft.config import ModelConfig
from redraft.errors import MAX_LISTED, CheckpointError, ConfigError, TensorMismatchError
from redraft.network import EMBEDDING, DiffusionGemma
from redraft.quant import FORMATS, Storage, find_storage
from redraft.quant.format import FLOATS

Shape = tuple[int, ...]
# Weights of the network that files may store quantized, by the end of their names.
MATRICES = ("_proj.weight", "router.proj.weight", EMBEDDING)
# Tensors that calibration left for other engines: scales of activations and of caches.
UNUSED = ("input_scale", "input_global_scale", "output_scale", "k_scale", "v_scale")


@dataclass(frozen=True)
class MatrixPlan:
    """A matrix in a file.

    Attributes:
        shape: (N, K).
        names: its tensors by role, such as "weight_scale".
        storage: how they store it; None if it is not quantized.
        part: its number where each tensor holds many matrices, along its first dimension.
    """

    shape: tuple[int, int]
    names: Mapping[str, str]
    storage: Storage | None
    part: int | None = None

    def infos(self, tensors: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
        """Return its own part of each tensor's description, by role."""
        found = {role: tensors[name] for role, name in self.names.items()}
        return found if self.part is None else _each(found)


@dataclass(frozen=True)
class WeightPlan:
    """A weight of the network and where it comes from. One of the sources is set.

    Attributes:
        target: the network's name of the weight.
        tensor: the name of one tensor that is the weight.
        matrix: one matrix.
        experts: for each expert one matrix, or two that are stacked.
    """

    target: str
    tensor: str | None = None
    matrix: MatrixPlan | None = None
    experts: tuple[tuple[MatrixPlan, ...], ...] = ()

    def matrices(self) -> Iterator[MatrixPlan]:
        """Yield all matrices that the weight consists of."""
        if self.matrix is not None:
            yield self.matrix
        for expert in self.experts:
            yield from expert

    @property
    def quantized(self) -> bool:
        """True if the file stores the weight quantized."""
        return any(matrix.storage is not None for matrix in self.matrices())


def weight_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Return the shapes of the network's weights, by name. Nothing is allocated.

    Raises:
        ConfigError: a weight would be larger than a tensor can be.
    """
    try:
        with torch.device("meta"):
            network = DiffusionGemma(config)
    except (RuntimeError, OverflowError) as error:
        raise ConfigError(f"config.json asks for a weight that is too large: {error}") from None
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def plan_load(checkpoint: Checkpoint) -> LoadPlan:
    """Return the plan for a checkpoint's folder.

    Raises:
        TensorMismatchError: tensors are missing, unknown, of a wrong shape or in an unknown format.
        CheckpointError: the checkpoint is not a folder.
    """
    if checkpoint.gguf is not None:
        raise CheckpointError(
            f"{checkpoint.path} is a GGUF file: this needs a folder of safetensors, "
            "use the original"
        )
    plan = LoadPlan(checkpoint, weight_shapes(checkpoint.config))
    if plan.problems:
        raise TensorMismatchError(str(checkpoint.folder), plan.problems)
    return plan


class LoadPlan:
    """The sources of all weights.

    Args:
        shapes: of the network's weights, by name.

    Attributes:
        weights: in the network's order, those without a problem.
        problems: a sentence for everything that is missing, unknown or wrong.
    """

    def __init__(self, checkpoint: Checkpoint, shapes: Mapping[str, Shape]) -> None:
        self._tensors = checkpoint.tensors
        self._quantization = checkpoint.quantization
        self._parts: dict[str, dict[str, TensorInfo]] = {}
        for name, info in checkpoint.tensors.items():
            base, _, role = name.rpartition(".")
            if role not in UNUSED:
                self._parts.setdefault(base, {})[role] = info
        self.problems = list(checkpoint.problems)
        # The line of a broken shard names the tensors that are lost with it.
        self._lost = "".join(checkpoint.problems)
        self._used: set[str] = set()
        self.weights: list[WeightPlan] = []
        for target, shape in shapes.items():
            before = len(self.problems)
            weight = self._weight(target, shape)
            if len(self.problems) == before and weight is not None:
                self.weights.append(weight)
        self.problems += self._check_unused(
            {to_file(target): shape for target, shape in shapes.items()}
        )

    def _weight(self, target: str, shape: Shape) -> WeightPlan | None:
        name = to_file(target)
        base = name.removesuffix(".weight")
        for bases in stacked_bases(target):
            if name not in self._tensors and bases[0] in self._parts:
                return self._stacks(target, bases, shape)
        if target.endswith(MATRICES) and (found := self._parts.get(base)):
            matrix = self._matrix(base, found, shape)
            return WeightPlan(target, matrix=matrix) if matrix else None
        if (parts := fused_parts(target)) and name not in self._tensors:
            return self._experts(target, parts, shape)
        if name not in self._tensors:
            self._report_missing(name)
            return None
        self._used.add(name)
        self.problems += _tensor_problems(name, self._tensors[name], shape)
        return WeightPlan(target, tensor=name)

    def _report_missing(self, name: str) -> None:
        if name not in self._lost:
            self.problems.append(f"{name} is missing")

    def _matrix(
        self, base: str, found: Mapping[str, TensorInfo], shape: Shape, part: int | None = None
    ) -> MatrixPlan | None:
        rows, columns = shape
        names = {role: f"{base}.{role}" for role in found}
        self._used.update(names.values())
        if set(found) == {"weight"} and found["weight"].dtype in FLOATS:
            self.problems += _tensor_problems(names["weight"], found["weight"], shape)
            return MatrixPlan((rows, columns), names, None, part)
        method = self._quantization.method if self._quantization else None
        storage = find_storage(FORMATS, rows, columns, found, method)
        if storage is None:
            stored = ", ".join(f"{role} ({info.dtype})" for role, info in found.items())
            self.problems.append(f"{base} is stored as {stored}: no known format has these")
            return None
        problems = storage.problems(rows, columns, found)
        self.problems += [f"{base}.{problem}" for problem in problems]
        if storage.needs_config and self._quantization is None:
            self.problems.append(
                f"{base} is stored as {storage.name}, and config.json does not say of which version"
            )
        if self._quantization is not None and not problems:
            self.problems += self._quantization.problems(base, (rows, columns), storage, found)
        return MatrixPlan((rows, columns), names, storage, part)

    def _stacks(self, target: str, bases: tuple[str, ...], shape: Shape) -> WeightPlan | None:
        """Plan a weight of experts that lie in tensors with one more dimension.

        Args:
            bases: of one matrix, or of gate and up.
        """
        count, rows, columns = shape
        matrices: list[MatrixPlan] = []
        for base in bases:
            found, before = self._parts.get(base, {}), len(self.problems)
            if not found:
                self.problems.append(f"{base} is missing")
            for role, info in found.items():
                if len(info.shape) < 1 or info.shape[0] != count:
                    self.problems.append(
                        f"{base}.{role} has shape {list(info.shape)}, the config asks for {count} "
                        "experts"
                    )
            if len(self.problems) > before:
                self._used.update(f"{base}.{role}" for role in found)
                return None
            if matrix := self._matrix(base, _each(found), (rows // len(bases), columns), 0):
                matrices.append(matrix)
            if len(self.problems) > before:
                return None
        experts = []
        for number in range(count):
            experts.append(tuple(replace(matrix, part=number) for matrix in matrices))
        return WeightPlan(target, experts=tuple(experts))

    def _experts(self, target: str, parts: tuple[str, ...], shape: Shape) -> WeightPlan | None:
        """Plan a weight of experts that the file has one by one."""
        count, rows, columns = shape
        prefix = to_file(target).rpartition(".")[0]
        if f"{prefix}.0.{parts[0]}" not in self._parts:
            self._report_missing(to_file(target))
            return None
        experts: list[tuple[MatrixPlan, ...]] = []
        before = len(self.problems)
        for number in range(count):
            if len(self.problems) - before >= MAX_LISTED:
                self.problems.append(f"{prefix} has more that is wrong, of its {count} experts")
                return None
            matrices = []
            for part in parts:
                base = f"{prefix}.{number}.{part}"
                if (found := self._parts.get(base)) is None:
                    self.problems.append(f"{base} is missing")
                elif matrix := self._matrix(base, found, (rows // len(parts), columns)):
                    matrices.append(matrix)
            experts.append(tuple(matrices))
        weight = WeightPlan(target, experts=tuple(experts))
        if len({matrix.storage is None for matrix in weight.matrices()}) > 1:
            self.problems.append(f"{prefix} has quantized experts beside others")
        return weight

    def _check_unused(self, shapes: Mapping[str, Shape]) -> Iterator[str]:
        """Yield a sentence for each unknown tensor, and for each wrong copy of a shared one."""
        for name, info in self._tensors.items():
            if name in self._used or is_vision(name) or name.rpartition(".")[2] in UNUSED:
                continue
            original = shared_original(name)
            base = original.rpartition(".")[0] if original else ""
            own = self._tensors.get(original or "")
            parts = self._parts.get(base, {}).values()
            quantized = any(part.dtype not in FLOATS for part in parts)
            if original is None or (original not in shapes and base not in self._parts):
                yield f"{name} is unknown"
            elif original not in shapes or quantized:
                if own is None or (own.shape, own.dtype) != (info.shape, info.dtype):
                    yield (
                        f"{name} is stored otherwise than {base}: encoder, decoder and head share "
                        "one set of weights here"
                    )
            else:
                yield from _tensor_problems(name, info, shapes[original])


def _each(found: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """Return the description of each part along the first dimension, by role."""
    return {role: replace(info, shape=info.shape[1:]) for role, info in found.items()}


def _tensor_problems(name: str, info: TensorInfo, shape: Shape) -> Iterator[str]:
    """Yield what is wrong with a tensor that is not quantized."""
    if info.shape != shape:
        yield f"{name} has shape {list(info.shape)}, the config asks for {list(shape)}"
    elif info.dtype not in FLOATS:
        yield f"{name} is stored as {info.dtype}; {', '.join(FLOATS)} can be read"
