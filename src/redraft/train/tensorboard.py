"""The metrics of a run for TensorBoard.

Needs the package tensorboard (extra `tensorboard`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redraft.errors import ConfigError
from redraft.train.metrics import Metrics

FOLDER = "tensorboard"


class TensorBoard:
    """Writes rows of metrics into event files.

    Args:
        folder: of the run; the files lie in a folder there.
        step: updates that are done. What a run that was cut wrote of later ones is hidden.

    Raises:
        ConfigError: the package is missing.
    """

    def __init__(self, folder: Path, step: int) -> None:
        check_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(
            str(folder / FOLDER), purge_step=step + 1 if step else None
        )

    def add(self, row: Metrics) -> None:
        """Write a row."""
        for name, value in scalars(row):
            self._writer.add_scalar(name, value, row["step"])
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


def check_tensorboard() -> None:
    """Check that the package is there.

    Raises:
        ConfigError: it is not.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise ConfigError(
            "TensorBoard's package is missing: pip install 'redraft[tensorboard]'"
        ) from None


def scalars(row: Metrics, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of a row of metrics, those within others as `outer/inner`."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from scalars(value, f"{prefix}{name}/")
        elif isinstance(value, list):
            numbered = {str(at): one for at, one in enumerate(value)}
            yield from scalars(numbered, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "step":
            yield f"{prefix}{name}", float(value)
