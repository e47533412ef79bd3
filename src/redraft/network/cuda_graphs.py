"""Replay: a pass over canvases, recorded once as a CUDA graph and run again for others.

A canvas is read a dozen times and more by the same kernels, and so is the next. Launching them one
by one takes the processor longer than they take the device; recorded, they are launched together.
What differs from pass to pass lies in tensors that the
recording reads: embeddings, positions, and where the prefixes are.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import ref

import torch
from torch import Tensor

from redraft.network.cache import Cache
from redraft.network.context import CachedContext, Segment
from redraft.ops.triton import launched_on

MOST = 32  # recordings that are kept, one for each kind of pass and number of canvases
Tensors = tuple[Tensor, ...]
Run = Callable[..., Tensors]  # of a context, and of what is given
Key = tuple[Any, ...]
log = logging.getLogger("redraft.network")


@dataclass
class _Recording:
    graph: torch.cuda.CUDAGraph
    context: CachedContext
    given: Tensors
    found: Tensors
    canvases: tuple[tuple[ref[Cache], int], ...] = ()  # those that the context is about


class Replay:
    """Runs passes, and records those of a kind and size that come again. It reads weights where
    they were: whoever puts others in their places, but by moving or loading the whole model, calls
    `forget`."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.forget()

    def forget(self) -> None:
        """Record all anew."""
        self._met: set[Key] = set()
        self._recorded: OrderedDict[Key, _Recording] = OrderedDict()
        self._stream: torch.cuda.Stream | None = None
        self._pool: Any = None
        self._broken: list[
            Any
        ] = []  # recordings that failed: while there is one, no other is begun

    def run(
        self,
        kind: str,
        segments: Sequence[Segment],
        given: Tensors,
        prepare: Callable[[], CachedContext],
        run: Run,
        allowed: Callable[[], bool],
    ) -> Tensors:
        """What `run` makes of the context and of `given`, in a pass over canvases alone: as it is,
        or recorded if `allowed`."""
        places = tuple((segment.start, segment.stop) for segment in segments)
        key = kind, places, *((part.shape, part.dtype) for part in given)
        with self._lock, torch.inference_mode(), launched_on(given[0].device):
            recording = self._recorded.get(key)
            if recording is None and key in self._met and not self._broken and allowed():
                recording = self._record(key, given, prepare, run)
            if recording is None:
                self._met.add(key)  # kernels are compiled the first time, which cannot be recorded
                return run(prepare(), *given)
            canvases = tuple((ref(segment.cache), segment.position) for segment in segments)
            if recording.canvases != canvases:
                recording.context.move_to(segments)
                recording.canvases = canvases
            self._recorded.move_to_end(key)
            for kept, new in zip(recording.given, given, strict=True):
                kept.copy_(new)
            recording.graph.replay()
            return tuple(part.clone() for part in recording.found)

    def _record(
        self, key: Key, given: Tensors, prepare: Callable[[], CachedContext], run: Run
    ) -> _Recording | None:
        """None where that fails, for want of memory, or because something in it waits for the
        device."""
        device = given[0].device
        self._stream = self._stream or torch.cuda.Stream(device)
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        context, kept, graph = (
            prepare(),
            tuple(part.clone() for part in given),
            torch.cuda.CUDAGraph(),
        )
        self._stream.wait_stream(torch.cuda.current_stream(device))
        try:
            with torch.cuda.stream(self._stream):
                # Other threads may go on with this device while this one records.
                graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
                try:
                    found = run(context, *kept)
                finally:
                    graph.capture_end()
        except RuntimeError as error:
            log.warning("passes are not recorded any more: %s", error)
            self._broken.append(graph)  # the allocator may still ask it
            with suppress(Exception):
                torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), self._pool)
            return None
        torch.cuda.current_stream(device).wait_stream(self._stream)
        context.let_go()
        recording = self._recorded[key] = _Recording(graph, context, kept, found)
        if len(self._recorded) > MOST:
            self._recorded.popitem(last=False)
        return recording

    def __deepcopy__(self, memo: dict[int, Any]) -> Replay:
        """A copy of a model records for itself."""
        return Replay()

    def __reduce__(self) -> tuple[type[Replay], tuple[()]]:
        """So does one that is read from a file."""
        return Replay, ()
