"""Another client of a server under attack, in a process of its own: how long do it and its health
checks wait, and what memory does the server have?

A process of its own, for a script that attacks with many threads would count its own waiting. It
needs the standard library alone, and starts at once.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.server.server_process import free_port, start_server

HEALTH_SECONDS, DRAFT_RATIO, MEMORY_RATIO = 0.1, 3.0, 1.1
SECONDS = 600.0
WARM_UP, ALONE = 1, 7
CHAT = {
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": 8,
    "max_denoising_steps": 6,
    "confidence_threshold": 1e-12,
    "stream": True,
    "stream_options": {"include_drafts": True},
}


@dataclass
class Seen:
    """What the other client saw.

    Attributes:
        health: seconds of each health check. alone, beside: seconds to the first draft of a chat
            before and while the block ran. before, after: bytes of resident memory of all of the
            server's processes. failures: answers that the chat did not get.
    """

    health: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    before: int = 0
    after: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def draft_ratio(self) -> float:
        """The median wait for a first draft beside the attack, over that alone."""
        if not self.beside:
            return math.inf
        return statistics.median(self.beside) / statistics.median(self.alone)

    def figures(self) -> dict[str, Any]:
        """Return what is worth printing."""
        health = {"median": statistics.median(self.health), "worst": max(self.health)}
        drafts = {
            "alone": statistics.median(self.alone),
            "beside": statistics.median(self.beside) if self.beside else None,
            "worst": max(self.beside, default=None),
            "ratio": self.draft_ratio,
        }
        megabytes = [self.before >> 20, self.after >> 20]
        return {
            "health": health,
            "first_draft": drafts,
            "MiB": megabytes,
            "failed": self.failures[:5],
        }

    def missed(self) -> list[str]:
        """Return the bars that were missed, a sentence each."""
        found = [f"a chat was not answered: {one}" for one in self.failures[:3]]
        if max(self.health) > HEALTH_SECONDS:
            found.append(f"a health check took {max(self.health):.3f} s, not {HEALTH_SECONDS}")
        if self.draft_ratio > DRAFT_RATIO:
            found.append(f"a first draft took {self.draft_ratio:.2f} times its time alone")
        if self.before and self.after > MEMORY_RATIO * self.before:
            found.append(f"memory grew from {self.before >> 20} to {self.after >> 20} MiB")
        return found


class Bystander:
    """The other client of one server. Its process ends with its standard input."""

    def __init__(self, port: int, pid: int, model: str) -> None:
        self._pid, self._seen, self._alone = pid, Seen(), list[float]()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.attack.bystander", str(port), model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._came = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        with self._came:
            self._came.wait_for(lambda: len(self._seen.beside) >= WARM_UP + ALONE, SECONDS)
            self._alone = self._seen.beside[WARM_UP:]

    @contextmanager
    def watch(self, settle: float = 0.0) -> Iterator[Seen]:
        """Yield what is seen while the block runs; the memory is that `settle` seconds later."""
        with self._came:
            self._seen = seen = Seen(alone=self._alone, before=resident(self._pid))
        yield seen
        with self._came:
            self._came.wait_for(lambda: bool(seen.beside or seen.failures), SECONDS)
            self._seen = Seen()
        time.sleep(settle)
        seen.after = resident(self._pid)

    def close(self) -> None:
        """End the process."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait(SECONDS)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            found = json.loads(line)
            with self._came:
                if "health" in found:
                    self._seen.health.append(found["health"])
                elif "draft" in found:
                    self._seen.beside.append(found["draft"])
                else:
                    self._seen.failures.append(found["failed"])
                self._came.notify_all()


@dataclass
class Attacked:
    """A server that is attacked. model: the one to ask for. bystander: its other client."""

    url: str
    model: str
    port: int
    process: subprocess.Popen[bytes]
    bystander: Bystander


@contextmanager
def attacked(
    *options: str, model: str = "small-text", log: IO[bytes] | None = None
) -> Iterator[Attacked]:
    """Start a server with another client that was measured alone; both end with the block.

    Args:
        options: of `redraft serve`. model: that both ask for, a name or a folder. log: a file for
            all that the server prints.
    """
    port = free_port()
    process = start_server(port, *options, model=model, log=log)
    bystander: Bystander | None = None
    try:
        _warm_up(port, Path(model).name)
        bystander = Bystander(port, process.pid, Path(model).name)
        yield Attacked(f"http://127.0.0.1:{port}", Path(model).name, port, process, bystander)
    finally:
        if bystander:
            bystander.close()
        process.terminate()
        process.wait(30)


def _warm_up(port: int, model: str) -> None:
    """Fill a batch: what that takes is no growth."""
    threads = [threading.Thread(target=first_draft, args=(port, model, seed)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def resident(pid: int) -> int:
    """Return the resident memory of a process and its own in bytes; 0 where there is no /proc."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0
    # A process that has just ended has no such line.
    own = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmRSS")]
    children = " ".join(one.read_text() for one in status.parent.glob("task/*/children"))
    return sum(map(int, own)) * 1024 + sum(resident(int(one)) for one in children.split())


def report(name: str, seen: Seen, **more: Any) -> int:
    """Print the figures of an attack as JSON and its missed bars; return 1 where there are any."""
    missed = seen.missed()
    print(json.dumps({"attack": name} | seen.figures() | more | {"missed": missed}), flush=True)
    return int(bool(missed))


def first_draft(port: int, model: str, seed: int) -> dict[str, Any]:
    """Ask for a chat, and return the seconds to its first draft, or why there was none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    body = json.dumps(CHAT | {"model": model, "seed": seed})
    headers = {"content-type": "application/json"}
    began = time.perf_counter()
    found: float | None = None
    try:
        connection.request("POST", "/v1/chat/completions", body, headers)
        answer = connection.getresponse()
        lines = iter(answer.readline, b"")
        text = b""
        for line in lines:
            text += line
            if found is None and b'"draft"' in line:
                found = time.perf_counter() - began
    except OSError as error:
        return {"failed": repr(error)}
    finally:
        connection.close()
    return {"draft": found} if found is not None else {"failed": text[:300].decode()}


def health(port: int) -> dict[str, Any]:
    """Return the seconds of a health check by a new connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    began = time.perf_counter()
    try:
        connection.request("GET", "/health")
        connection.getresponse().read()
    except OSError as error:
        return {"failed": repr(error)}
    finally:
        connection.close()
    return {"health": time.perf_counter() - began}


def main() -> None:
    """Ask for health five times a second and for one chat after another, until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("model")
    args = parser.parse_args()
    ended = threading.Event()
    printing = threading.Lock()

    def say(found: dict[str, Any]) -> None:
        with printing:
            print(json.dumps(found), flush=True)

    def look() -> None:
        while not ended.wait(0.2):
            say(health(args.port))

    def chat() -> None:
        seed = 0
        while not ended.wait(0.3):
            say(first_draft(args.port, args.model, seed := seed + 1))

    threads = [threading.Thread(target=one, daemon=True) for one in (look, chat)]
    for one in threads:
        one.start()
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    main()
