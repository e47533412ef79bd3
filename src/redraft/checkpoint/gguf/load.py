"""Load: a GGUF file's tensors held against the model's, then read one weight at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch
from torch import Tensor

from redraft.checkpoint.gguf.blocks import FLOATS, KINDS, memory_bytes, packed
from redraft.checkpoint.gguf.header import Header, Stored
from redraft.checkpoint.gguf.names import EMBEDDING, ROPE, apart, to_gguf
from redraft.errors import CheckpointError, TensorMismatchError
from redraft.quant import ExpertList, Joined, PackedWeight

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """A weight of the model, and the tensors of the file that it is made of: one, or an expert's
    gate and up."""

    target: str
    parts: tuple[Stored, ...]


def places_of(header: Header, shapes: Mapping[str, Shape], problems: list[str]) -> list[Place]:
    """Where each weight of the model is found, in the file's own order so far as the model allows.

    Args:
        shapes: of the model's weights, by its names for them. problems: what is known to be wrong
            already.

    Raises:
        TensorMismatchError: tensors are missing, unknown, of another shape or in a type that is not
            read: all are named.
    """
    problems, used, places = list(problems), {ROPE}, []
    for target, shape in shapes.items():
        names: tuple[str, ...] = (to_gguf(target),)
        if names[0] not in header.tensors and any(
            part in header.tensors for part in apart(names[0])
        ):
            names = apart(names[0])
        wanted = (shape[0], shape[1] // len(names), *shape[2:]) if len(names) > 1 else shape
        used.update(names)
        told = [
            problem for name in names if (problem := _wrong(name, header.tensors.get(name), wanted))
        ]
        parts = tuple(header.tensors[name] for name in names if name in header.tensors)
        if not told and len({part.dtype in FLOATS for part in parts}) > 1:
            told = [f"{' and '.join(names)} are one in few bits and one whole"]
        problems += told
        places.append(Place(target, parts))
    problems += [f"{name} is unknown" for name in header.tensors if name not in used]
    if problems:
        raise TensorMismatchError(str(header.path), problems)
    return places


def _wrong(name: str, stored: Stored | None, shape: Shape) -> str | None:
    if stored is None:
        return f"{name} is missing"
    if stored.shape != shape:
        return f"{name} has shape {list(stored.shape)}, the config asks for {list(shape)}"
    # Vectors are whole: norms and scales.
    if stored.kind is None or (len(shape) == 1 and stored.kind.unpack):
        read = FLOATS if len(shape) == 1 else [kind.name for kind in KINDS.values()]
        return f"{name} is stored as {stored.dtype}; {', '.join(read)} are read"
    return None


def read_places(
    header: Header, places: list[Place], dtype: torch.dtype, device: torch.device | str
) -> Iterator[tuple[str, Any]]:
    """Each weight's name and what it is: a tensor, a matrix in few bits, or a list of such, an
    expert each."""
    with header.path.open("rb") as file:
        for place in places:
            yield place.target, _weight(file, place, dtype, device)


def _weight(file: BinaryIO, place: Place, dtype: torch.dtype, device: torch.device | str) -> Any:
    first = place.parts[0]
    if first.dtype in FLOATS:
        found = [_whole(file, part).to(device=device, dtype=dtype) for part in place.parts]
        return found[0] if len(found) == 1 else torch.cat(found, dim=1)
    if len(first.shape) == 2:
        return _matrix(file, first, 0, dtype, device, table=place.target == "embed_tokens.weight")
    experts = [
        [_matrix(file, part, number, dtype, device) for part in place.parts]
        for number in range(first.shape[0])
    ]
    return ExpertList([parts[0] if len(parts) == 1 else Joined(parts) for parts in experts])


def _matrix(
    file: BinaryIO,
    stored: Stored,
    number: int,
    dtype: torch.dtype,
    device: torch.device | str,
    *,
    table: bool = False,
) -> PackedWeight:
    """The matrix of so many behind the first, in few bits."""
    rows, columns = stored.shape[-2:]
    assert stored.kind is not None
    width = columns // stored.kind.columns * stored.kind.nbytes
    raw = _bytes(file, stored, number * rows * width, rows * width).view(rows, width)
    return packed(raw.to(device), stored.kind, dtype, table=table)


def _whole(file: BinaryIO, stored: Stored) -> Tensor:
    return _bytes(file, stored, 0, stored.nbytes).view(FLOATS[stored.dtype]).view(stored.shape)


def _bytes(file: BinaryIO, stored: Stored, first: int, count: int) -> Tensor:
    buffer = bytearray(count)
    file.seek(stored.offset + first)
    if file.readinto(buffer) != count:  # type: ignore[attr-defined]
        raise CheckpointError(f"{stored.file} has become shorter while it was read")
    return torch.frombuffer(buffer, dtype=torch.uint8)


def weights_bytes(header: Header, itemsize: int) -> int:
    """What the weights take in memory, where floats take so many bytes each; what is of no type
    that is read counts as none."""
    total = 0
    for name, stored in header.tensors.items():
        if stored.kind is not None:
            total += memory_bytes(
                stored.kind, math.prod(stored.shape), itemsize, table=name == EMBEDDING
            )
    return total
