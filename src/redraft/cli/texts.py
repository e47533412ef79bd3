"""Texts that commands read and change: as they are, byte for byte."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from redraft.errors import RequestError


def read_text(given: str) -> str:
    """What FILE, or standard input for -, holds, line ends and all.

    Raises:
        RequestError: it cannot be read, or is not UTF-8.
    """
    try:
        if given == "-" and sys.stdin is None:
            raise RequestError("there is no standard input to read")
        raw = sys.stdin.buffer.read() if given == "-" else Path(given).read_bytes()
        return raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{given} cannot be read as text: {error}") from error


def write_text(text: str) -> None:
    """Print a text as it is."""
    sys.stdout.buffer.write(text.encode("utf-8"))
    sys.stdout.flush()


def replace_text(path: Path, before: str, after: str) -> None:
    """Put `after` into a file that held `before`: all of it or nothing.

    Raises:
        RequestError: the file has changed since it was read, or cannot be written.
    """
    target = path.resolve()
    try:
        if target.read_bytes() != before.encode("utf-8"):
            raise RequestError(
                f"{path} has changed since it was read: nothing was written, run the command again"
            )
        number, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(number, "wb") as file:
                file.write(after.encode("utf-8"))
            found = target.stat()
            with suppress(PermissionError):
                os.chown(draft, found.st_uid, found.st_gid)
            os.chmod(draft, found.st_mode & 0o7777)
            os.replace(draft, target)
        except BaseException:
            os.unlink(draft)
            raise
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error}") from error


def check_replaceable(path: Path) -> None:
    """Whether `replace_text` could write.

    Raises:
        RequestError: the file's folder cannot be written to.
    """
    if not os.access(path.resolve().parent, os.W_OK):
        raise RequestError(f"{path} cannot be replaced: its folder cannot be written to")


def line_span(text: str, lines: str) -> tuple[int, int]:
    """First and last character of lines A-B, or of line A, counted from 1, without the end of the
    last of them.

    Raises:
        RequestError: this is no such range, or the text has fewer lines.
    """
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", lines)
    if not match:
        raise RequestError(f"{lines!r} names no lines: write 12, or 12-14")
    first, last = int(match[1]), int(match[2] or match[1])
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    if starts[-1] == len(text) and len(starts) > 1:
        starts.pop()  # what ends a line begins none
    if not 1 <= first <= last <= len(starts):
        raise RequestError(f"lines {first} to {last} do not lie in the text of {len(starts)} lines")
    end = starts[last] if last < len(starts) else len(text)
    line = text[starts[first - 1] : end].removesuffix("\n").removesuffix("\r")
    return starts[first - 1], starts[first - 1] + len(line)
