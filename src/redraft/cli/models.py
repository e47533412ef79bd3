"""`redraft models` and `redraft pull`: the checkpoints that are here, and one more."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from redraft.cli.options import JsonOption

MIB = 1 << 20


def models(as_json: JsonOption = False) -> None:
    """List the models that are on this machine.

    Those that ship with redraft, and DiffusionGemmas in the hub's cache.
    """
    from redraft.checkpoint.local import local_checkpoints

    found = list(local_checkpoints())
    if as_json:
        print(json.dumps([asdict(one) | {"path": str(one.path)} for one in found]))
        return
    table = Table("model", "MiB", "weights", "what it can do")
    for one in found:
        size = f"{one.nbytes / MIB:,.1f}"
        table.add_row(one.name, size, one.quantization or "whole", one.purpose or "general use")
    Console().print(table)


def pull(
    model: Annotated[str, typer.Argument(metavar="ID", help="A hub id: owner/name.")],
    revision: Annotated[str | None, typer.Option(help="A branch, a tag or a commit.")] = None,
) -> None:
    """Download a model from the hub, and check that it can run.

    A download that was interrupted goes on where it stopped. Nothing of the weights is loaded.
    """
    from redraft.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(model, revision=revision)
    print(f"{model} is here: {checkpoint.path}")
    print(f"redraft inspect {model}  says what memory it needs")
