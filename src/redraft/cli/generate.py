"""`redraft generate`: one text, live in a terminal, plain in a pipe, or as one JSON object."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Console

from redraft.cli.constraints import constraint_of
from redraft.cli.default_model import default_model
from redraft.cli.familiar import check_familiar
from redraft.cli.images import image_parts, user_message
from redraft.cli.log_book import note
from redraft.cli.options import (
    AutoregressiveFlag,
    ChoiceOption,
    ControlTokensOption,
    DefaultModelOption,
    DeviceOption,
    DtypeOption,
    GrammarOption,
    ImageOption,
    JsonOption,
    LengthOption,
    MethodOption,
    RegexOption,
    SamplerOption,
    SchemaOption,
    SeedOption,
    SoftTokensOption,
    StoppingOption,
    ThinkingOption,
    VisionOption,
    checked_strategies,
    given,
)
from redraft.cli.progress import errors, open_model
from redraft.cli.remarks import on_answer, on_prompt, remark
from redraft.cli.texts import without_last_line_end
from redraft.cli.view import show, summary
from redraft.config import GenerationConfig, GenerationOptions
from redraft.config.generation import OTHER_NAMES
from redraft.errors import ConfigError, EmptyPromptError, RequestError, UnknownOptionError
from redraft.events import Committed, Event, Finished

if TYPE_CHECKING:
    from redraft.engine.processor import PromptOptions
    from redraft.text import Message


def generate(
    text: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="The prompt; - reads standard input.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", "-p", help="Another way to give PROMPT.")
    ] = None,
    model: DefaultModelOption = None,
    raw: Annotated[
        bool, typer.Option(help="Continue the prompt as plain text, without the chat template.")
    ] = False,
    no_bos: Annotated[
        bool,
        typer.Option("--no-bos", help="With --raw: put no special tokens around the text."),
    ] = False,
    image: ImageOption = None,
    max_soft_tokens: SoftTokensOption = None,
    vision: VisionOption = True,
    thinking: ThinkingOption = None,
    control_tokens: ControlTokensOption = False,
    method: MethodOption = "diffusion",
    autoregressive: AutoregressiveFlag = False,
    max_new_tokens: LengthOption = None,
    seed: SeedOption = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "-s", metavar="NAME=VALUE", help="Any other setting, e.g. -s top_p=0.9."
        ),
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="End the text before this string; may be repeated.")
    ] = None,
    sampler: SamplerOption = None,
    stopping: StoppingOption = None,
    json_schema: SchemaOption = None,
    regex: RegexOption = None,
    choice: ChoiceOption = None,
    grammar: GrammarOption = None,
    as_json: JsonOption = False,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
) -> None:
    """Generate a text, and show its drafts.

    A terminal shows how each draft settles; a pipe gets the text alone.
    """
    from redraft.engine.request import checked_method

    constraint = constraint_of(json_schema, regex, choice, grammar)
    options = parse_settings(option or [])
    options |= given(max_new_tokens=max_new_tokens, seed=seed, stop=tuple(stop) if stop else None)
    chosen = checked_method("autoregressive" if autoregressive else method)
    if text is not None and prompt is not None:
        raise RequestError("give PROMPT or --prompt, not both")
    given_text = prompt if text is None else text
    alone = image and given_text is None and _is_terminal()
    text = "" if alone else _read_prompt(given_text)
    images = image_parts(image or [], max_soft_tokens)
    name = model or default_model(text, images=bool(images))
    # An option that cannot be used is reported before the model is loaded.
    GenerationConfig().with_options(options)
    strategies = checked_strategies(sampler, stopping)
    loaded = open_model(name, dtype, device, vision=vision)
    plain = raw or loaded.chat_template is None
    if plain and images:
        raise ConfigError("--image needs the chat template of a checkpoint: leave out --raw")
    around = _prompt_options(plain, no_bos, thinking, control_tokens)
    messages: list[Message] | None = None if plain else [user_message(text, images)]
    check_familiar(loaded, name, prompt=text if plain else None, messages=messages)
    events = loaded.stream(
        text if plain else None,
        messages=messages,
        method=chosen,
        constraint=constraint,
        **strategies,
        **around,
        **options,
    )
    try:
        if as_json:
            finished = _last(events)
            print(json.dumps(to_json(finished), ensure_ascii=False))
        elif sys.stdout.isatty():
            ends = loaded.generation_config.with_options(options).eos_token_id
            finished = show(events, loaded, Console(), ends)
        else:
            finished = _print_plain(events)
        # Behind the answer: a request that is refused is told in one line.
        remark(None if raw else on_prompt(name, text))
        if chosen == "diffusion":
            settings = loaded.generation_config.with_options(options)
            remark(*on_answer(finished, settings.max_denoising_steps))
        note("generate", name, text, finished)
    except KeyboardInterrupt:
        # Text that was committed stays on the screen.
        sys.exit(130)


def _prompt_options(
    plain: bool, no_bos: bool, thinking: bool | None, control_tokens: bool
) -> PromptOptions:
    """Return the options of a plain prompt, or of a message.

    Raises:
        ConfigError: an option is of the other.
    """
    if plain:
        if thinking is not None or control_tokens:
            raise ConfigError(
                "--thinking and --control-tokens are for a chat template: leave them out with --raw"
            )
        return {"add_special_tokens": not no_bos}
    if no_bos:
        raise ConfigError("--no-bos needs --raw: a chat template writes its own")
    return {"thinking": thinking, "sanitize_control_tokens": not control_tokens}


def parse_settings(assignments: list[str]) -> GenerationOptions:
    """Return the settings of a list of NAME=VALUE, with values in JSON.

    Raises:
        ConfigError: the form is another, or the value is not JSON.
        UnknownOptionError: there is no such setting.
    """
    settings: dict[str, object] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment} must have the form NAME=VALUE")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            raise ConfigError(
                f"--set {assignment}: {value!r} is not a number, a list or an object in JSON"
            ) from None
    bias = settings.get("logit_bias")
    if isinstance(bias, dict):
        # JSON has strings for keys.
        settings["logit_bias"] = {
            int(token) if token.isdecimal() else token: value for token, value in bias.items()
        }
    known = {field.name for field in fields(GenerationConfig)} | set(OTHER_NAMES)
    if unknown := set(settings) - known:
        raise UnknownOptionError(
            f"--set {sorted(unknown)[0]}: options are {', '.join(sorted(known))}"
        )
    return cast(GenerationOptions, settings)


def _is_terminal() -> bool:
    return sys.stdin is None or sys.stdin.isatty()


def _read_prompt(prompt: str | None) -> str:
    """Return the prompt itself, or standard input for "-" and for a pipe.

    The line end behind the last line of standard input is not part of the prompt.
    """
    if prompt == "-" or (prompt is None and sys.stdin is not None and not sys.stdin.isatty()):
        if sys.stdin is None:
            raise EmptyPromptError("standard input is closed: give a prompt")
        try:
            prompt = without_last_line_end(sys.stdin.buffer.read().decode("utf-8"))
        except UnicodeDecodeError as error:
            raise RequestError(f"standard input is not UTF-8 text: {error}") from None
    if not prompt:
        raise EmptyPromptError("there is nothing to write about: give a prompt, or pipe a text in")
    return prompt


def to_json(finished: Finished) -> dict[str, object]:
    """Return the finished text as `redraft generate --json` prints it."""
    return {name: value for name, value in asdict(finished).items() if name != "history"}


def _last(events: Iterator[Event]) -> Finished:
    return next(event for event in events if isinstance(event, Finished))


def _print_plain(events: Iterator[Event]) -> Finished:
    """Print text as it is committed, and the figures to standard error; return the end."""
    for event in events:
        if isinstance(event, Committed):
            sys.stdout.write(event.text)
            sys.stdout.flush()
        elif isinstance(event, Finished):
            sys.stdout.write("\n")
            errors.print(summary(event.statistics, event.seed), style="dim", soft_wrap=True)
            finished = event
    return finished
