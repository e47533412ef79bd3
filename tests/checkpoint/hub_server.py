"""A hub: repositories in folders, served as the real one serves them to `huggingface_hub`."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "c" * 40


class Hub(BaseHTTPRequestHandler):
    """Answers what a client asks for: a repository's files, a file's head, a file or its rest."""

    root: Path
    # Bytes after which the next file that is sent breaks off; None for never.
    breaks_after: int | None = None
    ranges: list[str]

    def log_message(self, *_: Any) -> None: ...

    def do_HEAD(self) -> None:
        self._file(send=False)

    def do_GET(self) -> None:
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/[^?]+)?(\?.*)?", self.path):
            folder = self.root / match[1]
            if not folder.is_dir():
                return self._missing()
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            names = [{"rfilename": path.relative_to(folder).as_posix()} for path in files]
            told = {"id": match[1], "modelId": match[1], "sha": COMMIT, "siblings": names}
            return self._send(json.dumps(told).encode(), {"Content-Type": "application/json"})
        if match := re.match(r"/api/models/([^/]+/[^/]+)/tree/[^/?]+", self.path):
            folder = self.root / match[1]
            if not folder.is_dir():
                return self._missing()
            entries = [
                {
                    "type": "file",
                    "path": path.relative_to(folder).as_posix(),
                    "size": path.stat().st_size,
                    "oid": hashlib.sha1(path.read_bytes()).hexdigest(),
                }
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            ]
            return self._send(json.dumps(entries).encode(), {"Content-Type": "application/json"})
        return self._file(send=True)

    def _file(self, *, send: bool) -> None:
        match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        path = self.root / match[1] / match[3] if match else self.root / "nothing"
        if not path.is_file():
            return self._missing()
        if match is not None and match[2] == "main":  # as the hub does for a branch
            self.send_response(307)
            self.send_header("Location", f"/{match[1]}/resolve/{COMMIT}/{match[3]}")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        content = path.read_bytes()
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": COMMIT,
            "Accept-Ranges": "bytes",
        }
        return self._send(content, headers, send=send)

    def _send(self, content: bytes, headers: dict[str, str], *, send: bool = True) -> None:
        wanted, total = self.headers.get("Range"), len(content)
        if wanted and (found := re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)):
            type(self).ranges.append(wanted)
            content = content[int(found[1]) :]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {found[1]}-{total - 1}/{total}")
        else:
            self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if send and self.breaks_after is not None and len(content) > self.breaks_after:
            self.wfile.write(content[: self.breaks_after])
            type(self).breaks_after = None
            self.close_connection = True
        elif send:
            self.wfile.write(content)

    def _missing(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serve_hub(root: Path) -> Iterator[tuple[str, type[Hub]]]:
    """Serve repositories, root/owner/name, and yield the address and the class of the answers."""

    class Own(Hub):
        pass

    Own.root, Own.ranges = root, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", Own
    finally:
        server.shutdown()
        server.server_close()
