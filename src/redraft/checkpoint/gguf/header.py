"""Header: the metadata and the tensors' places, read from the front of a GGUF file.

Nothing in it is used before it is checked. All lengths are compared with the rest of the file, and
lists of texts are skipped, to be read later. So a hostile file takes no more memory than its own
size, and ends in a CheckpointError.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from redraft.checkpoint.gguf.blocks import BLOCK_TYPES, UNREAD_TYPES, BlockType
from redraft.checkpoint.shards import TensorInfo
from redraft.errors import CheckpointError
from redraft.text.plain_file import check_file

MAGIC, VERSIONS = b"GGUF", (2, 3)
# Limits of a header: entries, numbers in a list, bytes of a name and of a text.
MAX_ENTRIES, MAX_NUMBERS, MAX_NAME, MAX_TEXT = 1 << 16, 1 << 24, 1 << 12, 1 << 24
# The types of metadata: numpy's names of those that are numbers.
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
FLOAT32, BOOL, TEXT, ARRAY = 6, 7, 8, 9
# Problems that one message names.
MAX_NAMED = 8


@dataclass(frozen=True)
class Strings:
    """A list of texts in the file, which is read when it is needed."""

    path: Path
    offset: int
    count: int

    def read(self) -> list[str]:
        """Read the texts."""
        with _opened(self.path) as file:
            file.seek(self.offset)
            reader = _Reader(file, self.path)
            return [reader.text(MAX_TEXT) for _ in range(self.count)]


@dataclass(frozen=True)
class Stored(TensorInfo):
    """A tensor in the file.

    Attributes:
        block: the type of its blocks; None for types that are not read.
        offset: of its first byte.
    """

    block: BlockType | None
    offset: int

    @property
    def nbytes(self) -> int:
        assert self.block is not None
        return math.prod(self.shape) // self.block.columns * self.block.nbytes


Value = int | float | bool | str | Strings | list[int] | list[float] | list[bool]


@dataclass(frozen=True)
class Header:
    """The header of a file.

    Attributes:
        metadata: a Value for each key; readers check its type.
        tensors: by name.
    """

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, Stored]


def read_header(path: Path) -> Header:
    """Read the header of a GGUF file.

    Raises:
        CheckpointError: it is not a GGUF file, or it is damaged or cut short.
    """
    with _opened(path) as file:
        reader = _Reader(file, path)
        if reader.take(4) != MAGIC:
            raise CheckpointError(f"{path} is not a GGUF file: it begins with other bytes")
        version = reader.integer("<u4")
        if version not in VERSIONS:
            raise CheckpointError(
                f"{path} is GGUF of version {version}; "
                "little-endian files of versions 2 and 3 are read"
            )
        tensors, entries = (
            reader.count(MAX_ENTRIES, items, 12) for items in ("tensors", "entries of metadata")
        )
        metadata: dict[str, Any] = {}
        for _ in range(entries):
            name = reader.text(MAX_NAME)
            if name in metadata:
                raise CheckpointError(f"{path} is damaged: it has {name} twice")
            metadata[name] = reader.value(reader.integer("<u4"))
        places = [_tensor(reader) for _ in range(tensors)]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment not in (1 << bit for bit in range(21)):
            raise CheckpointError(f"{path} is damaged: general.alignment is {alignment!r}")
        begin = -(-reader.at // alignment) * alignment
    return Header(path, metadata, _placed(path, places, begin, reader.size))


def _tensor(reader: _Reader) -> tuple[str, tuple[int, ...], int, int]:
    """Read the name, shape, type number and offset of a tensor."""
    name = reader.text(MAX_NAME)
    dimensions = reader.count(4, f"dimensions of {name}", 8)
    shape = tuple(reader.integer("<u8") for _ in range(dimensions))
    return name, shape[::-1], reader.integer("<u4"), reader.integer("<u8")


def _placed(
    path: Path, places: list[tuple[str, tuple[int, ...], int, int]], begin: int, size: int
) -> dict[str, Stored]:
    """Return the tensors by name.

    Raises:
        CheckpointError: one is not within the file, or two overlap.
    """
    tensors: dict[str, Stored] = {}
    wrong: list[str] = []
    for name, shape, number, offset in places:
        block = BLOCK_TYPES.get(number)
        dtype = block.name if block else UNREAD_TYPES.get(number, f"type {number}")
        stored = Stored(shape, dtype, path, block, begin + offset)
        if name in tensors:
            wrong.append(f"{name} is there twice")
        elif not shape or 0 in shape or (block and shape[-1] % block.columns):
            wrong.append(f"{name} has shape {list(shape)}, which is impossible in {stored.dtype}")
        elif stored.offset + (stored.nbytes if block else 0) > size:
            wrong.append(f"{name} ends beyond the file's {size} bytes")
        tensors[name] = stored
    known = sorted(
        (stored.offset, stored.nbytes, name)
        for name, stored in tensors.items()
        if stored.block and not wrong
    )
    for (first, length, name), (second, _, other) in pairwise(known):
        if first + length > second:
            wrong.append(f"{name} and {other} overlap")
    if wrong:
        more = f" and {len(wrong) - MAX_NAMED} more" if len(wrong) > MAX_NAMED else ""
        raise CheckpointError(
            f"{path} is damaged or cut short: {'; '.join(wrong[:MAX_NAMED])}{more}"
        )
    return tensors


def _opened(path: Path) -> BinaryIO:
    check_file(path)
    try:
        return path.open("rb")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


class _Reader:
    """Reads from the front of a file, never beyond its end."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path, self.size, self.at = file, path, path.stat().st_size, file.tell()

    def take(self, count: int) -> bytes:
        if count > self.size - self.at or len(found := self._file.read(count)) < count:
            raise CheckpointError(
                f"{self._path} is damaged or cut short: "
                f"its header goes beyond its {self.size} bytes"
            )
        self.at += count
        return found

    def integer(self, form: str) -> int:
        return int(np.frombuffer(self.take(int(form[2])), form)[0].item())

    def count(self, limit: int, items: str, item_bytes: int) -> int:
        """Read how many items follow. Each takes `item_bytes` or more."""
        form, size = ("<I", 4) if limit <= 4 else ("<Q", 8)
        (found,) = struct.unpack(form, self.take(size))
        if found > limit or found * item_bytes > self.size - self.at:
            raise CheckpointError(
                f"{self._path} is damaged or cut short: it claims {found} {items}"
            )
        return int(found)

    def bytes(self, limit: int) -> bytes:
        return self.take(self.count(limit, "bytes of text", 1))

    def text(self, limit: int) -> str:
        try:
            return self.bytes(limit).decode()
        except UnicodeDecodeError as error:
            raise CheckpointError(
                f"{self._path} is damaged: it holds a text that is not UTF-8: {error}"
            ) from error

    def value(self, kind: int) -> Value:
        if kind == TEXT:
            return self.text(MAX_TEXT)
        if kind == ARRAY:
            return self._array(self.integer("<u4"))
        if kind not in NUMBERS:
            raise CheckpointError(
                f"{self._path} is damaged: it has metadata of the unknown type {kind}"
            )
        return self._numbers(kind, 1)[0]

    def _array(self, kind: int) -> Strings | list[int] | list[float] | list[bool]:
        if kind == TEXT:
            count, begin = self.count(MAX_NUMBERS, "texts", 8), self.at
            for _ in range(count):
                self.bytes(MAX_TEXT)
            return Strings(self._path, begin, count)
        if kind not in NUMBERS:
            raise CheckpointError(
                f"{self._path} is damaged: it has a list of type {kind}, which is not read"
            )
        return self._numbers(kind, self.count(MAX_NUMBERS, "numbers", int(NUMBERS[kind][2])))

    def _numbers(self, kind: int, count: int) -> list[int] | list[float] | list[bool]:
        found = np.frombuffer(self.take(count * int(NUMBERS[kind][2])), NUMBERS[kind])
        if kind == FLOAT32:
            # The shortest decimal, as its writer meant it: 1e-6, not 9.99999997e-7.
            return [float(str(number)) for number in found]
        return [bool(number) for number in found] if kind == BOOL else list(found.tolist())
