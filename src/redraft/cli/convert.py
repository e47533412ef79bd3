"""`redraft convert`: a copy of a checkpoint in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from redraft.cli.options import EmbeddingOption, GroupOption
from redraft.cli.progress import errors


def convert(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A checkpoint: a folder, a GGUF file or a hub id."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    to: Annotated[
        str,
        typer.Option(
            "--format",
            "--to",
            "--dtype",
            help="float32, bfloat16 or float16 for whole weights; int8, int4 or fp8 to quantize; "
            "compressed-tensors for the same quantized numbers in its words.",
        ),
    ],
    group: GroupOption = 64,
    embedding: EmbeddingOption = None,
) -> None:
    """Write a copy of a checkpoint in another form, whatever form it has.

    GGUF, MLX, GPTQ, AWQ, AutoRound, FP8, NVFP4 and MX files become folders that redraft and
    transformers read. The copy is read again and compared with its source: the last line says
    whether a weight has changed, and how much.
    """
    from redraft.api import text_files
    from redraft.checkpoint.convert import convert as write
    from redraft.checkpoint.source import open_checkpoint

    checkpoint = open_checkpoint(model)
    tokenizer, template = text_files(checkpoint)

    def add_text_files(folder: Path) -> None:
        """Write tokenizer and template where no file was copied: a GGUF file has them inside."""
        if tokenizer is not None and not (folder / "tokenizer.json").exists():
            tokenizer.save(folder)
            if template is not None:
                template.save(folder)

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors) as bar:
        task = bar.add_task("weights", total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        found = write(
            checkpoint,
            out,
            to,
            group=group,
            embedding=embedding,
            companion=add_text_files,
            progress=update,
        )
    if not found.changed:
        typer.echo(f"{out}: all {found.weights} weights are those of {model}")
        return
    error, name = found.worst
    typer.echo(
        f"{out}: {found.changed} of {found.weights} weights have changed, by "
        f"{100 * found.error:.2g} % of their size; the most, {name}, by {100 * error:.2g} %. "
        f"`redraft eval divergence {model} {out}` says what that does to its texts"
    )
