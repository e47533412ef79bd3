"""`redraft eval divergence A B`: what a change of weights does to a model's distributions, steps,
texts and answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from redraft.api import Model
from redraft.checkpoint.quantize import Quantization
from redraft.cli.eval import percent, plotter
from redraft.cli.write import errors, given, open_model
from redraft.errors import ConfigError
from redraft.evals.divergence import Distance
from redraft.evals.questions import (
    PROMPTS,
    Conversation,
    Question,
    known_sets,
    of_sets,
    of_texts,
    read_prompts,
    said,
)
from redraft.evals.side_by_side import Comparison, check_pair, compare_pair, quantized

EXAMPLES = 50  # of each held-out set, unless told otherwise
FEW = 8  # steps that a terminal is told one by one; of later ones every fourth and the last


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be measured, in the words of the command line."""

    paths: tuple[str, ...]
    quantize: str | None
    group: int | None
    prompts: Path | None
    count: int | None
    seed: int
    max_new_tokens: int | None
    batch: int
    same_signal: bool
    dtype: str
    device: str

    def quantization(self) -> Quantization | None:
        """What makes B of A; None where B has a name of its own.

        Raises:
            ConfigError: there is no B, or two of them.
        """
        if len(self.paths) != (1 if self.quantize else 2):
            raise ConfigError(
                "divergence needs two checkpoints, A and B, or A alone and --quantize FORMAT"
            )
        if self.group is not None and self.quantize != "int4":
            raise ConfigError("--group is for --quantize int4")
        return Quantization(self.quantize, **given(group=self.group)) if self.quantize else None

    def models(self, quantization: Quantization | None) -> tuple[Model, Model]:
        """A and B."""
        first = open_model(self.paths[0], self.dtype, self.device)
        if quantization is not None:
            return first, quantized(first, quantization)
        return first, open_model(self.paths[1], self.dtype, self.device)

    def questions(
        self, first: Model, second: Model, prompts: list[Conversation] | None
    ) -> list[Question]:
        """Prompts that were given; else examples, of each set that a shipped model knows; else our
        own prompts."""
        options = given(max_new_tokens=self.max_new_tokens)
        sets = [] if prompts is not None else known_sets(first, second)
        if sets:
            return of_sets(first, sets, self.count or EXAMPLES, self.seed, options)
        conversations = prompts or [said(text) for text in PROMPTS]
        return of_texts(first, conversations[: self.count], self.seed, options)


def run(asked: Asked, png: Path | None, as_json: bool) -> None:
    """Compare two models, and tell it as tables, or as JSON, and as a picture."""
    quantization = asked.quantization()
    prompts = None if asked.prompts is None else read_prompts(asked.prompts)
    plot = plotter(png) if png is not None else None
    first, second = asked.models(quantization)
    check_pair(first, second, same_signal=asked.same_signal)
    questions = asked.questions(first, second, prompts)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:

        def begin(part: str) -> Callable[[], None]:
            return partial(bar.advance, bar.add_task(part, total=len(questions)))

        found = compare_pair(
            first,
            second,
            questions,
            batch_size=asked.batch,
            same_signal=asked.same_signal,
            begin=begin,
        )
    names = asked.paths[0], name_of_second(asked, quantization)
    if as_json:
        print(
            json.dumps(
                {"a": names[0], "b": names[1], "seed": asked.seed, "same_signal": asked.same_signal}
                | asdict(found)
            )
        )
    else:
        tell(found, names, asked.same_signal)
    if plot is not None and png is not None:
        plot.plot_divergence(found.distances, found.steps, f"A: {names[0]}, B: {names[1]}", png)


def name_of_second(asked: Asked, quantization: Quantization | None) -> str:
    """B, for a person."""
    if quantization is None:
        return asked.paths[1]
    groups = f" in groups of {quantization.group}" if quantization.format == "int4" else ""
    return f"{asked.paths[0]} in {quantization.format}{groups}"


def tell(found: Comparison, names: tuple[str, str], same_signal: bool) -> None:
    """The tables of a terminal."""
    console = Console()
    console.print(f"A: {names[0]}\nB: {names[1]}\n{found.count} prompts", highlight=False)
    console.print(distance_table(found.distance, found.distances, same_signal))
    both = Table("", "A", "B", "", title="both write, from the same seeds", title_justify="left")
    steps, agreement = found.steps, found.agreement
    ratio = f"B / A {steps.ratio:.3f} ({steps.low:.3f} to {steps.high:.3f})"
    both.add_row("steps a canvas", f"{steps.first:.2f}", f"{steps.second:.2f}", ratio)
    for row in found.solved:
        shares = [
            f"{percent(share)} ({100 * low:.0f} to {100 * high:.0f})"
            for share, (low, high) in (
                (row.first, row.first_interval),
                (row.second, row.second_interval),
            )
        ]
        both.add_row(f"{row.set} ({row.count})", *shares, f"only A {row.lost}, only B {row.gained}")
    console.print(both)
    same = f"{percent(agreement.positions)} of positions, {percent(agreement.written)} of those with text"
    console.print(
        f"agree on {same}, {percent(agreement.texts)} of whole texts",
        highlight=False,
        soft_wrap=True,
    )


def distance_table(whole: Distance, distances: list[Distance], same_signal: bool) -> Table:
    """KL and total variation, a row a step."""
    title = (
        "KL(A || B) in nats on A's own canvases"
        + (", under A's signal" if same_signal else "")
        + ", by step"
    )
    shown = Table(
        "step",
        "canvases",
        "mean",
        "99 %",
        "mean in the text",
        "total variation",
        title=title,
        title_justify="left",
    )
    last = len(distances)
    for row in [
        one for one in distances if one.step <= FEW or one.step % 4 == 0 or one.step == last
    ] + [whole]:
        figures = (f"{number:.2g}" for number in (row.kl, row.kl_99, row.kl_written, row.variation))
        shown.add_row(str(row.step or "all"), str(row.canvases), *figures)
    return shown
