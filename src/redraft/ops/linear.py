"""Products with a weight: a tensor, or a quantized weight that computes its own product.

torch sends float32 products on a CPU to MKL, which uses only AVX2 on processors that are not
Intel's. oneDNN uses AVX-512 on every maker's processors: it was 2.2 times as fast there, with
errors of the same size. Its sums also come in one order for any number of rows from two on.

MKL needs some 10 to 25 µs less for a call, which is up to half of a small product, and on a
processor with AVX2 alone both libraries are as fast. Where the sums of both are the same to the
last bit, MKL computes small products, and with AVX2 alone all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Protocol, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from redraft.ops.packed_layout import PackedLayout
from redraft.ops.triton import uses_kernels

_HAS_AVX512 = torch.cpu._is_avx512_supported()
ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
# The products of float32 whose bits are the same in MKL: inputs at most, rows and columns of the
# output at least. `adds_alike` tries some, tests/ops/test_ops.py many.
MKL_INPUTS, MKL_ROWS, MKL_COLUMNS = 192, 16, 16
# Multiplications up to which MKL is then faster, on processors with AVX-512.
MKL_SIZE = 1 << 23


def multiplies_bfloat16() -> bool:
    """Return True if this processor has instructions for products in bfloat16."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


class WeightLike(Protocol):
    """An object that can stand in place of a weight tensor: a quantized weight."""

    def product(self, x: Tensor) -> Tensor:
        """Return x W^T of x [..., K]."""
        ...

    def products(self, x: Tensor, others: Sequence[Self]) -> list[Tensor]:
        """Return the products with this weight and with others."""
        ...

    def packed_layout(self) -> PackedLayout | None:
        """Return the layout in memory; None where no kernel reads it."""
        ...

    def __getitem__(self, index: Tensor) -> Tensor:
        """Return rows by their numbers: int64 [...] to [..., K]."""
        ...


def packed_layout(weight: Tensor | WeightLike) -> PackedLayout | None:
    """Return the layout in memory of matrices [experts, N, K]; None where no kernel reads it."""
    if not isinstance(weight, Tensor):
        return weight.packed_layout()
    if not weight.is_contiguous():
        return None
    return PackedLayout("plain", (weight.shape[1], weight.shape[2]), weight)


def linear(x: Tensor, weight: Tensor | WeightLike) -> Tensor:
    """Return x W^T of x [..., K] and weight [N, K], which may be a transposed view.

    There is no gradient where oneDNN computes it.
    """
    if not isinstance(weight, Tensor):
        return weight.product(x)
    if not suits_onednn(x, weight) or (x.ndim == 2 and suits_mkl(x, weight)):
        return F.linear(x, weight)
    return onednn_product(x, weight)


def onednn_product(x: Tensor, weight: Tensor) -> Tensor:
    """Return x W^T, computed by oneDNN; only where `suits_onednn` says so."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, weight, None, "none", [], "")
    return product


def suits_mkl(x: Tensor, weight: Tensor) -> bool:
    """Return True for a product of x [..., M, K] and weight [..., N, K] whose sums MKL adds as
    oneDNN does, and sooner."""
    (columns, inputs), rows = weight.shape[-2:], x.shape[-2]
    return (
        inputs <= MKL_INPUTS
        and columns >= MKL_COLUMNS
        and rows >= MKL_ROWS
        and (not _HAS_AVX512 or rows * columns * inputs <= MKL_SIZE)
        and adds_alike()
    )


@cache
def adds_alike() -> bool:
    """Return True if MKL adds the sums of products as oneDNN does, in some that are tried here."""
    if not ONEDNN or not torch.backends.mkl.is_available():
        return False
    numbers = torch.sin(torch.arange(64.0 * MKL_INPUTS)).view(64, MKL_INPUTS)
    with torch.inference_mode():
        for rows, columns, inputs in ((16, 16, 192), (64, 24, 128), (33, 64, 32), (17, 40, 24)):
            x, weight = numbers[:rows, :inputs] + 1, numbers[-columns:, :inputs] * 3
            if not torch.equal(F.linear(x, weight), onednn_product(x, weight)):
                return False
            batch = torch.stack((x, x + 1)), torch.stack((weight, weight - 1))
            products = [onednn_product(*pair) for pair in zip(*batch, strict=True)]
            if not torch.equal(batch[0] @ batch[1].transpose(1, 2), torch.stack(products)):
                return False
    return True


class Linear(nn.Linear):
    """A weight without bias, applied by `linear`. It is zero until it is loaded."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def reset_parameters(self) -> None:
        # torch's own random start, on a device without memory, imports its compiler: a second and a
        # half of loading a model.
        self.weight.data.zero_()

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight)


def parallel_linears(x: Tensor, layers: Sequence[nn.Module]) -> list[Tensor]:
    """Return the outputs of several layers for the same x.

    Where all weights are quantized, their products run in one kernel launch if there is one. Where
    all are tensors that lie side by side, they are one product on a device.
    """
    weights = [
        cast("Tensor | WeightLike", layer.weight)
        for layer in layers
        if type(layer) is Linear and not layer._forward_hooks
    ]
    quantized = [weight for weight in weights if not isinstance(weight, Tensor)]
    if len(quantized) < len(layers):
        tensors = [weight for weight in weights if isinstance(weight, Tensor)]
        if uses_kernels(x) and len(tensors) == len(layers):
            whole = joined_weights(tensors)
            if whole is not None:
                return list(F.linear(x, whole).split([len(one) for one in tensors], dim=-1))
        return [layer(x) for layer in layers]
    return quantized[0].products(x, quantized[1:])


def partial_linears(x: Tensor, layers: Sequence[nn.Module]) -> list[Tensor]:
    """Return the outputs of several layers for the same x [N, K], each [N, out] or in parts.

    Parts are float32 [S, N, out], for the caller to add in their order and to round: what reads
    them next can do so as it reads, and the product needs no launch more for it.
    """
    weights = [
        layer.weight for layer in layers if type(layer) is Linear and not layer._forward_hooks
    ]
    in_parts = [getattr(weight, "partial_products", None) for weight in weights]
    if len(weights) < len(layers) or None in in_parts:
        return parallel_linears(x, layers)
    outputs: list[Tensor] = in_parts[0](x, weights[1:])  # type: ignore[misc]
    return outputs


def joined_weights(weights: Sequence[Tensor]) -> Tensor | None:
    """Return matrices [N, K] as one that has all their rows, without a copy.

    It is None where they do not lie one behind the other in memory.
    """
    first, width = weights[0], weights[0].shape[1]
    storage, end = first.untyped_storage()._cdata, first.storage_offset()
    for one in weights:
        if (
            one.untyped_storage()._cdata != storage
            or one.storage_offset() != end
            or one.shape[1] != width
            or one.dtype != first.dtype
            or not one.is_contiguous()
        ):
            return None
        end += one.numel()
    rows = sum(len(one) for one in weights)
    return first.as_strided((rows, width), (width, 1))


def wide_product(x: Tensor, matrix: Tensor) -> Tensor:
    """Return x M of x [..., K] and M [K, N], in the dtype of x.

    It is computed in float32 where it is in bfloat16 on a processor without instructions for that:
    a product of many rows took eight times as long there as with both widened.
    """
    if x.dtype != torch.bfloat16 or x.device.type != "cpu" or multiplies_bfloat16():
        return x @ matrix
    return (x.float() @ matrix.float()).to(x.dtype)


def suits_onednn(x: Tensor, weight: Tensor) -> bool:
    """Return True if `linear` computes this product with oneDNN."""
    if (
        not ONEDNN
        or torch.is_grad_enabled()
        or torch.compiler.is_compiling()
        or torch.is_autocast_enabled("cpu")
    ):
        return False
    floats = x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu"
    return floats and x.ndim > 1 and x.shape[-2] > 1 and 0 not in x.shape
