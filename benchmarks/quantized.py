"""Weights in few bits against whole ones: a denoising step, and the process's peak, each in a
process of its own."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from measure import arguments, in_turn, median_ratio, medians, tell
from shapes import SHAPES, checkpoint
from writers import Writer, prompts

from redraft.checkpoint import Quantization

FEW, MORE = 1, 4


def main() -> None:
    """Measure and tell."""
    parser = arguments(__doc__, rounds=5, peer="none")
    parser.add_argument("--prefix", type=int, default=256)
    parser.add_argument("--group", type=int, default=64)
    given = parser.parse_args()
    shape = SHAPES[given.model]
    folder, asked = (
        checkpoint(given.model, torch.bfloat16),
        prompts(1, given.prefix, shape.vocab_size),
    )
    formats: dict[str, Any] = {"bfloat16": torch.bfloat16}
    formats |= {name: Quantization(name, given.group) for name in ("int8", "int4", "fp8")}
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(Writer("redraft", folder, kind, given.threads))
            for name, kind in formats.items()
        }
        for writer in writers.values():
            writer.write(asked, shape.canvas_length, [FEW])  # warm
        sides = {
            name: lambda writer=writer: writer.step(asked, shape.canvas_length, FEW, MORE)[0]
            for name, writer in writers.items()
        }
        taken = in_turn(sides, given.rounds)
        peaks = {name: writer.peak() for name, writer in writers.items()}
        loaded = {name: writer.loaded for name, writer in writers.items()}
    found = medians(taken)
    ratios = {name: median_ratio(taken, "bfloat16", name) for name in formats if name != "bfloat16"}
    tell(
        "quantized", given,
        ", ".join(f"{name} {1e3 * found[name]:.0f} ms a step, peak {peaks[name] / 1e6:.0f} MB" for name in formats),
        seconds=found, ratios=ratios, peak_bytes=peaks, loaded_bytes=loaded,
    )  # fmt: skip


if __name__ == "__main__":
    main()
