"""`redraft chat`: a conversation in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from redraft.cli.familiar import check_familiar
from redraft.cli.options import (
    DeviceOption,
    DtypeOption,
    LengthOption,
    ModelOption,
    SamplerOption,
    SeedOption,
    StoppingOption,
    ThinkingOption,
    checked_strategies,
    given,
)
from redraft.cli.progress import open_model
from redraft.cli.view import show
from redraft.errors import RequestError

if TYPE_CHECKING:
    from redraft.text import Message


def chat(
    model: ModelOption,
    system: Annotated[
        str | None, typer.Option(help="A system message at the start of the conversation.")
    ] = None,
    thinking: ThinkingOption = None,
    max_new_tokens: LengthOption = None,
    seed: SeedOption = None,
    sampler: SamplerOption = None,
    stopping: StoppingOption = None,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
) -> None:
    """Chat with a model.

    /reset starts again, /quit leaves, Ctrl-C stops an answer. Without --max-new-tokens an answer
    may be as long as the context and the memory allow.
    """
    strategies = checked_strategies(sampler, stopping)
    loaded = open_model(model, dtype, device)
    options = given(max_new_tokens=max_new_tokens, seed=seed)
    console = Console()
    opening: list[Message] = [{"role": "system", "content": system}] if system else []
    messages = list(opening)
    while True:
        try:
            question = console.input("[bold]> [/bold]").strip()
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
        if question == "/quit":
            return
        if question == "/reset":
            messages = list(opening)
            continue
        if not question:
            continue
        conversation = [*messages, {"role": "user", "content": question}]
        try:
            check_familiar(loaded, model, messages=conversation)
            if max_new_tokens is None:
                prompt = loaded.chat_prompt(conversation, thinking=thinking)
                options["max_new_tokens"] = loaded.tokens_left(prompt)
            events = loaded.stream(
                messages=conversation, thinking=thinking, **strategies, **options
            )
            finished = show(events, loaded, console)
        except RequestError as error:
            console.print(f"redraft: {error}", style="red", markup=False)
            continue
        except KeyboardInterrupt:
            console.print("(stopped)", style="dim")
            continue
        # The answer alone goes into the history: reasoning is not repeated to the model.
        messages = [*conversation, {"role": "assistant", "content": finished.text}]
