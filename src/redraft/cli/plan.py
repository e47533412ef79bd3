"""`redraft plan`: what a machine writes for how many users."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from redraft.cli.bench import TYPICAL_STEPS
from redraft.cli.options import GIB, JsonOption, PictureOption
from redraft.errors import ConfigError

if TYPE_CHECKING:
    from redraft.capacity.costs import Costs
    from redraft.capacity.plan import CapacityPlan

USABLE = 0.94  # of a card's memory
DEFAULT_BATCH, CONSTANTS_BATCH = 64, 8


def plan(
    gpu: Annotated[
        str | None,
        typer.Option(
            help="A card: h100, h200, a100, l4, l40s, rtx-pro-6000, rtx-5090, rtx-4090, rtx-3090."
        ),
    ] = None,
    constants: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What `redraft bench` measured, in place of a card."),
    ] = None,
    model: Annotated[str, typer.Option("--model", "-m", help="A shape: 26b.")] = "26b",
    format_: Annotated[
        str, typer.Option("--format", help="Of the weights: bf16, int8, fp8, int4 or nvfp4.")
    ] = "bf16",
    users: Annotated[int, typer.Option(help="Users at a time.", min=1)] = 1,
    prompt: Annotated[int, typer.Option(help="Tokens of a prompt.", min=0)] = 1000,
    answer: Annotated[int, typer.Option(help="Tokens of an answer.", min=1)] = 500,
    steps: Annotated[
        float | None,
        typer.Option(
            help="Denoising steps of a canvas. Unless given: the file's, or 16.",
            min=1,
            show_default=False,
        ),
    ] = None,
    think: Annotated[
        float, typer.Option(help="Seconds that a user reads before the next request.", min=0)
    ] = 0.0,
    batch: Annotated[
        int | None,
        typer.Option(
            help="The largest batch. Unless given: 64 on a card, or what its memory holds; 8 with "
            "--constants.",
            min=1,
            show_default=False,
        ),
    ] = None,
    per_user: Annotated[
        float,
        typer.Option(help="Tokens a second that each of the users held should get.", min=0.001),
    ] = 20.0,
    price: Annotated[
        float | None, typer.Option(help="The price of the machine for an hour.", min=0)
    ] = None,
    picture: PictureOption = None,
    as_json: JsonOption = False,
) -> None:
    """Plan a server: steps a second, users held, times, memory and cost.

    For diffusion, and for the same weights from left to right.

    The constants of the H100 were measured; other cards are estimated from them and from their
    makers' figures. Your own machine: `redraft bench`, then --constants.
    """
    from redraft.capacity.costs import Measured
    from redraft.capacity.plan import make_plan
    from redraft.capacity.plot import check_plotting, plot_plan
    from redraft.capacity.queueing import Load

    if (gpu is None) == (constants is None):
        raise ConfigError("give either --gpu or --constants (a file of `redraft bench`)")
    if picture is not None:
        check_plotting()
    costs: Costs
    memory: Callable[[int], int] | None = None
    limit: int | None = None
    if constants is not None:
        measured = Measured.read_from(constants)
        costs = measured
        title = f"{measured.model} on {measured.machine}"
        usual, most = measured.steps, CONSTANTS_BATCH
    else:
        costs, memory, limit = _card(str(gpu), model, format_, prompt + answer)
        title, usual, most = f"{model} in {format_} on {gpu}", TYPICAL_STEPS, DEFAULT_BATCH
    load = Load(
        users=users,
        prompt=prompt,
        answer=answer,
        steps=usual if steps is None else steps,
        think=think,
        batch=most if batch is None else batch,
    )
    found = make_plan(
        costs, load, per_user=per_user, price=price, memory=memory, memory_limit=limit
    )
    if picture is not None:
        plot_plan(found, title, picture)
    if as_json:
        print(json.dumps({"title": title} | found.to_json()))
    else:
        _show(found, title)


def _card(
    name: str, model: str, format_: str, context: int
) -> tuple[Costs, Callable[[int], int], int]:
    """Return the costs of a card, the bytes of a batch on it, and its usable memory."""
    import torch

    from redraft.capacity.cards import CARDS
    from redraft.capacity.costs import Roofline
    from redraft.checkpoint.memory_plan import plan_memory
    from redraft.checkpoint.quantize import Quantization
    from redraft.config.presets import PRESETS

    if name not in CARDS:
        raise ConfigError(f"--gpu {name!r} is none of {', '.join(CARDS)}")
    if model not in PRESETS:
        raise ConfigError(f"--model {model!r} is none of {', '.join(PRESETS)}: see redraft bench")
    config = PRESETS[model]
    costs = Roofline(config, CARDS[name], format_)
    # redraft does not write NVFP4; its bytes are those of int4 in groups of 32.
    kind = {"nvfp4": ("int4", 32)}.get(format_, (format_, 64))
    quantization = None if format_ == "bf16" else Quantization(*kind)

    def memory(rows: int) -> int:
        found = plan_memory(
            config, dtype=torch.bfloat16, quantization=quantization, context=context, batch=rows
        )
        return found.memory.total

    return costs, memory, int(CARDS[name].memory * USABLE)


def _show(found: CapacityPlan, title: str) -> None:
    """Print a plan as a table."""
    load = found.load
    source = "estimated from an H100's" if found.estimated else "measured"
    print(f"{title}: constants {source}; {load.users} users, prompts of {load.prompt} tokens,")
    print(f"answers of {load.answer}, {load.steps:g} steps a canvas, a batch of {load.batch}")
    print()
    head = ["", "diffusion", "autoregressive"]
    both = (found.diffusion, found.autoregressive)
    rows = [
        ["passes a second", *(f"{one.passes_per_second:.1f}" for one in both)],
        ["tokens a second, all", *(f"{one.tokens_per_second:.0f}" for one in both)],
        ["tokens a second, each", *(f"{one.per_user:.1f}" for one in both)],
        ["seconds of waiting", *(f"{one.wait:.2f}" for one in both)],
        ["seconds to first draft", f"{found.diffusion.first_draft:.2f}", "-"],
        ["seconds to first text", *(f"{one.first_text:.2f}" for one in both)],
        ["seconds to the answer", *(f"{one.answer_seconds:.2f}" for one in both)],
    ]
    costs = (found.cost, found.autoregressive_cost)
    if found.cost is not None:
        rows.append(["price of a million tokens", *(f"{one:.2f}" for one in costs)])
    for first, *others in [head, *rows]:
        print(f"  {first:<26}" + "".join(f"{one:>16}" for one in others))
    print()
    print(f"users held at {found.per_user:g} tokens a second each: {found.users_held}")
    if found.memory is not None and found.memory_limit is not None:
        fits = "fits" if found.memory <= found.memory_limit else "DOES NOT FIT"
        print(f"memory: {found.memory / GIB:.1f} of {found.memory_limit / GIB:.1f} GiB: {fits}")
    if found.cheaper_from is None:
        print(f"diffusion writes more in all up to the batch of {load.batch}")
    else:
        print(
            f"the autoregressive model writes more in all, and cheaper, from {found.cheaper_from}"
            " users on"
        )
