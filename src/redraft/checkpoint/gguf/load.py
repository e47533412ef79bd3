"""Load a GGUF file: check its tensors against the network's weights, then read one at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import torch
from torch import Tensor

from redraft.checkpoint.gguf.blocks import BLOCK_TYPES, FLOATS, load_blocks, matrix_bytes
from redraft.checkpoint.gguf.header import Header, Stored
from redraft.checkpoint.gguf.names import GGUF_EMBEDDING, HEAD, ROPE_FACTORS, split_names, to_gguf
from redraft.errors import CheckpointError, TensorMismatchError
from redraft.network import EMBEDDING
from redraft.quant import ExpertList, PackedWeight
from redraft.quant.finite import overflows

Shape = tuple[int, ...]
# Bytes of a copy that are compared at a time.
COMPARED = 1 << 24
SHARED = "input and output share one set of weights here"


@dataclass(frozen=True)
class Entry:
    """A weight of the network, and the tensors of the file that it consists of: one, or the gate
    and the up of experts."""

    target: str
    parts: tuple[Stored, ...]


def plan_gguf(header: Header, shapes: Mapping[str, Shape], problems: list[str]) -> list[Entry]:
    """Return where in the file each weight of the network is.

    Args:
        shapes: of the network's weights, by name.
        problems: that are known already.

    Raises:
        TensorMismatchError: tensors are missing, unknown, of a wrong shape or of a type that is not
            read. All are named.
    """
    problems, used, entries = list(problems), {ROPE_FACTORS}, []
    for target, shape in shapes.items():
        names = _names(target, header)
        used.update(names)
        split = (shape[0], shape[1] // len(names), *shape[2:]) if len(names) > 1 else shape
        wrong = [
            problem
            for name in names
            if (problem := _problem(name, header.tensors.get(name), split))
        ]
        parts = tuple(header.tensors[name] for name in names if name in header.tensors)
        if not wrong and len({part.dtype in FLOATS for part in parts}) > 1:
            wrong = [f"of {' and '.join(names)} only one is quantized"]
        problems += wrong
        entries.append(Entry(target, parts))
    if HEAD in header.tensors:
        used.add(HEAD)
        copy, table = header.tensors[HEAD], header.tensors.get(GGUF_EMBEDDING)
        if table is None or (copy.dtype, copy.shape) != (table.dtype, table.shape):
            problems.append(f"{HEAD} is stored otherwise than {GGUF_EMBEDDING}: {SHARED}")
    problems += [f"{name} is unknown" for name in header.tensors if name not in used]
    if problems:
        raise TensorMismatchError(str(header.path), problems)
    return entries


def _names(target: str, header: Header) -> tuple[str, ...]:
    """Return the names of the tensors that a weight consists of in this file."""
    name = to_gguf(target)
    split = split_names(name)
    if name not in header.tensors and any(part in header.tensors for part in split):
        return split
    return (name,)


def _problem(name: str, stored: Stored | None, shape: Shape) -> str | None:
    if stored is None:
        return f"{name} is missing"
    if stored.shape != shape:
        return f"{name} has shape {list(stored.shape)}, the config asks for {list(shape)}"
    # Vectors, such as norms and scales, are never quantized.
    if stored.block is None or (len(shape) == 1 and stored.block.unpack):
        read = FLOATS if len(shape) == 1 else [block.name for block in BLOCK_TYPES.values()]
        return f"{name} is stored as {stored.dtype}; {', '.join(read)} are read"
    return None


def read_gguf(
    header: Header, entries: list[Entry], dtype: torch.dtype, device: torch.device
) -> Iterator[tuple[str, Tensor | PackedWeight | ExpertList]]:
    """Yield the name and the value of each weight."""
    with _Files() as files:
        if (copy := header.tensors.get(HEAD)) is not None:
            _check_copy(files, copy, header.tensors[GGUF_EMBEDDING])
        for entry in entries:
            yield entry.target, _read(files, entry, dtype, device)


class _Files:
    """The parts of a model, each opened once."""

    def __init__(self) -> None:
        self._open: dict[Path, BinaryIO] = {}

    def of(self, stored: Stored) -> BinaryIO:
        """Return the file of a tensor."""
        if stored.file not in self._open:
            self._open[stored.file] = stored.file.open("rb")
        return self._open[stored.file]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            file.close()


def _check_copy(files: _Files, copy: Stored, original: Stored) -> None:
    """Check that a copy of the embedding has the same bytes, some at a time."""
    for first in range(0, original.nbytes, COMPARED):
        count = min(COMPARED, original.nbytes - first)
        found, kept = (_read_bytes(files, one, first, count) for one in (copy, original))
        if not torch.equal(found, kept):
            raise CheckpointError(f"{copy.file}: {HEAD} differs from {GGUF_EMBEDDING}: {SHARED}")


def _read(
    files: _Files, entry: Entry, dtype: torch.dtype, device: torch.device
) -> Tensor | PackedWeight | ExpertList:
    first = entry.parts[0]
    if first.dtype in FLOATS:
        tensors = [_read_floats(files, part).to(device=device, dtype=dtype) for part in entry.parts]
        return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim=1)
    if len(first.shape) == 2:
        return _read_matrix(files, first, 0, dtype, device, table=entry.target == EMBEDDING)
    experts = []
    for number in range(first.shape[0]):
        experts.append([_read_matrix(files, part, number, dtype, device) for part in entry.parts])
    return ExpertList.of_parts(experts)


def _read_matrix(
    files: _Files,
    stored: Stored,
    number: int,
    dtype: torch.dtype,
    device: torch.device,
    *,
    table: bool = False,
) -> PackedWeight:
    """Read one matrix of a tensor [N, K] or [matrices, N, K]."""
    rows, columns = stored.shape[-2:]
    assert stored.block is not None
    width = columns // stored.block.columns * stored.block.nbytes
    raw = _read_bytes(files, stored, number * rows * width, rows * width).view(rows, width)
    weight = load_blocks(raw.to(device), stored.block, dtype, table=table)
    if overflows(weight):
        raise CheckpointError(
            f"{stored.file}: matrix {number} of {list(stored.shape)} has a scale that is NaN, "
            f"infinite, or too large for {dtype}"
        )
    return weight


def _read_floats(files: _Files, stored: Stored) -> Tensor:
    raw = _read_bytes(files, stored, 0, stored.nbytes)
    return raw.view(FLOATS[stored.dtype]).view(stored.shape)


def _read_bytes(files: _Files, stored: Stored, first: int, count: int) -> Tensor:
    buffer, file = bytearray(count), files.of(stored)
    file.seek(stored.offset + first)
    if file.readinto(buffer) != count:  # type: ignore[attr-defined]
        raise CheckpointError(f"{stored.file} has become shorter while it was read")
    return torch.frombuffer(buffer, dtype=torch.uint8)


def gguf_bytes(header: Header, dtype: torch.dtype) -> int:
    """Return the bytes of the weights in memory.

    Args:
        dtype: of weights that are not quantized. Tensors of a type that is not read count as none.
    """
    return sum(memory for _, _, memory in tensor_bytes(header, dtype))


def tensor_bytes(header: Header, dtype: torch.dtype) -> Iterator[tuple[str, int, int]]:
    """Yield the type of each tensor, and its bytes in the file and in memory; as `gguf_bytes`."""
    for name, stored in header.tensors.items():
        if stored.block is not None:
            *rows, columns = stored.shape
            table = name == GGUF_EMBEDDING
            memory = matrix_bytes(stored.block, math.prod(rows), columns, dtype, table=table)
            yield stored.dtype, stored.nbytes, memory
