"""A server for `redraft serve` and `redraft play`: models, settings, a socket, and a clean end."""

from __future__ import annotations

import gc
import os
import signal
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from redraft.cli.listening import LOOPBACK, Place, listening_at
from redraft.cli.options import GIB
from redraft.cli.progress import errors, open_model
from redraft.errors import ConfigError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from redraft.api import Model
    from redraft.server import Settings
    from redraft.server.keys import ApiKey
    from redraft.server.speech import Recogniser

KEY = "REDRAFT_API_KEY"
# Seconds for which a thread keeps the interpreter while others want it. A step is hundreds of short
# operations, and each of them waits that long beside a thread that compiles a constraint.
SWITCH_INTERVAL = 0.0002
# Seconds of a request, unless --timeout says otherwise. OpenAI's clients wait as long, and then ask
# once more; the best draft comes 30 before.
TIMEOUT = 600.0
MAX_PREFIX_CACHE = 4 * GIB  # unless --prefix-cache says otherwise


def check_packages() -> None:
    """Check that the packages of the extra `serve` are installed.

    Raises:
        ConfigError: one is missing; the message says how to install them.
    """
    try:
        import uvicorn  # noqa: F401

        import redraft.server  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"serving needs more packages: pip install 'redraft[serve]' ({error})"
        ) from None


def read_key(file: Path | None) -> str | None:
    """Return the API key of a file, or else of the environment; None where there is none.

    Raises:
        ConfigError: the file cannot be read, or the key is empty.
    """
    key = os.environ.get(KEY)
    if file is not None:
        try:
            key = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the key file cannot be read: {error}") from None
    if key == "":
        raise ConfigError(f"the API key is empty: give one in {KEY} or --api-key-file, or neither")
    return key


def read_named_keys(file: Path | None) -> tuple[ApiKey, ...]:
    """Return the keys of a file; none where there is no file.

    Raises:
        ConfigError: the file cannot be read, or holds something else.
    """
    from redraft.server.keys import read_keys

    return () if file is None else read_keys(file)


def open_recogniser(name: str | None) -> Recogniser | None:
    """Return the speech recogniser of an address or a whisper model; None for None.

    Raises:
        ConfigError: there is no such model, or a package is missing.
    """
    from redraft.server.speech import recogniser

    return None if name is None else recogniser(name)


def open_models(
    paths: list[str] | None,
    name: str | None,
    dtype: str,
    device: str,
    adapters: Sequence[str] = (),
    *,
    vision: bool = True,
) -> dict[str, Model]:
    """Load models, and return them by the names that requests use.

    Args:
        paths: folders, files or hub ids; without any, the models that ship with redraft.
        name: the name of the one model; unless given, a name is the last part of the path.
        adapters: NAME=PATH of each adapter of the one model.
        vision: load the image encoders of those that have one.

    Raises:
        ConfigError: two models or adapters have one name, or a name or an adapter is given for
            several models.
    """
    named, folders = model_paths(paths, name, adapters)
    return {
        one: open_model(path, dtype, device, folders, vision=vision) for one, path in named.items()
    }


def model_paths(
    paths: list[str] | None, name: str | None, adapters: Sequence[str] = ()
) -> tuple[dict[str, str], dict[str, Path]]:
    """Return the paths of models by the names that requests use, and those of adapters by theirs.

    Arguments and errors as for `open_models`.
    """
    from redraft.checkpoint.source import SHIPPED

    paths = paths or list(SHIPPED)
    if name is not None and len(paths) > 1:
        raise ConfigError(
            "--name needs exactly one model: the name of several is the last part of their path"
        )
    folders = _adapter_folders(adapters)
    if folders and len(paths) > 1:
        raise ConfigError("--adapter needs exactly one model, whose adapter it is: name it with -m")
    names = [name or Path(path).name for path in paths]
    if double := {one for one in names if names.count(one) > 1}:
        raise ConfigError(f"two models have the name {sorted(double)[0]}: rename a folder")
    if double := set(names) & set(folders):
        raise ConfigError(f"model and adapter have the name {sorted(double)[0]}: name another")
    return dict(zip(names, paths, strict=True)), folders


def _adapter_folders(adapters: Sequence[str]) -> dict[str, Path]:
    """Return the folders of `NAME=PATH` options by name.

    Raises:
        ConfigError: one is not of this form, or a name is there twice.
    """
    folders: dict[str, Path] = {}
    for one in adapters:
        name, sign, path = one.partition("=")
        if not sign or not name or not path:
            raise ConfigError(f"--adapter {one!r} must be NAME=PATH")
        if name in folders:
            raise ConfigError(f"two adapters have the name {name}: name another")
        folders[name] = Path(path)
    return folders


def settings_of(
    models: Mapping[str, Model],
    host: str,
    key: str | None,
    *,
    batch: int = 8,
    waiting: int = 64,
    memory: float | None = None,
    prefix_cache: float | None = None,
    state: Path | None = None,
    grace: float = 8.0,
    timeout: float | None = TIMEOUT,
    allowed_hosts: Sequence[str] = (),
    root_path: str = "",
    keys: Sequence[ApiKey] = (),
    cors_origins: Sequence[str] = (),
    proxies: Sequence[str] = (),
) -> Settings:
    """Return the settings of a server at `host`.

    Args:
        key: the API key; None asks for none.
        batch: the largest batch of a model. waiting: the length of a model's waiting queue.
        models: those of this process; empty where replicas have them, and share out memory.
        memory: GiB for caches and passes; None for nearly all that the device has free.
        prefix_cache: GiB of `memory` for the prefix cache; None for a quarter, at most 4.
        state: the file of edit sessions and pages; None keeps them in memory.
        grace: seconds that requests have to finish when the server stops.
        timeout: seconds in which every request ends; None sets no limit.
        allowed_hosts: names by which clients may reach the server. Without any, a server that
            listens on this machine alone has the loopback's names, and another one has all names.
        root_path: the path prefix that a reverse proxy has for the server.
        keys, cors_origins, proxies: see `Settings`.
    """
    from redraft.engine.memory_budget import usable_memory
    from redraft.server import Settings

    limit = None if memory is None else int(memory * GIB)
    if models and limit is None:
        limit = usable_memory(next(iter(models.values())).network.device)
    share = MAX_PREFIX_CACHE if limit is None else min(limit // 4, MAX_PREFIX_CACHE)
    kept = share if prefix_cache is None else int(prefix_cache * GIB)
    return Settings(
        api_key=key,
        # A server that listens on this machine alone accepts no other Host header: this stops DNS
        # rebinding.
        hosts=(*LOOPBACK, *allowed_hosts) if allowed_hosts or host in LOOPBACK else None,
        max_batch_size=batch,
        max_waiting=waiting,
        memory=limit,
        prefix_cache=kept,
        state=state,
        grace=grace,
        timeout=timeout,
        root_path=root_path,
        keys=tuple(keys),
        cors_origins=cors_origins,
        proxies=proxies,
        compile_soon=True,
    )


def run(
    models: Mapping[str, Model],
    settings: Settings,
    recogniser: Recogniser | None,
    place: Place,
    *,
    browser: bool = False,
) -> None:
    """Serve models until SIGTERM or Ctrl-C; requests that run have `settings.grace` seconds to
    finish. A second signal ends the process at once.

    Raises:
        ConfigError: the address or the certificate cannot be used, or neither can the file of the
            state.
    """
    from redraft.server import create_app

    place.check_certificate()
    app = create_app(models, settings, recogniser)
    listen(app, settings, place, ", ".join(models), browser=browser)


def listen(
    app: FastAPI, settings: Settings, place: Place, summary: str, *, browser: bool = False
) -> None:
    """Serve an application until SIGTERM or Ctrl-C, as `run` does.

    Args:
        summary: the models, for the line that says where they are.
    """
    from redraft.cli.graceful import GracefulServer

    for warning in warnings_of(place, settings):
        errors.print(f"redraft: {warning}")
    sys.setswitchinterval(SWITCH_INTERVAL)
    # After uvicorn's own handler has ended the server, the process ends with status 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = GracefulServer(app, settings.grace, app.state.stop, certificate=place.certificate)
    with listening_at(place, settings.stall_timeout) as listening:
        address = place.address(listening)
        page = "" if place.unix_socket else f", the page at {address}"
        where = address if place.unix_socket else f"{address}/v1"
        errors.print(f"redraft: {summary} at {where}{page}, Ctrl-C stops", highlight=False)
        if browser:
            # The socket listens already: the browser waits for the server.
            webbrowser.open(address)
        # What is loaded stays. To look at all of it once more, the collector would hold the
        # interpreter for half a second whenever a request makes many objects.
        gc.freeze()
        server.run([listening])


def warnings_of(place: Place, settings: Settings) -> list[str]:
    """Return what a server at a place should be warned of before it is open to others."""
    if not place.is_open:
        return []
    found: list[str] = []
    if not settings.all_keys:
        found.append(
            f"everyone who reaches {place.host} can use this server: set {KEY}, or give --api-keys"
        )
    elif place.certificate is None:
        found.append("keys and texts cross the network unencrypted: give --tls-cert, or a proxy")
    if settings.hosts is None:
        found.append(
            "web pages that your browser opens may reach this server by a name of theirs: name "
            "its own with --allowed-host"
        )
    return found
