"""Layout: which tensors of a file become which weight of the model, held against the config before
anything is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from redraft.checkpoint.names import EXPERTS, is_vision, shared_original, to_file
from redraft.checkpoint.schemes import FLOATS, PLAIN, UNUSED, Scheme, scheme_of
from redraft.checkpoint.shards import TensorInfo
from redraft.checkpoint.source import Checkpoint
from redraft.config import ModelConfig
from redraft.network import DiffusionGemma

Shape = tuple[int, ...]
# The parts of the model that may be in few bits, by the end of their names.
MATRICES = ("_proj.weight", "router.proj.weight", "embed_tokens.weight")


@dataclass(frozen=True)
class Matrix:
    """A matrix of a file. names: its tensors by role."""

    scheme: Scheme
    names: Mapping[str, str]


@dataclass(frozen=True)
class Weight:
    """A weight of the model and where it comes from: a tensor, a matrix, or experts, each of one or
    two matrices that are put on top of one another."""

    target: str
    tensor: str | None = None
    matrix: Matrix | None = None
    experts: tuple[tuple[Matrix, ...], ...] = ()

    def matrices(self) -> list[Matrix]:
        """All matrices that it is made of."""
        return [
            *([self.matrix] if self.matrix else []),
            *(one for each in self.experts for one in each),
        ]

    def names(self) -> list[str]:
        """All tensors that it is made of."""
        own = [self.tensor] if self.tensor is not None else []
        return own + [name for matrix in self.matrices() for name in matrix.names.values()]


def shapes_of(config: ModelConfig) -> dict[str, Shape]:
    """Of the model's weights, by its names for them; nothing is allocated."""
    with torch.device("meta"):
        model = DiffusionGemma(config)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


class Layout:
    """How a checkpoint's tensors become the model's.

    Args:
        shapes: of the model's own weights, by its names for them.

    Attributes:
        weights: in the model's order. problems: a sentence for everything that is missing, unknown
            or wrong.
    """

    def __init__(self, checkpoint: Checkpoint, shapes: Mapping[str, Shape]) -> None:
        self._tensors = checkpoint.tensors
        self._parts: dict[str, dict[str, TensorInfo]] = {}
        for name, info in checkpoint.tensors.items():
            base, _, role = name.rpartition(".")
            if role not in UNUSED:
                self._parts.setdefault(base, {})[role] = info
        self.problems = list(checkpoint.problems)
        self._told: set[str] = set()  # tensors of which it is said already what is wrong
        self._lost = "".join(
            checkpoint.problems
        )  # a broken shard's own line names what is lost with it
        self.weights = [
            weight for target, shape in shapes.items() if (weight := self._weight(target, shape))
        ]
        used = self._told | {name for weight in self.weights for name in weight.names()}
        self.problems += self._left_over(
            used, {to_file(target): shape for target, shape in shapes.items()}
        )

    def _weight(self, target: str, shape: Shape) -> Weight | None:
        name = to_file(target)
        base = name.removesuffix(".weight")
        if target.endswith(MATRICES) and (found := self._parts.get(base)):
            matrix = self._matrix(base, found, shape)
            return Weight(target, matrix=matrix) if matrix else None
        if fused := next(
            (EXPERTS[end] for end in EXPERTS if target.endswith(end) and name not in self._tensors),
            None,
        ):
            return self._experts(target, fused, shape)
        info = self._tensors.get(name)
        if info is None:
            if name not in self._lost:
                self.problems.append(f"{name} is missing")
            return None
        if info.shape != shape:
            self.problems.append(
                f"{name} has shape {list(info.shape)}, the config asks for {list(shape)}"
            )
        elif info.dtype not in FLOATS:
            self.problems.append(f"{name} is stored as {info.dtype}; {', '.join(FLOATS)} are read")
        return Weight(target, tensor=name)

    def _matrix(self, base: str, found: Mapping[str, TensorInfo], shape: Shape) -> Matrix | None:
        rows, columns = shape
        names = {role: f"{base}.{role}" for role in found}
        scheme = scheme_of(found)
        if scheme is None:
            stored = ", ".join(f"{role} ({info.dtype})" for role, info in found.items())
            self.problems.append(f"{base} is stored as {stored}: that is no format that is read")
            self._told.update(names.values())
            return None
        if scheme is PLAIN and found["weight"].shape != shape:
            wrong = [
                f"weight has shape {list(found['weight'].shape)}, the config asks for {list(shape)}"
            ]
        else:
            wrong = scheme.problems(rows, columns, found)
        self.problems += [f"{base}.{problem}" for problem in wrong]
        return Matrix(scheme, names)

    def _experts(self, target: str, fused: tuple[str, ...], shape: Shape) -> Weight | None:
        """Experts that the file has one by one."""
        count, rows, columns = shape
        prefix = to_file(target).rpartition(".")[0]
        if f"{prefix}.0.{fused[0]}" not in self._parts:
            if to_file(target) not in self._lost:
                self.problems.append(f"{to_file(target)} is missing")
            return None
        each: list[tuple[Matrix, ...]] = []
        for number in range(count):
            matrices = []
            for part in fused:
                base = f"{prefix}.{number}.{part}"
                if (found := self._parts.get(base)) is None:
                    self.problems.append(f"{base} is missing")
                elif matrix := self._matrix(base, found, (rows // len(fused), columns)):
                    matrices.append(matrix)
            each.append(tuple(matrices))
        if len({matrix.scheme is PLAIN for each_one in each for matrix in each_one}) > 1:
            self.problems.append(f"{prefix} has experts in few bits beside whole ones")
        return Weight(target, experts=tuple(each))

    def _left_over(self, used: set[str], shapes: Mapping[str, Shape]) -> Iterable[str]:
        for name, info in self._tensors.items():
            original = shared_original(name) or name
            if name in used or is_vision(name) or name.rpartition(".")[2] in UNUSED:
                continue
            if original not in shapes or original == name:
                yield f"{name} is unknown"
            elif info.shape != shapes[original]:
                yield f"{name} has shape {list(info.shape)}, the config asks for {list(shapes[original])}"
            elif info.dtype not in FLOATS:
                yield f"{name} is stored as {info.dtype}; {', '.join(FLOATS)} are read"
