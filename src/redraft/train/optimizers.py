"""The optimizers of a run: Muon for matrices, AdamW for embeddings, norms and scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from redraft.network import EMBEDDING, DiffusionGemma
from redraft.ops.linear import multiplies_bfloat16
from redraft.train.muon import Muon
from redraft.train.recipe import Recipe

ADAM_BETAS = (0.9, 0.98)


def make_optimizers(
    network: DiffusionGemma, recipe: Recipe, dtype: torch.dtype
) -> list[torch.optim.Optimizer]:
    """Return the optimizers; each group of parameters notes its peak learning rate as "peak".

    Args:
        dtype: of Muon's products.
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        is_matrix = parameter.ndim >= 2 and name != EMBEDDING
        (matrices if is_matrix else others).append(parameter)
    muon = Muon(matrices, lr=recipe.matrix_lr, dtype=dtype)
    adam = torch.optim.AdamW(others, lr=recipe.other_lr, betas=ADAM_BETAS, weight_decay=0.0)
    for optimizer in (muon, adam):
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return [muon, adam]


def update(optimizers: Sequence[torch.optim.Optimizer], share: float) -> None:
    """Apply the gradients at a share of the peak learning rates, and clear them."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * share
        optimizer.step()
        optimizer.zero_grad()


def product_dtype(precision: str) -> torch.dtype:
    """Return the dtype of training's products, by the recipe's `precision`.

    "auto" is bfloat16 if this processor has instructions for it, else float32.
    """
    if precision == "auto":
        return torch.bfloat16 if multiplies_bfloat16() else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32
