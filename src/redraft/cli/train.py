"""`redraft train`: a recipe in, a checkpoint out."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from redraft.cli.options import AutoregressiveFlag
from redraft.config.check import check_number
from redraft.errors import ConfigError

if TYPE_CHECKING:
    from redraft.text import Tokenizer
    from redraft.train import Recipe, Trainer

CHECKPOINT = "checkpoint"


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a TOML file.")],
    folder: Annotated[
        Path, typer.Option("--out", "-o", help="The folder of the run: state, metrics, checkpoint.")
    ],
    minutes: Annotated[
        float | None, typer.Option(help="Stop after this time; the same command continues.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.", min=1)] = None,
    processes: Annotated[
        int, typer.Option(help="Processes of one thread that share every batch.", min=1)
    ] = 1,
    steps: Annotated[
        int | None, typer.Option(help="Updates, in place of the recipe's number.", min=1)
    ] = None,
    method: Annotated[
        str, typer.Option(help="diffusion, or autoregressive: from left to right only, to compare.")
    ] = "diffusion",
    autoregressive: AutoregressiveFlag = False,
    start: Annotated[
        str | None,
        typer.Option("--from", help="The checkpoint to start from, in place of the recipe's own."),
    ] = None,
) -> None:
    """Train a model by a recipe.

    It starts from random weights or from a checkpoint. After an interrupt the same command
    continues.
    """
    from redraft.engine.request import checked_method
    from redraft.train import Recipe, parallel
    from redraft.train.launcher import check_not_launched

    if minutes is not None:
        check_number("minutes", minutes, minimum=0)
    chosen = Recipe.from_file(recipe)
    if steps is not None:
        chosen = replace(chosen, steps=steps)
    if checked_method("autoregressive" if autoregressive else method) == "autoregressive":
        chosen = chosen.autoregressive()
    check_not_launched()
    stages = _stages(chosen, folder, start)
    for stage, _, _ in stages:
        parallel.check_processes(processes, stage.batch_size)
    began = time.monotonic()
    for number, (stage, where, weights) in enumerate(stages, 1):
        if number < len(stages) and _done(stage, where):
            continue
        left = None if minutes is None else max(0.0, minutes - (time.monotonic() - began) / 60)
        if parallel.run_in_processes(processes, _train_stage, stage, where, weights, left, threads):
            raise SystemExit(130)
        if not _done(stage, where):
            break


def _stages(
    recipe: Recipe, folder: Path, start: str | None
) -> list[tuple[Recipe, Path, str | None]]:
    """Return recipes in the order of their training, each with its folder and the checkpoint that
    it starts from."""
    if start is not None or recipe.start is None:
        return [(recipe, folder, start)]
    inside = folder / "start"
    return [*_stages(recipe.start, inside, None), (recipe, folder, str(inside / CHECKPOINT))]


def _done(recipe: Recipe, folder: Path) -> bool:
    """Return True where a recipe was trained to its end in this folder."""
    from redraft.train.state import step_of
    from redraft.train.trainer import STATE

    step = step_of(folder / STATE)
    return (folder / CHECKPOINT).exists() and step in (None, recipe.steps)


def _train_stage(
    recipe: Recipe, folder: Path, start: str | None, minutes: float | None, threads: int | None
) -> None:
    """Train one recipe, print a line now and then, and write the checkpoint at the end."""
    import torch

    from redraft.train import parallel
    from redraft.train.metrics import METRICS
    from redraft.train.plot import PICTURE, plot_metrics

    if threads:
        torch.set_num_threads(threads)
    console = Console(highlight=False, quiet=parallel.rank() > 0)
    trainer = _trainer(recipe, folder, start)
    began = trainer.step
    count = sum(parameter.numel() for parameter in trainer.network.parameters())
    console.print(
        f"{count:,} parameters, step {trainer.step} of {recipe.steps}; Ctrl-C saves and stops"
    )
    # An interrupt waits for the end of the update: half of one must not be saved.
    try:
        with parallel.on_interrupt(lambda *_: setattr(trainer, "stopping", True)):
            for metrics in trainer.run(until=None if minutes is None else minutes * 60):
                console.print(line(metrics), soft_wrap=True)
    finally:
        if not parallel.rank():
            plot_metrics(folder / METRICS, folder / PICTURE)
    if trainer.step < recipe.steps:
        console.print(f"saved at step {trainer.step}: the same command continues from there")
        if trainer.stopping and parallel.world_size() == 1:
            raise SystemExit(130)
    elif parallel.rank():
        return
    elif began == recipe.steps and (folder / CHECKPOINT).exists():
        console.print(f"done before: {folder / CHECKPOINT}")
    else:
        trainer.export(folder / CHECKPOINT)
        console.print(f"done: {folder / CHECKPOINT}")


def _trainer(recipe: Recipe, folder: Path, start: str | None) -> Trainer:
    """Return a trainer of random weights and a new tokenizer, or of those of a checkpoint.

    Raises:
        ConfigError: the checkpoint has no tokenizer.
    """
    from redraft.api import load
    from redraft.text import ChatTemplate
    from redraft.text.chat_template import TURN_TEMPLATE
    from redraft.train import Trainer

    template = ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"})
    if start is None:
        return Trainer(recipe, _tokenizer(recipe), template, folder)
    first = load(start, dtype="float32", device="cpu")
    if first.tokenizer is None:
        raise ConfigError(f"{start} has no tokenizer: start from a checkpoint that has one")
    return Trainer(recipe, first.tokenizer, template, folder, first.network.state_dict())


def _tokenizer(recipe: Recipe) -> Tokenizer:
    """Return the recipe's own tokenizer, or one that is trained on its tasks."""
    from redraft.text import Tokenizer
    from redraft.train.tokenizer import train_tokenizer

    if recipe.tokenizer:
        return Tokenizer.from_folder(Path(recipe.tokenizer))
    tasks = [one.task for one in recipe.tasks]
    return train_tokenizer(tasks, recipe.model.vocab_size, recipe.seed)


def line(metrics: dict[str, Any]) -> str:
    """Return one row of the metrics as a line of text."""
    levels = " ".join(
        "  -  " if value is None else f"{value:.3f}" for value in metrics["loss_by_level"]
    )
    loss = metrics["encoder_loss"]
    encoder = "" if loss is None else f"  encoder {loss:.3f}"
    if "prefix_loss" in metrics:
        encoder += f"  prefix {metrics['prefix_loss']:.3f}"
    return (
        f"step {metrics['step']:6d}  loss {metrics['loss']:.4f}  by noise {levels}{encoder}  "
        f"{metrics['canvases_per_second']:.1f} canvases/s"
    )
