"""Connections that hold what they can: heads, bodies and answers that never end.

`python -m tests.attack.connections` opens 1,200 of them. Others must not notice, and the server's
log must not grow with them.
"""

from __future__ import annotations

import argparse
import json
import resource
import socket
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.attack.bystander import attacked, report

LOG_BYTES = 1 << 20
# New connections: to accept one takes a server's thread half a millisecond.
A_SECOND = 200
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
)
STREAM = json.dumps(
    {
        "model": "small-text",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "max_tokens": 8,
    }
).encode()
UNREAD = 4
# What a connection sends before it waits; the last asks, and does not read.
HALVES = {
    "nothing": b"",
    "half a head": b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nx-a",
    "half a body": REQUEST + b"content-length: 5000\r\n\r\n{",
    "half a chunk": REQUEST + b"transfer-encoding: chunked\r\n\r\n1000\r\n{",
    "no request": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
    # Not among the others: so many requests would fill the waiting queue, and others be told so.
    "unread": REQUEST + b"content-length: %d\r\n\r\n" % len(STREAM) + STREAM,
}


def hold(port: int, count: int, seconds: float) -> None:
    """Open so many connections of all kinds, each a byte a second further, and open those anew that
    the server closes."""
    ends = time.monotonic() + seconds
    with ExitStack() as stack:
        held: list[tuple[socket.socket, bytes]] = []
        *kinds, unread = HALVES.values()
        for number in range(10**9):
            if time.monotonic() > ends:
                return
            if len(held) < count:
                sent = unread if number < UNREAD else kinds[number % len(kinds)]
                with suppress(OSError):
                    made = socket.create_connection(("127.0.0.1", port), timeout=5)
                    stack.callback(made.close)
                    made.sendall(sent)
                    made.setblocking(False)
                    held.append((made, sent))
                time.sleep(1 / A_SECOND)
                continue
            time.sleep(1)
            held = [one for one in held if one[1] is unread or _drips(one[0])]


def _drips(connection: socket.socket) -> bool:
    try:
        connection.send(b"a")
    except OSError:
        connection.close()
        return False
    return True


def main() -> int:
    """Attack, print what another client saw, and return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--settle", type=float, default=60.0)
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(args.connections + 500, hard), hard))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with (
            log.open("wb") as file,
            attacked(log=file) as server,
            server.bystander.watch(args.settle) as seen,
        ):
            hold(server.port, args.connections, args.seconds)
        length = log.stat().st_size
    if length > LOG_BYTES:
        seen.failures.append(f"the log has {length} bytes")
    return report("connections", seen, log_bytes=length)


if __name__ == "__main__":
    sys.exit(main())
