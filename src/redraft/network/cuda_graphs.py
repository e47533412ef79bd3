"""CUDA graphs: a forward pass over canvases is captured once and launched again for other ones.

A canvas is read a dozen times and more by the same kernels, and so is the next canvas. Launching
them one by one takes the processor longer than they take the device; a graph launches them with one
call. The values that differ from pass to pass lie in tensors that the graph reads: embeddings,
positions, and where the prefixes are in memory.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from threading import Lock
from weakref import ref

import torch

from redraft.network.cache import Cache
from redraft.network.capture import Tensors, capture_graph
from redraft.network.context import CachedContext
from redraft.network.segments import Segment
from redraft.ops.triton.launch import launched_on

# Graphs that are kept; there is one for each kind of pass and number of canvases.
MAX_GRAPHS = 32
# A pass runs so often before it is captured: the first run compiles kernels, and holes come in many
# widths, most of which do not come again.
RUNS_BEFORE = 2
MAX_KEYS = 4096  # kinds and sizes that are counted
# After a capture that failed, which may be for want of memory, so many passes run before the next
# one is tried; after MAX_FAILURES there is none until `clear`.
PASSES_BETWEEN = 100
MAX_FAILURES = 3
# A pass: called with a context and the inputs.
ForwardPass = Callable[..., Tensors]
Key = tuple[Hashable, ...]
log = logging.getLogger("redraft.network")


@dataclass
class CapturedPass:
    """A captured pass.

    Attributes:
        inputs, outputs: the tensors that the graph reads and writes.
        canvases: the caches and positions that the context points to now.
    """

    graph: torch.cuda.CUDAGraph
    context: CachedContext
    inputs: Tensors
    outputs: Tensors
    canvases: tuple[tuple[ref[Cache], int], ...] = ()


class CudaGraphs:
    """Runs forward passes, and captures those whose kind and size come a third time.

    A graph reads the weights at the addresses where they were. Code that replaces weights, other
    than by moving or loading the whole network, must call `clear`.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.clear()

    def clear(self) -> None:
        """Drop all graphs, once no other thread runs one."""
        with self._lock:
            self._runs: Counter[Key] = Counter()
            self._captured: OrderedDict[Key, CapturedPass] = OrderedDict()
            self._pool: torch.cuda._POOL_HANDLE | None = None
            self._failures, self._wait = 0, 0

    def run(
        self,
        kind: str,
        segments: Sequence[Segment],
        inputs: Tensors,
        make_context: Callable[[], CachedContext],
        run: ForwardPass,
        allowed: Callable[[], bool],
        memory: int = 0,
    ) -> Tensors:
        """Return `run(make_context(), *inputs)`, from a graph where there is one.

        Args:
            kind: tells passes apart that run other operations.
            segments: of the pass; all are canvases.
            allowed: called before a capture; returns whether this pass can be captured.
            memory: bytes that the pass needs beside its inputs and outputs.
        """
        places = tuple((segment.start, segment.stop) for segment in segments)
        key = kind, places, *((part.shape, part.dtype) for part in inputs)
        with self._lock, torch.inference_mode(), launched_on(inputs[0].device):
            captured = self._captured.get(key)
            if captured is None and self._is_due(key) and allowed():
                captured = self._capture(key, inputs, make_context, run, memory)
            if captured is None:
                outputs = run(make_context(), *inputs)
                self._count(key)
                return outputs
            canvases = tuple((ref(segment.cache), segment.position) for segment in segments)
            if captured.canvases != canvases:
                captured.canvases = ()  # until all that describes them is written
                captured.context.point_to(segments)
                captured.canvases = canvases
            self._captured.move_to_end(key)
            for own, new in zip(captured.inputs, inputs, strict=True):
                own.copy_(new)
            captured.graph.replay()
            return tuple(part.clone() for part in captured.outputs)

    def _is_due(self, key: Key) -> bool:
        return self._runs[key] >= RUNS_BEFORE and not self._wait and self._failures < MAX_FAILURES

    def _count(self, key: Key) -> None:
        """Count a pass that ran without a graph, once it has succeeded."""
        if len(self._runs) >= MAX_KEYS:
            self._runs.clear()
        self._runs[key] += 1
        self._wait = max(0, self._wait - 1)

    def _capture(
        self,
        key: Key,
        inputs: Tensors,
        make_context: Callable[[], CachedContext],
        run: ForwardPass,
        memory: int,
    ) -> CapturedPass | None:
        """Capture a pass, or return None where that fails.

        A capture fails when there is too little memory, or when an operation waits for the device.
        """
        device = inputs[0].device
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        context = make_context()
        own = tuple(part.clone() for part in inputs)
        try:
            graph, outputs = capture_graph(lambda: run(context, *own), device, self._pool, memory)
        except RuntimeError as error:
            self._failures, self._wait = self._failures + 1, PASSES_BETWEEN
            then = "for now" if self._failures < MAX_FAILURES else "from now on"
            log.warning("a CUDA graph failed, passes run kernel by kernel %s: %s", then, error)
            return None
        context.drop_caches()
        captured = self._captured[key] = CapturedPass(graph, context, own, outputs)
        if len(self._captured) > MAX_GRAPHS:
            self._captured.popitem(last=False)
        return captured

    def __deepcopy__(self, memo: dict[int, object]) -> CudaGraphs:
        """Return an empty one: a copied network captures its own graphs."""
        return CudaGraphs()

    def __reduce__(self) -> tuple[type[CudaGraphs], tuple[()]]:
        """Pickle nothing: so does a network that is read from a file."""
        return CudaGraphs, ()
