"""Plan memory: parameters of a shape, and the bytes that its weights, caches and passes need."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from redraft.checkpoint.load import stored_dtype
from redraft.checkpoint.memory_check import stored_bytes, weight_bytes
from redraft.checkpoint.quantize import Quantization
from redraft.checkpoint.source import Checkpoint
from redraft.checkpoint.vision import vision_parameters
from redraft.config import ModelConfig
from redraft.config.vision import VisionConfig
from redraft.network.memory_estimate import (
    MemoryEstimate,
    active_parameters,
    estimate_memory,
    image_pass_bytes,
    parameter_counts,
)


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """Parameters and memory of a model.

    Attributes:
        parameters: the number of parameters by part, for all layers together.
        active_parameters: the parameters that one token passes through.
        format: of the weights that are to be quantized; None where none are.
        context, batch: the tokens of each text, and the texts of a batch.
        memory: bytes.
        vision: the shape of the image encoder; None where there is none, or it is left out.
    """

    parameters: dict[str, int]
    active_parameters: int
    format: str | None
    context: int
    batch: int
    memory: MemoryEstimate
    vision: VisionConfig | None = None


def plan_memory(
    config: ModelConfig,
    checkpoint: Checkpoint | None = None,
    *,
    dtype: torch.dtype | None = None,
    quantization: Quantization | None = None,
    context: int,
    batch: int,
    vision: VisionConfig | None = None,
) -> MemoryPlan:
    """Return the parameters of a model and the memory that it needs on a CUDA device.

    Args:
        checkpoint: the file of the weights, whose quantized weights stay as they are; None plans
            for the shape alone.
        dtype: of computation; None for the file's own, bfloat16 where there is none.
        quantization: of the weights that are not quantized; None where they stay so.
        vision: the image encoder that is loaded too.
    """
    if dtype is None and checkpoint is not None and quantization is None:
        dtype = stored_dtype(checkpoint)
    dtype = dtype or torch.bfloat16
    if checkpoint is None:
        weights = weight_bytes(config, dtype, quantization)
    else:
        weights = stored_bytes(checkpoint, dtype, quantization)
    estimate = estimate_memory(
        config, itemsize=dtype.itemsize, context=context, batch=batch, device="cuda"
    )
    parameters = parameter_counts(config)
    image_bytes = 0
    if vision is not None:
        parameters["image encoder"] = vision_parameters(vision, config.hidden_size)
        image_bytes = parameters["image encoder"] * dtype.itemsize
    return MemoryPlan(
        parameters=parameters,
        active_parameters=active_parameters(config),
        format=None if quantization is None else quantization.format,
        context=context,
        batch=batch,
        memory=replace(
            estimate,
            weights=weights,
            image_encoder=image_bytes,
            images=image_pass_bytes(vision, dtype.itemsize),
        ),
        vision=vision,
    )
