"""Replay: the same canvases behind the same prefixes, pass after pass, as one recorded CUDA graph.

A canvas is read a dozen times and more while nothing moves but its numbers: the same kernels at the same addresses. Launching
them one by one takes the processor longer than they take the device; recorded once, they are launched together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import ref

import torch
from torch import Tensor

from redraft.model.context import Segment

Run = Callable[[Tensor], Tensor]
Key = tuple[tuple[int, int, int, "ref[object]"], ...]


@dataclass
class _Recorded:
    key: Key
    graph: torch.cuda.CUDAGraph
    run: Run  # what it knows must stay where it is
    given: Tensor
    found: Tensor


class Replay:
    """Runs passes, and records one that comes again."""

    def __init__(self) -> None:
        self._last: Key = ()
        self._recorded: _Recorded | None = None
        self._stream: torch.cuda.Stream | None = None
        self._pool: Any = None

    def note(self, segments: Sequence[Segment]) -> None:
        """These canvases were read in a pass that cannot be recorded, for what else was in it; they may come again."""
        self._last = _key(segments)

    def run(
        self, segments: Sequence[Segment], given: Tensor, prepare: Callable[[], Run], allowed: Callable[[], bool]
    ) -> Tensor:
        """What `prepare()` makes of `given`, a pass over canvases alone: at first as it is, then recorded if `allowed()`."""
        key = _key(segments)
        if self._recorded is None or self._recorded.key != key or self._recorded.given.shape != given.shape:
            if key != self._last or not allowed():
                self._last = key
                return prepare()(given)
            # The last one is let go only now: without any, the pool that they share would end.
            self._recorded = self._record(key, given, prepare())
        self._recorded.given.copy_(given)
        self._recorded.graph.replay()
        return self._recorded.found.clone()

    def _record(self, key: Key, given: Tensor, run: Run) -> _Recorded:
        device = given.device
        self._stream = self._stream or torch.cuda.Stream(device)
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        kept, graph = given.clone(), torch.cuda.CUDAGraph()
        self._stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(self._stream):
            # Other threads may go on with this device while this one records.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                found = run(kept)
            finally:
                graph.capture_end()
        torch.cuda.current_stream(device).wait_stream(self._stream)
        return _Recorded(key, graph, run, kept, found)

    def __deepcopy__(self, memo: dict[int, Any]) -> Replay:
        """A copy of a model records for itself."""
        return Replay()


def _key(segments: Sequence[Segment]) -> Key:
    """What must be the same for a recorded pass to hold: the caches themselves, what they hold, and where canvases lie."""
    return tuple(
        (segment.start, segment.stop, segment.position, ref(segment.cache)) for segment in segments if not segment.clean
    )
