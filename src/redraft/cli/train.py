"""`redraft train`: a recipe in, a checkpoint out."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from redraft.api import load
from redraft.errors import ConfigError
from redraft.text import ChatTemplate, Tokenizer
from redraft.text.chat_template import TURN_TEMPLATE
from redraft.train import Recipe, Trainer, parallel
from redraft.train.plot import PICTURE, plot_metrics
from redraft.train.state import step_of
from redraft.train.trainer import METRICS, STATE
from redraft.train.vocabulary import train_tokenizer

CHECKPOINT = "checkpoint"


def run(
    path: Path,
    folder: Path,
    minutes: float | None,
    threads: int | None,
    processes: int,
    steps: int | None,
    typewriter: bool,
    start: str | None,
) -> None:
    """Train, tell a line now and then, and write the checkpoint when the recipe is done."""
    recipe = Recipe.from_file(path)
    if steps is not None:
        recipe = replace(recipe, steps=steps)
    if typewriter:
        recipe = recipe.typewriter()
    stages = _stages(recipe, folder, start)
    for stage, _, _ in stages:
        parallel.check(processes, stage.batch_size)
    began = time.monotonic()
    for number, (stage, where, weights) in enumerate(stages, 1):
        if number < len(stages) and _done(stage, where):
            continue
        left = None if minutes is None else max(0.0, minutes - (time.monotonic() - began) / 60)
        if parallel.in_processes(processes, _work, stage, where, weights, left, threads):
            raise SystemExit(130)
        if not _done(stage, where):
            break


def _stages(
    recipe: Recipe, folder: Path, start: str | None
) -> list[tuple[Recipe, Path, str | None]]:
    """Recipes in the order of their training, each with its folder and the checkpoint that it
    begins with."""
    if start is not None or recipe.start is None:
        return [(recipe, folder, start)]
    inside = folder / "start"
    return [*_stages(recipe.start, inside, None), (recipe, folder, str(inside / CHECKPOINT))]


def _done(recipe: Recipe, folder: Path) -> bool:
    """Whether a recipe was trained to its end here."""
    step = step_of(folder / STATE)
    return (folder / CHECKPOINT).exists() and step in (None, recipe.steps)


def _work(
    recipe: Recipe, folder: Path, start: str | None, minutes: float | None, threads: int | None
) -> None:
    if threads:
        torch.set_num_threads(threads)
    console = Console(highlight=False, quiet=parallel.number() > 0)
    template = ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"})
    if start is None:
        tokenizer = _tokenizer(recipe)
        trainer = Trainer(recipe, tokenizer, template, folder)
    else:
        first = load(start, dtype="float32", device="cpu")
        if first.tokenizer is None:
            raise ConfigError(
                f"{start} has no tokenizer: training starts from a checkpoint that has one"
            )
        trainer = Trainer(recipe, first.tokenizer, template, folder, first.network.state_dict())
    began = trainer.step
    count = sum(parameter.numel() for parameter in trainer.model.parameters())
    console.print(
        f"{count:,} parameters, step {trainer.step} of {recipe.steps}; Ctrl-C saves and stops"
    )
    # An interrupt waits for the end of the update: half of one must not be saved.
    try:
        with parallel.on_interrupt(lambda *_: setattr(trainer, "stopping", True)):
            for metrics in trainer.run(until=None if minutes is None else minutes * 60):
                console.print(line(metrics), soft_wrap=True)
    finally:
        if not parallel.number():
            plot_metrics(folder / METRICS, folder / PICTURE)
    if trainer.step < recipe.steps:
        console.print(f"saved at step {trainer.step}: the same command goes on from there")
        if trainer.stopping and parallel.count() == 1:
            raise SystemExit(130)
        return
    if parallel.number():
        return
    if began == recipe.steps and (folder / CHECKPOINT).exists():
        console.print(f"done before: {folder / CHECKPOINT}")
        return
    trainer.export(folder / CHECKPOINT)
    console.print(f"done: {folder / CHECKPOINT}")


def _tokenizer(recipe: Recipe) -> Tokenizer:
    """Return the recipe's own tokenizer, or one that is trained on its tasks."""
    if recipe.tokenizer:
        return Tokenizer.from_folder(Path(recipe.tokenizer))
    tasks = [source.task for source in recipe.sources]
    return train_tokenizer(tasks, recipe.model.vocab_size, recipe.seed)


def line(metrics: dict[str, Any]) -> str:
    """One row of metrics for a person."""
    levels = " ".join(
        "  -  " if value is None else f"{value:.3f}" for value in metrics["loss_by_level"]
    )
    encoder = (
        "" if metrics["encoder_loss"] is None else f"  left to right {metrics['encoder_loss']:.3f}"
    )
    if "prefix_loss" in metrics:
        encoder += f"  prefix {metrics['prefix_loss']:.3f}"
    return (
        f"step {metrics['step']:6d}  loss {metrics['loss']:.4f}  by noise {levels}{encoder}  "
        f"{metrics['canvases_per_second']:.1f} canvases/s"
    )
