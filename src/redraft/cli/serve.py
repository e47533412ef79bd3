"""`redraft serve`: the server, until it is told to stop."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import uvicorn
from rich.console import Console

from redraft.cli.write import open_model
from redraft.editing import Model
from redraft.errors import ConfigError
from redraft.server import Settings, create_app

KEY = "REDRAFT_API_KEY"


def run(
    path: str, host: str, port: int, name: str | None, key_file: Path | None, dtype: str, device: str, batch: int, waiting: int
) -> None:
    """Serve a model; SIGTERM and Ctrl-C let what runs come to its end."""
    key = os.environ.get(KEY)
    if key_file is not None:
        try:
            key = key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the key file cannot be read: {error}") from None
    if key == "":
        raise ConfigError(f"the API key is empty: give one in {KEY} or --api-key-file, or none at all")
    model = Model.of(open_model(path, dtype, device))
    settings = Settings(name=name or Path(path).name, api_key=key, max_batch_size=batch, max_waiting=waiting)
    if host not in ("127.0.0.1", "localhost", "::1") and key is None:
        Console(stderr=True).print(f"redraft: anyone who reaches {host} may use this model: set {KEY} to ask for a key")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # once the server is through with what it does on this signal
    uvicorn.run(create_app(model, settings), host=host, port=port, log_level="warning", timeout_graceful_shutdown=10)
