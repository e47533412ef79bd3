"""Quantized by whom: a config's description of quantized weights, in the words of its method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from redraft.checkpoint.integers_config import METHODS, IntegersConfig
from redraft.checkpoint.mlx_config import MlxConfig, is_mlx
from redraft.checkpoint.quantization_config import QuantizationConfig
from redraft.checkpoint.shards import TensorInfo
from redraft.errors import CheckpointError
from redraft.quant import Storage
from redraft.text.json_value import Json


class Quantized(Protocol):
    """The description of quantized weights in a config."""

    @property
    def method(self) -> str:
        """The method of the storages that it describes."""
        ...

    def problems(
        self,
        module: str,
        shape: tuple[int, int],
        storage: Storage,
        parts: Mapping[str, TensorInfo],
    ) -> Iterator[str]:
        """Yield a sentence for everything that a matrix in the file is and the config denies.

        Args:
            module: the name of the matrix in the file, without a role.
            shape: (N, K).
            parts: its tensors, by role.
        """
        ...


def quantized_by(raw: Mapping[str, Json], folder: Path) -> Quantized | None:
    """Return what a config says of quantized weights; None where it says nothing.

    Args:
        raw: a checkpoint's config.json.

    Raises:
        CheckpointError: it is in the words of no known method, or says what is not read.
    """
    text = raw.get("text_config")
    inner = text.get("quantization_config") if isinstance(text, dict) else None
    described = raw.get("quantization_config") or inner
    # MLX writes its description twice, for its own reader and for the hub.
    for one in (raw.get("quantization"), described):
        if is_mlx(one) and isinstance(one, dict):
            return MlxConfig(one, folder)
    if raw.get("quantization") and not described:
        raise CheckpointError(
            f"{folder}: quantization={raw['quantization']!r} must be an object with MLX's "
            "group_size, bits and mode"
        )
    if isinstance(described, dict) and described.get("quant_method") in METHODS:
        return IntegersConfig(described, folder)
    return QuantizationConfig(described, folder) if described else None
