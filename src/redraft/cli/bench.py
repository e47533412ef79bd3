"""`redraft bench`: the constants of this machine, for `redraft plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from redraft.cli.default_model import default_model
from redraft.cli.options import DefaultModelOption, DeviceOption, DtypeOption, JsonOption
from redraft.cli.progress import errors, open_model

DEFAULT_FILE = Path("redraft-bench.json")
# Steps of a canvas: the middle of what is published of the 26B (12 to 28).
TYPICAL_STEPS = 16.0
REQUEST_SECONDS = 0.004  # of a CPU, for HTTP and JSON


def bench(
    model: DefaultModelOption = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file that `redraft plan` reads.")
    ] = DEFAULT_FILE,
    rows: Annotated[
        int, typer.Option("--batch", help="The largest batch that is measured.", min=2)
    ] = 8,
    rounds: Annotated[int, typer.Option(help="Rounds; medians of them are taken.", min=1)] = 3,
    steps: Annotated[
        float, typer.Option(help="Denoising steps that a canvas takes in your use.", min=1)
    ] = TYPICAL_STEPS,
    request: Annotated[
        float, typer.Option(help="Seconds of the server for a request.", min=0)
    ] = REQUEST_SECONDS,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure this machine with a model, and write the constants that `redraft plan` reads.

    Steps of batches of 1 to --batch rows behind two prefixes, the reading of prompts, and passes
    from left to right.
    """
    from redraft.capacity.measure import measure

    name = model or default_model("")
    loaded = open_model(name, dtype, device, vision=False)
    batches = [1 << power for power in range(rows.bit_length()) if 1 << power <= rows]
    found = measure(
        loaded,
        name,
        rows=batches,
        rounds=rounds,
        steps=steps,
        request=request,
        report=lambda text: errors.print(f"redraft: {text}", highlight=False),
    )
    found.write(output)
    if as_json:
        print(output.read_text(encoding="utf-8"), end="")
        return
    short = [f"{count}: {found.step(count, 100) * 1000:.1f} ms" for count in batches]
    print(f"a step behind 100 tokens, by rows: {', '.join(short)}")
    print(f"a prompt: {1 / found.prompt:.0f} tokens a second" if found.prompt else "a prompt: free")
    print(f"the constants are in {output}: redraft plan --constants {output} --users 8")
