"""`redraft train`: a recipe in, a checkpoint out."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from redraft.errors import CheckpointError
from redraft.testing.byte_tokenizer import TEMPLATE, byte_tokenizer
from redraft.text import ChatTemplate
from redraft.train import Recipe, Trainer


def run(path: Path, folder: Path, minutes: float | None, threads: int | None) -> None:
    """Train, tell a line now and then, and write the checkpoint when the recipe is done."""
    recipe = Recipe.from_file(path)
    if threads:
        torch.set_num_threads(threads)
    console = Console(highlight=False)
    trainer = Trainer(recipe, byte_tokenizer(), ChatTemplate(TEMPLATE, {"bos_token": "<bos>"}), folder)
    count = sum(parameter.numel() for parameter in trainer.model.parameters())
    console.print(f"{count:,} parameters, step {trainer.step} of {recipe.steps}; Ctrl-C saves and stops")
    # An interrupt waits for the end of the update: half of one must not be saved.
    before = signal.signal(signal.SIGINT, lambda *_: setattr(trainer, "stopping", True))
    try:
        for metrics in trainer.run(until=None if minutes is None else minutes * 60):
            console.print(line(metrics))
    finally:
        signal.signal(signal.SIGINT, before)
    if trainer.step < recipe.steps:
        console.print(f"saved at step {trainer.step}: the same command goes on from there")
        raise SystemExit(130 if trainer.stopping else 0)
    try:
        trainer.export(folder / "checkpoint")
    except CheckpointError as error:
        console.print(f"done before: {error}")
        return
    console.print(f"done: {folder / 'checkpoint'}")


def line(metrics: dict[str, Any]) -> str:
    """One row of metrics for a person."""
    levels = " ".join("  -  " if value is None else f"{value:.3f}" for value in metrics["loss_by_level"])
    encoder = "" if metrics["encoder_loss"] is None else f"  left to right {metrics['encoder_loss']:.3f}"
    return (
        f"step {metrics['step']:6d}  loss {metrics['loss']:.4f}  by noise {levels}{encoder}  "
        f"{metrics['examples_per_second']:.1f} examples/s"
    )
