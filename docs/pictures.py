"""Draw the pictures in docs/images: `python docs/pictures.py`."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from rich.console import Console

import redraft
from redraft.cli.demo import PRINTABLE, SETTINGS
from redraft.cli.view import CanvasView
from redraft.testing import tiny_checkpoint

IMAGES = Path(__file__).parent / "images"


def canvas_settling() -> None:
    """Some steps of one canvas of the demo's random model, one under the other."""
    with tempfile.TemporaryDirectory() as folder:
        model = redraft.load(
            tiny_checkpoint(Path(folder) / "tiny", 3, hidden_size=96, canvas_length=48, head_dim=16, global_head_dim=32)
        )
    bias = {token: -40.0 for token in range(model.config.vocab_size) if token not in PRINTABLE}
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True)
    view = CanvasView(model.tokenizer, ())
    for event in model.stream("Hello", logit_bias=bias, **SETTINGS | {"max_new_tokens": 48}):
        if isinstance(event, redraft.Draft):
            drawn = view.draw(event)
            if event.step in (1, 2, 5, 12, 25, 40):
                console.print(drawn)
    console.save_svg(str(IMAGES / "canvas.svg"), title="redraft generate")


if __name__ == "__main__":
    canvas_settling()
