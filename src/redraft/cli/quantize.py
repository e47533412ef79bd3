"""`redraft quantize`: a copy of a checkpoint with quantized weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from redraft.cli.options import GIB, EmbeddingOption, GroupOption
from redraft.cli.progress import errors


def quantize(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A checkpoint: a folder or a hub id.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    to: Annotated[
        str, typer.Option("--to", "--format", "--dtype", help="The format: int8, int4 or fp8.")
    ],
    group: GroupOption = 64,
    embedding: EmbeddingOption = None,
) -> None:
    """Write a quantized copy of a checkpoint.

    One tensor is in memory at a time. After an interrupt the same command continues.
    """
    from redraft.checkpoint import Quantization, open_checkpoint
    from redraft.checkpoint.quantize_to_disk import quantized_copy, source_of
    from redraft.checkpoint.shards import ShardReader

    quantization = Quantization(to.lower(), group, embedding)
    checkpoint = open_checkpoint(model)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with ShardReader(checkpoint.tensors) as reader, Progress(*columns, console=errors) as bar:
        source = source_of(checkpoint, reader)
        task = bar.add_task("weights", total=None)

        def update(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        summary = quantized_copy(source, out, quantization, progress=update)
    files = {info.file for info in checkpoint.tensors.values()}
    before = sum(path.stat().st_size for path in files)
    errors.print(
        f"{summary.folder}: {summary.bytes / GIB:.2f} GiB, was {before / GIB:.2f}", highlight=False
    )
    if summary.kept:
        errors.print(
            f"{len(summary.kept)} weights stay as they are: their rows do not divide into groups "
            f"of {quantization.group}: {', '.join(summary.kept[:3])} ...",
            highlight=False,
        )
