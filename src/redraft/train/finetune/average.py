"""WeightAverage: the exponential moving average of what is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from redraft.train.parallel import part_like

# Names of its tensors in a state file begin with this.
AVERAGE = "average."


class WeightAverage:
    """An average of parameters over the updates.

    It follows closely at first, so that it never holds what was there before training.

    Args:
        trained: the parameters by name; those of processes that divide them are parts.
        decay: the share that an update leaves of the average, at most.
    """

    def __init__(self, trained: Mapping[str, nn.Parameter], decay: float) -> None:
        self._trained, self.decay = dict(trained), decay
        self._average = {name: one.detach().clone() for name, one in trained.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take up the parameters as they are after update `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        now = [one.detach() for one in self._trained.values()]
        torch._foreach_lerp_([self._average[name] for name in self._trained], now, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the parameters have the average's values within the context."""
        kept = {name: one.detach().clone() for name, one in self._trained.items()}
        self._set(self._average)
        try:
            yield
        finally:
            self._set(kept)

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors of a state file."""
        return {f"{AVERAGE}{name}": one for name, one in self._average.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Read the tensors of a state file."""
        for name, one in self._average.items():
            one.copy_(part_like(one, tensors[f"{AVERAGE}{name}"]))

    @torch.no_grad()
    def _set(self, values: Mapping[str, Tensor]) -> None:
        for name, one in self._trained.items():
            one.copy_(values[name])
