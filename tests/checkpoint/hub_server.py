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

COMMIT, TAGGED = "c" * 40, "d" * 40
# Commits by the names of revisions. What TAGGED has is in the folder name@v1.
REVISIONS = {"main": COMMIT, "v1": TAGGED, COMMIT: COMMIT, TAGGED: TAGGED}
# Files that the hub sends from another host.
LARGE = (".gguf", ".safetensors")


class Hub(BaseHTTPRequestHandler):
    """Answers what a client asks for: a repository's files, a file's head, a file or its rest."""

    root: Path
    # Bytes after which the next file that is sent breaks off; None for never.
    breaks_after: int | None = None
    # Statuses of the next answers of the other host, before it answers rightly.
    failures: list[int]
    ranges: list[str]
    # Headers of authorization that the other host has seen: it must see none.
    leaked: list[str]
    # Names that lists of files have beside those that are there.
    invented: tuple[str, ...] = ()

    def log_message(self, *_: Any) -> None: ...

    def do_HEAD(self) -> None:
        self._file(send=False)

    def do_GET(self) -> None:
        if match := re.match(r"/api/models/([^/]+/[^/?]+)(/revision/([^/?]+))?(\?|$)", self.path):
            return self._described(match[1], match[3] or "main")
        if match := re.match(r"/api/models/([^/]+/[^/]+)/tree/([^/?]+)", self.path):
            return self._listed(match[1], match[2])
        return self._file(send=True)

    def _folder(self, repo: str, revision: str) -> Path | None:
        """The folder of a repository's revision; None after an answer that says what is wrong."""
        commit = REVISIONS.get(revision)
        folder = self.root / (f"{repo}@v1" if commit == TAGGED else repo)
        if repo.endswith("-gated"):
            self._refuse(401, "GatedRepo")
        elif not (self.root / repo).is_dir():
            self._refuse(404, "RepoNotFound")
        elif commit is None or not folder.is_dir():
            self._refuse(404, "RevisionNotFound")
        else:
            return folder
        return None

    def _described(self, repo: str, revision: str) -> None:
        if (folder := self._folder(repo, revision)) is None:
            return
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        names = [path.relative_to(folder).as_posix() for path in files]
        siblings = [{"rfilename": name} for name in (*names, *self.invented)]
        told = {"id": repo, "modelId": repo, "sha": REVISIONS[revision], "siblings": siblings}
        self._send(json.dumps(told).encode(), {"Content-Type": "application/json"})

    def _listed(self, repo: str, revision: str) -> None:
        if (folder := self._folder(repo, revision)) is None:
            return
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
        self._send(json.dumps(entries).encode(), {"Content-Type": "application/json"})

    def _file(self, *, send: bool) -> None:
        match = re.fullmatch(r"/(cdn/)?([^/]+/[^/]+)/resolve/([^/]+)/([^?]+)(\?.*)?", self.path)
        if match is None:
            return self._refuse(404, "EntryNotFound")
        elsewhere, repo, revision, name = match[1], match[2], match[3], match[4]
        if (folder := self._folder(repo, revision)) is None:
            return None
        if not (folder / name).is_file():
            return self._refuse(404, "EntryNotFound")
        content = (folder / name).read_bytes()
        etag, commit = f'"{hashlib.sha256(content).hexdigest()}"', REVISIONS[revision]
        headers = {"ETag": etag, "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if elsewhere:
            type(self).leaked += [one for one in (self.headers.get("Authorization"),) if one]
            if self.failures:
                return self._refuse(type(self).failures.pop(0), "")
            return self._send(content, headers, send=send)
        if revision != commit:  # as the hub does for a branch
            return self._redirect(307, f"/{repo}/resolve/{commit}/{name}", headers)
        if name.endswith(LARGE):
            port = self.server.server_address[1]
            place = f"http://localhost:{port}/cdn/{repo}/resolve/{commit}/{name}?signature=1"
            linked = {"X-Linked-Etag": etag, "X-Linked-Size": str(len(content))}
            return self._redirect(302, place, headers | linked)
        return self._send(content, headers, send=send)

    def _redirect(self, status: int, place: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Location": place, "Content-Length": "0"}).items():
            self.send_header(name, value)
        self.end_headers()

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

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serve_hub(root: Path) -> Iterator[tuple[str, type[Hub]]]:
    """Serve repositories, root/owner/name, and yield the address and the class of the answers."""

    class Own(Hub):
        pass

    Own.root, Own.ranges, Own.failures, Own.leaked = root, [], [], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", Own
    finally:
        server.shutdown()
        server.server_close()
