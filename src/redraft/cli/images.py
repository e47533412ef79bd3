"""Images of the command line: files become parts of a user's message."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redraft.config.vision import check_budget
from redraft.errors import ConfigError

if TYPE_CHECKING:
    from redraft.text import Message

Part = dict[str, Any]


def image_parts(files: Sequence[Path], max_soft_tokens: int | None = None) -> list[Part]:
    """Return the parts of images, in their order.

    Args:
        max_soft_tokens: of each image, at most; None for the model's usual number.

    Raises:
        ConfigError: there is no such number, or no image that it is for.
    """
    if max_soft_tokens is not None:
        check_budget(max_soft_tokens)
        if not files:
            raise ConfigError("--max-soft-tokens needs --image: it says how closely one is read")
    return [{"type": "image", "image": path, "max_soft_tokens": max_soft_tokens} for path in files]


def user_message(text: str, images: Sequence[Part]) -> Message:
    """Return a message of images with the text behind them; the text alone without images."""
    if not images:
        return {"role": "user", "content": text}
    said = [{"type": "text", "text": text}] if text else []
    return {"role": "user", "content": [*images, *said]}
