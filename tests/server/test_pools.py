"""Work beside the engine: each kind has threads of its own, and none outlives the server."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from redraft.errors import RequestError
from redraft.server import between
from redraft.server.runtime import pools
from redraft.server.runtime.pools import in_pool
from redraft.server.runtime.preparing import Preparing
from redraft.server.runtime.worker import BusyError, ShuttingDownError
from redraft.tasks import sudoku_generator

HELD = """
import os, signal, socket, threading, time
from fastapi import FastAPI
from redraft.cli.graceful import GracefulServer

async def stop():
    pass

def leave():
    while not server.started:
        time.sleep(0.05)
    print(time.monotonic(), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

server = GracefulServer(FastAPI(), 0.0, stop)
signal.signal(signal.SIGTERM, lambda *_: None)
threading.Thread(target=time.sleep, args=(120,)).start()
threading.Thread(target=leave).start()
listening = socket.create_server(("127.0.0.1", 0))
server.run([listening])
"""


def test_a_full_pool_does_not_hold_up_another_and_refuses_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pools, "MAX_WAITING", 1)
    ended = threading.Event()

    async def leave() -> None:
        with anyio.move_on_after(0.05):
            await in_pool("puzzle", ended.wait, 0.3)

    async def many() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(in_pool, "puzzle", ended.wait, 30)
            group.start_soon(in_pool, "puzzle", ended.wait, 30)
            await anyio.sleep(0.05)
            with pytest.raises(BusyError, match="2 requests"):
                await in_pool("puzzle", int)
            assert await in_pool("check", int) == 0
            ended.set()
        assert await in_pool("puzzle", int) == 0
        ended.clear()
        for _ in range(2):
            await leave()  # both keep their places
        with pytest.raises(BusyError, match="2 requests"):
            await in_pool("puzzle", int)
        assert await in_pool("puzzle", int, follow_up=True) == 0

    try:
        anyio.run(many)
    finally:
        ended.set()


def test_who_is_prepared_when_the_server_ends_is_told() -> None:
    preparing = Preparing(max_waiting=2)
    ended = threading.Event()

    async def told() -> None:
        with pytest.raises(ShuttingDownError):
            await preparing.run(lambda: ended.wait(30), None, constrained=False)

    async def stop() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(told)
            await anyio.sleep(0.05)
            await preparing.end(0.1)
        await told()

    try:
        anyio.run(stop)
    finally:
        ended.set()
        preparing.close()


def test_a_thread_that_works_on_does_not_hold_the_process() -> None:
    found = subprocess.run(
        [sys.executable, "-c", HELD], capture_output=True, timeout=60, check=True
    )
    # One second for answers, one to close; the thread would have held it for 120.
    assert time.monotonic() - float(found.stdout) < 20
    assert b"the process ends" in found.stderr


class Letters:
    """A tokenizer of one token a character, which notes the longest text that it has read."""

    longest = read = 0

    def encode_parts(self, text: str) -> tuple[list[int], list[str]]:
        self.longest, self.read = max(self.longest, len(text)), self.read + len(text)
        return [0] * len(text), list(text)


@pytest.mark.parametrize("lines", [True, False])
def test_of_a_long_prefix_only_what_fits_is_read(lines: bool) -> None:
    tokenizer = Letters()
    config = SimpleNamespace(max_position_embeddings=100_000, canvas_length=32)
    processor = SimpleNamespace(require_tokenizer=lambda _: tokenizer)
    hosted: Any = SimpleNamespace(model=SimpleNamespace(processor=processor, config=config))
    left = 100_000 - 64 - 3 * 32 - 8
    prefix = ("0123456789abcde\n" if lines else "0123456789abcdef") * 250_000
    kept, count, truncated = between._fitted(hosted, prefix, 64)
    assert (kept, count, truncated) == (prefix[-left:], left, True)
    assert tokenizer.longest <= between.PIECE
    assert tokenizer.read < left + between.PIECE
    assert between._fitted(hosted, prefix[:left], 64) == (prefix[:left], left, False)
    assert between._fitted(hosted, "", 64) == ("", 0, False)


def test_a_puzzle_that_is_not_found_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sudoku_generator, "_search", lambda *_: 1)
    monkeypatch.setattr(sudoku_generator, "_dig", lambda *_: False)
    with pytest.raises(RequestError, match="58 blanks"):
        sudoku_generator.generate(random.Random(1), 58, 0.01)
