"""Scheduler: which sequences run now. They enter at any step, and leave at the step at which they
are done."""

from __future__ import annotations

from collections import deque

from redraft.engine.memory_budget import Memory
from redraft.engine.sequence import Sequence


class Scheduler:
    """First come first served, at most `max_batch_size` at a time, as long as there is memory for
    them."""

    def __init__(self, max_batch_size: int, memory: Memory) -> None:
        self.max_batch_size = max_batch_size
        self.memory = memory
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []

    def __bool__(self) -> bool:
        return bool(self.waiting or self.running)

    def admit(self) -> list[Sequence]:
        """Let waiting sequences in where there is room; returns those that run."""
        while self.waiting and len(self.running) < self.max_batch_size:
            first = self.waiting[0]
            if not self.memory.take(first.writing.number, first.share):
                break
            self.running.append(self.waiting.popleft())
        return self.running

    def retire(self) -> None:
        """Let finished sequences out."""
        for sequence in self.running:
            if sequence.writing.reason is not None:
                self.memory.release(sequence.writing.number)
        self.running = [sequence for sequence in self.running if sequence.writing.reason is None]

    def cancel(self, number: int) -> Sequence | None:
        """Mark a sequence as cancelled and let it out; None where it is not here."""
        for sequence in (*self.waiting, *self.running):
            if sequence.writing.number == number:
                sequence.writing.reason = "cancelled"
                self.waiting = deque(other for other in self.waiting if other is not sequence)
                self.memory.release(number)
                self.retire()
                return sequence
        return None
