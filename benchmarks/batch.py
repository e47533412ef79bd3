"""A batch of rows that need different numbers of steps: rows that are done leave, the reference's
batch waits for its last.

Two gains are told apart: `per_step` compares batches whose rows all need as many steps; `leaving`
is what redraft saves against itself when rows need fewer; `ratio` is both together, against the
reference's batch.
"""

from __future__ import annotations

from contextlib import ExitStack

import torch
from measure import arguments, in_turn, median_ratio, medians, tell
from shapes import SHAPES, checkpoint
from writers import Writer, prompts

STEPS = (4, 6, 8, 12, 16, 24, 32, 48)


def main() -> None:
    """Measure and tell."""
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument(
        "--alike", type=int, default=6, help="steps of each row in the batch of rows that are alike"
    )
    given = parser.parse_args()
    dtype, shape = getattr(torch, given.dtype), SHAPES[given.model]
    folder, asked = (
        checkpoint(given.model, dtype),
        prompts(len(STEPS), given.prompt, shape.vocab_size),
    )
    alike = [given.alike] * len(STEPS)
    with ExitStack() as stack:
        writers = {"redraft": stack.enter_context(Writer("redraft", folder, dtype, given.threads))}
        if given.peer != "none":
            writers[given.peer] = stack.enter_context(
                Writer(given.peer, folder, dtype, given.threads)
            )
        sides = {}
        for name, writer in writers.items():
            writer.write(asked, shape.canvas_length, [1] * len(STEPS))  # warm
            sides[name] = lambda writer=writer: writer.write(asked, shape.canvas_length, STEPS)
            sides[f"{name}, rows alike"] = lambda writer=writer: writer.write(
                asked, shape.canvas_length, alike
            )
        sides["redraft, all to the end"] = lambda: writers["redraft"].write(
            asked, shape.canvas_length, [max(STEPS)] * len(STEPS)
        )
        taken = in_turn(sides, given.rounds)
    found = medians(taken)
    per_step = median_ratio(taken, f"{given.peer}, rows alike", "redraft, rows alike")
    leaving = median_ratio(taken, "redraft, all to the end", "redraft")
    ratio = median_ratio(taken, given.peer, "redraft")
    tell(
        "batch", given,
        f"rows of {', '.join(map(str, STEPS))} steps: {len(STEPS) / found['redraft']:.2f} rows/s, "
        f"leaving early is worth {leaving:.2f}"
        + (f", {ratio:.2f} times {given.peer}, {per_step:.2f} of it a step" if ratio and per_step else ""),
        seconds=found, steps=STEPS, ratio=ratio, per_step=per_step, leaving=leaving,
    )  # fmt: skip


if __name__ == "__main__":
    main()
