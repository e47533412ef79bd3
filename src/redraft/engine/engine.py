"""Engine: schedule, encode, denoise, commit; one `step` at a time, every row at a step of its own.

requests -> waiting -> encode (prompt) -> denoise, step by step -> commit -> finished
                            ^                                         |
                            +----- encode (canvas) <------------------+
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

import torch

from redraft.config.check import check_integer
from redraft.engine.memory_budget import Memory
from redraft.engine.prefix_cache import PrefixCache
from redraft.engine.request import Request
from redraft.engine.runner import Part, Runner
from redraft.engine.scheduler import Scheduler
from redraft.engine.sequence import Sequence
from redraft.errors import ConfigError
from redraft.events import Committed, Draft, Event, Failed
from redraft.network import PREFILL_CHUNK, READ_BLOCK, DiffusionGemma
from redraft.text import Tokenizer


class Engine:
    """Writes any number of requests by diffusion; rows join and leave the batch between steps. One
    that breaks a step fails alone.

    Args:
        max_batch_size: canvases denoised together at most.
        prefill_chunk: clean tokens encoded between two denoising steps at most.
        prefix_cache: bytes of encoded beginnings of prompts that are kept for prompts that begin
            alike.
        memory: bytes for caches and passes, beside the weights; requests wait for their share. None
            for no limit.

    Attributes:
        prefixes: what is kept of prompts. memory: who holds how much.

    Raises:
        ConfigError: one of them is not a whole number of at least 1 (0 for the cache).
    """

    def __init__(
        self,
        model: DiffusionGemma,
        tokenizer: Tokenizer | None = None,
        *,
        max_batch_size: int = 8,
        prefill_chunk: int = PREFILL_CHUNK,
        prefix_cache: int = 0,
        memory: int | None = None,
    ) -> None:
        check_integer("max_batch_size", max_batch_size, minimum=1)
        check_integer("prefill_chunk", prefill_chunk, minimum=1)
        check_integer("prefix_cache", prefix_cache, minimum=0)
        if prefix_cache and prefill_chunk % READ_BLOCK:
            raise ConfigError(
                f"{prefill_chunk=} must be a multiple of {READ_BLOCK}, or parts of prompts cannot be kept"
            )
        if memory is not None:
            check_integer("memory", memory, minimum=1)
        self.model = model
        self.tokenizer = tokenizer
        self.prefixes = PrefixCache(model, prefix_cache)
        self.memory = Memory(self.prefixes, memory)
        self._scheduler = Scheduler(max_batch_size, self.memory)
        self._runner = Runner(model, prefill_chunk)
        self._next = 0
        self._clock = 0  # steps so far

    def add(self, request: Request) -> int:
        """Queue a request; returns the number that its events bear.

        Raises:
            MemoryLimitError: it could never run.
        """
        sequence = Sequence(self._next, request, self.prefixes, self.tokenizer)
        self.memory.check(sequence.share)
        self._next += 1
        self._scheduler.waiting.append(sequence)
        return sequence.writing.number

    def cancel(self, number: int) -> list[Event]:
        """Stop a request at once; its Finished event holds what was committed. Unknown or finished:
        no events."""
        sequence = self._scheduler.cancel(number)
        return [sequence.writing.cancel()] if sequence else []

    @property
    def busy(self) -> bool:
        return bool(self._scheduler)

    @torch.inference_mode()
    def step(self) -> list[Event | Failed]:
        """One pass: pending tokens are encoded, and every canvas takes a denoising step, also those
        right behind them."""
        running = self._scheduler.admit()
        if not running:
            return []  # all that wait lack memory
        self._clock += 1
        parts = self._runner.next_parts(
            [sequence for sequence in running if sequence.pending], self._clock
        )
        for sequence, _ in parts:
            sequence.writing.encoder_passes += bool(
                sequence.pending
            )  # more to come: it has no canvas in this pass
        events: list[Event | Failed] = [
            self._failed(one, one.error) for one in running if one.error is not None
        ]
        ready = [sequence for sequence in running if not sequence.pending]
        broken = False
        try:
            if ready:
                events += self._denoise(ready, parts)
            elif parts:
                self._runner.encode(parts)
        except Exception:
            broken = True
        if broken:  # outside the handler, which would keep all that the failed pass held
            events += self._apart(ready, parts)
        self._scheduler.retire()
        return events

    def run(self) -> Iterator[Event | Failed]:
        """Step until nothing is left to do."""
        while self.busy:
            yield from self.step()

    def _apart(self, ready: list[Sequence], parts: list[Part]) -> list[Event | Failed]:
        """A step that failed, again, one sequence at a time: whoever broke it fails alone. What was
        to be encoded is pending again, and so is all that stands before it."""
        events: list[Event | Failed] = []
        for sequence in {
            id(sequence): sequence for sequence in (*ready, *(sequence for sequence, _ in parts))
        }.values():
            try:
                if sequence.pending:
                    part = self._runner.next_parts([sequence], self._clock)
                    if sequence.error is not None:
                        raise sequence.error
                    if part:  # else all of it was known
                        self._runner.encode(part)
                else:
                    events += self._denoise([sequence], [])
            except Exception as error:
                events.append(self._failed(sequence, error))
        return events

    def _failed(self, sequence: Sequence, error: Exception) -> Failed:
        """Let a sequence out, and nothing of it stay behind."""
        traceback.clear_frames(error.__traceback__)
        error.__context__ = None
        self._scheduler.cancel(sequence.writing.number)
        return Failed(request=sequence.writing.number, error=error)

    def _denoise(self, ready: list[Sequence], parts: list[Part]) -> list[Event | Failed]:
        for sequence in ready:
            if sequence.state is None:
                sequence.start_canvas()
        step, done = self._runner.denoise(ready, parts)
        events: list[Event | Failed] = []
        for sequence, settled, row in zip(ready, done, step.rows(), strict=True):
            try:  # the pass is through: what fails from here on is this row's alone
                events += self._told(sequence, settled, row)
            except Exception as error:
                events.append(self._failed(sequence, error))
        return events

    def _told(
        self, sequence: Sequence, settled: bool, row: dict[str, tuple[Any, ...]]
    ) -> list[Event]:
        """What a step made of one row, which is committed where it is settled."""
        assert sequence.state is not None
        number, canvas, steps = (
            sequence.writing.number,
            sequence.canvas_index,
            int(sequence.state.step),
        )
        revised, text = (
            sequence.writing.revised(row["tokens"]),
            sequence.writing.draft(row["tokens"]),
        )
        events: list[Event] = [
            Draft(request=number, canvas=canvas, step=steps, revised=revised, text=text, **row)
        ]
        if settled:
            added, text = sequence.settle(list(row["tokens"]), steps)
            events.append(
                Committed(
                    request=number, canvas=canvas, steps=steps, tokens=tuple(added), text=text
                )
            )
            if sequence.writing.reason is not None:
                events.append(sequence.writing.finished())
        return events
