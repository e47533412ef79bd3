"""A server under load: requests of mixed length and difficulty, against the reference's static
batches of the same size.

All requests come at once. The server's rows leave when they are done and others enter, over HTTP;
the reference takes them by `--batch` in their order, padded, each batch as long as its longest row,
in as many steps as its hardest.
"""

from __future__ import annotations

import random

import torch
from measure import arguments, in_turn, median_ratio, medians, tell
from shapes import SHAPES, checkpoint
from writers import SERVED, Writer, prompts

LENGTHS, CANVASES, STEPS = (16, 64, 192), (1, 1, 2), (2, 3, 4, 6, 8, 12)


def main() -> None:
    """Measure and tell."""
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("--requests", type=int, default=16)
    given = parser.parse_args()
    dtype, shape, rng = getattr(torch, given.dtype), SHAPES[given.model], random.Random(1)
    folder, count = checkpoint(given.model, dtype), given.requests
    asked = [prompts(1, rng.choice(LENGTHS), shape.vocab_size)[0] for _ in range(count)]
    counts = [rng.choice(CANVASES) * shape.canvas_length for _ in range(count)]
    steps = [rng.choice(STEPS) for _ in range(count)]

    def in_batches(writer: Writer) -> float:
        parts = [slice(first, first + SERVED) for first in range(0, count, SERVED)]
        return sum(writer.write(asked[part], counts[part], steps[part]) for part in parts)

    with Writer("server", folder, dtype, given.threads) as server:
        first = asked[:SERVED]
        server.write(first, [shape.canvas_length] * len(first), [1] * len(first))  # warm
        sides = {"redraft": lambda: server.write(asked, counts, steps)}
        if given.peer != "none":
            peer = Writer(given.peer, folder, dtype, given.threads)
            peer.write(asked[:2], shape.canvas_length, [1, 1])
            sides[given.peer] = lambda: in_batches(peer)
        taken = in_turn(sides, given.rounds)
    found, ratio = medians(taken), median_ratio(taken, given.peer, "redraft")
    tell(
        "serve", given,
        f"{count} requests, {sum(counts)} tokens: {sum(counts) / found['redraft']:.1f} tokens/s over HTTP"
        + (f", {ratio:.2f} times {given.peer} in batches of {SERVED}" if ratio else ""),
        seconds=found, tokens=sum(counts), batch=SERVED, ratio=ratio,
    )  # fmt: skip


if __name__ == "__main__":
    main()
