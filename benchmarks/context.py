"""Long contexts: a step behind a long prefix over one behind a short one; the prefill rate."""

from __future__ import annotations

import statistics

import torch
from backends import Backend, random_prompts
from measure import benchmark_parser, gemm_rate, layer_flops, print_result, step_flops
from shapes import SHAPES, checkpoint

FEW_STEPS, MORE_STEPS = 1, 5


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser(__doc__, rounds=3, peer="none")
    parser.add_argument("--short", type=int, default=256, help="tokens of the short prefix")
    parser.add_argument("--long", type=int, default=16384, help="tokens of the long prefix")
    args = parser.parse_args()
    dtype, shape = getattr(torch, args.dtype), SHAPES[args.model]
    lengths = {"short": args.short, "long": args.long}
    steps: dict[str, list[float]] = {name: [] for name in lengths}
    prefills: dict[str, list[float]] = {name: [] for name in lengths}
    with Backend("redraft", checkpoint(args.model, dtype), dtype, args.threads) as backend:
        prompts = {
            name: random_prompts(1, length, shape.vocab_size) for name, length in lengths.items()
        }
        backend.generate(prompts["short"], shape.canvas_length, [MORE_STEPS])  # warm
        for _ in range(args.rounds):
            for name in lengths:
                step, first = backend.step(
                    prompts[name], shape.canvas_length, FEW_STEPS, MORE_STEPS
                )
                steps[name].append(step)
                prefills[name].append(first - step)
    torch.set_num_threads(args.threads)
    seconds = {name: statistics.median(times) for name, times in steps.items()}
    prefill = statistics.median(prefills["long"])
    growth = seconds["long"] / seconds["short"]
    expected = step_flops(shape, args.long) / step_flops(shape, args.short)
    rate = gemm_rate(dtype)
    prefill_rate = layer_flops(shape, args.long, args.long / 2, states=False) / prefill / 1e9
    print_result(
        "context",
        args,
        f"a step at {args.long} tokens takes {growth:.2f} times one at {args.short} "
        f"(work: {expected:.2f}); the prompt is read at {prefill_rate:.0f} of {rate:.0f} GFLOP/s",
        seconds=seconds,
        growth=growth,
        flops_growth=expected,
        over_expected=growth / expected,
        prefill_seconds=prefill,
        prefill_gflops=prefill_rate,
        gemm_gflops=rate,
        prefill_share=prefill_rate / rate,
    )


if __name__ == "__main__":
    main()
