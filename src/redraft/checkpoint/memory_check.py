"""Memory check: the bytes of a checkpoint's weights in memory, compared with the free memory before
they are loaded.

The formats themselves count the bytes of quantized weights (see `quant/format.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from redraft.checkpoint.gguf.blocks import FLOATS as BLOCK_FLOATS
from redraft.checkpoint.gguf.load import gguf_bytes, tensor_bytes
from redraft.checkpoint.plan import LoadPlan, MatrixPlan, Shape, weight_shapes
from redraft.checkpoint.quantize import Quantization
from redraft.checkpoint.shards import TensorInfo
from redraft.checkpoint.source import Checkpoint
from redraft.config import ModelConfig
from redraft.errors import MemoryLimitError
from redraft.network import EMBEDDING
from redraft.network.memory_estimate import GIB, free_memory
from redraft.quant import quantizable_formats
from redraft.quant.format import SAFETENSORS_DTYPES

# Memory over the bytes of a file, from which on a load says so.
GROWN = 1.25


def weight_bytes(
    config: ModelConfig, dtype: torch.dtype, quantization: Quantization | None = None
) -> int:
    """Return the bytes of all weights of the network.

    Args:
        dtype: of weights that are not quantized.
    """
    shapes = weight_shapes(config)
    return sum(_bytes(name, shape, dtype, quantization) for name, shape in shapes.items())


def _bytes(name: str, shape: Shape, dtype: torch.dtype, quantization: Quantization | None) -> int:
    if quantization is None or not quantization.covers(name, shape):
        return torch.Size(shape).numel() * dtype.itemsize
    return quantization.nbytes(name, shape, dtype)


def stored_bytes(
    checkpoint: Checkpoint, dtype: torch.dtype, quantization: Quantization | None = None
) -> int:
    """Return the bytes of a checkpoint's weights as they are loaded.

    Quantized weights stay as they are in the file. Weights that cannot be loaded count as none.

    Args:
        dtype: of weights that are not quantized.
        quantization: of weights that the file does not store quantized.
    """
    if checkpoint.gguf is not None:
        return gguf_bytes(checkpoint.gguf, dtype)
    shapes = weight_shapes(checkpoint.config)
    total = 0
    for weight in LoadPlan(checkpoint, shapes).weights:
        if weight.quantized:
            table = weight.target == EMBEDDING
            total += sum(
                _stored_matrix(one, checkpoint.tensors, dtype, table=table)
                for one in weight.matrices()
            )
        else:
            total += _bytes(weight.target, shapes[weight.target], dtype, quantization)
    return total


@dataclass(frozen=True)
class Held:
    """The weights that a file stores in one way: their number, and their bytes there and in
    memory."""

    weights: int = 0
    file_bytes: int = 0
    memory_bytes: int = 0

    def plus(self, file_bytes: int, memory_bytes: int) -> Held:
        """Return it with one weight more."""
        return Held(
            self.weights + 1, self.file_bytes + file_bytes, self.memory_bytes + memory_bytes
        )


def held_weights(checkpoint: Checkpoint, dtype: torch.dtype) -> dict[str, Held]:
    """Return what quantized weights take, by the name of the type or of the storage.

    Each matrix of an expert counts as a weight where a file has them one by one.
    """
    found: dict[str, Held] = {}
    for name, stored, memory in _quantized_bytes(checkpoint, dtype):
        found[name] = found.get(name, Held()).plus(stored, memory)
    return found


def _quantized_bytes(checkpoint: Checkpoint, dtype: torch.dtype) -> Iterator[tuple[str, int, int]]:
    if checkpoint.gguf is not None:
        each = tensor_bytes(checkpoint.gguf, dtype)
        yield from (one for one in each if one[0] not in BLOCK_FLOATS)
        return
    for weight in LoadPlan(checkpoint, weight_shapes(checkpoint.config)).weights:
        table = weight.target == EMBEDDING
        for matrix in weight.matrices():
            if matrix.storage is not None:
                infos = matrix.infos(checkpoint.tensors).values()
                stored = sum(
                    torch.Size(one.shape).numel() * SAFETENSORS_DTYPES[one.dtype].itemsize
                    for one in infos
                )
                memory = _stored_matrix(matrix, checkpoint.tensors, dtype, table=table)
                yield matrix.storage.name, stored, memory


def growth(checkpoint: Checkpoint, dtype: torch.dtype, needed: int) -> str | None:
    """Return a sentence where quantized weights take much more memory than their file.

    Args:
        needed: bytes of all weights in memory.
    """
    files = {info.file for info in checkpoint.tensors.values()}
    if needed <= GROWN * sum(file.stat().st_size for file in files):
        return None
    held = held_weights(checkpoint, dtype)
    grown = {name: one for name, one in held.items() if one.memory_bytes > GROWN * one.file_bytes}
    more = sum(one.memory_bytes - one.file_bytes for one in grown.values())
    whole = sum(one.file_bytes for one in held.values())
    if more <= (GROWN - 1) * whole:
        return None
    return (
        f"{checkpoint.path.name}: {', '.join(sorted(grown))} are held in more bits than the file "
        f"has: the quantized weights take {(whole + more) / GIB:.2f} GiB in memory and "
        f"{whole / GIB:.2f} in the file; `redraft inspect` lists them"
    )


def _stored_matrix(
    matrix: MatrixPlan, tensors: Mapping[str, TensorInfo], dtype: torch.dtype, *, table: bool
) -> int:
    assert matrix.storage is not None
    return matrix.storage.nbytes(*matrix.shape, matrix.infos(tensors), dtype, table=table)


def check_memory(
    checkpoint: Checkpoint,
    dtype: torch.dtype,
    quantization: Quantization | None,
    device: torch.device,
    *,
    vision: int = 0,
) -> int:
    """Check that a device has enough free memory for a checkpoint's weights.

    Args:
        vision: bytes of the image encoder, which is never quantized.

    Returns:
        The bytes that they need.

    Raises:
        MemoryLimitError: it has not; the message says which format would fit.
    """
    needed = stored_bytes(checkpoint, dtype, quantization) + vision
    free = free_memory(device)
    if needed <= free:
        return needed
    raise MemoryLimitError(
        f"the weights of {checkpoint.path.name} need {needed / GIB:.1f} GiB "
        f"and {device} has {free / GIB:.1f} free: {_remedy(checkpoint, min(needed, free), vision)}"
    )


def _remedy(checkpoint: Checkpoint, limit: int, vision: int) -> str:
    """Say in which formats the weights take fewer bytes than the limit, from large to small."""
    sizes = {
        name: stored_bytes(checkpoint, torch.bfloat16, Quantization(name)) + vision
        for name in quantizable_formats()
    }
    fitting = [
        f"{name} ({size / GIB:.1f})"
        for name, size in sorted(sizes.items(), key=lambda one: -one[1])
        if size < limit
    ]
    if not fitting:
        return "no format here makes it fit: free memory, or take another device"
    return f"load it as {' or '.join(fitting)}{', or without its image encoder' * bool(vision)}"
