"""Decoded: the weights of any checkpoint as whole numbers, one at a time, whatever its form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from redraft.checkpoint.load import Weight, read_weights
from redraft.checkpoint.names import to_file
from redraft.checkpoint.source import Checkpoint


def decoded_weights(checkpoint: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    """Yield the network's name of each weight, and its numbers in float32.

    Raises:
        TensorMismatchError, CheckpointError: as `load_weights`.
    """
    for target, weight in read_weights(checkpoint, torch.float32, torch.device("cpu")):
        yield target, decoded(weight)


def decoded(weight: Weight) -> Tensor:
    """Return the numbers of a weight."""
    return weight if isinstance(weight, Tensor) else weight.dequantize()


class DecodedReader:
    """Reads weights by their names in a folder, in the order of the network, decoded.

    Each weight is read once; the parts of the last one are kept, so that experts are decoded once.

    Args:
        others: readers of tensors that are no weights of the network, by name.
    """

    def __init__(self, checkpoint: Checkpoint, others: Mapping[str, Tensor]) -> None:
        self._checkpoint, self._others = checkpoint, others
        self._weights = decoded_weights(checkpoint)
        self._name, self._weight = "", torch.empty(0)

    def read(self, name: str) -> Tensor:
        """Return a tensor by its name in a file."""
        if name in self._others:
            return self._others[name]
        if name != self._name:
            self._name = ""
            for target, weight in self._weights:
                if to_file(target) == name:
                    self._name, self._weight = name, weight
                    return weight
            # Behind the last one, or asked for again: from the beginning.
            self._weights = decoded_weights(self._checkpoint)
            target, weight = next(
                (target, weight) for target, weight in self._weights if to_file(target) == name
            )
            self._name, self._weight = name, weight
        return self._weight

    def read_part(self, name: str, index: int) -> Tensor:
        """Return one of the parts along a tensor's first dimension."""
        return self.read(name)[index]


@dataclass(frozen=True)
class Difference:
    """The distance of the weights of two checkpoints.

    Attributes:
        weights, changed: the number of all, and of those that are not equal.
        error: the norm of the difference over that of the weights, of those that are not equal.
        worst: the greatest such error of one weight, and its name.
    """

    weights: int
    changed: int
    error: float
    worst: tuple[float, str]


def difference(first: Checkpoint, second: Checkpoint) -> Difference:
    """Return how far the weights of a checkpoint are from those of another of the same shape."""
    count = changed = 0
    distance = whole = 0.0
    worst = (0.0, "")
    pairs = zip(decoded_weights(first), decoded_weights(second), strict=True)
    for (target, weight), (other_target, other) in pairs:
        assert target == other_target, "two checkpoints of one shape have the same weights"
        count += 1
        if torch.equal(weight, other):
            continue
        changed += 1
        far, size = float((weight - other).norm()), float(weight.norm())
        distance, whole = distance + far**2, whole + size**2
        worst = max(worst, (far / size if size else float("inf"), target))
    return Difference(count, changed, (distance / whole) ** 0.5 if whole else 0.0, worst)
