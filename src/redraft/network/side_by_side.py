"""Two parts of a layer side by side: the dense block runs beside the experts in a CUDA graph.

Neither reads what the other writes. The experts wait for memory, and the dense block for tensor
cores, so that together they take less time than one after the other. A graph keeps the order that
streams had while it was captured: one work waits on a stream of its own for what came before, and
what comes behind waits for both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from redraft.ops.triton.launch import apart
from redraft.ops.triton.tiles import card_of

First = TypeVar("First")
Second = TypeVar("Second")

# Types of devices that have streams. Tests add others; without any all works run in order.
STREAM_DEVICES = {"cuda"}
# Rows of a pass: a token or two are bound by memory in both parts, and many canvases fill the card.
MIN_ROWS, MAX_ROWS = 64, 512
# Numbers of the dense block's matrices: to part and to join costs a few microseconds, which are as
# long as reading so many numbers takes a large card.
MIN_NUMBERS = 6_000_000
# One stream a device for the life of the process: cuBLAS keeps a workspace for every stream.
_STREAMS: dict[torch.device, torch.cuda.Stream] = {}


def gains_side_by_side(x: Tensor, numbers: int) -> bool:
    """Return True if the dense block for rows x [N, H] should run beside the experts.

    This is so while a graph is captured, on a card with much bandwidth (8.0, 9.0, 10.0: others are
    bound by arithmetic in both parts), for the rows of one canvas or two, and a block that is large
    enough.

    Args:
        numbers: of the block's matrices.
    """
    return (
        x.device.type in STREAM_DEVICES
        and MIN_ROWS <= len(x) <= MAX_ROWS
        and numbers >= MIN_NUMBERS
        and card_of(x.device) != "small"
        and torch.cuda.is_current_stream_capturing()
    )


def side_by_side(
    device: torch.device, first: Callable[[], First], second: Callable[[], Second]
) -> tuple[First, Second]:
    """Return what both works return; the first runs on a stream of its own.

    The caller holds all tensors that the first one reads until this returns: their memory would be
    given to the second one otherwise.
    """
    current = torch.cuda.current_stream(device)
    if device not in _STREAMS:
        _STREAMS[device] = torch.cuda.Stream(device)
    side = _STREAMS[device]
    side.wait_stream(current)
    try:
        with torch.cuda.stream(side), apart():
            one = first()
        other = second()
    finally:
        current.wait_stream(side)
    return one, other
