"""LoraConfig: rank, scale and targets of an adapter."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from redraft.config.check import check_boolean, check_integer, check_number
from redraft.errors import ConfigError

# Groups of weights by name: a pattern that the network's name of a weight matches whole.
TARGETS = {
    "attention": r"layers\.\d+\.self_attn\.[qkvo]_proj\.weight",
    "dense": r"layers\.\d+\.mlp\.(gate|up|down)_proj\.weight",
    "experts": r"layers\.\d+\.experts\.(gate_up|down)_proj",
    "self_conditioning": r"self_conditioning\.(gate|up|down)_proj\.weight",
}
# Weights that can have an adapter at all. Routers and embeddings cannot.
ADAPTABLE = re.compile("|".join(TARGETS.values()))
EXPERTS = re.compile(r"(.*\.experts\.)(gate_up|down)_proj")


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """The form of an adapter (LoRA, arXiv 2106.09685).

    Attributes:
        rank: r, the rank of the update of each matrix.
        alpha: the update is scaled by alpha / rank, or by alpha / sqrt(rank) with `rslora`
            (arXiv 2312.03732).
        dropout: the share of an update's inputs that is left out in training; expert matrices have
            none, as in PEFT.
        targets: names of TARGETS, or patterns that a weight's whole name matches, such as
            "layers.[0-9]+.mlp.down_proj.weight".

    Raises:
        ConfigError: a value out of its range.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    rslora: bool = False
    targets: tuple[str, ...] = ("attention", "dense")

    def __post_init__(self) -> None:
        check_integer("rank", self.rank, minimum=1)
        check_number("alpha", self.alpha, minimum=0, exclusive=True)
        check_number("dropout", self.dropout, minimum=0, maximum=0.99)
        check_boolean("rslora", self.rslora)
        targets = self.targets
        if (
            not isinstance(targets, list | tuple)
            or not targets
            or not all(isinstance(one, str) and one for one in targets)
        ):
            raise ConfigError(f"targets={targets!r} must be a list of names or patterns")
        object.__setattr__(self, "targets", tuple(targets))
        for one in self.targets:
            try:
                re.compile(one)
            except re.error as error:
                raise ConfigError(f"targets: {one!r} is no pattern: {error}") from None

    @property
    def scale(self) -> float:
        """The factor of every update."""
        return self.alpha / (self.rank**0.5 if self.rslora else self.rank)

    def matches(self, names: Iterable[str]) -> list[str]:
        """Return the weights that get an update, sorted.

        Args:
            names: all weights of the network.

        Raises:
            ConfigError: a target matches no weight, or one that cannot have an update, or one of
                the two matrices of experts alone.
        """
        names = list(names)
        chosen: set[str] = set()
        for target in self.targets:
            pattern = re.compile(TARGETS.get(target, target))
            found = {name for name in names if pattern.fullmatch(name)}
            if not found:
                raise ConfigError(
                    f"targets: {target!r} matches no weight: there are {', '.join(TARGETS)}, and "
                    f"patterns for names such as {names[1]!r}"
                )
            if wrong := sorted(name for name in found if not ADAPTABLE.fullmatch(name)):
                raise ConfigError(
                    f"targets: {target!r} matches {wrong[0]!r}, which cannot have an update: name "
                    f"one of {', '.join(TARGETS)}, or a narrower pattern"
                )
            chosen |= found
        for name in sorted(chosen):
            both = EXPERTS.sub(r"\1gate_up_proj", name), EXPERTS.sub(r"\1down_proj", name)
            if not chosen.issuperset(both):
                raise ConfigError(
                    f"targets: {name!r} is matched, and not the other matrix of these experts: "
                    "take both, for PEFT's file format names one alone as if it were the other"
                )
        # Sorted: random starts are the same over quantized weights, which lie in another order.
        return sorted(chosen)
