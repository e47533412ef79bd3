"""CUDA graphs: a forward pass over canvases is captured once and launched again for other ones.

A canvas is read a dozen times and more by the same kernels, and so is the next canvas. Launching
them one by one takes the processor longer than they take the device; a graph launches them with one
call. The values that differ from pass to pass lie in tensors that the graph reads: embeddings,
positions, and where the prefixes are in memory.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from weakref import ref

import torch
from torch import Tensor

from redraft.network.cache import Cache
from redraft.network.context import CachedContext, Segment
from redraft.ops.triton.launch import launched_on

# Graphs that are kept; there is one for each kind of pass and number of canvases.
MAX_GRAPHS = 32
Tensors = tuple[Tensor, ...]
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
    """Runs forward passes, and captures those whose kind and size come a second time.

    A graph reads the weights at the addresses where they were. Code that replaces weights, other
    than by moving or loading the whole network, must call `clear`.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self.clear()

    def clear(self) -> None:
        """Drop all graphs."""
        self._seen: set[Key] = set()
        self._captured: OrderedDict[Key, CapturedPass] = OrderedDict()
        self._stream: torch.cuda.Stream | None = None
        self._pool: torch.cuda._POOL_HANDLE | None = None
        # Graphs whose capture failed. While there is one, no other capture is started.
        self._broken: list[torch.cuda.CUDAGraph] = []

    def run(
        self,
        kind: str,
        segments: Sequence[Segment],
        inputs: Tensors,
        make_context: Callable[[], CachedContext],
        run: ForwardPass,
        allowed: Callable[[], bool],
    ) -> Tensors:
        """Return `run(make_context(), *inputs)`, from a graph where there is one.

        Args:
            kind: tells passes apart that run other operations.
            segments: of the pass; all are canvases.
            allowed: called before a capture; returns whether this pass can be captured.
        """
        places = tuple((segment.start, segment.stop) for segment in segments)
        key = kind, places, *((part.shape, part.dtype) for part in inputs)
        with self._lock, torch.inference_mode(), launched_on(inputs[0].device):
            captured = self._captured.get(key)
            if captured is None and key in self._seen and not self._broken and allowed():
                captured = self._capture(key, inputs, make_context, run)
            if captured is None:
                # The first run compiles kernels, which cannot be captured.
                self._seen.add(key)
                return run(make_context(), *inputs)
            canvases = tuple((ref(segment.cache), segment.position) for segment in segments)
            if captured.canvases != canvases:
                captured.context.point_to(segments)
                captured.canvases = canvases
            self._captured.move_to_end(key)
            for own, new in zip(captured.inputs, inputs, strict=True):
                own.copy_(new)
            captured.graph.replay()
            return tuple(part.clone() for part in captured.outputs)

    def _capture(
        self, key: Key, inputs: Tensors, make_context: Callable[[], CachedContext], run: ForwardPass
    ) -> CapturedPass | None:
        """Capture a pass, or return None where that fails.

        A capture fails when there is too little memory, or when an operation waits for the device.
        """
        device = inputs[0].device
        self._stream = self._stream or torch.cuda.Stream(device)
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        context, graph = make_context(), torch.cuda.CUDAGraph()
        own = tuple(part.clone() for part in inputs)
        self._stream.wait_stream(torch.cuda.current_stream(device))
        try:
            with torch.cuda.stream(self._stream):
                # Other threads may use the device while this one captures.
                graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
                try:
                    outputs = run(context, *own)
                finally:
                    graph.capture_end()
        except RuntimeError as error:
            log.warning("CUDA graphs are off, passes run kernel by kernel: %s", error)
            self._broken.append(graph)  # the allocator may still ask it
            with suppress(Exception):
                torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), self._pool)
            return None
        torch.cuda.current_stream(device).wait_stream(self._stream)
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
