"""Hostile images: does any file or body break the server, or make it large?

`python -m tests.attack.images` starts a server with a small image encoder and sends 2,000 bodies.
None may be answered with a 5xx, or not at all, and the server may not grow by more than 700 MiB.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

import httpx2

from redraft.testing import tiny_checkpoint, tiny_encoder
from tests.images.hostile import hostile_bodies
from tests.server.server_process import free_port, start_server

BODIES, SECONDS, GROWTH = 2000, 60.0, 700 << 10  # KiB


def memory(process: int) -> int:
    """The most KiB that a process has had."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main(count: int = BODIES) -> int:
    """Attack with so many bodies; return the exit status."""
    statuses: Counter[int] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = tiny_checkpoint(
            Path(name) / "tiny", 1, vision=tiny_encoder(1), max_position_embeddings=4096
        )
        port = free_port()
        server = start_server(port, "-m", str(folder))
        try:
            before = memory(server.pid)
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS) as client:
                for number, body in enumerate(hostile_bodies(random.Random(1), count)):
                    answer = client.post(
                        "/v1/chat/completions",
                        content=json.dumps(body).encode("ascii"),
                        headers={"Content-Type": "application/json"},
                    )
                    statuses[answer.status_code] += 1
                    if answer.status_code >= 500:
                        print(f"body {number}: {answer.status_code} {answer.text[:300]}")
                        return 1
            grown = memory(server.pid) - before
        finally:
            server.terminate()
            server.wait()
    print(f"{count} bodies: {dict(statuses)}; the server grew by {grown >> 10} MiB at most")
    return int(grown > GROWTH)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
