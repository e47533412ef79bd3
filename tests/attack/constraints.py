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
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx2

from redraft.grammar.constraint import MAX_CACHED
from tests.attack.bystander import Seen, attacked, report

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
    """What became of the hostile requests, and what others saw.

    Attributes:
        statuses: of the hostile requests whose clients waited. tools: seconds of another client's
            chats with tools. seen: by the bystander. ready: what /ready says in the end.
    """

    statuses: list[int] = field(default_factory=list)
    tools: list[float] = field(default_factory=list)
    tools_statuses: list[int] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)
    ready: dict[str, Any] = field(default_factory=dict)


def attack(rounds: int, settle: float = 0.0, warm_up: int = 3) -> Report:
    """Attack a server of its own; return what others saw of it.

    Args:
        settle: seconds from the end of the attack to the last look at the memory.
        warm_up: constraints of others before the first look: they fill the cache of constraints,
            which has a bound.
    """
    found = Report()
    with attacked() as server:
        for _ in range(warm_up):
            _use_tools(server.url, Report())
        with server.bystander.watch(settle) as found.seen:
            threads = [
                threading.Thread(target=_send, args=(server.url, body, number % 2 == 0, found))
                for number in range(rounds)
                for body in bodies().values()
            ]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                _use_tools(server.url, found)
            found.ready = _settled(server.url)
    return found


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


def _use_tools(url: str, report: Report) -> None:
    tool = json.loads(TOOLS.replace("NUMBER", str(time.monotonic_ns())))
    body = CHAT | {"max_tokens": 8, "tools": [tool]}
    began = time.perf_counter()
    answer = httpx2.post(f"{url}/v1/chat/completions", json=body, timeout=60)
    report.tools_statuses.append(answer.status_code)
    report.tools.append(time.perf_counter() - began)


def _settled(url: str) -> dict[str, Any]:
    """Return what /ready says once nothing is left to do, or after a minute."""
    found: dict[str, Any] = {}
    for _ in range(120):
        answer = httpx2.get(f"{url}/ready", timeout=60)
        found = answer.json()
        if answer.status_code == 200:
            break
        time.sleep(0.5)
    return found


def main() -> int:
    """Attack, print the report as JSON, and return 1 where others suffered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="requests of each kind")
    found = attack(parser.parse_args().rounds, settle=60, warm_up=MAX_CACHED)
    tools = {"median": statistics.median(found.tools), "worst": max(found.tools)}
    missed = report("constraints", found.seen, tools=tools, statuses=Counter(found.statuses))
    refused = all(status in (400, 429) for status in found.statuses)
    answered = set(found.tools_statuses) == {200} and found.ready.get("status") == "ready"
    return missed if refused and answered else 1


if __name__ == "__main__":
    sys.exit(main())
