"""`redraft serve`: the APIs of OpenAI and others over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redraft.cli import serving
from redraft.cli.listening import Place
from redraft.cli.options import (
    AdaptersOption,
    DeviceOption,
    DtypeOption,
    MaxReplicasOption,
    MemoryOption,
    ModelsOption,
    RayOption,
    ReplicaCpusOption,
    ReplicasOption,
    RequestNameOption,
    SpeechOption,
    VisionOption,
)
from redraft.cli.replicas import ReplicaOptions, run_replicas


def serve(
    model: ModelsOption = None,
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 admits other machines.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.", min=0, max=65535)] = 8000,
    adapter: AdaptersOption = None,
    name: RequestNameOption = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            help="A file with the API key that every request must carry. Unless given: "
            "$REDRAFT_API_KEY."
        ),
    ] = None,
    api_keys: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A TOML file with named keys: a table [keys.NAME] each, with key and, for limits, "
            "requests_per_minute, tokens_per_minute, running.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="The largest batch of a model.", min=1)] = 8,
    waiting: Annotated[
        int, typer.Option(help="The length of a model's waiting queue.", min=0)
    ] = 64,
    memory: MemoryOption = None,
    prefix_cache: Annotated[
        float | None,
        typer.Option(
            help="GiB of --memory for the prefix cache. Unless given: a quarter, at most 4.",
            min=0,
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            help="A file that keeps edit sessions and pages. Unless given: they end with the "
            "server."
        ),
    ] = None,
    grace: Annotated[
        float, typer.Option(help="Seconds that requests have to finish at a stop.", min=0)
    ] = 8.0,
    timeout: Annotated[
        float,
        typer.Option(
            help="Seconds in which every request ends; shortly before (a tenth, at most 30) its "
            "best draft is the answer. 0 sets no limit.",
            min=0,
        ),
    ] = serving.TIMEOUT,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name by which clients reach the server; may be repeated. Other names are "
            "refused, which stops DNS rebinding.",
        ),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="An origin (https://HOST) whose pages may use the server; may be repeated. Unless "
            "given: none but its own page.",
        ),
    ] = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="A reverse proxy (address, network, or unix) whose X-Forwarded-* headers are "
            "believed; may be repeated. Those of all others are dropped.",
        ),
    ] = None,
    unix_socket: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Listen at a unix socket, not at host and port."),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The certificate chain (PEM): speak TLS."),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The private key (PEM). Unless given: it is in --tls-cert."
        ),
    ] = None,
    root_path: Annotated[
        str,
        typer.Option(
            metavar="PREFIX",
            help="The path, such as /redraft, at which a reverse proxy has the server. The proxy "
            "may strip it or not.",
        ),
    ] = "",
    ray: RayOption = None,
    replicas: ReplicasOption = None,
    max_replicas: MaxReplicasOption = None,
    replica_cpus: ReplicaCpusOption = 1,
    speech: SpeechOption = None,
    vision: VisionOption = True,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
) -> None:
    """Serve the APIs of OpenAI, Anthropic, llama.cpp and Ollama over HTTP.

    Chat, completions, infill, structured output, tools, streams.
    """
    serving.check_packages()
    from redraft.batch.models import ModelsToLoad

    key = serving.read_key(api_key_file)
    options = ReplicaOptions(ray, replicas, max_replicas, replica_cpus)
    options.check()
    recogniser = serving.open_recogniser(speech)
    models = (
        {}
        if options.given
        else serving.open_models(model, name, dtype, device, adapter or (), vision=vision)
    )
    settings = serving.settings_of(
        models,
        host,
        key,
        batch=batch,
        waiting=waiting,
        memory=memory,
        prefix_cache=prefix_cache,
        state=state,
        grace=grace,
        timeout=timeout or None,
        allowed_hosts=allowed_host or (),
        root_path=root_path,
        keys=serving.read_named_keys(api_keys),
        cors_origins=cors_origin or (),
        proxies=proxy or (),
    )
    place = Place(host, port, unix_socket, tls_cert, tls_key)
    if options.given:
        paths, adapters = serving.model_paths(model, name, adapter or ())
        loaded = {one: str(path) for one, path in adapters.items()}
        source = ModelsToLoad(
            paths=paths, adapters=loaded, dtype=dtype, device=device, vision=vision
        )
        run_replicas(source, settings, speech, place, options)
        return
    serving.run(models, settings, recogniser, place)
