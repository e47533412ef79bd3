"""Constraints that take long to compile: does anybody else notice?

`python -m tests.attack.constraints` starts a server, sends hostile constraints by clients of which
half leave at once, and asks meanwhile for the health and for a chat, as other clients do.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import string
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx2

from redraft.grammar.constraint import MAX_CACHED
from tests.attack.bystander import resident
from tests.server.server_process import free_port, start_server

# Another client's constraint: each time a new one.
TOOLS = """{"type": "function", "function": {"name": "look_NUMBER", "strict": true, "parameters":
{"type": "object", "properties": {"city": {"type": "string"}, "days": {"enum": [1, 2, 3]}}}}}"""
CHAT: dict[str, Any] = {"model": "small-text", "messages": [{"role": "user", "content": "x"}]}


def bodies() -> dict[str, dict[str, Any]]:
    """Return response formats, each of which once held a server for a minute or more."""
    rng = random.Random(1)
    words = ["".join(rng.choices(string.ascii_lowercase, k=192)) for _ in range(10000)]
    members = {f"p{at}": {"$ref": f"#/$defs/d{at}"} for at in range(16)}
    schema = {
        "$ref": "#/$defs/d0",
        "$defs": {f"d{at}": {"properties": members} for at in range(16)},
    }
    rules = "".join(f'r{at}: "a" r{at + 1} "b" | "c"\n' for at in range(20000))
    return {
        "regex": {"type": "regex", "regex": "(a?){10000}"},
        "choice": {"type": "choice", "choice": words},
        "schema": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}},
        "grammar": {"type": "grammar", "grammar": f'start: r0\n{rules}r20000: "z"\n'},
    }


@dataclass
class Report:
    """What other clients saw.

    Attributes:
        statuses: of the hostile requests whose clients waited. health, chat: seconds. tools: seconds
            of a chat with tools. before, after: bytes of resident memory of all processes.
    """

    statuses: list[int] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    chat: list[float] = field(default_factory=list)
    tools: list[float] = field(default_factory=list)
    tools_statuses: list[int] = field(default_factory=list)
    before: int = 0
    after: int = 0
    ready: dict[str, Any] = field(default_factory=dict)


def attack(rounds: int, settle: float = 0.0, warm_up: int = 3) -> Report:
    """Attack a server of its own; return what others saw of it.

    Args:
        settle: seconds from the end of the attack to the last look at the memory.
        warm_up: requests of others before the first look: they fill the cache of constraints, which
            has a bound.
    """
    port, report = free_port(), Report()
    url = f"http://127.0.0.1:{port}"
    process = start_server(port)
    try:
        for _ in range(warm_up):
            _ask(url, report)
        for seconds in (report.health, report.chat, report.tools):
            seconds.clear()
        report.before = resident(process.pid)
        threads = [
            threading.Thread(target=_send, args=(url, body, number % 2 == 0, report))
            for number in range(rounds)
            for body in bodies().values()
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            _ask(url, report)
        report.ready = _settled(url)
        if settle:
            time.sleep(settle)
        report.after = resident(process.pid)
    finally:
        process.terminate()
        process.wait(30)
    return report


def _send(url: str, body: dict[str, Any], leaves: bool, report: Report) -> None:
    try:
        answer = httpx2.post(
            f"{url}/v1/chat/completions",
            json=CHAT | {"response_format": body},
            timeout=0.5 if leaves else 300,
        )
    except httpx2.TimeoutException:
        return
    report.statuses.append(answer.status_code)


def _ask(url: str, report: Report) -> None:
    began = time.perf_counter()
    httpx2.get(f"{url}/health", timeout=60).raise_for_status()
    report.health.append(time.perf_counter() - began)
    began = time.perf_counter()
    httpx2.post(
        f"{url}/v1/chat/completions", json=CHAT | {"max_tokens": 8}, timeout=60
    ).raise_for_status()
    report.chat.append(time.perf_counter() - began)
    began = time.perf_counter()
    tool = json.loads(TOOLS.replace("NUMBER", str(time.monotonic_ns())))
    body = CHAT | {"max_tokens": 8, "tools": [tool]}
    answer = httpx2.post(f"{url}/v1/chat/completions", json=body, timeout=60)
    report.tools_statuses.append(answer.status_code)
    report.tools.append(time.perf_counter() - began)


def _settled(url: str) -> dict[str, Any]:
    """Return what /ready says once nothing is left to do, or after a minute."""
    found: dict[str, Any] = {}
    for _ in range(120):
        answer = httpx2.get(f"{url}/ready", timeout=60)
        found = answer.json()
        if answer.status_code == 200 and not found["requests"]:
            break
        time.sleep(0.5)
    return found


def main() -> int:
    """Attack, print the report as JSON, and return 1 where others suffered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="requests of each kind")
    report = attack(parser.parse_args().rounds, settle=60, warm_up=MAX_CACHED)
    seconds = {"health": report.health, "chat": report.chat, "tools": report.tools}
    figures = {
        name: {"median": statistics.median(found), "worst": max(found), "count": len(found)}
        for name, found in seconds.items()
    }
    print(json.dumps(asdict(report) | figures))
    refused = all(status in (400, 429) for status in report.statuses)
    unhurt = max(report.health) < 1 and set(report.tools_statuses) == {200}
    returned = report.after < 1.1 * report.before
    return 0 if refused and unhurt and returned and report.ready.get("status") == "ready" else 1


if __name__ == "__main__":
    sys.exit(main())
