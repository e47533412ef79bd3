"""Quantized weights against bfloat16: a denoising step, and the peak memory of the process."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from backends import Backend, random_prompts
from measure import alternate, benchmark_parser, median_ratio, medians, print_result
from shapes import SHAPES, checkpoint

from redraft.checkpoint import Quantization

FEW_STEPS, MORE_STEPS = 1, 4


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser(__doc__, rounds=5, peer="none")
    parser.add_argument("--prefix", type=int, default=256, help="tokens of the prompt")
    parser.add_argument("--group", type=int, default=64, help="weights that share a scale, in int4")
    args = parser.parse_args()
    shape = SHAPES[args.model]
    folder = checkpoint(args.model, torch.bfloat16)
    prompts = random_prompts(1, args.prefix, shape.vocab_size)
    formats: dict[str, Any] = {"bfloat16": torch.bfloat16}
    formats |= {name: Quantization(name, args.group) for name in ("int8", "int4", "fp8")}
    with ExitStack() as stack:
        backends, sides = {}, {}
        for name, format_ in formats.items():
            backend = stack.enter_context(Backend("redraft", folder, format_, args.threads))
            backend.generate(prompts, shape.canvas_length, [FEW_STEPS])  # warm

            def step(backend: Backend = backend) -> float:
                return backend.step(prompts, shape.canvas_length, FEW_STEPS, MORE_STEPS)[0]

            backends[name], sides[name] = backend, step
        times = alternate(sides, args.rounds)
        peaks = {name: backend.peak() for name, backend in backends.items()}
    seconds = medians(times)
    each = [
        f"{name} {1e3 * seconds[name]:.0f} ms a step, peak {peaks[name] / 1e6:.0f} MB"
        for name in formats
    ]
    quantized = [name for name in formats if name != "bfloat16"]
    print_result(
        "quantized",
        args,
        ", ".join(each),
        seconds=seconds,
        ratios={name: median_ratio(times, "bfloat16", name) for name in quantized},
        peak_bytes=peaks,
        loaded_bytes={name: backend.loaded for name, backend in backends.items()},
    )


if __name__ == "__main__":
    main()
