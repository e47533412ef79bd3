"""`redraft demo`: the whole path in half a minute, on a model that needs no download.

Until trained weights ship with the package the model is a random one: what it writes means nothing, how it is written
(drafts, acceptance, revision, settling, several canvases, the typewriter beside it) is the real thing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from redraft.cli.view import show
from redraft.engine.model import Model, load
from redraft.events import Finished
from redraft.testing import tiny_checkpoint

# A vocabulary of printable characters only: bytes from 160 on are the byte tokenizer's ids for " " and up.
PRINTABLE = range(160, 255)
SETTINGS: dict[str, Any] = {"max_new_tokens": 96, "confidence_threshold": 0.5, "eos_token_id": (), "seed": 7}


def run() -> None:
    """Make a small random checkpoint, load it, and write with it both ways."""
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        console.print("Making a random DiffusionGemma of 0.4 M parameters, saved and loaded as a checkpoint ...", style="dim")
        checkpoint = tiny_checkpoint(
            Path(folder) / "tiny", 3, hidden_size=96, canvas_length=48, head_dim=16, global_head_dim=32
        )
        model = load(checkpoint)
    bias = {token: -40.0 for token in range(model.config.vocab_size) if token not in PRINTABLE}
    console.print("By diffusion, a canvas of 48 at a time (the words mean nothing: the weights are random):", style="bold")
    drafted = show(model.stream("Hello", logit_bias=bias, **SETTINGS), model, console)
    typed = _typed(model, console, bias)
    table = Table("", "tokens", "passes over the weights", "tokens a pass", "seconds", title="The same weights, two ways")
    for name, finished in (("diffusion", drafted), ("typewriter", typed)):
        figures = finished.statistics
        table.add_row(
            name,
            str(figures.new_tokens),
            str(figures.forwards),
            f"{figures.tokens_per_forward:.1f}",
            f"{figures.seconds:.2f}",
        )
    console.print(table)
    console.print("Next: redraft generate --model CHECKPOINT --prompt 'Write a haiku about tea'", style="dim")


def _typed(model: Model, console: Console, bias: dict[int, float]) -> Finished:
    console.print("As a typewriter, one token a pass:", style="bold")
    finished = model.generate("Hello", method="typewriter", logit_bias=bias, **SETTINGS)
    console.print(finished.text, markup=False)
    return finished
