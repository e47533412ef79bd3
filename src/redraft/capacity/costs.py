"""Costs: the seconds of a denoising step, of an autoregressive step, and of reading a prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from redraft.capacity.cards import (
    BANDWIDTH_SHARE,
    CARDS,
    MEASURED_CARD,
    MEASURED_EIGHT,
    MEASURED_PREFIX,
    MEASURED_STEPS,
    WEIGHT_BYTES,
    Card,
)
from redraft.config import ModelConfig
from redraft.errors import ConfigError

VERSION = 1


class Costs(Protocol):
    """Seconds that a machine takes for a model.

    Attributes:
        canvas: tokens of a canvas. request: seconds of the server for each request, beside all
            passes. estimated: nothing of it was measured on this kind of machine.
    """

    @property
    def canvas(self) -> int: ...

    @property
    def request(self) -> float: ...

    @property
    def estimated(self) -> bool: ...

    def step(self, rows: float, context: float) -> float:
        """Return the seconds of a denoising step of so many canvases behind so many tokens."""
        ...

    def token(self, rows: float, context: float) -> float:
        """Return the seconds of an autoregressive step of so many rows."""
        ...

    def read(self, tokens: float) -> float:
        """Return the seconds that reading so many tokens of a prompt takes."""
        ...


@dataclass(frozen=True)
class Roofline:
    """Costs of a shape on a card: a fixed time, the bytes read, and the operations.

    The three are added: on the H100 the sum gives both measured steps, of one canvas and of eight,
    where the larger of the last two alone does not.
    """

    config: ModelConfig
    card: Card
    format: str
    request: float = 0.002

    def __post_init__(self) -> None:
        if self.format not in WEIGHT_BYTES:
            raise ConfigError(f"format={self.format!r} is none of {', '.join(WEIGHT_BYTES)}")

    @property
    def canvas(self) -> int:
        """Tokens of a canvas."""
        return self.config.canvas_length

    @property
    def estimated(self) -> bool:
        """True on every card but the one that was measured."""
        return self.card != CARDS[MEASURED_CARD]

    def step(self, rows: float, context: float) -> float:
        positions = rows * self.canvas
        # The vocabulary is multiplied twice: logits, and the next step's self-conditioning.
        return self._seconds(positions, rows, context + self.canvas, vocabulary=2)

    def token(self, rows: float, context: float) -> float:
        return self._seconds(rows, rows, context, vocabulary=1)

    def read(self, tokens: float) -> float:
        return self._seconds(tokens, 1, tokens / 2, vocabulary=0) if tokens else 0.0

    def _seconds(self, positions: float, rows: float, seen: float, *, vocabulary: int) -> float:
        """Return the seconds of a pass over positions that see so many keys each."""
        fixed, rate = _calibrated(self.format)
        scale = self.card.arithmetic / CARDS[MEASURED_CARD].arithmetic
        moved = pass_bytes(self.config, self.format, positions, rows, seen, vocabulary)
        worked = pass_operations(self.config, positions, seen, vocabulary)
        return fixed + moved / (self.card.bandwidth * BANDWIDTH_SHARE) + worked / (rate * scale)


def pass_bytes(
    config: ModelConfig, format_: str, positions: float, rows: float, seen: float, vocabulary: int
) -> float:
    """Return the bytes that a pass reads: weights, those of woken experts alone, and caches."""
    expert, dense, embedding = WEIGHT_BYTES[format_]
    counts = parameters(config)
    share = config.top_k_experts / config.num_experts
    # Canvases of few steps agree on their experts: with 256 positions four in five were awake.
    awake: float = 1 - (1 - share) ** min(positions, 24 + positions / 100)
    cache = 0.0
    for layer in config.layers:
        keys = seen if layer.sliding_window is None else min(seen, layer.sliding_window)
        cache += 4.0 * keys * layer.num_key_value_heads * layer.head_dim
    read = counts["experts"] * awake * expert + counts["dense"] * dense
    return read + max(vocabulary, 0) * counts["embedding"] * embedding + rows * cache


def pass_operations(config: ModelConfig, positions: float, seen: float, vocabulary: int) -> float:
    """Return the multiplications and additions of a pass."""
    counts = parameters(config)
    active = counts["dense"] + counts["experts"] * config.top_k_experts / config.num_experts
    attended = 0.0
    for layer in config.layers:
        keys = seen if layer.sliding_window is None else min(seen, layer.sliding_window)
        attended += 2.0 * keys * config.num_attention_heads * layer.head_dim
    return 2.0 * positions * (active + attended + vocabulary * counts["embedding"])


def parameters(config: ModelConfig) -> dict[str, float]:
    """Return the weights of the experts, of the embedding, and of all other products."""
    from redraft.network.memory_estimate import parameter_counts

    counts = parameter_counts(config)
    experts, embedding = counts["experts"], counts["embedding"]
    return {
        "experts": float(experts),
        "embedding": float(embedding),
        "dense": float(sum(counts.values()) - experts - embedding),
    }


@cache
def _calibrated(format_: str) -> tuple[float, float]:
    """Return the fixed seconds of a pass, and the operations a second, on the measured card.

    Two steps in bfloat16 give both; a step in another format gives the rate of its products.
    """
    from redraft.config.presets import PRESETS

    config, card = PRESETS["26b"], CARDS[MEASURED_CARD]
    canvas, bandwidth = config.canvas_length, card.bandwidth * BANDWIDTH_SHARE
    seen = MEASURED_PREFIX + canvas

    def parts(kind: str, rows: int) -> tuple[float, float]:
        moved = pass_bytes(config, kind, rows * canvas, rows, seen, 2) / bandwidth
        return moved, pass_operations(config, rows * canvas, seen, 2)

    (moved, worked), (moved8, worked8) = parts("bf16", 1), parts("bf16", 8)
    rate = (worked8 - worked) / (MEASURED_EIGHT - MEASURED_STEPS["bf16"] - (moved8 - moved))
    fixed = MEASURED_STEPS["bf16"] - moved - worked / rate
    if format_ == "bf16":
        return fixed, rate
    moved, worked = parts(format_, 1)
    return fixed, worked / (MEASURED_STEPS[format_] - fixed - moved)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Costs that `redraft bench` measured on a machine.

    A step takes `fixed` seconds, `row` more for each canvas, and `seen` for each canvas and token
    before it; a token of a prompt takes `prompt`; a pass of left to right `token_fixed`, and
    `token_row` for each row.
    """

    model: str
    machine: str
    dtype: str
    canvas: int
    fixed: float
    row: float
    seen: float
    prompt: float
    token_fixed: float
    token_row: float
    request: float
    steps: float
    estimated: bool = False

    def step(self, rows: float, context: float) -> float:
        return self.fixed + rows * (self.row + self.seen * context)

    def token(self, rows: float, context: float) -> float:
        return self.token_fixed + rows * (self.token_row + self.seen * context / self.canvas)

    def read(self, tokens: float) -> float:
        return self.prompt * tokens

    def write(self, path: Path) -> None:
        """Write the constants as JSON."""
        given = {"version": VERSION} | asdict(self)
        path.write_text(json.dumps(given, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read_from(cls, path: Path) -> Measured:
        """Read constants.

        Raises:
            ConfigError: the file cannot be read, or is not what `redraft bench` writes.
        """
        try:
            given = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read: {error}") from None
        fields = cls.__dataclass_fields__
        if (
            not isinstance(given, Mapping)
            or given.get("version") != VERSION
            or set(given) - {"version"} != set(fields)
        ):
            raise ConfigError(f"{path} is no file of `redraft bench`: measure again")
        return cls(**{name: _checked(path, name, given[name]) for name in fields})


def _checked(path: Path, name: str, value: Any) -> Any:
    """Return a constant: a number that is not negative, or a word."""
    number = isinstance(value, int | float)
    if name in ("model", "machine", "dtype"):
        good = isinstance(value, str)
    else:
        good = number and value == value and 0 <= value < float("inf")
    if name == "canvas":
        good = isinstance(value, int) and value > 0
    if not good:
        raise ConfigError(f"{path}: {name}={value!r} cannot be used: measure again")
    return value
