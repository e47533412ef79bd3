"""Activations of feed-forward blocks, and their product with the other half of a gated block."""

from __future__ import annotations

from collections.abc import Callable

import torch
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


def gate_halves(gate: Tensor, up: Tensor, activation: Activation, dtype: torch.dtype) -> Tensor:
    """Return activation(gate) * up, [N, I], of halves [N, I] or of float32 parts [S, N, I].

    Parts are added in their order, and rounded to this dtype.
    """
    if gate.ndim == 2:
        return gated(gate, up, activation)
    if activation in IN_KERNEL and uses_row_kernels(gate):
        from redraft.ops.triton.gated import gated_parts

        return gated_parts(gate, up, IN_KERNEL[activation], dtype)
    whole, other = (half.sum(0).to(dtype) for half in (gate, up))
    return activation(whole) * other
