"""`redraft quantize`: a copy of a checkpoint in few bits."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from redraft.checkpoint import Quantization, open_checkpoint
from redraft.checkpoint.quantize_to_disk import quantized_copy, source_of
from redraft.checkpoint.shards import ShardReader
from redraft.network.memory_estimate import GIB


def run(model: str, out: Path, quantization: Quantization) -> None:
    """Write it, and say what it takes."""
    checkpoint = open_checkpoint(model)
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with ShardReader(checkpoint.tensors) as reader, Progress(*columns, console=console) as bar:
        source = source_of(checkpoint, reader)
        task = bar.add_task("weights", total=None)
        summary = quantized_copy(
            source,
            out,
            quantization,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    before = sum(
        path.stat().st_size for path in {info.file for info in checkpoint.tensors.values()}
    )
    console.print(
        f"{summary.folder}: {summary.bytes / GIB:.2f} GiB, was {before / GIB:.2f}", highlight=False
    )
    if summary.kept:
        width = f"rows do not divide into groups of {quantization.group}"
        console.print(
            f"{len(summary.kept)} weights stay whole, whose {width}: {', '.join(summary.kept[:3])} ...",
            highlight=False,
        )
