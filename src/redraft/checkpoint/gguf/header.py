"""Header: metadata and places of tensors, read from the front of a GGUF file. Nothing in it is
believed before it is checked.

All lengths are held against what is left of the file, long texts are passed over and read when
asked for: a hostile file costs no more memory than its own size, and ends in a CheckpointError.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from redraft.checkpoint.gguf.blocks import KINDS, OTHERS, Kind
from redraft.checkpoint.shards import TensorInfo
from redraft.errors import CheckpointError

MAGIC, VERSIONS = b"GGUF", (2, 3)
MOST_ENTRIES, MOST_NUMBERS, LONGEST_NAME, LONGEST_TEXT = 1 << 16, 1 << 24, 1 << 12, 1 << 24
NUMBERS = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "<u1",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
SINGLE, BOOL, TEXT, ARRAY = 6, 7, 8, 9
NAMED = 8  # things of one kind that a message names


@dataclass(frozen=True)
class Strings:
    """A list of texts that stays in the file until it is read."""

    path: Path
    offset: int
    count: int

    def read(self) -> list[str]:
        """The texts."""
        with _opened(self.path) as file:
            file.seek(self.offset)
            reader = _Reader(file, self.path)
            return [reader.text(LONGEST_TEXT) for _ in range(self.count)]


@dataclass(frozen=True)
class Stored(TensorInfo):
    """A tensor in the file. kind: None for types that are not read. offset: of its first byte."""

    kind: Kind | None
    offset: int

    @property
    def nbytes(self) -> int:
        assert self.kind is not None
        return math.prod(self.shape) // self.kind.columns * self.kind.nbytes


@dataclass(frozen=True)
class Header:
    """What a file says of itself. Lists of texts are Strings, other lists are plain ones."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, Stored]


def read_header(path: Path) -> Header:
    """The header of a GGUF file.

    Raises:
        CheckpointError: it is no such file, it is damaged, or cut short.
    """
    with _opened(path) as file:
        reader = _Reader(file, path)
        if reader.take(4) != MAGIC:
            raise CheckpointError(f"{path} is no GGUF file: it begins with other bytes")
        version = int(reader.number("<u4"))
        if version not in VERSIONS:
            raise CheckpointError(
                f"{path} is GGUF of version {version}; little-endian files of versions 2 and 3 are read"
            )
        tensors, entries = (
            reader.count(MOST_ENTRIES, what, 12) for what in ("tensors", "entries of metadata")
        )
        metadata: dict[str, Any] = {}
        for _ in range(entries):
            name = reader.text(LONGEST_NAME)
            if name in metadata:
                raise CheckpointError(f"{path} is damaged: it has {name} twice")
            metadata[name] = reader.value(int(reader.number("<u4")))
        places = [_tensor(reader) for _ in range(tensors)]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment not in (1 << bit for bit in range(21)):
            raise CheckpointError(f"{path} is damaged: general.alignment is {alignment!r}")
        begin = -(-reader.at // alignment) * alignment
    return Header(path, metadata, _placed(path, places, begin, reader.size))


def _tensor(reader: _Reader) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape, type and offset of a tensor, as they stand there."""
    name = reader.text(LONGEST_NAME)
    dimensions = reader.count(4, f"dimensions of {name}", 8)
    shape = tuple(int(reader.number("<u8")) for _ in range(dimensions))
    return name, shape[::-1], int(reader.number("<u4")), int(reader.number("<u8"))


def _placed(
    path: Path, places: list[tuple[str, tuple[int, ...], int, int]], begin: int, size: int
) -> dict[str, Stored]:
    """Tensors by name; each lies within the file and none upon another."""
    tensors: dict[str, Stored] = {}
    wrong: list[str] = []
    for name, shape, number, offset in places:
        kind = KINDS.get(number)
        stored = Stored(
            shape,
            kind.name if kind else OTHERS.get(number, f"type {number}"),
            path,
            kind,
            begin + offset,
        )
        if name in tensors:
            wrong.append(f"{name} is there twice")
        elif not shape or 0 in shape or (kind and shape[-1] % kind.columns):
            wrong.append(f"{name} has shape {list(shape)}, in {stored.dtype} it cannot")
        elif stored.offset + (stored.nbytes if kind else 0) > size:
            wrong.append(f"{name} ends beyond the file's {size} bytes")
        tensors[name] = stored
    known = sorted(
        (stored.offset, stored.nbytes, name)
        for name, stored in tensors.items()
        if stored.kind and not wrong
    )
    for (first, length, name), (second, _, other) in pairwise(known):
        if first + length > second:
            wrong.append(f"{name} and {other} lie upon one another")
    if wrong:
        more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise CheckpointError(f"{path} is damaged or cut short: {'; '.join(wrong[:NAMED])}{more}")
    return tensors


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


class _Reader:
    """Takes bytes off the front of a file, never more than there are."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path, self.size, self.at = file, path, path.stat().st_size, file.tell()

    def take(self, count: int) -> bytes:
        if count > self.size - self.at or len(found := self._file.read(count)) < count:
            raise CheckpointError(
                f"{self._path} is damaged or cut short: its header goes beyond its {self.size} bytes"
            )
        self.at += count
        return found

    def number(self, form: str) -> Any:
        return np.frombuffer(self.take(int(form[2])), form)[0].item()

    def count(self, most: int, what: str, least: int) -> int:
        """How many of something follow, of at least so many bytes each."""
        found = (
            struct.unpack("<I", self.take(4))[0]
            if most <= 4
            else struct.unpack("<Q", self.take(8))[0]
        )
        if found > most or found * least > self.size - self.at:
            raise CheckpointError(f"{self._path} is damaged or cut short: it claims {found} {what}")
        return int(found)

    def bytes(self, most: int) -> bytes:
        return self.take(self.count(most, "bytes of text", 1))

    def text(self, most: int) -> str:
        try:
            return self.bytes(most).decode()
        except UnicodeDecodeError as error:
            raise CheckpointError(
                f"{self._path} is damaged: it holds a text that is not UTF-8: {error}"
            ) from error

    def value(self, kind: int) -> Any:
        if kind == TEXT:
            return self.text(LONGEST_TEXT)
        if kind == ARRAY:
            return self._array(int(self.number("<u4")))
        if kind not in NUMBERS:
            raise CheckpointError(
                f"{self._path} is damaged: it has metadata of type {kind}, which there is not"
            )
        return self._numbers(kind, 1)[0]

    def _array(self, kind: int) -> Any:
        if kind == TEXT:
            count, begin = self.count(MOST_NUMBERS, "texts", 8), self.at
            for _ in range(count):
                self.bytes(LONGEST_TEXT)
            return Strings(self._path, begin, count)
        if kind not in NUMBERS:
            raise CheckpointError(
                f"{self._path} is damaged: it has a list of type {kind}, which is not read"
            )
        return self._numbers(kind, self.count(MOST_NUMBERS, "numbers", int(NUMBERS[kind][2])))

    def _numbers(self, kind: int, count: int) -> list[Any]:
        found = np.frombuffer(self.take(count * int(NUMBERS[kind][2])), NUMBERS[kind])
        if kind == SINGLE:  # the shortest decimal, as it was written once: 1e-6, not 9.99999997e-7
            return [float(str(number)) for number in found]
        return [bool(number) for number in found] if kind == BOOL else list(found.tolist())
