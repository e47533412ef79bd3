"""Load a GGUF file: check its tensors against the network's weights, then read one at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import torch
from torch import Tensor

from redraft.checkpoint.gguf.blocks import BLOCK_TYPES, FLOATS, load_blocks, matrix_bytes
from redraft.checkpoint.gguf.header import Header, Stored
from redraft.checkpoint.gguf.names import GGUF_EMBEDDING, ROPE_FACTORS, split_names, to_gguf
from redraft.errors import CheckpointError, TensorMismatchError
from redraft.network import EMBEDDING
from redraft.quant import ExpertList, PackedWeight
from redraft.quant.finite import overflows

Shape = tuple[int, ...]


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
    with header.path.open("rb") as file:
        for entry in entries:
            yield entry.target, _read(file, entry, dtype, device)


def _read(
    file: BinaryIO, entry: Entry, dtype: torch.dtype, device: torch.device
) -> Tensor | PackedWeight | ExpertList:
    first = entry.parts[0]
    if first.dtype in FLOATS:
        tensors = [_read_floats(file, part).to(device=device, dtype=dtype) for part in entry.parts]
        return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim=1)
    if len(first.shape) == 2:
        return _read_matrix(file, first, 0, dtype, device, table=entry.target == EMBEDDING)
    experts = []
    for number in range(first.shape[0]):
        experts.append([_read_matrix(file, part, number, dtype, device) for part in entry.parts])
    return ExpertList.of_parts(experts)


def _read_matrix(
    file: BinaryIO,
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
    raw = _read_bytes(file, stored, number * rows * width, rows * width).view(rows, width)
    weight = load_blocks(raw.to(device), stored.block, dtype, table=table)
    if overflows(weight):
        raise CheckpointError(
            f"{stored.file}: matrix {number} of {list(stored.shape)} has a scale that is NaN, "
            f"infinite, or too large for {dtype}"
        )
    return weight


def _read_floats(file: BinaryIO, stored: Stored) -> Tensor:
    raw = _read_bytes(file, stored, 0, stored.nbytes)
    return raw.view(FLOATS[stored.dtype]).view(stored.shape)


def _read_bytes(file: BinaryIO, stored: Stored, first: int, count: int) -> Tensor:
    buffer = bytearray(count)
    file.seek(stored.offset + first)
    if file.readinto(buffer) != count:  # type: ignore[attr-defined]
        raise CheckpointError(f"{stored.file} has become shorter while it was read")
    return torch.frombuffer(buffer, dtype=torch.uint8)


def gguf_bytes(header: Header, dtype: torch.dtype) -> int:
    """Return the bytes of the weights in memory.

    Args:
        dtype: of weights that are not quantized. Tensors of a type that is not read count as none.
    """
    total = 0
    for name, stored in header.tensors.items():
        if stored.block is not None:
            *rows, columns = stored.shape
            total += matrix_bytes(
                stored.block, math.prod(rows), columns, dtype, table=name == GGUF_EMBEDDING
            )
    return total
