"""Replay: a pass over canvases, recorded once as a CUDA graph and run again for others.

A canvas is read a dozen times and more by the same kernels, and so is the next. Launching them one by one takes the processor
longer than they take the device; recorded, they are launched together. What differs from pass to pass lies in tensors that the
recording reads: embeddings, positions, and where the prefixes are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import ref

import torch
from torch import Tensor

from redraft.model.cache import Cache
from redraft.model.context import CachedContext, Segment

MOST = 8  # recordings that are kept, one for each kind of pass and number of canvases
Tensors = tuple[Tensor, ...]
Run = Callable[..., Tensors]  # of a context, and of what is given


@dataclass
class _Recording:
    graph: torch.cuda.CUDAGraph
    context: CachedContext
    given: Tensors
    found: Tensors
    canvases: tuple[tuple[ref[Cache], int], ...]  # those that the context is about


class Replay:
    """Runs passes, and records those of a kind and size that come again."""

    def __init__(self) -> None:
        self._met: set[tuple[str, int]] = set()
        self._refused: set[tuple[str, int]] = set()
        self._recorded: OrderedDict[tuple[str, int], _Recording] = OrderedDict()
        self._stream: torch.cuda.Stream | None = None
        self._pool: Any = None

    def run(
        self,
        kind: str,
        segments: Sequence[Segment],
        given: Tensors,
        prepare: Callable[[], CachedContext],
        run: Run,
        allowed: Callable[[], bool],
    ) -> Tensors:
        """What `run` makes of the context and of `given`, in a pass over canvases alone: as it is, or recorded if `allowed`."""
        key = kind, len(segments)
        canvases = tuple((ref(segment.cache), segment.position) for segment in segments)
        recording = self._recorded.get(key)
        if recording is None:
            if key in self._refused or key not in self._met or not allowed():
                self._met.add(key)  # kernels are compiled the first time, which cannot be recorded
                return run(prepare(), *given)
            try:
                recording = self._record(prepare(), given, run)
            except RuntimeError:  # no memory for it, or something in it that waits for the device
                self._refused.add(key)
                return run(prepare(), *given)
            self._recorded[key] = recording
            recording.canvases = canvases
            if len(self._recorded) > MOST:
                self._recorded.popitem(last=False)
        elif recording.canvases != canvases:
            recording.context.move_to(segments)
            recording.canvases = canvases
        self._recorded.move_to_end(key)
        for kept, new in zip(recording.given, given, strict=True):
            kept.copy_(new)
        recording.graph.replay()
        return tuple(part.clone() for part in recording.found)

    def _record(self, context: CachedContext, given: Tensors, run: Run) -> _Recording:
        device = given[0].device
        self._stream = self._stream or torch.cuda.Stream(device)
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        kept, graph = tuple(part.clone() for part in given), torch.cuda.CUDAGraph()
        self._stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(self._stream):
            # Other threads may go on with this device while this one records.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                found = run(context, *kept)
            finally:
                graph.capture_end()
        torch.cuda.current_stream(device).wait_stream(self._stream)
        context.canvases = []  # their caches may end
        return _Recording(graph, context, kept, found, ())

    def __deepcopy__(self, memo: dict[int, Any]) -> Replay:
        """A copy of a model records for itself."""
        return Replay()
