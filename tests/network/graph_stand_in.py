"""A stand-in for CUDA graphs: a captured pass runs again, on the processor, in the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from redraft.network import cuda_graphs, recorded_pass, transformer
from redraft.network.capture import Tensors
from redraft.ops import batch_invariance
from redraft.ops import triton as kernels


@dataclass
class Again:
    """Stands for a graph: the same work on the same tensors."""

    work: Callable[[], Tensors]
    outputs: Tensors
    replays: int = 0

    def replay(self) -> None:
        self.replays += 1
        for kept, new in zip(self.outputs, self.work(), strict=True):
            kept.copy_(new)


def capture_again(work: Callable[[], Tensors], *_: Any) -> tuple[Any, Tensors]:
    """Stand for `capture_graph`. The work runs once more than on a device, where a capture
    computes nothing."""
    outputs = tuple(part.clone() for part in work())
    return Again(work, outputs), outputs


@contextmanager
def graphs_on_cpu(
    monkeypatch: pytest.MonkeyPatch, runs_before: int = cuda_graphs.RUNS_BEFORE
) -> Iterator[None]:
    """Treat the processor as a device with kernels and graphs.

    Args:
        runs_before: passes of a shape before it is captured.
    """
    kernels.KERNEL_DEVICES.add("cpu")
    recorded_pass.GRAPH_DEVICES.add("cpu")
    with monkeypatch.context() as patch:
        for place in (batch_invariance, transformer):  # as on a device: no rows are added
            patch.setattr(place, "min_rows", lambda like: 1)
        patch.setattr(cuda_graphs, "capture_graph", capture_again)
        patch.setattr(cuda_graphs, "RUNS_BEFORE", runs_before)
        patch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")
        try:
            yield
        finally:
            kernels.KERNEL_DEVICES.discard("cpu")
            recorded_pass.GRAPH_DEVICES.discard("cpu")
