"""Files and standard input as texts: read, printed and replaced byte for byte."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from redraft.errors import RequestError


def read_text(file: str) -> str:
    """Return the text of a file, or of standard input for "-", with its line ends as they are.

    Raises:
        RequestError: it cannot be read, or is not UTF-8.
    """
    try:
        if file == "-" and sys.stdin is None:
            raise RequestError("there is no standard input to read")
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{file} cannot be read as text: {error}") from error


def plain_line_ends(text: str) -> tuple[str, str]:
    """Return a text with "\\n" at the end of its lines, and what stands there: "\\r\\n" where all
    lines end so, as on Windows, else "\\n", and then the text as it is."""
    windows = text.count("\r\n")
    if not windows or windows != text.count("\n"):
        return text, "\n"
    return text.replace("\r\n", "\n"), "\r\n"


def with_line_ends(text: str, line_end: str) -> str:
    """Return a text whose lines end with `line_end` instead of "\\n"."""
    return text.replace("\n", line_end)


def without_last_line_end(text: str) -> str:
    """Return a text without one line end at its end, which editors and `echo` put there."""
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def write_text(text: str) -> None:
    """Print a text without a change."""
    sys.stdout.buffer.write(text.encode("utf-8"))
    sys.stdout.flush()


def replace_text(path: Path, before: str, after: str) -> None:
    """Replace the text of a file, `before`, by `after`: all of it or nothing.

    Raises:
        RequestError: the file has changed since it was read, or cannot be written.
    """
    from redraft.checkpoint.durable import replace_durably

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
            replace_durably(Path(draft), target)
        except BaseException:
            os.unlink(draft)
            raise
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error}") from error


def check_replaceable(path: Path) -> None:
    """Check that `replace_text` could write.

    Raises:
        RequestError: the folder of the file cannot be written to.
    """
    if not os.access(path.resolve().parent, os.W_OK):
        raise RequestError(f"{path} cannot be replaced: its folder cannot be written to")


def line_span(text: str, lines: str) -> tuple[int, int]:
    """Return the span of characters of lines A-B, or of line A, counted from 1.

    The end of the last line does not belong to it.

    Raises:
        RequestError: `lines` is no such range, or the text has fewer lines.
    """
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", lines)
    if not match:
        raise RequestError(f"{lines!r} is no range of lines: write 12, or 12-14")
    first, last = int(match[1]), int(match[2] or match[1])
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    if starts[-1] == len(text) and len(starts) > 1:
        starts.pop()  # the end of the last line starts no other
    if not 1 <= first <= last <= len(starts):
        raise RequestError(
            f"lines {first} to {last} are not in the text, which has {len(starts)} lines"
        )
    end = starts[last] if last < len(starts) else len(text)
    line = text[starts[first - 1] : end].removesuffix("\n").removesuffix("\r")
    return starts[first - 1], starts[first - 1] + len(line)
