"""Scheduler: which work runs. It enters at any step, and leaves at the step that ends it."""

from __future__ import annotations

from collections import deque

from redraft.engine.memory_budget import Memory
from redraft.engine.work import Work
from redraft.network import DiffusionGemma


class Scheduler:
    """Admits work first come, first served: at most `max_batch_size` requests at a time, as long as
    there is memory for them."""

    def __init__(self, model: DiffusionGemma, max_batch_size: int, memory: Memory) -> None:
        self.model = model
        self.max_batch_size = max_batch_size
        self.memory = memory
        self.waiting: deque[Work] = deque()
        self.running: list[Work] = []

    def __bool__(self) -> bool:
        return bool(self.waiting or self.running)

    def admit(self) -> list[Work]:
        """Let waiting work in as far as there is memory; return what entered."""
        entered: list[Work] = []
        while self.waiting and len(self.running) < self.max_batch_size:
            first = self.waiting[0]
            if not self.memory.take(first.number, first.share(self.model.config)):
                break
            entered.append(self.waiting.popleft())
            self.running.append(entered[-1])
        return entered

    def retire(self) -> None:
        """Let out the work that has ended."""
        for work in self.running:
            if work.ended:
                self.memory.release(work.number)
        self.running = [work for work in self.running if not work.ended]

    def remove(self, number: int) -> Work | None:
        """Take out the work of this number; None where it is not here."""
        for work in (*self.waiting, *self.running):
            if work.number == number:
                self.waiting = deque(other for other in self.waiting if other is not work)
                self.running = [other for other in self.running if other is not work]
                self.memory.release(number)
                return work
        return None
