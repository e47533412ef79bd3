"""A crowd of clients of all kinds, some of which leave or read slowly: does each get what it would
get alone, does each kind wait equally long, and does memory grow?

`python -m tests.attack.crowd` runs 100 clients for five minutes. `--seconds 1200` is a soak.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.attack.bystander import attacked, resident

SECONDS = 600.0
SEEDS = 6
# Equal work: one canvas, as many steps.
WORK = {"model": "small-text", "max_denoising_steps": 6, "confidence_threshold": 1e-12}
CHAT = WORK | {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16}
HOLE = WORK | {"max_candidates": 1, "max_tokens": 16}
SCHEMA = {"type": "object", "properties": {"NAME": {"type": "integer"}}, "required": ["NAME"]}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", CHAT),
    "structured": ("/v1/chat/completions", CHAT | {"schema": SCHEMA}),
    "suffix": ("/v1/completions", WORK | {"prompt": "a = ", "suffix": "\n", "max_tokens": 16}),
    "infill": ("/v1/infill", HOLE | {"template": "a = <hole>\nb = 2\n"}),
    "responses": ("/v1/responses", WORK | {"input": "Hello", "max_output_tokens": 16}),
    "messages": ("/v1/messages", CHAT),
    "ollama": (
        "/api/chat",
        WORK | {"messages": CHAT["messages"], "stream": False, "options": {"num_predict": 16}},
    ),
    "fim": (
        "/infill",
        WORK | {"input_prefix": "a = ", "input_suffix": "\nb = 2\n", "n_predict": 16},
    ),
    "edit": ("/v1/edits", HOLE | {"text": "a = 1\nb = 2\n", "spans": [[4, 5]]}),
}


@dataclass
class Report:
    """What the clients saw. seconds: of each kind. wrong: answers unlike those given alone.
    memory: bytes of all processes of the server, a look a second."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wrong: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


def body_of(kind: str, seed: int, unique: int = 0) -> tuple[str, dict[str, Any]]:
    """Return path and body of a request. unique: makes a constraint that was not compiled before."""
    path, body = KINDS[kind]
    body = body | {"seed": seed}
    if "schema" in body:
        # The name that is new stands in a definition that nothing uses: the texts stay the same.
        schema = json.loads(json.dumps(body["schema"]).replace("NAME", "a"))
        schema["$defs"] = {f"d{unique}": {"type": "string"}}
        del body["schema"]
        named = {"name": "s", "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    return path, body


def text_of(answer: dict[str, Any]) -> str:
    """Return the text of an answer of any kind."""
    if "output" in answer:
        return str(answer["output"][0]["content"][0]["text"])
    if "message" in answer:
        return str(answer["message"]["content"])
    if "content" in answer:
        content = answer["content"]
        return content if isinstance(content, str) else "".join(block["text"] for block in content)
    if "choices" not in answer:
        return str(answer["text"])
    choice = answer["choices"][0]
    return str(choice["message"]["content"] if "message" in choice else choice["text"])


class Crowd:
    """Clients of one server."""

    def __init__(self, url: str, pid: int) -> None:
        self.url, self.pid, self.report = url, pid, Report()
        self.alone: dict[tuple[str, int], str] = {}

    async def run(self, clients: int, seconds: float) -> Report:
        """Ask for each answer alone, then let all clients ask for `seconds`."""
        async with httpx2.AsyncClient(timeout=SECONDS, trust_env=False, verify=False) as session:
            for kind in KINDS:
                for seed in range(SEEDS):
                    path, body = body_of(kind, seed)
                    answer = await session.post(self.url + path, json=body)
                    self.alone[kind, seed] = text_of(answer.raise_for_status().json())
        ends = time.monotonic() + seconds
        watching = asyncio.create_task(self._watch())
        await asyncio.gather(*(self._client(number, ends) for number in range(clients)))
        if not watching.cancel():
            watching.result()  # what ended it
        return self.report

    async def _client(self, number: int, ends: float) -> None:
        rng = random.Random(number)
        kinds = list(KINDS)
        async with httpx2.AsyncClient(timeout=SECONDS, trust_env=False, verify=False) as session:
            while time.monotonic() < ends:
                kind, seed = kinds[number % len(kinds)], rng.randrange(SEEDS)
                path, body = body_of(kind, seed, rng.randrange(10**9))
                part = rng.random()
                if part < 0.1:
                    await self._leave(session, path, body, rng.random())
                elif part < 0.2:
                    await self._read_slowly(session, path, body)
                else:
                    await self._ask(session, kind, seed, path, body)

    async def _ask(
        self, session: httpx2.AsyncClient, kind: str, seed: int, path: str, body: dict[str, Any]
    ) -> None:
        began = time.perf_counter()
        try:
            answer = await session.post(self.url + path, json=body)
        except httpx2.TimeoutException:
            self.report.statuses[f"{kind} late"] += 1
            return
        self.report.statuses[f"{kind} {answer.status_code}"] += 1
        if answer.status_code == 429:
            await asyncio.sleep(float(answer.headers["retry-after"]))
        elif not answer.is_success or text_of(answer.json()) != self.alone[kind, seed]:
            self.report.wrong.append(f"{kind} {seed}: {answer.text[:300]}")
        else:
            self.report.seconds[kind].append(time.perf_counter() - began)

    async def _leave(
        self, session: httpx2.AsyncClient, path: str, body: dict[str, Any], seconds: float
    ) -> None:
        try:
            await session.post(self.url + path, json=body, timeout=seconds)
        except httpx2.TimeoutException:
            self.report.statuses["left"] += 1

    async def _read_slowly(
        self, session: httpx2.AsyncClient, path: str, body: dict[str, Any]
    ) -> None:
        slow = session.stream("POST", self.url + path, json=body | {"stream": True})
        with suppress(httpx2.TimeoutException):
            async with slow as answer:
                async for _ in answer.aiter_lines():
                    await asyncio.sleep(0.1)
        self.report.statuses["slow"] += 1

    async def _watch(self) -> None:
        while True:
            self.report.memory.append(resident(self.pid))
            await asyncio.sleep(1)


def growth(memory: Sequence[int]) -> float:
    """Return the median of the last third over that of the middle third."""
    third = len(memory) // 3
    if not third or not memory[0]:
        return 1.0
    middle, last = memory[third : 2 * third], memory[2 * third :]
    return statistics.median(last) / statistics.median(middle)


def main() -> int:
    """Run the crowd, print the figures as JSON, and return 1 where the bars are missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=300.0)
    args = parser.parse_args()
    with attacked("--waiting", str(args.clients + 1)) as server:
        crowd = Crowd(server.url, server.process.pid)
        with server.bystander.watch() as seen:
            report = asyncio.run(crowd.run(args.clients, args.seconds))
    medians = {kind: statistics.median(found) for kind, found in report.seconds.items()}
    ratio = max(medians.values()) / min(medians.values())
    figures = {
        "statuses": report.statuses,
        "medians": medians,
        "ratio": ratio,
        "wrong": report.wrong[:5],
        "growth": growth(report.memory),
        "memory": [report.memory[0], report.memory[-1]],
        "health": {"median": statistics.median(seen.health), "worst": max(seen.health)},
    }
    print(json.dumps(figures))
    return 1 if report.wrong or ratio > 1.5 or growth(report.memory) > 1.03 else 0


if __name__ == "__main__":
    sys.exit(main())
