"""Muon: momentum whose matrices are orthogonalised before they are applied.

Source: K. Jordan et al., 2024.

torch has one for single matrices. A mixture of experts has stacks of them, so this one takes
parameters [..., rows, columns].
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

# Coefficients of the quintic iteration.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalise(matrix: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Bring the singular values of matrices [..., M, N] near 1.

    The result comes from five Newton-Schulz iterations, computed in `dtype`.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = (matrix.mT if tall else matrix).to(dtype)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    orthogonal: Tensor = x.mT if tall else x
    return orthogonal.to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """The optimizer, for parameters of two or more dimensions that are not embeddings.

    Args:
        lr: the length of a step; for each matrix times sqrt(max(1, rows / columns)).
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
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        """Apply one update from the gradients."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in by_shape.items():
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
