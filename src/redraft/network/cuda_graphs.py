"""CUDA graphs: a forward pass over canvases is captured once and launched again for other ones.

A canvas is read a dozen times and more by the same kernels, and so is the next canvas. Launching
them one by one takes the processor longer than they take the device; a graph launches them with one
call. The values that differ from pass to pass lie in tensors that the graph reads: embeddings,
positions, and where the prefixes are in memory. What the next pass takes from this one the graph
itself puts into its inputs.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from weakref import ref

import torch
from torch import Tensor

from redraft.network.cache import Cache
from redraft.network.capture import Tensors, capture_graph
from redraft.network.recorded_context import PassShape, RecordedContext
from redraft.network.segments import Segment
from redraft.ops.triton.launch import launched_on

# Graphs that are kept; there is one for each kind of pass, number of canvases, slots before them.
MAX_GRAPHS = 64
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
Feeds = Sequence[tuple[int, int]]
log = logging.getLogger("redraft.network")


@dataclass
class CapturedPass:
    """A captured pass.

    Attributes:
        inputs, outputs: the tensors that the graph reads and writes.
        feeds: pairs (output, input): the graph ends with these outputs in these inputs.
        canvases: the caches, positions and moves that the context points to now.
        held: for each input the tensor whose numbers it holds now, as long as that tensor lives;
            empty where nothing is fed.
    """

    graph: torch.cuda.CUDAGraph
    context: RecordedContext
    inputs: Tensors
    outputs: Tensors
    feeds: Feeds = ()
    canvases: tuple[tuple[ref[Cache], int, int], ...] = ()
    held: list[ref[Tensor] | None] = field(default_factory=list)

    def point_to(self, segments: Sequence[Segment]) -> None:
        """Point the context to the segments, unless it points to them already."""
        canvases = tuple((ref(one.cache), one.position, one.cache.moves) for one in segments)
        if any(one.clean for one in segments) or self.canvases != canvases:
            self.canvases = ()  # until all that describes them is written
            self.context.point_to(segments)
            self.canvases = canvases

    def launch(self, inputs: Tensors) -> Tensors:
        """Run the graph with the numbers of `inputs`; return copies of its outputs."""
        held = self.held or [None] * len(inputs)
        self.held = []
        for own, new, known in zip(self.inputs, inputs, held, strict=True):
            if known is None or known() is not new:
                own.copy_(new)
        self.graph.replay()
        outputs = tuple(part.clone() for part in self.outputs)
        sources = list(inputs)
        for output, place in self.feeds:
            sources[place] = outputs[output]
        self.held = [ref(source) for source in sources] if self.feeds else []
        return outputs


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
        make_context: Callable[[], RecordedContext],
        run: ForwardPass,
        allowed: Callable[[], bool],
        memory: int = 0,
        feeds: Feeds = (),
    ) -> Tensors:
        """Return `run(make_context(), *inputs)`, from a graph where there is one.

        Args:
            kind: tells passes apart that run other operations.
            segments: of the pass.
            inputs: of a pass that is fed, none may be changed in place: the same tensor is copied
                once.
            allowed: called before a capture; returns whether this pass can be captured.
            memory: bytes that the pass needs beside its inputs and outputs.
            feeds: pairs (output, input): the next pass is expected to take the output that was
                returned as this input.
        """
        key = kind, PassShape.of(segments), *((part.shape, part.dtype) for part in inputs)
        with self._lock, torch.inference_mode(), launched_on(inputs[0].device):
            captured = self._captured.get(key)
            if captured is None and self._is_due(key) and allowed():
                captured = self._capture(key, inputs, make_context, run, memory, feeds)
            if captured is None:
                outputs = run(make_context(), *inputs)
                self._count(key)
                return outputs
            captured.point_to(segments)
            self._captured.move_to_end(key)
            return captured.launch(inputs)

    def holds(self, shape: PassShape) -> bool:
        """Return True if a pass of this shape is captured."""
        return any(key[1] == shape for key in self._captured)

    def kinds(self) -> list[str]:
        """Return the kinds of passes that are captured."""
        return sorted({str(key[0]) for key in self._captured})

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
        make_context: Callable[[], RecordedContext],
        run: ForwardPass,
        memory: int,
        feeds: Feeds,
    ) -> CapturedPass | None:
        """Capture a pass, or return None where that fails.

        A capture fails when there is too little memory, or when an operation waits for the device.
        """
        device = inputs[0].device
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        context = make_context()
        own = tuple(part.clone() for part in inputs)

        def work() -> Tensors:
            outputs = run(context, *own)
            for output, place in feeds:
                own[place].copy_(outputs[output])
            return outputs

        try:
            graph, outputs = capture_graph(work, device, self._pool, memory)
        except RuntimeError as error:
            self._failures, self._wait = self._failures + 1, PASSES_BETWEEN
            then = "for now" if self._failures < MAX_FAILURES else "from now on"
            log.warning("a CUDA graph failed, passes run kernel by kernel %s: %s", then, error)
            return None
        captured = self._captured[key] = CapturedPass(graph, context, own, outputs, feeds)
        if len(self._captured) > MAX_GRAPHS:
            self._captured.popitem(last=False)
        return captured

    def __deepcopy__(self, memo: dict[int, object]) -> CudaGraphs:
        """Return an empty one: a copied network captures its own graphs."""
        return CudaGraphs()

    def __reduce__(self) -> tuple[type[CudaGraphs], tuple[()]]:
        """Pickle nothing: so does a network that is read from a file."""
        return CudaGraphs, ()
