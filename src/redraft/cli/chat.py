"""`redraft chat`: a conversation in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

import typer

from redraft.cli.chat_session import ChatSession
from redraft.cli.default_model import default_model
from redraft.cli.options import (
    DefaultModelOption,
    DeviceOption,
    DtypeOption,
    LengthOption,
    SamplerOption,
    SeedOption,
    StoppingOption,
    ThinkingOption,
    VisionOption,
    checked_strategies,
    given,
)
from redraft.cli.progress import open_model
from redraft.errors import RemoteEngineError, RequestError


def chat(
    model: DefaultModelOption = None,
    system: Annotated[
        str | None,
        typer.Option("--system", "-s", help="A system message at the start of the conversation."),
    ] = None,
    thinking: ThinkingOption = None,
    max_new_tokens: LengthOption = None,
    seed: SeedOption = None,
    sampler: SamplerOption = None,
    stopping: StoppingOption = None,
    connect: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Chat with a model of a server that speaks OpenAI's API, at http://HOST:PORT. -m "
            "then names one of its models; a key is read from $REDRAFT_API_KEY.",
        ),
    ] = None,
    vision: VisionOption = True,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
) -> None:
    """Chat with a model.

    /help lists the commands within it. Without --max-new-tokens an answer may be as long as the
    context and the memory allow.
    """
    with suppress(ImportError):
        import readline  # noqa: F401 - lines can be edited, and come back by the arrow keys

    strategies = checked_strategies(sampler, stopping)
    settings = {**strategies, **given(max_new_tokens=max_new_tokens, seed=seed)}
    if connect is not None:
        _converse(_connected(connect, model, system, thinking, settings))
        return
    name = model or default_model("")
    loaded = open_model(name, dtype, device, vision=vision)
    conversation = ChatSession(loaded, name, system, thinking, settings)
    if model is None:
        conversation.note(f"({name} answers; -m names another model, /help lists commands)")
    _converse(conversation)


def _connected(
    url: str,
    model: str | None,
    system: str | None,
    thinking: bool | None,
    settings: Mapping[str, Any],
) -> ChatSession:
    """Return a conversation with a model of a server."""
    from redraft.cli.remote_chat import RemoteChatSession
    from redraft.remote import connect

    conversation = RemoteChatSession(connect(url, model=model), system, thinking, settings)
    conversation.note(f"({conversation.remote.name} answers, at {url}; /help lists commands)")
    return conversation


def _converse(conversation: ChatSession) -> None:
    """Take lines until the user leaves."""
    while True:
        try:
            line = conversation.console.input("[bold]> [/bold]").strip()
        except (EOFError, KeyboardInterrupt):
            conversation.console.print()
            return
        if line == "/quit":
            return
        try:
            conversation.take(line)
        except (RequestError, RemoteEngineError) as error:
            conversation.console.print(f"redraft: {error}", style="red", markup=False)
