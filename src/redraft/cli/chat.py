"""`redraft chat`: a conversation in the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from redraft.api import Model
from redraft.cli.view import show
from redraft.errors import RequestError


def talk(model: Model, system: str | None, settings: dict[str, Any]) -> None:
    """Read questions until the input ends; every answer is shown as it settles and joins the
    conversation."""
    console = Console()
    opening = [{"role": "system", "content": system}] if system else []
    messages = list(opening)
    while True:
        try:
            question = console.input("[bold]> [/bold]").strip()
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
        if question == "/quit":
            return
        if question == "/reset":
            messages = list(opening)
            continue
        if not question:
            continue
        asked = [*messages, {"role": "user", "content": question}]
        try:
            finished = show(model.stream(messages=asked, **settings), model, console)
        except RequestError as error:
            console.print(f"redraft: {error}", style="red", markup=False)
            continue
        except KeyboardInterrupt:
            console.print("(stopped)", style="dim")
            continue
        # The answer alone goes into the history: reasoning is not repeated to the model.
        messages = [*asked, {"role": "assistant", "content": finished.text}]
