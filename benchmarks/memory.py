"""Memory that writing takes over the weights, against transformers, at a large vocabulary."""

from __future__ import annotations

import torch
from backends import Backend, random_prompts
from measure import benchmark_parser, print_result
from shapes import SHAPES, checkpoint

STEPS = 3


def main() -> None:
    """Measure and print."""
    parser = benchmark_parser(__doc__, model="midbig")
    parser.add_argument("--prefix", type=int, default=256, help="tokens of the prompt")
    args = parser.parse_args()
    dtype, shape = getattr(torch, args.dtype), SHAPES[args.model]
    prompts = random_prompts(1, args.prefix, shape.vocab_size)
    over, loaded = {}, {}
    for name in ("redraft", *([args.peer] if args.peer != "none" else [])):
        with Backend(name, checkpoint(args.model, dtype), dtype, args.threads) as backend:
            backend.generate(prompts, shape.canvas_length, [STEPS])
            over[name], loaded[name] = backend.peak() - backend.loaded, backend.loaded
    each = [f"{name} {value / 1e6:.0f} MB over the weights" for name, value in over.items()]
    print_result(
        "memory",
        args,
        ", ".join(each),
        bytes_over_weights=over,
        bytes_loaded=loaded,
        ratio=over[args.peer] / over["redraft"] if args.peer in over else None,
    )


if __name__ == "__main__":
    main()
