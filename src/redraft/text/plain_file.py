"""Plain files: texts and JSON objects of a checkpoint, which may come from anybody.

A file may be a pipe, a device without end, larger than memory, no UTF-8, or nested so deeply that a
parser gives up: each of these is a CheckpointError.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from redraft.errors import CheckpointError

# Bytes of a text. A release's tokenizer.json has 32 MB.
MAX_BYTES = 1 << 28


def is_file(path: Path) -> bool:
    """Return True for an ordinary file; False for folders, pipes, devices and impossible names."""
    try:
        return path.is_file()
    except OSError:  # such as a name that is too long
        return False


def is_there(path: Path) -> bool:
    """Return True where there is anything of this name, be it a link to nothing."""
    try:
        return path.is_symlink() or path.exists()
    except OSError:
        return False


def check_file(path: Path) -> None:
    """Check that a path is an ordinary file.

    Raises:
        CheckpointError: it is none.
    """
    if not is_file(path):
        reason = "is no ordinary file" if is_there(path) else "does not exist"
        raise CheckpointError(f"{path} {reason}")


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        CheckpointError: it is no ordinary file, has more than MAX_BYTES, or is not UTF-8.
    """
    check_file(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise CheckpointError(f"{path} has more than {MAX_BYTES >> 20} MiB: it is no text")
        return content.decode()
    except (UnicodeDecodeError, OSError) as error:
        raise CheckpointError(f"{path} is not UTF-8 text: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object of a file.

    Raises:
        CheckpointError: as for `read_text`; or it is no JSON, nested too deeply, or no object.
    """
    raw = read_any_json(path)
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} holds a {type(raw).__name__}, not an object")
    return raw


def read_any_json(path: Path) -> Any:
    """Return the JSON of a file, whatever it is; errors as for `read_json`.

    Halves of surrogate pairs, which no text can hold, are no JSON here.
    """
    try:
        text = read_text(path)
        found = json.loads(text)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    except RecursionError:
        raise CheckpointError(f"{path} cannot be read as JSON: it is nested too deeply") from None
