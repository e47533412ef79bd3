"""Capture work on a CUDA device as a graph, and leave the device as it was where that fails."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]
# Bytes that a capture needs beside its tensors: kernels, the graph itself, cuBLAS's workspace.
SPARE_MEMORY = 512 << 20
# One stream a device for the life of the process: cuBLAS keeps a workspace for every stream.
_STREAMS: dict[torch.device, torch.cuda.Stream] = {}
# Graphs whose capture failed. The allocators may ask them for as long as the process lives.
_BROKEN: list[torch.cuda.CUDAGraph] = []
# The collector is one for all threads.
_COLLECTOR = Lock()


def capture_graph(
    work: Callable[[], Tensors], device: torch.device, pool: torch.cuda._POOL_HANDLE, memory: int
) -> tuple[torch.cuda.CUDAGraph, Tensors]:
    """Capture what `work` does on a device; return the graph and the tensors that it writes.

    Args:
        pool: of the graph's memory, from `torch.cuda.graph_pool_handle`.
        memory: bytes that the graph will need.

    Raises:
        RuntimeError: the device has too little free memory, or an operation cannot be captured.
            Work can go on: random numbers, memory and streams are as before.
    """
    _check_memory(device, memory + SPARE_MEMORY)
    stream = _stream(device)
    graph = torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream(device))
    try:
        with torch.cuda.stream(stream), no_collection():
            # Other threads may use the device while this one captures.
            graph.capture_begin(pool=pool, capture_error_mode="thread_local")
            try:
                outputs = work()
            finally:
                graph.capture_end()
    except RuntimeError:
        _heal(graph, device, pool)
        raise
    torch.cuda.current_stream(device).wait_stream(stream)
    return graph, outputs


@contextmanager
def no_collection() -> Iterator[None]:
    """Collect garbage, then let nothing be collected within the context.

    A collection during a capture can destroy another graph or an event, which ends the capture.
    """
    with _COLLECTOR:
        enabled = gc.isenabled()
        gc.collect()
        gc.disable()
        try:
            yield
        finally:
            if enabled:
                gc.enable()


def _stream(device: torch.device) -> torch.cuda.Stream:
    if device not in _STREAMS:
        _STREAMS[device] = torch.cuda.Stream(device)
    return _STREAMS[device]


def _check_memory(device: torch.device, needed: int) -> None:
    """Check the free memory; memory that torch holds for later is given back first.

    Raises:
        RuntimeError: there is too little.
    """
    if torch.cuda.mem_get_info(device)[0] < needed:
        torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info(device)[0]
    if free < needed:
        raise RuntimeError(f"a graph needs {needed >> 20} MiB and {device} has {free >> 20} free")


def _heal(graph: torch.cuda.CUDAGraph, device: torch.device, pool: torch.cuda._POOL_HANDLE) -> None:
    """Undo what a failed capture leaves behind.

    The memory of its pool would stay allocated, and the device's generator would think that it is
    being captured, until a capture ends well: an empty one does.
    """
    _BROKEN.append(graph)
    index = device.index if device.index is not None else torch.cuda.current_device()
    for undo in ("_cuda_endAllocateToPool", "_cuda_releasePool"):
        with suppress(Exception):
            getattr(torch._C, undo)(index, pool)
    torch.cuda.empty_cache()
    with suppress(RuntimeError), torch.cuda.stream(_stream(device)):
        healing = torch.cuda.CUDAGraph()
        healing.capture_begin(capture_error_mode="thread_local")
        torch.zeros(1, device=device)
        healing.capture_end()
