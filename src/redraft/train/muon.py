"""Muon: momentum whose matrices are made orthogonal before they are applied (K. Jordan et al.,
2024).

torch has one for plain matrices; a mixture of experts has stacks of them, so this one takes [...,
rows, columns].
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
STEPS = 5


def orthogonalise(matrix: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Bring the singular values of [..., M, N] near 1, computed in `dtype`, by five Newton-Schulz
    iterations."""
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = (matrix.mT if tall else matrix).to(dtype)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    orthogonal: Tensor = x.mT if tall else x
    return orthogonal.to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """For parameters of two or more dimensions, none of them embeddings.

    Args:
        lr: the length of a step, times sqrt(max(1, rows / columns)) a matrix.
        momentum: Nesterov momentum.
        dtype: of the iterations; float32 is faster where the processor has no bfloat16 products.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 0.02,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__(list(parameters), {"lr": lr, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Apply one update from the gradients."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in alike.items():
                updates = orthogonalise(
                    torch.stack([self._momentum(p, group["momentum"]) for p in parameters]),
                    self.dtype,
                )
                length = group["lr"] * max(1.0, shape[-2] / shape[-1]) ** 0.5
                torch._foreach_add_(parameters, list(updates.unbind()), alpha=-length)

    def _momentum(self, parameter: Tensor, momentum: float) -> Tensor:
        assert parameter.grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - momentum)
        mixed: Tensor = parameter.grad.lerp(state["momentum"], momentum)
        return mixed
