"""Long contexts: what a step costs behind a long prefix over behind a short one, and how fast a
prompt is read."""

from __future__ import annotations

import statistics

import torch
from measure import arguments, gemm_rate, layer_flops, step_flops, tell
from shapes import SHAPES, checkpoint
from writers import Writer, prompts

FEW, MORE = 1, 5


def main() -> None:
    """Measure and tell."""
    parser = arguments(__doc__, rounds=3, peer="none")
    parser.add_argument("--short", type=int, default=256)
    parser.add_argument("--long", type=int, default=16384)
    given = parser.parse_args()
    dtype, shape = getattr(torch, given.dtype), SHAPES[given.model]
    lengths = {"short": given.short, "long": given.long}
    steps: dict[str, list[float]] = {name: [] for name in lengths}
    first: dict[str, list[float]] = {name: [] for name in lengths}
    with Writer("redraft", checkpoint(given.model, dtype), dtype, given.threads) as writer:
        asked = {name: prompts(1, length, shape.vocab_size) for name, length in lengths.items()}
        writer.write(asked["short"], shape.canvas_length, [MORE])  # warm
        for _ in range(given.rounds):
            for name in lengths:
                step, few = writer.step(asked[name], shape.canvas_length, FEW, MORE)
                steps[name].append(step)
                first[name].append(few - step)
    torch.set_num_threads(given.threads)
    step = {name: statistics.median(times) for name, times in steps.items()}
    prefill = statistics.median(first["long"])
    growth = step["long"] / step["short"]
    expected = step_flops(shape, given.long) / step_flops(shape, given.short)
    rate = gemm_rate(dtype)
    reading = layer_flops(shape, given.long, given.long / 2, states=False) / prefill / 1e9
    tell(
        "context", given,
        f"a step at {given.long} tokens takes {growth:.2f} times one at {given.short} (work: {expected:.2f}); "
        f"the prompt is read at {reading:.0f} of {rate:.0f} GFLOP/s",
        seconds=step, growth=growth, flops_growth=expected, over_expected=growth / expected, prefill_seconds=prefill,
        prefill_gflops=reading, gemm_gflops=rate, prefill_share=reading / rate,
    )  # fmt: skip


if __name__ == "__main__":
    main()
