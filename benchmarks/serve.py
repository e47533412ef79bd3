"""A server under load: requests of mixed length and difficulty, against static batches.

All requests come at once. In redraft's server, over HTTP, a row leaves when it is done and another
enters. The reference takes the requests in their order, in padded batches of the same size; each
batch is as long as its longest row, and takes as many steps as its hardest.
"""

from __future__ import annotations

import random

import torch
from backends import SERVER_BATCH, Backend, random_prompts
from measure import alternate, benchmark_parser, median_ratio, medians, print_result
from shapes import SHAPES, checkpoint

LENGTHS, CANVASES, STEPS = (16, 64, 192), (1, 1, 2), (2, 3, 4, 6, 8, 12)


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser(__doc__, rounds=1)
    parser.add_argument("--requests", type=int, default=16)
    args = parser.parse_args()
    dtype, shape, rng = getattr(torch, args.dtype), SHAPES[args.model], random.Random(1)
    folder, count = checkpoint(args.model, dtype), args.requests
    lengths = [rng.choice(LENGTHS) for _ in range(count)]
    prompts = [random_prompts(1, length, shape.vocab_size)[0] for length in lengths]
    counts = [rng.choice(CANVASES) * shape.canvas_length for _ in range(count)]
    steps = [rng.choice(STEPS) for _ in range(count)]

    def in_batches(backend: Backend) -> float:
        parts = [slice(first, first + SERVER_BATCH) for first in range(0, count, SERVER_BATCH)]
        return sum(backend.generate(prompts[part], counts[part], steps[part]) for part in parts)

    with Backend("server", folder, dtype, args.threads) as server:
        first = prompts[:SERVER_BATCH]
        server.generate(first, [shape.canvas_length] * len(first), [1] * len(first))  # warm
        sides = {"redraft": lambda: server.generate(prompts, counts, steps)}
        if args.peer != "none":
            peer = Backend(args.peer, folder, dtype, args.threads)
            peer.generate(prompts[:2], shape.canvas_length, [1, 1])
            sides[args.peer] = lambda: in_batches(peer)
        times = alternate(sides, args.rounds)
    seconds, ratio = medians(times), median_ratio(times, args.peer, "redraft")
    rate = sum(counts) / seconds["redraft"]
    summary = f"{count} requests, {sum(counts)} tokens: {rate:.1f} tokens/s over HTTP"
    if ratio:
        summary += f", {ratio:.2f} times {args.peer} in batches of {SERVER_BATCH}"
    print_result(
        "serve",
        args,
        summary,
        seconds=seconds,
        tokens=sum(counts),
        batch=SERVER_BATCH,
        ratio=ratio,
    )


if __name__ == "__main__":
    main()
