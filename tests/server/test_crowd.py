"""A crowd: streams, readers that are slow and some that leave; each gets what it would get
alone."""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.server.test_openai import MESSAGES, QUICK, Served, alone

# Requests; REDRAFT_CASES=2000 makes it a long one, with 200 clients.
CASES = int(os.environ.get("REDRAFT_CASES", "40"))
CLIENTS = max(12, CASES // 10)
SEEDS = 12
LENGTHS = (5, 40, 100)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served(max_batch_size=8, max_waiting=CLIENTS)
    yield server
    server.close()


async def read(
    client: httpx2.AsyncClient, rng: random.Random, url: str, body: dict[str, Any]
) -> str | None:
    """The text of one stream; None from a reader that left."""
    stall_timeout = rng.choice([None, None, None, rng.randint(1, 6)])
    text = ""
    async with client.stream("POST", url, json=body) as answer:
        assert answer.status_code == 200
        count = 0
        async for line in answer.aiter_lines():
            if not line.startswith("data: {"):
                continue
            count += 1
            if stall_timeout is not None and count > stall_timeout:
                return None
            if rng.random() < 0.05:
                await asyncio.sleep(0.2)
            for choice in json.loads(line.removeprefix("data: "))["choices"]:
                text += choice["delta"].get("content") or ""
    return text


def memory() -> int:
    """Bytes that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_everyone_gets_what_they_would_get_alone(served: Served) -> None:
    expected = {
        (seed, length): alone(served, seed=seed, max_new_tokens=length).text
        for seed in range(SEEDS)
        for length in LENGTHS
    }
    url = f"http://127.0.0.1:{served.port}/v1/chat/completions"
    asked = iter(range(CASES))
    held: list[int] = []
    ended = {"whole": 0, "left": 0}

    async def client(number: int) -> None:
        rng = random.Random(number)
        async with httpx2.AsyncClient(timeout=300) as session:
            for _ in asked:
                key = rng.randrange(SEEDS), rng.choice(LENGTHS)
                body: dict[str, Any] = {
                    "model": "small-text",
                    "messages": MESSAGES,
                    "seed": key[0],
                    "max_tokens": key[1],
                }
                body |= {
                    "stream": True,
                    "stream_options": {"include_drafts": rng.random() < 0.5},
                    **QUICK,
                }
                text = await read(session, rng, url, body)
                ended["left" if text is None else "whole"] += 1
                assert text is None or text == expected[key]
                held.append(memory())

    async def crowd() -> None:
        await asyncio.gather(*(client(number) for number in range(CLIENTS)))

    asyncio.run(crowd())
    assert sum(ended.values()) == CASES
    assert min(ended.values()) > 0
    if CASES >= 1000:
        third = len(held) // 3
        middle, last = (
            sorted(part)[third // 2] for part in (held[third : 2 * third], held[2 * third :])
        )
        assert last < 1.05 * middle
