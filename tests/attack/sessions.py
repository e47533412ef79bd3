"""Small edits of large texts: does the server keep more than it should, and give it back?

`python -m tests.attack.sessions` makes 600 changes of one character in a text of 1 MB, the same in
other sessions and pages, compares texts of 100,000 lines, and deletes all of it.
"""

from __future__ import annotations

import argparse
import random
import sys
from typing import Any

import httpx2

from tests.attack.bystander import attacked, report

LINES = "".join(f"line {number} of a long text\n" for number in range(40_000))[: 1 << 20]


class Sessions:
    """A client that keeps much at one server."""

    def __init__(self, url: str) -> None:
        self._client = httpx2.Client(base_url=url, timeout=600, trust_env=False)
        self._rng = random.Random(1)
        self.names: list[str] = []

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def begin(self, text: str) -> str:
        """Begin a session, and return its name."""
        found = self._post("/v1/sessions", {"model": "small-text", "text": text})
        self.names.append(str(found["id"]))
        return self.names[-1]

    def change(self, name: str, first: int, last: int, replacement: str) -> None:
        """Replace a span."""
        body = {"kind": "replace", "spans": [[first, last]], "replacement": replacement}
        self._post(f"/v1/sessions/{name}/edits", body)

    def small_edits(self, name: str, count: int) -> None:
        """Change one character so often, and take half of it back."""
        for _ in range(count):
            at = self._rng.randrange(len(LINES) - 1)
            self.change(name, at, at + 1, self._rng.choice("abcdefgh"))
        for _ in range(count // 2):
            self._post(f"/v1/sessions/{name}/undo", None)

    def great_edits(self, name: str, count: int) -> None:
        """Replace the whole text by another with other lines."""
        length = len(LINES)
        for _ in range(count):
            text = "".join(f"{self._rng.random()}\n" for _ in range(20_000))
            self.change(name, 0, length, text)
            length = len(text)

    def pages(self, count: int) -> None:
        """Keep pages of 1 MB, and delete them."""
        for number in range(count):
            body = {"model": "small-text", "text": LINES}
            self._client.put(f"/v1/pages/p{number}", json=body).raise_for_status()
        for number in range(count):
            self._client.delete(f"/v1/pages/p{number}?model=small-text").raise_for_status()

    def delete(self) -> None:
        """Delete all sessions."""
        for name in self.names:
            self._client.delete(f"/v1/sessions/{name}").raise_for_status()
        self.names.clear()

    def _post(self, path: str, body: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._client.post(path, json=body).raise_for_status().json()
        return found


def main() -> int:
    """Attack, print what another client saw, and return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=600)
    parser.add_argument("--settle", type=float, default=60.0)
    args = parser.parse_args()
    with attacked() as server:
        sessions = Sessions(server.url)
        with server.bystander.watch(args.settle) as seen:
            sessions.small_edits(sessions.begin(LINES), args.edits)
            sessions.great_edits(sessions.begin(LINES), args.edits // 60)
            for _ in range(args.edits // 20):
                sessions.small_edits(sessions.begin(LINES), 2)
            sessions.pages(args.edits // 20)
            sessions.delete()
            sessions.close()
    return report("sessions", seen)


if __name__ == "__main__":
    sys.exit(main())
