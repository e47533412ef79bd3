"""Connections: deadlines for the head and the body of a request, and a limit on their number.

A client that sends half a request holds a socket and little else. Where sockets run short, those
that have sent no whole head for longest are closed first, then those that owe the rest of a body
for longest, so that new clients are answered.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

import h11
from h11._receivebuffer import ReceiveBuffer
from uvicorn.protocols.http.h11_impl import H11Protocol

# Files that the process needs beside its connections: weights, state, threads' pipes.
OTHER_FILES = 256
MAX_HEAD = 64 << 10  # bytes, where uvicorn's settings have no other limit
# Parts of a body: so many in any case, and beyond that one for so many bytes. To
# read a part takes some 30 microseconds of the event loop, however short it is.
MAX_PARTS, PART_BYTES = 1024, 256
# Headers of a request, or of the end of its body: h11 takes 25 us for each.
MAX_HEADERS = 256
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: 0\r\n\r\n"
)


class HeadBuffer(ReceiveBuffer):
    """Received bytes of a connection, with a limit on the headers that h11 takes from them."""

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """Return the lines of a head once it is whole; None before.

        Raises:
            h11.RemoteProtocolError: there are too many.
        """
        lines = super().maybe_extract_lines()
        if lines is not None and len(lines) > MAX_HEADERS + 1:
            raise h11.RemoteProtocolError(f"more than {MAX_HEADERS} headers", error_status_hint=431)
        return lines


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits on connections.

    Attributes:
        max_connections: open at a time. head_seconds: time for a request's head.
        body_seconds: time for its body. idle_seconds: time between two requests of one connection.
            Clients use a connection again within 5 s or so: a server that closes it at that time
            ends it under their request.
    """

    max_connections: int = 4096
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    idle_seconds: int = 75

    @classmethod
    def of_system(cls) -> ConnectionLimits:
        """Return limits below the number of files that the process may open, which is raised as far
        as it may be."""
        if sys.platform == "win32":
            return cls()
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = cls.max_connections + OTHER_FILES
        if soft != resource.RLIM_INFINITY and soft < wanted:
            raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
                soft = raised
            return cls(max_connections=max(16, soft - OTHER_FILES))
        return cls()


class BoundedParser(h11.Connection):
    """h11's parser, with a limit on the parts of a body."""

    def __init__(self, max_head: int) -> None:
        """max_head: bytes of a head that has no end yet."""
        super().__init__(h11.SERVER, max_head)
        self._parts = self._bytes = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return what the client sent next.

        Raises:
            h11.RemoteProtocolError: it is no HTTP, or beyond a limit.
        """
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._parts = self._bytes = 0
        elif isinstance(event, h11.Data):
            self._parts, self._bytes = self._parts + 1, self._bytes + len(event.data)
            if self._parts > MAX_PARTS + self._bytes // PART_BYTES:
                raise h11.RemoteProtocolError("the parts of the body are too short")
        return event


def bounded_protocol(limits: ConnectionLimits) -> type[H11Protocol]:
    """Return uvicorn's protocol with limits; one class for one server."""
    # Connections that wait for a head, or are idle between requests, and those that owe the rest of
    # a body; the oldest first.
    without_request: dict[H11Protocol, None] = {}
    without_body: dict[H11Protocol, None] = {}

    class BoundedProtocol(H11Protocol):
        _timer: asyncio.TimerHandle | None = None
        _watched: object = None  # the request whose body has a deadline

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            self.conn = BoundedParser(self.config.h11_max_incomplete_event_size or MAX_HEAD)
            super().connection_made(transport)
            self.conn._receive_buffer = HeadBuffer()
            if len(self.connections) > limits.max_connections and not _close_oldest():
                transport.write(FULL)
                transport.close()
                return
            without_request[self] = None
            self._begin(limits.head_seconds)

        def connection_lost(self, exc: Exception | None) -> None:
            self._end()
            without_request.pop(self, None)
            without_body.pop(self, None)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._timer is None and self._is_idle():
                self._begin(limits.head_seconds)
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            self._end()
            without_body.pop(self, None)
            without_request[self] = None
            super().on_response_complete()
            self._watch()

        def _is_idle(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _watch(self) -> None:
            """Move on to the deadline of what the client has to send next."""
            if self._is_idle():
                return
            without_request.pop(self, None)
            if not self.cycle.more_body:
                without_body.pop(self, None)
                self._end()
            elif self._watched is not self.cycle:
                self._watched = self.cycle
                without_body[self] = None
                self._begin(limits.body_seconds)

        def _begin(self, seconds: float) -> None:
            self._end()
            self._timer = self.loop.call_later(seconds, self.transport.abort)

        def _end(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _close_oldest() -> bool:
        for waiting in (without_request, without_body):
            if (oldest := next(iter(waiting), None)) is not None:
                del waiting[oldest]
                oldest.transport.abort()
                return True
        return False

    return BoundedProtocol


class RateLimit(logging.Filter):
    """Lets a log message through so many times in a while, so that no client can fill a disk.

    Args:
        count: times that one message is let through in `seconds`.
    """

    MAX_MESSAGES = 256

    def __init__(self, count: int = 10, seconds: float = 60.0) -> None:
        super().__init__()
        self._count, self._seconds = count, seconds
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for a message that was let through too often."""
        now, message = time.monotonic(), str(record.msg)
        begun, seen = self._seen.get(message, (now, 0))
        if now - begun >= self._seconds:
            begun, seen = now, 0
        if len(self._seen) >= self.MAX_MESSAGES and message not in self._seen:
            self._seen.clear()
        self._seen[message] = begun, seen + 1
        if seen + 1 == self._count:
            record.msg = f"{record.msg} (further ones within {self._seconds:g} s are not logged)"
        return seen < self._count


def limit_logs() -> None:
    """Limit the loggers whose lines a client can cause."""
    for name in ("uvicorn.error", "redraft.server", "asyncio"):
        logging.getLogger(name).addFilter(RateLimit())
