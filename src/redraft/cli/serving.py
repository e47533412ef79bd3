"""`redraft serve` and `redraft play` on the command line: options in, a server out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from redraft.cli.options import DeviceOption, DtypeOption, ModelsOption, SpeechOption
from redraft.errors import ConfigError


def serve(
    model: ModelsOption = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other machines reach 0.0.0.0.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
    name: Annotated[str | None, typer.Option(help="What the model is called in requests.")] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(help="A key that callers must give; else $REDRAFT_API_KEY.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Texts written at a time.", min=1)] = 8,
    waiting: Annotated[int, typer.Option(help="Requests that may wait besides.", min=0)] = 64,
    memory: Annotated[
        float | None,
        typer.Option(
            help="GiB for caches and passes, beside the weights; nearly all that is free.",
            min=0.001,
        ),
    ] = None,
    prefix_cache: Annotated[
        float | None,
        typer.Option(
            help="GiB of that for known beginnings of prompts; a quarter, at most 4.", min=0
        ),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="File that keeps edits and pages; without it they end here.")
    ] = None,
    speech: SpeechOption = None,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
) -> None:
    """Serve OpenAI's API: chat, completions (with a suffix: filled in), structured output, tools,
    streams."""
    _serve(
        models=model or [], name=name, host=host, port=port, key_file=api_key_file, state=state, dtype=dtype, device=device,
        batch=batch, waiting=waiting, memory=memory, prefix_cache=prefix_cache, speech=speech,
    )  # fmt: skip


def play(
    model: ModelsOption = None,
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8000,
    state: Annotated[
        Path | None,
        typer.Option(help="File that keeps edits and pages; one of yours unless given."),
    ] = None,
    speech: SpeechOption = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
) -> None:
    """Watch text settle, edit in place, solve Sudokus, browse a wiki that is written as you go: a
    page in your browser."""
    if state is None:
        state = Path(typer.get_app_dir("redraft")) / "play.db"
        state.parent.mkdir(parents=True, exist_ok=True)
    _serve(
        models=model or [], name=None, host="127.0.0.1", port=port, key_file=None, state=state, dtype=dtype, device=device,
        batch=8, waiting=64, memory=None, prefix_cache=None, speech=speech, browser=browser, keyless=True,
    )  # fmt: skip


def _serve(**asked: Any) -> None:
    try:
        from redraft.cli.serve import Asked, run
    except ImportError as error:
        raise ConfigError(
            f"serving needs more packages: pip install 'redraft[serve]' ({error})"
        ) from None

    run(Asked(**asked))
