from __future__ import annotations

import threading

import pytest

from redraft.server.runtime import freed_memory
from redraft.server.runtime.freed_memory import GROWTH, FreedMemory


def test_memory_goes_back_whenever_the_process_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    held, given, looks = [1 << 30], [], threading.Semaphore(0)

    def give() -> None:
        given.append(held[0])
        held[0] = (1 << 30) + GROWTH // 2  # a half stays in use

    def resident() -> int:
        looks.release()
        return held[0]

    monkeypatch.setattr(freed_memory, "give_memory_back", give)
    memory = FreedMemory(0.01, resident)

    def wait() -> None:
        for _ in range(6):
            looks.acquire(timeout=10)

    wait()
    assert given == []
    held[0] = grown = (1 << 30) + GROWTH + 1
    wait()
    assert given == [grown]
    held[0] += GROWTH - 1  # measured from what stayed
    wait()
    assert given == [grown]
    held[0] += 2
    wait()
    assert len(given) == 2
    memory.close()


def test_this_process_has_memory() -> None:
    assert freed_memory.resident() > 1 << 20
