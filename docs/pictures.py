"""Draw the pictures of the terminal in docs/images: `python docs/pictures.py`."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

import redraft
from redraft.cli import demo
from redraft.cli.view import CanvasView

IMAGES = Path(__file__).parent / "images"


def recording(width: int) -> Console:
    """A console that draws nothing but keeps all."""
    return Console(
        record=True, width=width, file=io.StringIO(), force_terminal=True, force_interactive=False
    )


def canvas_settling() -> None:
    """The passes of one canvas of the small text model, one under the other."""
    model = redraft.load("small-text")
    console, view = (
        recording(100),
        CanvasView(model.tokenizer, model.generation_config.eos_token_id),
    )
    for event in model.stream(
        messages=[{"role": "user", "content": "wiki Cordunia (full)"}], seed=1
    ):
        if isinstance(event, redraft.Draft):
            drawn = view.draw(event)
            if event.step <= 6:
                console.print(drawn)
    console.save_svg(str(IMAGES / "canvas.svg"), title="redraft generate")


def demonstration() -> None:
    """What `redraft demo` leaves on the screen."""
    console = recording(100)
    demo.run(console)
    console.save_svg(str(IMAGES / "demo.svg"), title="redraft demo")


if __name__ == "__main__":
    canvas_settling()
    demonstration()
