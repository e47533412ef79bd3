"""Broken weights: name the tensors behind NaN or infinity in a model's output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor


class Weights(Protocol):
    """A network, or a part of one."""

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        ...

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the weights by their names."""
        ...


def describe_non_finite(model: Weights) -> str:
    """Return a message that names the weights that hold NaN or infinity."""
    names = [name for name, tensor in model.state_dict().items() if not _is_finite(tensor)]
    if names:
        return (
            f"the model gave NaN or infinity: {', '.join(names)} hold such numbers; "
            "load an intact checkpoint"
        )
    return (
        "the model gave NaN or infinity from finite weights: the activations overflow "
        f"{model.dtype}, load as float32"
    )


def _is_finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all())
