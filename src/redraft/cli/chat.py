"""`redraft chat`: a conversation in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from redraft.cli.familiar import check_familiar
from redraft.cli.images import Part, image_parts, user_message
from redraft.cli.options import (
    DeviceOption,
    DtypeOption,
    LengthOption,
    ModelOption,
    SamplerOption,
    SeedOption,
    StoppingOption,
    ThinkingOption,
    VisionOption,
    checked_strategies,
    given,
)
from redraft.cli.progress import open_model
from redraft.cli.view import show
from redraft.errors import RequestError

if TYPE_CHECKING:
    from redraft.api import Model
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
    vision: VisionOption = True,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
) -> None:
    """Chat with a model.

    /image FILE shows it an image, together with what you write next. /reset starts again, /quit
    leaves, Ctrl-C stops an answer. Without --max-new-tokens an answer
    may be as long as the context and the memory allow.
    """
    strategies = checked_strategies(sampler, stopping)
    loaded = open_model(model, dtype, device, vision=vision)
    options = given(max_new_tokens=max_new_tokens, seed=seed)
    console = Console()
    opening: list[Message] = [{"role": "system", "content": system}] if system else []
    messages = list(opening)
    images: list[Part] = []
    while True:
        try:
            question = console.input("[bold]> [/bold]").strip()
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
        if question == "/quit":
            return
        if question == "/reset":
            messages, images = list(opening), []
            continue
        if question.partition(" ")[0] == "/image":
            images += _image(loaded, question.partition(" ")[2], console)
            continue
        if not question:
            continue
        conversation = [*messages, user_message(question, images)]
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
        messages, images = [*conversation, {"role": "assistant", "content": finished.text}], []


def _image(model: Model, name: str, console: Console) -> list[Part]:
    """Return the part of an image file; say how large it is, or what is wrong with it."""
    path = Path(name.strip().strip("'\""))
    try:
        if not name.strip():
            raise RequestError("/image needs a file: /image FILE")
        found = model.processor.image(path)
    except RequestError as error:
        console.print(f"redraft: {error}", style="red", markup=False)
        return []
    console.print(f"({path.name}: {found.soft_tokens} soft tokens)", style="dim", markup=False)
    return image_parts([path])
