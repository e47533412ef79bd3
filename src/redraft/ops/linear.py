"""Products with a weight: where a CPU's float32 goes to oneDNN, which has AVX-512 on every maker's
processors.

torch sends float32 products to MKL, which keeps to AVX2 on processors that are not Intel's: oneDNN
was 2.2 times as fast there, with errors of the same size. Its sums also come in one order for any
number of rows from two on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from redraft.ops.packed_layout import Packing

ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Weight(Protocol):
    """What may stand for a weight tensor: one in few bits, which knows its own product."""

    def product(self, x: Tensor) -> Tensor:
        """x W^T of x [..., K]."""
        ...

    def products(self, x: Tensor, others: Sequence[Any]) -> list[Tensor]:
        """Products with this weight and others."""
        ...

    def packing(self) -> Packing | None:
        """How it lies in memory; None where no kernel reads it."""
        ...


def packing_of(weight: Tensor | Weight) -> Packing | None:
    """How matrices [experts, N, K] lie in memory; None where no kernel reads them."""
    if not isinstance(weight, Tensor):
        return weight.packing()
    return (
        Packing("plain", (weight.shape[1], weight.shape[2]), weight)
        if weight.is_contiguous()
        else None
    )


def linear(x: Tensor, weight: Tensor | Weight) -> Tensor:
    """x W^T of x [..., K] and weight [N, K], which may be a transposed view; without a gradient
    where oneDNN computes it."""
    if not isinstance(weight, Tensor):
        return weight.product(x)
    if suits_onednn(x, weight):
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
        return product
    return F.linear(x, weight)


class Linear(nn.Linear):
    """A weight without bias, applied by `linear`; zeros until it is filled."""

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__(wide, narrow, bias=False)

    def reset_parameters(self) -> None:
        # torch's own random start, on a device without memory, imports its compiler: a second and a
        # half of loading a model.
        self.weight.data.zero_()

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight)


def together(x: Tensor, layers: Sequence[nn.Module]) -> list[Tensor]:
    """What several layers make of the same x: in one launch where they are products with weights
    that know how."""
    weights: list[Any] = [
        layer.weight for layer in layers if type(layer) is Linear and not layer._forward_hooks
    ]
    if len(weights) < len(layers) or any(isinstance(weight, Tensor) for weight in weights):
        return [layer(x) for layer in layers]
    products: list[Tensor] = weights[0].products(x, weights[1:])
    return products


def suits_onednn(x: Tensor, weight: Tensor) -> bool:
    """Whether `linear` would go to oneDNN."""
    if (
        not ONEDNN
        or torch.is_grad_enabled()
        or torch.compiler.is_compiling()
        or torch.is_autocast_enabled("cpu")
    ):
        return False
    floats = x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu"
    return floats and x.ndim > 1 and x.shape[-2] > 1 and 0 not in x.shape
