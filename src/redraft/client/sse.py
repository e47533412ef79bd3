"""Server-sent events: bytes as they come -> the data of each event."""

from __future__ import annotations

from collections.abc import Iterator

END = "[DONE]"


class SseDecoder:
    """Decodes a stream whose bytes come in any pieces.

    Lines end with LF or CR LF. Other separators of Unicode are part of a line: JSON may hold them.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []

    def feed(self, received: bytes) -> Iterator[str]:
        """Yield the data of each event that is whole."""
        *lines, self._rest = (self._rest + received).split(b"\n")
        for line in lines:
            yield from self._line(line.removesuffix(b"\r"))

    def _line(self, line: bytes) -> Iterator[str]:
        if not line:
            if self._data:
                yield "\n".join(self._data)
            self._data = []
        elif line.startswith(b"data:"):
            self._data.append(line[len(b"data:") :].decode("utf-8").removeprefix(" "))
