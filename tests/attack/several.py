"""Several requests of one client at once, whose preparation takes long, and the client leaves.

`python -m tests.attack.several` measures another client's chat beside each kind. Pictures go to a
checkpoint with random weights that has an image encoder.
"""

from __future__ import annotations

import base64
import io
import json
import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from PIL import Image

from redraft.testing import tiny_checkpoint, tiny_encoder
from tests.attack.bystander import Attacked, attacked, report
from tests.attack.single import CHAT, Kinds, attack_kinds

MILLION = 1 << 20
PICTURES = "pictures of 63 million pixels"
COUNT = 6  # more than there are threads of a kind


def kinds() -> Kinds:
    """Return path and body of each kind of request."""
    long = {"messages": [{"role": "user", "content": "a" * (4 * MILLION - 1000)}]}
    return {
        "long chats": (CHAT, long),
        "tokens to count": ("/v1/messages/count_tokens", long),
        "pieces of a text": ("/tokenize", {"content": "a b " * 260_000, "with_pieces": True}),
        "tokens to put together": ("/detokenize", {"tokens": [300] * 260_000}),
    }


def pictured() -> dict[str, Any]:
    """Return a chat with four pictures that take long to decode."""
    held = io.BytesIO()
    Image.new("RGBA", (7900, 7900), (1, 2, 3, 4)).save(held, "PNG", compress_level=1)
    url = f"data:image/png;base64,{base64.b64encode(held.getvalue()).decode()}"
    part = {"type": "image_url", "image_url": {"url": url}}
    return {"messages": [{"role": "user", "content": [part] * 4}], "max_tokens": 8}


def send(port: int, path: str, body: dict[str, Any]) -> socket.socket:
    """Send a request, and do not read its answer."""
    made = socket.create_connection(("127.0.0.1", port), timeout=60)
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    made.sendall(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
    return made


def attack(server: Attacked, name: str, path: str, body: dict[str, Any], seconds: float) -> int:
    """Send several of one kind, leave, and again; print what another client saw."""
    given = {"model": server.model} | body
    with server.bystander.watch(settle=5.0) as seen:
        last = time.monotonic() + seconds
        while time.monotonic() < last:
            with ExitStack() as left:
                for _ in range(COUNT):
                    left.enter_context(send(server.port, path, given))
                time.sleep(1.0)
            time.sleep(1.0)
    seen.before = 0  # what the first of them need stays in caches
    return report(name, seen)


def main() -> int:
    """Attack, print what another client saw of each kind, and return 1 where a bar is missed."""
    args, missed = attack_kinds(__doc__, kinds(), attack)
    if args.only in (None, PICTURES):
        with tempfile.TemporaryDirectory() as folder:
            model = tiny_checkpoint(Path(folder) / "tiny", 1, vision=tiny_encoder(1))
            with attacked(model=str(model)) as server:
                missed += attack(server, PICTURES, CHAT, pictured(), args.seconds)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
