"""Activations of feed-forward blocks, and their product with the other half of a gated block."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from redraft.ops.triton import uses_row_kernels

Activation = Callable[[Tensor], Tensor]


def gelu_tanh(x: Tensor) -> Tensor:
    """Return gelu of x in its approximation by tanh."""
    return F.gelu(x, approximate="tanh")


# By the names that configs have for them.
ACTIVATIONS: dict[str, Activation] = {
    "gelu_pytorch_tanh": gelu_tanh,
    "gelu": F.gelu,
    "silu": F.silu,
    "relu": F.relu,
}
# Those that the kernel computes, by its names for them.
IN_KERNEL: dict[Activation, str] = {
    gelu_tanh: "gelu_tanh",
    F.gelu: "gelu",
    F.silu: "silu",
    F.relu: "relu",
}


def gated(gate: Tensor, up: Tensor, activation: Activation) -> Tensor:
    """Return activation(gate) * up, of two tensors [..., I]; the activation is rounded first."""
    if activation in IN_KERNEL and uses_row_kernels(gate):
        from redraft.ops.triton.gated import gated as in_kernel

        return in_kernel(gate, up, IN_KERNEL[activation])
    return activation(gate) * up
