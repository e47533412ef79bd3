"""`redraft generate`: one text, live in a terminal, plain in a pipe, JSON when asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from redraft.api import Model, load
from redraft.cli.view import show, summary
from redraft.config import GenerationConfig
from redraft.diffusion import as_sampler, as_stopping
from redraft.engine import Method
from redraft.errors import ConfigError, EmptyPromptError, RequestError, UnknownOptionError
from redraft.events import Committed, Event, Finished
from redraft.grammar import Constraint

errors = Console(stderr=True)


@dataclass(frozen=True)
class Job:
    """What `redraft generate` was asked for."""

    model: str
    prompt: str | None
    raw: bool
    typewriter: bool
    json: bool
    dtype: str
    device: str
    constraint: Constraint | None = None
    sampler: str | None = None
    stopping: str | None = None

    def settings(self, assignments: list[str], **named: Any) -> dict[str, Any]:
        """Options of the call: those with an option of their own, and NAME=VALUE for all others."""
        known = {f.name for f in fields(GenerationConfig)}
        settings = given(**named)
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
        if isinstance(settings.get("logit_bias"), dict):  # JSON has strings for keys
            pairs = settings["logit_bias"].items()
            settings["logit_bias"] = {
                int(token) if token.isdecimal() else token: bias for token, bias in pairs
            }
        if unknown := set(settings) - known:
            raise UnknownOptionError(
                f"--set {sorted(unknown)[0]}: options are {', '.join(sorted(known))}"
            )
        return settings


def given(**options: Any) -> dict[str, Any]:
    """The options that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def open_model(path_or_id: str, dtype: str, device: str) -> Model:
    """Load a model behind a progress bar, which shows in a terminal only."""
    columns = (TextColumn("loading"), BarColumn(), MofNCompleteColumn(), TextColumn("tensors"))
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("loading", total=None)
        return load(
            path_or_id,
            dtype=dtype,
            device=device,
            progress=lambda n, of: bar.update(task, completed=n, total=of),
        )


def write(job: Job, settings: dict[str, Any]) -> None:
    """Write one text to standard output; an interrupt leaves what was committed and exits with
    130."""
    prompt = _prompt(job.prompt)
    if not prompt:
        raise EmptyPromptError(
            "there is nothing to write about: give --prompt TEXT, or pipe a text in"
        )
    # A bad option is an error before the model is loaded.
    GenerationConfig().with_options(settings)
    as_sampler(job.sampler)
    as_stopping(job.stopping)
    model = open_model(job.model, job.dtype, job.device)
    method: Method = "typewriter" if job.typewriter else "diffusion"
    plain = job.raw or model.chat_template is None
    events = model.stream(
        prompt if plain else None,
        messages=None if plain else [{"role": "user", "content": prompt}],
        method=method,
        constraint=job.constraint,
        sampler=job.sampler,
        stopping=job.stopping,
        **settings,
    )
    try:
        if job.json:
            print(json.dumps(as_json(_last(events)), ensure_ascii=False))
        elif sys.stdout.isatty():
            show(
                events,
                model,
                Console(),
                model.generation_config.with_options(settings).eos_token_id,
            )
        else:
            _plain(events)
    except KeyboardInterrupt:
        sys.exit(130)


def _prompt(given: str | None) -> str | None:
    """The prompt itself, or standard input for "-" and for a pipe."""
    if given != "-" and (given is not None or sys.stdin is None or sys.stdin.isatty()):
        return given
    if sys.stdin is None:
        raise EmptyPromptError("standard input is closed: give --prompt TEXT")
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"standard input is not UTF-8 text: {error}") from None


def as_json(finished: Finished) -> dict[str, Any]:
    """The finished text as `redraft generate --json` prints it."""
    return {name: value for name, value in asdict(finished).items() if name != "history"}


def _last(events: Iterator[Event]) -> Finished:
    return next(event for event in events if isinstance(event, Finished))


def _plain(events: Iterator[Event]) -> None:
    for event in events:
        if isinstance(event, Committed):
            sys.stdout.write(event.text)
            sys.stdout.flush()
        elif isinstance(event, Finished):
            sys.stdout.write("\n")
            errors.print(summary(event.statistics, event.seed), style="dim", soft_wrap=True)
