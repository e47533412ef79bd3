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

MOST = 8  # recordings that are kept, one a number of canvases
Run = Callable[[CachedContext, Tensor], Tensor]


@dataclass
class _Recording:
    graph: torch.cuda.CUDAGraph
    context: CachedContext
    given: Tensor
    found: Tensor
    canvases: tuple[tuple[ref[Cache], int], ...]  # those that the context is about


class Replay:
    """Runs passes, and records those of a size that comes again."""

    def __init__(self) -> None:
        self._met: set[int] = set()
        self._recorded: OrderedDict[int, _Recording] = OrderedDict()
        self._stream: torch.cuda.Stream | None = None
        self._pool: Any = None

    def run(
        self,
        segments: Sequence[Segment],
        given: Tensor,
        prepare: Callable[[], CachedContext],
        run: Run,
        allowed: Callable[[], bool],
    ) -> Tensor:
        """What `run` makes of the context and of `given`, in a pass over canvases alone: as it is, or recorded if `allowed`."""
        size = len(segments)
        canvases = tuple((ref(segment.cache), segment.position) for segment in segments)
        recording = self._recorded.get(size)
        if recording is None:
            if size not in self._met or not allowed():  # the first time kernels are compiled, which cannot be recorded
                self._met.add(size)
                return run(prepare(), given)
            recording = self._recorded[size] = self._record(prepare(), given, run, canvases)
            if len(self._recorded) > MOST:
                self._recorded.popitem(last=False)
        elif recording.canvases != canvases:
            recording.context.move_to(segments)
            recording.canvases = canvases
        self._recorded.move_to_end(size)
        recording.given.copy_(given)
        recording.graph.replay()
        return recording.found.clone()

    def _record(
        self, context: CachedContext, given: Tensor, run: Run, canvases: tuple[tuple[ref[Cache], int], ...]
    ) -> _Recording:
        device = given.device
        self._stream = self._stream or torch.cuda.Stream(device)
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        kept, graph = given.clone(), torch.cuda.CUDAGraph()
        self._stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(self._stream):
            # Other threads may go on with this device while this one records.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                found = run(context, kept)
            finally:
                graph.capture_end()
        torch.cuda.current_stream(device).wait_stream(self._stream)
        context.canvases = []  # their caches may end
        return _Recording(graph, context, kept, found, canvases)

    def __deepcopy__(self, memo: dict[int, Any]) -> Replay:
        """A copy of a model records for itself."""
        return Replay()
