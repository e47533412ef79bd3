"""Images of an own line: files beside the input become data URLs, as the server reads them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from redraft.errors import DataError
from redraft.images import FORMATS, MAX_BYTES

# The first bytes of the formats that are read.
HEADS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp"}


def with_files(messages: Any, folder: Path) -> Any:
    """Return messages whose parts `{"type": "image", "image": PATH}` hold data URLs.

    Everything else is left as it is: the server says what is wrong with it.

    Args:
        folder: the one that relative paths start from.

    Raises:
        DataError: a file cannot be read, or is no image.
    """
    if not isinstance(messages, list):
        return messages
    return [_message(one, f"messages[{at}]", folder) for at, one in enumerate(messages)]


def _message(message: Any, place: str, folder: Path) -> Any:
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), list):
        return message
    parts = [
        _part(part, f"{place}.content[{at}]", folder) for at, part in enumerate(message["content"])
    ]
    return {**message, "content": parts}


def _part(part: Any, place: str, folder: Path) -> Any:
    if not isinstance(part, Mapping) or part.get("type") != "image":
        return part
    given = part.get("image")
    if not isinstance(given, str) or given.startswith(("data:", "http:", "https:")):
        return part
    return {**part, "image": data_url(folder / given, place)}


def data_url(path: Path, place: str) -> str:
    """Return the data URL of an image file.

    Raises:
        DataError: it cannot be read, is too large, or is no image.
    """
    try:
        if not path.is_file() and path.exists():
            raise DataError(f"{place}: {path} is no file")
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{place}: {path} has more than {MAX_BYTES >> 20} MiB")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{place}: {path} cannot be read: {reason}") from None
    kind = next((name for head, name in HEADS.items() if data.startswith(head)), None)
    if kind is None:
        raise DataError(f"{place}: {path} is none of {', '.join(FORMATS)}")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
