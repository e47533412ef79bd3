"""One denoising step: redraft against transformers on the same weights, in alternation.

A step is the difference between a run of few steps and one of more, for each step, so that loading
and the prompt drop out. It holds everything that a step needs: network, vocabulary pass, sampling,
acceptance, the stopping criterion.
"""

from __future__ import annotations

from contextlib import ExitStack

import torch
from backends import Backend, random_prompts
from measure import (
    alternate,
    benchmark_parser,
    gemm_rate,
    median_ratio,
    medians,
    print_result,
    step_flops,
)
from shapes import SHAPES, checkpoint

FEW_STEPS, MORE_STEPS = 2, 6


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--prefix", type=int, default=256, help="tokens of the prompt")
    args = parser.parse_args()
    dtype, shape = getattr(torch, args.dtype), SHAPES[args.model]
    folder = checkpoint(args.model, dtype)
    prompts = random_prompts(1, args.prefix, shape.vocab_size)
    names = ["redraft", *([args.peer] if args.peer != "none" else [])]
    with ExitStack() as stack:
        sides = {}
        for name in names:
            backend = stack.enter_context(Backend(name, folder, dtype, args.threads))

            def step(backend: Backend = backend) -> float:
                return backend.step(prompts, shape.canvas_length, FEW_STEPS, MORE_STEPS)[0]

            step()  # warm
            sides[name] = step
        times = alternate(sides, args.rounds)
    torch.set_num_threads(args.threads)
    seconds, rate = medians(times), gemm_rate(dtype)
    achieved = step_flops(shape, args.prefix) / seconds["redraft"] / 1e9
    each = ", ".join(f"{name} {value:.3f} s a step" for name, value in seconds.items())
    print_result(
        "step",
        args,
        f"{each}; {achieved:.0f} of {rate:.0f} GFLOP/s",
        seconds=seconds,
        ratio=median_ratio(times, args.peer, "redraft"),
        gflops=achieved,
        gemm_gflops=rate,
    )


if __name__ == "__main__":
    main()
