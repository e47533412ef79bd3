"""The model of a command that was given none, and what the models that ship know."""

from __future__ import annotations

import os

ENVIRONMENT = "REDRAFT_MODEL"
SEEING = "small-sight"


def default_model(prompt: str, images: bool = False) -> str:
    """Return the model that the environment names, or else the one among those that ship that knows
    such prompts, small-text where none does; the one that sees for a prompt with images."""
    shipped = SEEING if images else shipped_model(prompt)
    return os.environ.get(ENVIRONMENT) or shipped or "small-text"


def shipped_model(prompt: str) -> str | None:
    """Return the model among those that ship whose card has a prompt with the same first word."""
    from redraft.checkpoint.source import SHIPPED

    first = prompt.split(maxsplit=1)[:1]
    for name in SHIPPED:
        if first and any(form.split()[:1] == first for form in examples(name)):
            return name
    return None


def examples(name: str) -> list[str]:
    """Return the prompts on the card of a model that ships; none for another model."""
    from redraft.checkpoint.source import SHIPPED, open_checkpoint

    card = open_checkpoint(name).card if name in SHIPPED else None
    return card.prompts() if card else []
