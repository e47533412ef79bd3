"""Generation from end to end: redraft, the reference, and the same weights as a typewriter;
seconds, and weights read a token.

Every canvas takes the same forced number of steps. Bytes of weights are counted, not measured: a
pass reads the layers' weights and the vocabulary once, and of the experts as many as its tokens can
be sent to. Whoever is bound by memory, as one user on a GPU is, pays those; a CPU computes.
"""

from __future__ import annotations

from contextlib import ExitStack

import torch
from measure import arguments, in_turn, median_ratio, medians, tell
from shapes import SHAPES, checkpoint, weight_bytes
from writers import Writer, prompts


def main() -> None:
    """Measure and tell."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rows", type=int, default=1, help="texts written at once")
    given = parser.parse_args()
    dtype, shape = getattr(torch, given.dtype), SHAPES[given.model]
    folder, asked = (
        checkpoint(given.model, dtype),
        prompts(given.rows, given.prompt, shape.vocab_size),
    )
    names = ["redraft", "typewriter", *([given.peer] if given.peer != "none" else [])]
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(Writer(name, folder, dtype, given.threads)) for name in names
        }
        for writer in writers.values():
            writer.write(asked, 4, [1] * given.rows)  # warm
        taken = in_turn(
            {
                name: (
                    lambda writer=writer: writer.write(
                        asked, given.tokens, [given.steps] * given.rows
                    )
                )
                for name, writer in writers.items()
            },
            given.rounds,
        )
    found = medians(taken)
    canvases = -(-given.tokens // shape.canvas_length)
    passes = {"redraft": canvases * given.steps, "typewriter": given.tokens}
    if given.peer != "none":
        passes[given.peer] = (
            canvases * given.steps + canvases
        )  # prompt, and every commit but the last, in passes of their own
    canvas_bytes = weight_bytes(shape, dtype, shape.canvas_length * given.rows)
    typed_bytes = weight_bytes(shape, dtype, given.rows)
    written = given.tokens * given.rows
    read = {
        name: count * (typed_bytes if name == "typewriter" else canvas_bytes) / written
        for name, count in passes.items()
    }
    rates = {name: written / value for name, value in found.items()}
    tell(
        "generate", given,
        ", ".join(
            f"{name} {rates[name]:.0f} tokens/s ({passes[name]} passes, {read[name] / 1e6:.1f} MB a token)" for name in found
        ),
        seconds=found, tokens_per_second=rates, passes=passes, weight_bytes_per_token=read,
        ratio=median_ratio(taken, given.peer, "redraft"), over_typewriter=median_ratio(taken, "typewriter", "redraft"),
    )  # fmt: skip


if __name__ == "__main__":
    main()
