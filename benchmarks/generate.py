"""Generation from end to end: redraft, transformers, and autoregressive decoding.

All have the same weights, and every canvas takes the same forced number of steps. Bytes of weights
are counted, not measured: a forward pass reads the layers' weights and the vocabulary once, and as
many experts as its tokens can be sent to. A machine that is bound by memory, as a GPU with one user
is, pays those bytes; a CPU computes.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import torch
from backends import Backend, random_prompts
from measure import alternate, benchmark_parser, median_ratio, medians, print_result
from shapes import SHAPES, checkpoint, weight_bytes


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser(__doc__, rounds=3)
    parser.add_argument("--prompt", type=int, default=256, help="tokens of each prompt")
    parser.add_argument("--tokens", type=int, default=512, help="new tokens of each text")
    parser.add_argument("--steps", type=int, default=16, help="denoising steps of a canvas")
    parser.add_argument("--rows", type=int, default=1, help="texts in the batch")
    args = parser.parse_args()
    dtype, shape = getattr(torch, args.dtype), SHAPES[args.model]
    folder = checkpoint(args.model, dtype)
    prompts = random_prompts(args.rows, args.prompt, shape.vocab_size)
    steps = [args.steps] * args.rows
    names = ["redraft", "autoregressive", *([args.peer] if args.peer != "none" else [])]
    with ExitStack() as stack:
        sides = {}
        for name in names:
            backend = stack.enter_context(Backend(name, folder, dtype, args.threads))
            backend.generate(prompts, 4, [1] * args.rows)  # warm
            sides[name] = partial(backend.generate, prompts, args.tokens, steps)
        times = alternate(sides, args.rounds)
    seconds = medians(times)
    canvases = -(-args.tokens // shape.canvas_length)
    passes = {"redraft": canvases * args.steps, "autoregressive": args.tokens}
    if args.peer != "none":
        # It reads the prompt, and each canvas but the last, in a forward pass of its own.
        passes[args.peer] = canvases * args.steps + canvases
    tokens_a_pass = dict.fromkeys(names, shape.canvas_length * args.rows)
    tokens_a_pass["autoregressive"] = args.rows
    total = args.tokens * args.rows
    weights = {
        name: count * weight_bytes(shape, dtype, tokens_a_pass[name]) / total
        for name, count in passes.items()
    }
    rates = {name: total / value for name, value in seconds.items()}
    each = [
        f"{name} {rates[name]:.0f} tokens/s ({passes[name]} passes, "
        f"{weights[name] / 1e6:.1f} MB a token)"
        for name in seconds
    ]
    print_result(
        "generate",
        args,
        ", ".join(each),
        seconds=seconds,
        tokens_per_second=rates,
        passes=passes,
        weight_bytes_per_token=weights,
        ratio=median_ratio(times, args.peer, "redraft"),
        over_autoregressive=median_ratio(times, "autoregressive", "redraft"),
    )


if __name__ == "__main__":
    main()
