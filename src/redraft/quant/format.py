"""Format: everything that redraft knows about one quantized format.

    encode                  a matrix -> the tensors that a file has of it
    Storage.load            these tensors -> a PackedWeight, which computes products
    Storage.dtypes, shapes  which tensors those are, checked against a file's header
    nbytes                  the memory that the PackedWeight takes, before it is loaded
    compression             the format in the words of a checkpoint's config

Bytes are counted by building the same PackedWeight with few rows: memory is linear in the rows. So
there is no second description that could differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor

from redraft.errors import CheckpointError
from redraft.quant.weight import PackedWeight

# The tensors that a file has of a matrix, by role: "weight_scale" is the last part of a name.
Parts = dict[str, Tensor]
Shape = tuple[int, ...]
# Valid shapes of each role.
Shapes = dict[str, tuple[Shape, ...]]

# The dtypes of safetensors headers.
SAFETENSORS_DTYPES = {
    "F32": torch.float32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F8_E4M3": torch.float8_e4m3fn,
    "I8": torch.int8,
    "U8": torch.uint8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "U32": torch.uint32,
}
FLOATS = ("F32", "BF16", "F16")


class PartInfo(Protocol):
    """A tensor as a file's header describes it."""

    @property
    def shape(self) -> Shape: ...

    @property
    def dtype(self) -> str: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Storage:
    """One way in which files store a matrix [N, K] of a format: one tensor for each role.

    Attributes:
        name: for error messages.
        method: `quant_method` in the config of a checkpoint that stores it so.
        config_formats: the names of `format` in that config, the one that redraft writes first.
            Empty if the method has no such key.
        dtypes: the dtypes, in safetensors' words, of each role that must be there.
        optional: the same, for roles that may be missing.
        shapes: returns the valid shapes of each role, given N, K and the shapes that a file has.
        load: returns the weight, given the parts and the dtype to compute in. It copies: parts may
            be views of a file.
        needs_config: the parts alone do not tell which numbers they mean.
        check: raises a CheckpointError if the values of the parts contradict one another.
    """

    name: str
    method: str = "compressed-tensors"
    config_formats: tuple[str, ...] = ()
    dtypes: Mapping[str, tuple[str, ...]]
    optional: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shapes: Callable[[int, int, Mapping[str, Shape]], Shapes]
    load: Callable[[Parts, torch.dtype], PackedWeight]
    needs_config: bool = False
    check: Callable[[Parts], None] = lambda parts: None

    def matches(self, found: Mapping[str, PartInfo]) -> bool:
        """Return True if these are the roles and dtypes of this storage, whatever their shapes."""
        known = {**self.dtypes, **self.optional}
        return set(self.dtypes) <= set(found) <= set(known) and all(
            info.dtype in known[role] for role, info in found.items()
        )

    def problems(self, rows: int, columns: int, found: Mapping[str, PartInfo]) -> list[str]:
        """Return a sentence for each part whose shape is wrong."""
        shapes = {role: info.shape for role, info in found.items()}
        problems = []
        for role, valid in self.shapes(rows, columns, shapes).items():
            if role in shapes and shapes[role] not in valid:
                right = " or ".join(str(list(shape)) for shape in valid)
                problems.append(
                    f"{role} has shape {list(shapes[role])}, "
                    f"{self.name} of {rows} x {columns} needs {right}"
                )
        return problems

    def nbytes(
        self,
        rows: int,
        columns: int,
        found: Mapping[str, PartInfo],
        dtype: torch.dtype,
        *,
        table: bool = False,
    ) -> int:
        """Return the bytes of a weight in memory, given its parts in a file's header.

        Args:
            table: it is an embedding.
        """
        parts = tuple((role, info.shape, info.dtype) for role, info in found.items())
        return _stored_bytes(self, rows, columns, parts, dtype, table)


@dataclass(frozen=True, kw_only=True, eq=False)
class Format:
    """A quantized format: a row of `quant.FORMATS`.

    Attributes:
        name: as in `--to`, `--dtype` and `dtype=`.
        storages: how files store it. Redraft writes the first one.
        encode: returns the parts of the first storage, given a matrix [N, K], the dtype of scales
            and the group size; they are the nearest to the matrix. None if weights are only read.
        groups: the sizes of groups of columns that can share a scale. Empty if the format has none.
        for_embedding: the embedding table can be quantized to it.
        config: the weights' settings in compressed-tensors' words.
    """

    name: str
    storages: tuple[Storage, ...]
    encode: Callable[[Tensor, torch.dtype, int], Parts] | None = None
    groups: tuple[int, ...] = ()
    for_embedding: bool = False
    config: Mapping[str, str | int] = field(default_factory=dict)

    def fits(self, columns: int, group: int) -> bool:
        """Return True if a matrix with so many columns divides into groups of this size."""
        return not self.groups or columns % group == 0

    def parts(self, weight: Tensor, dtype: torch.dtype, group: int) -> Parts:
        """Return the tensors that a file has of a matrix [N, K]."""
        assert self.encode is not None, f"{self.name} is only read"
        return self.encode(weight, dtype, group)

    def quantize(self, weight: Tensor, dtype: torch.dtype, group: int = 64) -> PackedWeight:
        """Return a matrix [N, K] quantized, as a file of it would be loaded."""
        return self.storages[0].load(self.parts(weight, dtype, group), dtype)

    def nbytes(self, shape: tuple[int, int], dtype: torch.dtype, group: int) -> int:
        """Return the bytes of a quantized matrix of this shape in memory."""
        return _quantized_bytes(self, shape, dtype, group)

    def compression(self, target: str, group: int) -> dict[str, object]:
        """Return a group of compressed-tensors' config: these modules are in this format."""
        settings = {
            **self.config,
            "symmetric": True,
            "dynamic": False,
            "group_size": group if self.groups else None,
        }
        form = self.storages[0].config_formats[0]
        return {"targets": [target], "weights": settings, "format": form}


# Rows of the weights that are built to count bytes.
COUNTED_ROWS = 64


# A network has few shapes and many weights of each, so the bytes of a shape are counted once.
@cache
def _stored_bytes(
    storage: Storage,
    rows: int,
    columns: int,
    parts: tuple[tuple[str, Shape, str], ...],
    dtype: torch.dtype,
    table: bool,
) -> int:
    found = {role: shape for role, shape, _ in parts}
    known = storage.shapes(rows, columns, found)

    def count(few_rows: int) -> int:
        few = storage.shapes(few_rows, columns, found)
        # Ones: zero points that are all zero would not be kept.
        ones = {
            role: torch.ones(few[role][known[role].index(shape)], dtype=SAFETENSORS_DTYPES[name])
            for role, shape, name in parts
        }
        weight = storage.load(ones, dtype)
        return (weight.as_table() if table else weight).nbytes

    return _extrapolate(count, rows)


@cache
def _quantized_bytes(form: Format, shape: tuple[int, int], dtype: torch.dtype, group: int) -> int:
    rows, columns = shape

    def count(few_rows: int) -> int:
        return form.quantize(torch.ones(few_rows, columns, dtype=dtype), dtype, group).nbytes

    return _extrapolate(count, rows)


def _extrapolate(count: Callable[[int], int], rows: int) -> int:
    """Return `count(rows)` of a linear function that is called with few rows."""
    few, twice = count(COUNTED_ROWS), count(2 * COUNTED_ROWS)
    return few + (twice - few) * (rows - COUNTED_ROWS) // COUNTED_ROWS


def find_storage(
    formats: Mapping[str, Format],
    rows: int,
    columns: int,
    found: Mapping[str, PartInfo],
    method: str | None = None,
) -> Storage | None:
    """Return how the parts of a matrix [rows, columns] are stored; None if no format knows them.

    Where several storages have these roles and dtypes, those of the method go first, and the shapes
    decide.

    Args:
        method: that the checkpoint's config names.
    """
    storages = chain.from_iterable(one.storages for one in formats.values())
    matching = [storage for storage in storages if storage.matches(found)]
    matching.sort(key=lambda storage: storage.method != method)
    right = (storage for storage in matching if not storage.problems(rows, columns, found))
    return next(right, matching[0] if matching else None)


def scale_groups(columns: int, scale: Shape, minimum: int = 16) -> int:
    """Return how many groups a row has by the shape of its scales, or 1 if they could not be.

    Args:
        minimum: the smallest size of a group.
    """
    count = scale[1] if len(scale) == 2 else 1
    return count if count >= 1 and columns % count == 0 and columns // count >= minimum else 1


def check_stored_shape(stored: Tensor, rows: int, columns: int) -> None:
    """Check the tensor `weight_shape` of packed words against the shape of the words.

    Raises:
        CheckpointError: they differ.
    """
    if stored.tolist() != [rows, columns]:
        raise CheckpointError(
            f"a matrix whose words have {rows} x {columns} numbers says that it is "
            f"{' x '.join(map(str, stored.tolist()))}"
        )
