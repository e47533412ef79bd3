"""`redraft serve` in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from typing import IO

import httpx2

from tests.command import COMMAND


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def start_server(
    port: int,
    *options: str,
    model: str = "small-text",
    log: IO[bytes] | None = None,
    **environment: str,
) -> subprocess.Popen[bytes]:
    """Return a server with a model at a port, once it answers. log: takes all that it prints."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "-m", model, "--port", str(port), *options],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=log,
        stderr=log,
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
