"""Memory that writing takes over the weights, against the reference, at a large vocabulary."""

from __future__ import annotations

import torch
from measure import arguments, tell
from shapes import SHAPES, checkpoint
from writers import Writer, prompts


def main() -> None:
    """Measure and tell."""
    parser = arguments(__doc__, model="midbig")
    parser.add_argument("--prefix", type=int, default=256)
    given = parser.parse_args()
    dtype, shape = getattr(torch, given.dtype), SHAPES[given.model]
    over, loaded = {}, {}
    for name in ("redraft", *([given.peer] if given.peer != "none" else [])):
        with Writer(name, checkpoint(given.model, dtype), dtype, given.threads) as writer:
            writer.write(prompts(1, given.prefix, shape.vocab_size), shape.canvas_length, [3])
            over[name], loaded[name] = writer.peak() - writer.loaded, writer.loaded
    ratio = over[given.peer] / over["redraft"] if given.peer in over else None
    tell(
        "memory", given, ", ".join(f"{name} {value / 1e6:.0f} MB over the weights" for name, value in over.items()),
        bytes_over_weights=over, bytes_loaded=loaded, ratio=ratio,
    )  # fmt: skip


if __name__ == "__main__":
    main()
