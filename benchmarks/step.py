"""One denoising step: redraft against transformers on the same weights, alternately, each in a
process of its own.

A step is what `generate` pays for one more of them: the difference between a run of few and one of
more, so that loading and the prompt drop out; everything that a step needs is in it: network,
vocabulary, sampling, acceptance, the stop test.
"""

from __future__ import annotations

from contextlib import ExitStack

import torch
from measure import arguments, gemm_rate, in_turn, median_ratio, medians, step_flops, tell
from shapes import SHAPES, checkpoint
from writers import Writer, prompts

FEW, MORE = 2, 6


def main() -> None:
    """Measure and tell."""
    parser = arguments(__doc__)
    parser.add_argument("--prefix", type=int, default=256)
    given = parser.parse_args()
    dtype, shape = getattr(torch, given.dtype), SHAPES[given.model]
    folder, asked = checkpoint(given.model, dtype), prompts(1, given.prefix, shape.vocab_size)
    names = ["redraft", *([given.peer] if given.peer != "none" else [])]
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(Writer(name, folder, dtype, given.threads)) for name in names
        }

        def step(writer: Writer) -> float:
            return writer.step(asked, shape.canvas_length, FEW, MORE)[0]

        for writer in writers.values():
            step(writer)  # warm
        taken = in_turn(
            {name: (lambda writer=writer: step(writer)) for name, writer in writers.items()},
            given.rounds,
        )
    torch.set_num_threads(given.threads)
    found, rate = medians(taken), gemm_rate(dtype)
    achieved = step_flops(shape, given.prefix) / found["redraft"] / 1e9
    ratio = median_ratio(taken, given.peer, "redraft")
    words = ", ".join(f"{name} {value:.3f} s a step" for name, value in found.items())
    tell(
        "step", given, f"{words}; {achieved:.0f} of {rate:.0f} GFLOP/s",
        seconds=found, ratio=ratio, gflops=achieved, gemm_gflops=rate,
    )  # fmt: skip


if __name__ == "__main__":
    main()
