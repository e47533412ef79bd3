"""Familiar or not: a warning where a text is unlike all that a model was trained on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from redraft.errors import RequestError

if TYPE_CHECKING:
    from redraft.api import Model


def check_familiar(
    model: Model, name: str, *, write: bool = False, force: bool = False, **prompt: Any
) -> None:
    """Warn on standard error, in one line, where a prompt is foreign to a model that has a card.

    Args:
        name: of the model. write: a file is about to be changed. force: change it all the same.
        prompt: `prompt=` or `messages=`, as for `Model.generate`.

    Raises:
        RequestError: it is foreign, and a file would be changed without force.
    """
    card = model.card
    if card is None or card.surprise_limit is None:
        return
    surprise = model.surprise(**prompt)
    if surprise <= card.surprise_limit:
        return
    forms = "; ".join(repr(form) for form in card.forms())
    told = (
        f"this is unlike what {name} was trained on ({surprise:.1f} nats a token, at most "
        f"{card.surprise_limit:g} there): it knows {forms}"
    )
    if write and not force:
        raise RequestError(f"{told}. The file was not changed: --force changes it all the same")
    print(f"redraft: {told}", file=sys.stderr)
