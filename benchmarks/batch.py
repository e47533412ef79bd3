"""A batch of rows that need different numbers of steps.

In redraft a row leaves when it is done; the reference's batch waits for its last row. Two gains are
measured apart: `per_step` compares batches whose rows need the same number of steps; `leaving` is
what redraft saves against itself when rows need fewer. `ratio` is both together, against the
reference's batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import torch
from backends import Backend, random_prompts
from measure import alternate, benchmark_parser, median_ratio, medians, print_result
from shapes import SHAPES, checkpoint

STEPS = (4, 6, 8, 12, 16, 24, 32, 48)


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser(__doc__, rounds=1)
    parser.add_argument("--prompt", type=int, default=64, help="tokens of each prompt")
    parser.add_argument("--alike", type=int, default=6, help="steps of each row in the equal batch")
    args = parser.parse_args()
    dtype, shape = getattr(torch, args.dtype), SHAPES[args.model]
    folder = checkpoint(args.model, dtype)
    prompts = random_prompts(len(STEPS), args.prompt, shape.vocab_size)

    def generate(backend: Backend, steps: Sequence[int]) -> float:
        return backend.generate(prompts, shape.canvas_length, steps)

    equal = [args.alike] * len(STEPS)
    with ExitStack() as stack:
        sides = {}
        for name in ("redraft", *([args.peer] if args.peer != "none" else [])):
            backend = stack.enter_context(Backend(name, folder, dtype, args.threads))
            generate(backend, [1] * len(STEPS))  # warm
            sides[name] = partial(generate, backend, STEPS)
            sides[f"{name}, rows alike"] = partial(generate, backend, equal)
            if name == "redraft":
                to_the_end = partial(generate, backend, [max(STEPS)] * len(STEPS))
        sides["redraft, all to the end"] = to_the_end
        times = alternate(sides, args.rounds)
    seconds = medians(times)
    per_step = median_ratio(times, f"{args.peer}, rows alike", "redraft, rows alike")
    leaving = median_ratio(times, "redraft, all to the end", "redraft")
    ratio = median_ratio(times, args.peer, "redraft")
    summary = (
        f"rows of {', '.join(map(str, STEPS))} steps: "
        f"{len(STEPS) / seconds['redraft']:.2f} rows/s, leaving early is worth {leaving:.2f}"
    )
    if ratio and per_step:
        summary += f", {ratio:.2f} times {args.peer}, {per_step:.2f} of it a step"
    print_result(
        "batch",
        args,
        summary,
        seconds=seconds,
        steps=STEPS,
        ratio=ratio,
        per_step=per_step,
        leaving=leaving,
    )


if __name__ == "__main__":
    main()
