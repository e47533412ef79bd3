"""Room: what weights take in memory, told from headers and config, and refused before it is
taken."""

from __future__ import annotations

import torch

from redraft.checkpoint.gguf.load import weights_bytes
from redraft.checkpoint.plan import Layout, Matrix, shapes_of
from redraft.checkpoint.quantize import Quantization
from redraft.checkpoint.schemes import PLAIN
from redraft.checkpoint.source import Checkpoint
from redraft.config import ModelConfig
from redraft.errors import MemoryLimitError
from redraft.network.memory_estimate import GIB, free_memory

SIZES = {
    "F32": 4,
    "BF16": 2,
    "F16": 2,
    "F8_E4M3": 1,
    "I8": 1,
    "U8": 1,
    "I32": 4,
    "I64": 8,
    "BOOL": 1,
}
FORMATS = ("int8", "fp8", "int4")  # from large to small


def weight_bytes(
    config: ModelConfig, itemsize: int, quantization: Quantization | None = None
) -> int:
    """Bytes of all weights of the text model, in numbers of `itemsize` bytes but for those that are
    put into few bits."""
    return sum(
        _bytes(name, shape, itemsize, quantization) for name, shape in shapes_of(config).items()
    )


def _bytes(
    name: str, shape: tuple[int, ...], itemsize: int, quantization: Quantization | None
) -> int:
    count = torch.Size(shape).numel()
    if quantization is None or not quantization.covers(name, shape):
        return count * itemsize
    rows = count // shape[-1]
    if quantization.format == "int4" and name != "embed_tokens.weight":
        return count // 2 + 2 * itemsize * count // quantization.group  # scales and offsets
    return count + rows * (
        4 if quantization.format == "int8" or name == "embed_tokens.weight" else itemsize
    )


def stored_bytes(
    checkpoint: Checkpoint, itemsize: int, quantization: Quantization | None = None
) -> int:
    """Bytes of a checkpoint's weights in memory as it is loaded: what the file has in few bits
    stays so; what is whole is in numbers of `itemsize` bytes, or put into few bits."""
    if checkpoint.gguf is not None:
        return weights_bytes(checkpoint.gguf, itemsize)
    shapes = shapes_of(checkpoint.config)
    total = 0
    for weight in Layout(checkpoint, shapes).weights:
        if weight.tensor is not None or all(matrix.scheme is PLAIN for matrix in weight.matrices()):
            total += _bytes(weight.target, shapes[weight.target], itemsize, quantization)
        else:
            total += sum(
                _packed_bytes(checkpoint, matrix, itemsize) for matrix in weight.matrices()
            )
    return total


def _packed_bytes(checkpoint: Checkpoint, matrix: Matrix, itemsize: int) -> int:
    """Of a matrix in few bits. Integers of four bits have a scale and an offset, whatever the file
    has of them; those of eight have scales in float32."""
    infos = {role: checkpoint.tensors[name] for role, name in matrix.names.items()}
    sizes = {
        role: torch.Size(info.shape).numel() * SIZES.get(info.dtype, 4)
        for role, info in infos.items()
    }
    scales = torch.Size(infos["weight_scale"].shape).numel()
    if matrix.scheme.name == "packed integers":
        return sizes["weight_packed"] + scales * (
            2 * itemsize if "weight_zero_point" not in sizes else 2 * max(itemsize, 4)
        )
    if matrix.scheme.name == "int8":
        return sizes["weight"] + 4 * scales
    return sum(sizes.values())


def check_memory(
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    quantization: Quantization | None,
    device: torch.device,
) -> None:
    """Whether a device has the memory for a checkpoint's weights.

    Raises:
        MemoryLimitError: it has not; the message says what would fit.
    """
    needed = stored_bytes(checkpoint, dtype.itemsize, quantization)
    free = free_memory(device)
    if needed <= free:
        return
    smaller = {name: stored_bytes(checkpoint, 2, Quantization(name)) for name in FORMATS}
    fitting = [
        f"{name} ({size / GIB:.1f})" for name, size in smaller.items() if size < min(needed, free)
    ]
    remedy = (
        f"load it as {' or '.join(fitting)}"
        if fitting
        else "no format here makes it fit: free memory, or take another device"
    )
    raise MemoryLimitError(
        f"the weights of {checkpoint.path.name} need {needed / GIB:.1f} GiB and {device} has {free / GIB:.1f} free: {remedy}"
    )
