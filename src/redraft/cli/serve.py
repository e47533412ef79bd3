"""`redraft serve`: the server, until it is told to stop."""

from __future__ import annotations

import os
import signal
import socket
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from rich.console import Console

from redraft.api import Model
from redraft.checkpoint.source import SHIPPED
from redraft.cli.write import open_model
from redraft.errors import ConfigError
from redraft.network.memory_estimate import GIB, USABLE, free_memory
from redraft.server import Settings, create_app
from redraft.server.speech import recogniser

KEY = "REDRAFT_API_KEY"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What `redraft serve` was asked for. models: paths or ids; none means the small ones. memory,
    prefix_cache: GiB.
    keyless: no key is asked for, whatever the environment holds."""

    models: Sequence[str]
    name: str | None
    host: str
    port: int
    key_file: Path | None
    state: Path | None
    dtype: str
    device: str
    batch: int
    waiting: int
    memory: float | None
    prefix_cache: float | None
    speech: str | None
    browser: bool = False
    keyless: bool = False


def run(asked: Asked) -> None:
    """Serve models; SIGTERM and Ctrl-C let what runs come to its end."""
    key = None if asked.keyless else _key(asked.key_file)
    ears = None if asked.speech is None else recogniser(asked.speech)
    models = _models(asked)
    device = next(iter(models.values())).network.device
    memory = int(free_memory(device) * USABLE) if asked.memory is None else int(asked.memory * GIB)
    kept = (
        min(memory // 4, 4 * GIB) if asked.prefix_cache is None else int(asked.prefix_cache * GIB)
    )
    local = asked.host in LOOPBACK
    settings = Settings(
        api_key=key, hosts=LOOPBACK if local else None, max_batch_size=asked.batch, max_waiting=asked.waiting,
        memory=memory, prefix_cache=kept, state=asked.state,
    )  # fmt: skip
    app = create_app(models, settings, ears)
    console = Console(stderr=True)
    if not local and key is None:
        console.print(
            f"redraft: anyone who reaches {asked.host} may use this server: set {KEY} to ask for a key"
        )
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(0)
    )  # once the server is through with what it does on this signal
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=10))
    with _listening(asked.host, asked.port, settings.stall_timeout) as listening:
        address = f"http://{asked.host}:{listening.getsockname()[1]}"
        console.print(
            f"redraft: {', '.join(models)} at {address}/v1, the page at {address}, Ctrl-C stops",
            highlight=False,
        )
        if asked.browser:
            webbrowser.open(address)  # it waits: the socket listens already
        server.run([listening])


def _listening(host: str, port: int, stall_timeout: float) -> socket.socket:
    """A socket whose connections the system drops where nothing of what is sent is read for
    `stall_timeout` seconds.

    Raises:
        ConfigError: it cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port)[0][0]
        found = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError(f"cannot listen at {host}:{port}: {error.strerror}") from None
    if sys.platform == "linux":
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * stall_timeout))
    return found


def _key(file: Path | None) -> str | None:
    key = os.environ.get(KEY)
    if file is not None:
        try:
            key = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the key file cannot be read: {error}") from None
    if key == "":
        raise ConfigError(
            f"the API key is empty: give one in {KEY} or --api-key-file, or none at all"
        )
    return key


def _models(asked: Asked) -> dict[str, Model]:
    paths = asked.models or list(SHIPPED)
    if asked.name is not None and len(paths) > 1:
        raise ConfigError(
            "--name goes with one model: several are called by the last part of their path"
        )
    names = [asked.name or Path(path).name for path in paths]
    if double := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"two models are called {sorted(double)[0]}: rename a folder")
    return {
        name: open_model(path, asked.dtype, asked.device)
        for name, path in zip(names, paths, strict=True)
    }
