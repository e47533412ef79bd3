"""`redraft serve` in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import time

import httpx2

from tests.command import COMMAND


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def start_server(port: int, *options: str, **environment: str) -> subprocess.Popen[bytes]:
    """Return a server with small-text at a port, once it answers."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "-m", "small-text", "--port", str(port), *options],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )
    for _ in range(1200):
        try:
            httpx2.get(f"http://127.0.0.1:{port}/health")
            return process
        except httpx2.TransportError:
            assert process.poll() is None
            time.sleep(0.1)
    process.kill()
    raise AssertionError("the server does not answer")
