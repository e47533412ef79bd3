"""`redraft play`: the playground, a page in the browser of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redraft.cli import serving
from redraft.cli.listening import Place
from redraft.cli.options import DeviceOption, DtypeOption, ModelsOption, SpeechOption

HOST = "127.0.0.1"


def play(
    model: ModelsOption = None,
    port: Annotated[int, typer.Option(help="The port to listen on.", min=0, max=65535)] = 8000,
    state: Annotated[
        Path | None,
        typer.Option(
            help="A file that keeps edit sessions and pages. Unless given: play.db in your "
            "application folder."
        ),
    ] = None,
    speech: SpeechOption = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
) -> None:
    """Open the playground in a browser.

    Watch text settle, edit in place, solve Sudokus, browse a generated wiki.
    """
    if state is None:
        state = Path(typer.get_app_dir("redraft")) / "play.db"
        state.parent.mkdir(parents=True, exist_ok=True)
    serving.check_packages()
    recogniser = serving.open_recogniser(speech)
    models = serving.open_models(model, None, dtype, device)
    # The page asks for no key, whatever the environment holds: it is for this machine alone.
    settings = serving.settings_of(models, HOST, None, state=state)
    serving.run(models, settings, recogniser, Place(HOST, port), browser=browser)
