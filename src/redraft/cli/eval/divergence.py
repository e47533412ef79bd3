"""`redraft eval divergence`: two models compared by their distributions, steps, texts and
answers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from redraft.cli.eval.figures import percent, plotter
from redraft.cli.options import (
    DeviceOption,
    FirstSeedOption,
    JsonOption,
    LengthOption,
    PictureOption,
    given,
)
from redraft.cli.progress import open_model, progress_bars
from redraft.errors import ConfigError

if TYPE_CHECKING:
    from redraft.api import Model
    from redraft.checkpoint import Quantization
    from redraft.config import GenerationOptions
    from redraft.evals.divergence import Divergence
    from redraft.evals.model_comparison import ModelComparison
    from redraft.evals.questions import Conversation, Question

EXAMPLES = 50  # of each held-out set, unless --count says otherwise
# The table has a row for each of the first steps, then for every fourth, and for the last.
FIRST_STEPS = 8


def measure_divergence(
    a: Annotated[str, typer.Argument(metavar="A", help="A checkpoint.")],
    b: Annotated[
        str | None, typer.Argument(metavar="B", help="Another checkpoint; or --quantize.")
    ] = None,
    quantize: Annotated[
        str | None, typer.Option(help="B is A quantized: int8, int4 or fp8.")
    ] = None,
    group: Annotated[
        int | None,
        typer.Option(help="int4: columns that share a scale: 32, 64 or 128; 64 unless given."),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="A file of prompts: one a line, or a .jsonl of messages. Unless given: held-out "
            "examples for a small model, 12 fixed prompts for another."
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            help=f"The number of prompts; of examples of each set, {EXAMPLES} unless given.", min=1
        ),
    ] = None,
    seed: FirstSeedOption = 0,
    max_new_tokens: LengthOption = None,
    same_signal: Annotated[
        bool,
        typer.Option(
            "--same-signal",
            help="B gets A's self-conditioning: this measures a single step, not the loop.",
        ),
    ] = False,
    batch: Annotated[int, typer.Option(help="The canvases of a batch.", min=1)] = 8,
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    device: DeviceOption = "auto",
    png: PictureOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two models with each other.

    Their distributions, steps, texts and answers. The distance of the distributions
    is the KL divergence on the canvases of A.
    """
    from redraft.evals.model_comparison import check_pair, compare_models
    from redraft.evals.questions import read_prompts

    quantization = _quantization(b, quantize, group)
    conversations = None if prompts is None else read_prompts(prompts)
    plot = None if png is None else plotter(png)
    first = open_model(a, dtype, device)
    second = _second(first, b, quantization, dtype, device)
    check_pair(first, second, same_signal=same_signal)
    options = given(max_new_tokens=max_new_tokens)
    questions = _questions((first, second), conversations, count, seed, options)
    with progress_bars(len(questions)) as begin:
        found = compare_models(
            first, second, questions, batch_size=batch, same_signal=same_signal, begin=begin
        )
    names = a, _second_name(a, b, quantization)
    if as_json:
        head = {"a": names[0], "b": names[1], "seed": seed, "same_signal": same_signal}
        print(json.dumps(head | asdict(found)))
    else:
        _print(found, names, same_signal)
    if plot is not None:
        plot.plot_divergence(found.distances, found.steps, f"A: {names[0]}, B: {names[1]}", png)


def _quantization(b: str | None, quantize: str | None, group: int | None) -> Quantization | None:
    """Return the quantization that makes B of A; None where B is a checkpoint.

    Raises:
        ConfigError: there is no B, or B is given twice.
    """
    from redraft.checkpoint import Quantization

    if (b is None) == (quantize is None):
        raise ConfigError(
            "divergence needs two checkpoints, A and B, or A alone and --quantize FORMAT"
        )
    if group is not None and quantize != "int4":
        raise ConfigError("--group is for --quantize int4")
    if quantize is None:
        return None
    return Quantization(quantize) if group is None else Quantization(quantize, group)


def _second(
    first: Model, b: str | None, quantization: Quantization | None, dtype: str, device: str
) -> Model:
    """Return B: a checkpoint, or A quantized."""
    from redraft.evals.model_comparison import quantized

    if quantization is not None:
        return quantized(first, quantization)
    assert b is not None
    return open_model(b, dtype, device)


def _questions(
    models: tuple[Model, Model],
    conversations: list[Conversation] | None,
    count: int | None,
    seed: int,
    options: GenerationOptions,
) -> list[Question]:
    """Return the prompts of a file, or else held-out examples of every set that a small model
    knows, or else fixed prompts."""
    from redraft.evals.questions import (
        PROMPTS,
        conversation_of,
        known_sets,
        questions_of_conversations,
        questions_of_sets,
    )

    sets = known_sets(*models) if conversations is None else []
    if sets:
        return questions_of_sets(models[0], sets, count or EXAMPLES, seed, options)
    conversations = conversations or [conversation_of(text) for text in PROMPTS]
    return questions_of_conversations(models[0], conversations[:count], seed, options)


def _second_name(a: str, b: str | None, quantization: Quantization | None) -> str:
    if quantization is None:
        return str(b)
    groups = f" in groups of {quantization.group}" if quantization.format == "int4" else ""
    return f"{a} in {quantization.format}{groups}"


def _print(found: ModelComparison, names: tuple[str, str], same_signal: bool) -> None:
    """Print the comparison as tables."""
    console = Console()
    console.print(f"A: {names[0]}\nB: {names[1]}\n{found.count} prompts", highlight=False)
    console.print(_distance_table(found.distance, found.distances, same_signal))
    both = Table("", "A", "B", "", title="both write, from the same seeds", title_justify="left")
    steps, agreement = found.steps, found.agreement
    ratio = f"B / A {steps.ratio:.3f} ({steps.low:.3f} to {steps.high:.3f})"
    both.add_row("steps a canvas", f"{steps.first:.2f}", f"{steps.second:.2f}", ratio)
    for row in found.solved:
        shares = _share(row.first, row.first_interval), _share(row.second, row.second_interval)
        both.add_row(f"{row.set} ({row.count})", *shares, f"only A {row.lost}, only B {row.gained}")
    console.print(both)
    console.print(
        f"agree on {percent(agreement.positions)} of positions, "
        f"{percent(agreement.written)} of those with text, "
        f"{percent(agreement.texts)} of whole texts",
        highlight=False,
        soft_wrap=True,
    )


def _share(share: float, interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{percent(share)} ({100 * low:.0f} to {100 * high:.0f})"


def _distance_table(whole: Divergence, distances: list[Divergence], same_signal: bool) -> Table:
    """Return the table of KL divergence and total variation: a row for each step, then one for
    all."""
    signal = ", with A's self-conditioning" if same_signal else ""
    shown = Table(
        "step",
        "canvases",
        "mean",
        "99 %",
        "mean in the text",
        "total variation",
        title=f"KL(A || B) in nats on A's own canvases{signal}, by step",
        title_justify="left",
    )
    rows = [row for row in distances if row.step <= FIRST_STEPS or row.step % 4 == 0]
    if distances and distances[-1] not in rows:
        rows.append(distances[-1])
    for row in [*rows, whole]:
        figures = (f"{number:.2g}" for number in (row.kl, row.kl_99, row.kl_written, row.variation))
        shown.add_row(str(row.step or "all"), str(row.canvases), *figures)
    return shown
