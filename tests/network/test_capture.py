"""What a capture does around a pass, and what is left where it fails. A stand-in plays the device."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from redraft.network import capture, cuda_graphs
from redraft.network.capture import SPARE_MEMORY, capture_graph
from redraft.network.cuda_graphs import MAX_FAILURES, PASSES_BETWEEN, RUNS_BEFORE, CudaGraphs

DEVICE = torch.device("cuda", 0)
POOL: Any = "pool"


class Device:
    """Stands for torch.cuda: notes what is called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.free, self.cached = 1 << 40, 0
        device = self

        class Graph:
            def capture_begin(self, **_: Any) -> None:
                device.calls.append("begin")

            def capture_end(self) -> None:
                device.calls.append("end")

        stream = SimpleNamespace(wait_stream=lambda other: None)
        for name, stand_in in {
            "CUDAGraph": Graph,
            "Stream": lambda device: SimpleNamespace(wait_stream=lambda other: None),
            "stream": lambda stream: nullcontext(),
            "current_stream": lambda device: stream,
            "mem_get_info": lambda device: (self.free, 1 << 40),
            "empty_cache": self._empty,
        }.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)
        for name in ("_cuda_endAllocateToPool", "_cuda_releasePool"):
            note = lambda index, pool, name=name: self.calls.append(name)  # noqa: E731
            monkeypatch.setattr(torch._C, name, note, raising=False)
        monkeypatch.setattr(capture, "_BROKEN", [])
        monkeypatch.setattr(capture, "_STREAMS", {})
        zeros = torch.zeros
        monkeypatch.setattr(torch, "zeros", lambda *size, **_: zeros(*size))

    def _empty(self) -> None:
        self.calls.append("empty")
        self.free, self.cached = self.free + self.cached, 0


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    return Device(monkeypatch)


def test_nothing_is_collected_within_a_capture(device: Device) -> None:
    inside: list[bool] = []

    def work() -> tuple[Tensor]:
        inside.append(gc.isenabled())
        return (torch.ones(1),)

    assert gc.isenabled()
    _, outputs = capture_graph(work, DEVICE, POOL, 0)
    assert (inside, gc.isenabled(), device.calls) == ([False], True, ["begin", "end"])
    assert outputs[0] == 1
    capture_graph(work, DEVICE, POOL, 0)
    assert len(capture._STREAMS) == 1  # one for the life of the process


def test_a_failed_capture_gives_its_memory_back_and_frees_the_generator(device: Device) -> None:
    def work() -> tuple[Tensor]:
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted"):
        capture_graph(work, DEVICE, POOL, 0)
    assert device.calls == [
        "begin", "end", "_cuda_endAllocateToPool", "_cuda_releasePool", "empty", "begin", "end",
    ]  # fmt: skip
    assert len(capture._BROKEN) == 1
    assert gc.isenabled()


def test_without_room_nothing_is_begun(device: Device) -> None:
    device.free, device.cached = SPARE_MEMORY, 50
    work = lambda: (torch.ones(1),)  # noqa: E731
    with pytest.raises(RuntimeError, match="a graph needs 512 MiB"):
        capture_graph(work, DEVICE, POOL, 100)
    assert device.calls == ["empty"]  # what torch had kept was not enough
    device.free, device.cached = SPARE_MEMORY, 200
    capture_graph(work, DEVICE, POOL, 100)
    assert device.calls == ["empty", "empty", "begin", "end"]


class Context:
    """Stands for the context of a pass."""

    def __init__(self) -> None:
        self.fails = False

    def point_to(self, segments: Any) -> None:
        if self.fails:
            raise RuntimeError("out of memory")


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """`made`: attempts to capture, True where they succeeded. They fail while `failing` has items."""
    made: list[bool] = []
    failing: list[str] = []
    monkeypatch.setattr(cuda_graphs, "launched_on", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: "pool")

    def stand_in(work: Callable[[], Any], *_: Any) -> tuple[Any, Any]:
        made.append(not failing)
        if failing:
            raise RuntimeError("out of memory")
        return SimpleNamespace(replay=lambda: None), work()

    monkeypatch.setattr(cuda_graphs, "capture_graph", stand_in)
    return SimpleNamespace(made=made, failing=failing)


class Cache:
    moves = 0


KEPT = Cache()


def one_pass(graphs: CudaGraphs, context: Context, run: Any, width: int = 4) -> Any:
    cache = Cache()
    segment: Any = SimpleNamespace(length=width, position=0, cache=cache, clean=False)
    make: Any = lambda: context  # noqa: E731
    return graphs.run("states", [segment], (torch.ones(width),), make, run, lambda: True)


def double(context: Context, x: Tensor) -> tuple[Tensor]:
    return (2 * x,)


def test_a_pass_that_failed_was_not_met(attempts: Any) -> None:
    graphs, context = CudaGraphs(), Context()

    def fails(context: Context, x: Tensor) -> tuple[Tensor]:
        raise RuntimeError("out of memory")

    for _ in range(5):
        with pytest.raises(RuntimeError, match="out of memory"):
            one_pass(graphs, context, fails)
    for _ in range(RUNS_BEFORE):
        one_pass(graphs, context, double)
        assert attempts.made == []
    one_pass(graphs, context, double)
    one_pass(graphs, context, double)
    assert attempts.made == [True]


def test_a_failure_is_tried_again_later_and_not_for_ever(attempts: Any) -> None:
    graphs, context = CudaGraphs(), Context()
    attempts.failing.append("memory")
    for _ in range(RUNS_BEFORE + 1):
        one_pass(graphs, context, double)
    assert attempts.made == [False]
    for _ in range(PASSES_BETWEEN - 1):
        one_pass(graphs, context, double)
    assert attempts.made == [False]
    attempts.failing.clear()
    (output,) = one_pass(graphs, context, double)
    assert attempts.made == [False, True]
    assert output.tolist() == [2] * 4
    attempts.failing.append("memory")
    for _ in range(10 * PASSES_BETWEEN):
        one_pass(graphs, context, double, 8)
    assert attempts.made.count(False) == MAX_FAILURES
    graphs.clear()
    attempts.failing.clear()
    for _ in range(RUNS_BEFORE + 1):
        one_pass(graphs, context, double, 8)
    assert attempts.made[-1]


def test_a_graph_that_was_pointed_half_way_is_pointed_again(attempts: Any) -> None:
    graphs, context = CudaGraphs(), Context()
    for _ in range(RUNS_BEFORE + 2):
        one_pass(graphs, context, double)
    context.fails = True
    with pytest.raises(RuntimeError):
        one_pass(graphs, context, double)
    (captured,) = graphs._captured.values()
    assert captured.canvases == ()


class Copies(TorchDispatchMode):
    """Counts copies from tensor to tensor."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten.copy_.default
        return func(*args, **(kwargs or {}))


def test_what_a_graph_feeds_itself_is_not_copied(attempts: Any) -> None:
    graphs = CudaGraphs()

    def one_step(state: Tensor, fixed: Tensor, feeds: Any = ((0, 0),)) -> tuple[Tensor, int]:
        segment: Any = SimpleNamespace(length=2, position=0, cache=KEPT, clean=False)
        make: Any = Context
        add: Any = lambda context, x, y: (x + y,)  # noqa: E731
        with Copies() as copies:
            (found,) = graphs.run(
                "step", [segment], (state, fixed), make, add, lambda: True, feeds=feeds
            )
        return found, copies.count

    state, fixed = torch.zeros(2), torch.ones(2)
    for _ in range(RUNS_BEFORE):
        state, copied = one_step(state, fixed)
        assert copied == 0
    # The capture here runs, and feeds: one copy more than on a device. Then both inputs.
    state, copied = one_step(state, fixed)
    assert copied == 1 + 2
    for _ in range(3):
        state, copied = one_step(state, fixed)
        assert copied == 0
    other, copied = one_step(torch.full((2,), 7.0), fixed)
    assert copied == 1
    _, copied = one_step(state, fixed)  # a row that was away
    assert copied == 1
    _, copied = one_step(other, torch.ones(2))
    assert copied == 2


def test_many_widths_that_come_once_or_twice_are_not_captured(attempts: Any) -> None:
    graphs, context = CudaGraphs(), Context()
    for width in range(1, 40):
        for _ in range(2):
            one_pass(graphs, context, double, width)
    assert attempts.made == []


def test_clearing_waits_for_a_pass_that_runs(attempts: Any) -> None:
    graphs, context = CudaGraphs(), Context()
    graphs._lock.acquire()
    clearing = threading.Thread(target=graphs.clear)
    clearing.start()
    clearing.join(0.05)
    assert clearing.is_alive()
    graphs._lock.release()
    clearing.join(5)
    assert not clearing.is_alive()
    one_pass(graphs, context, double)
