"""Frames: Python objects over a pipe between a process and its own child, arrays uncopied."""

from __future__ import annotations

import pickle
import struct
from typing import Any, BinaryIO

SIZE = struct.Struct("<Q")


def send(file: BinaryIO, value: object) -> None:
    """Write one object."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(body), *(buffer.raw() for buffer in buffers)]
    file.write(SIZE.pack(len(parts)))
    for part in parts:
        file.write(SIZE.pack(part.nbytes))
        file.write(part)
    file.flush()


def receive(file: BinaryIO) -> Any:
    """Read one object.

    Raises:
        EOFError: the other side has ended.
    """
    parts = [_read(file, _size(file)) for _ in range(_size(file))]
    return pickle.loads(parts[0], buffers=parts[1:])


def _size(file: BinaryIO) -> int:
    (size,) = SIZE.unpack(_read(file, SIZE.size))
    return int(size)


def _read(file: BinaryIO, size: int) -> bytearray:
    found = bytearray(size)
    view, at = memoryview(found), 0
    while at < size:
        count = file.readinto(view[at:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        at += count
    return found
