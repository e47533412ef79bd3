"""The model of a command that was given none."""

from __future__ import annotations

import os

ENVIRONMENT = "REDRAFT_MODEL"


def default_model(prompt: str) -> str:
    """Return the model that the environment names, or else the one among those that ship whose card
    has a prompt with the same first word; small-text where none has."""
    from redraft.checkpoint.source import SHIPPED, open_checkpoint

    if named := os.environ.get(ENVIRONMENT):
        return named
    first = prompt.split(maxsplit=1)[:1]
    for name in SHIPPED:
        card = open_checkpoint(name).card
        known = card.prompts() if card else []
        if first and first in [form.split()[:1] for form in known]:
            return name
    return "small-text"
