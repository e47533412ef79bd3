"""`redraft merge`: a model and an adapter in, a checkpoint out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from redraft.cli.options import DtypeOption
from redraft.cli.progress import open_model


def merge(
    model: Annotated[str, typer.Argument(help="The base: a folder, a hub id, or a small model.")],
    adapter: Annotated[Path, typer.Argument(help="The adapter, a folder in PEFT's format.")],
    out: Annotated[Path, typer.Argument(help="The folder of the merged checkpoint.")],
    dtype: DtypeOption = "auto",
) -> None:
    """Add an adapter's updates to the weights, once.

    PEFT's own merge_and_unload adds them twice: the model's encoder and decoder share their
    weights.
    """
    from redraft.adapters import load_adapter
    from redraft.adapters import merge as merge_weights
    from redraft.adapters.merge import MERGED_FILE, adapter_hash, check_not_merged
    from redraft.checkpoint.save import check_target
    from redraft.checkpoint.source import open_checkpoint

    check_target(out)
    updates = load_adapter(adapter)
    merged = check_not_merged(open_checkpoint(model).folder, adapter)
    loaded = open_model(model, dtype, "cpu")
    updates.attach(loaded.network)
    merge_weights(loaded.network)
    loaded.save(out)
    written = [*merged, adapter_hash(adapter)]
    (out / MERGED_FILE).write_text(json.dumps(written) + "\n", encoding="utf-8")
    typer.echo(f"{len(updates.updates)} weights of {model} have the adapter's updates: {out}")
