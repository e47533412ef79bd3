"""Both ways of writing on a CUDA device, with the same weights: by diffusion, and token by token.

Both run in CUDA graphs. A canvas takes a fixed number of steps; what a text of one more canvas
takes longer is a canvas's time, so that the prompt drops out. `crossing_steps` is the number of
steps a canvas at which both write as fast: with fewer, diffusion is faster.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

STEPS = (12, 16, 24, 48)
# Tokens of the two texts whose difference is the time of autoregressive tokens.
FEW_TOKENS, MORE_TOKENS = 32, 160


def line_through(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return (offset, slope) of the least-squares line through points (x, y); at least two."""
    mean_x = statistics.fmean(x for x, _ in points)
    mean_y = statistics.fmean(y for _, y in points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return mean_y - slope * mean_x, slope


def crossing_steps(canvas_seconds: dict[int, float], token_seconds: float, length: int) -> float:
    """Return the steps a canvas at which a canvas takes as long as its tokens one by one.

    Args:
        canvas_seconds: of a canvas, by its steps: two numbers of steps at least.
        token_seconds: of an autoregressive token; all rows of the batch write one in that time.
        length: tokens of a canvas.
    """
    offset, slope = line_through([(float(steps), spent) for steps, spent in canvas_seconds.items()])
    return (length * token_seconds - offset) / slope


def summary(
    canvas_seconds: dict[int, float], token_seconds: float, length: int, batch: int
) -> dict[str, Any]:
    """Return tokens a second of both ways, how often diffusion is as fast, and the crossing."""
    typed = batch / token_seconds
    written = {steps: batch * length / spent for steps, spent in canvas_seconds.items()}
    return {
        "autoregressive_tokens_per_second": typed,
        "diffusion_tokens_per_second": written,
        "times_as_fast": {steps: rate / typed for steps, rate in written.items()},
        "crossing_steps": crossing_steps(canvas_seconds, token_seconds, length),
    }


def parse() -> argparse.Namespace:
    """Read the command line."""
    from redraft.quant import FORMATS

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--format", choices=("bf16", *FORMATS), default="bf16")
    parser.add_argument("--group", type=int, default=64, help="weights that share a scale, in int4")
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--prefix", type=int, default=1024, help="tokens of each prompt")
    parser.add_argument("--batch", type=int, action="append", help="texts at a time; repeatable")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        parser.error("this needs a CUDA device")
    return args


def main() -> None:
    """Measure and print."""
    args = parse()
    import torch
    from gpu import UNSETTLED, elapsed, random_network

    from redraft.api import Model
    from redraft.config.presets import PRESETS

    full = PRESETS["26b"]
    layer_types = full.layer_types[-args.layers :]
    config = replace(full, num_hidden_layers=args.layers, layer_types=layer_types)
    model = Model(random_network(config, args.format, args.group))
    length = config.canvas_length
    generator = torch.Generator().manual_seed(0)

    def seconds_of(prompts: list[list[int]], tokens: int, **options: Any) -> float:
        def write() -> None:
            texts = model.generate(
                prompts, max_new_tokens=tokens, eos_token_id=(), seed=1, **options, **UNSETTLED
            )
            assert all(len(text.tokens) == tokens for text in texts)

        write()  # kernels are compiled, and graphs captured
        return statistics.median(elapsed(write) for _ in range(args.rounds))

    found = {}
    for batch in args.batch or [1, 8]:
        shape = (batch, args.prefix)
        prompts = torch.randint(200, config.vocab_size, shape, generator=generator).tolist()
        few, more = (
            seconds_of(prompts, tokens, method="autoregressive", temperature=1.0)
            for tokens in (FEW_TOKENS, MORE_TOKENS)
        )
        token = (more - few) / (MORE_TOKENS - FEW_TOKENS)
        canvas: dict[int, float] = {}
        for steps in STEPS:
            # The graph of a commit is captured at its third time, within the first text.
            two, three = (
                seconds_of(prompts, canvases * length, max_denoising_steps=steps)
                for canvases in (4, 5)
            )
            canvas[steps] = three - two
        found[batch] = summary(canvas, token, length, batch)
    machine = f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    figures = {"batches": found, "graphs": model.network.cuda_graphs.kinds(), "machine": machine}
    print(json.dumps({"benchmark": "gpu_methods", **vars(args), **figures}))


if __name__ == "__main__":
    main()
