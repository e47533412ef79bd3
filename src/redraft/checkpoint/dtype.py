"""Choose the dtype to compute in: the caller's, or what suits a file and the device."""

from __future__ import annotations

import torch

from redraft.checkpoint.load import stored_dtype
from redraft.checkpoint.memory_check import stored_bytes
from redraft.checkpoint.quantize import Quantization
from redraft.checkpoint.source import Checkpoint
from redraft.errors import ConfigError
from redraft.ops.linear import multiplies_bfloat16
from redraft.quant import quantizable_formats

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Bytes of weights that are widened to float32 where bfloat16 is slow: twice their file's.
WIDENED = 1 << 30


def checked_dtype(
    dtype: str | torch.dtype | Quantization,
) -> tuple[str | torch.dtype, Quantization | None]:
    """Return the dtype to compute in ("auto" for the file's own), and the quantization, if any.

    Raises:
        ConfigError: there is no such dtype or format.
    """
    if isinstance(dtype, Quantization):
        return torch.bfloat16, dtype
    if isinstance(dtype, str) and dtype in quantizable_formats():
        return torch.bfloat16, Quantization(dtype)
    if dtype not in (*DTYPES, *DTYPES.values(), "auto"):
        known = ", ".join((*DTYPES, *quantizable_formats()))
        raise ConfigError(f"{dtype=} must be one of auto, {known}")
    return (DTYPES.get(dtype, dtype) if isinstance(dtype, str) else dtype), None


def suitable_dtype(checkpoint: Checkpoint, device: torch.device) -> torch.dtype:
    """Return the file's own dtype, or float32 on a processor that computes with that one slowly.

    That is float16 on every processor, and bfloat16 on those without instructions for it, where no
    weight is quantized and all take at most WIDENED bytes in float32.
    """
    dtype = stored_dtype(checkpoint)
    if device.type != "cpu":
        return dtype
    if dtype == torch.float16:
        return torch.float32
    whole = checkpoint.gguf is None and all(
        one.dtype == "BF16" for one in checkpoint.tensors.values()
    )
    slow = whole and not multiplies_bfloat16()
    return torch.float32 if slow and stored_bytes(checkpoint, torch.float32) <= WIDENED else dtype
