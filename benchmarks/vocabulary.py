"""The vocabulary pass alone: chunked against dense, and against its two products, by size."""

from __future__ import annotations

from functools import partial

import torch
from measure import alternate, benchmark_parser, elapsed, median_ratio, medians, print_result

from redraft.engine.allocator import keep_freed_memory
from redraft.ops.linear import linear
from redraft.ops.vocabulary import Readout
from redraft.ops.vocabulary.chunked import CHUNK, read_chunked
from redraft.ops.vocabulary.dense import read_dense
from redraft.ops.vocabulary.types import Positions

POSITIONS, HIDDEN, SOFTCAP = 256, 768, 30.0


def products(states: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
    """Compute logits and their product with the table, chunk by chunk: the least of any form."""
    soft = torch.zeros(len(states), embedding.shape[1])
    for chunk in embedding.split(CHUNK):
        soft += linear(linear(states, chunk), chunk.T)
    return soft


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    parser = benchmark_parser(__doc__, peer="none", rounds=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32768, 262144])
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    dtype = getattr(torch, args.dtype)
    generator = torch.Generator().manual_seed(0)
    for size in args.sizes:
        embedding = (torch.randn(size, HIDDEN, generator=generator) * 0.05).to(dtype)
        states = torch.randn(POSITIONS, HIDDEN, generator=generator).to(dtype)
        uniform = torch.rand(POSITIONS, generator=generator, dtype=torch.float64)
        readout = Readout(
            temperature=torch.tensor([0.8]),
            uniform=uniform,
            greedy=torch.tensor([False]),
            edits=[None],
        )
        owners = torch.zeros(POSITIONS, dtype=torch.int64)
        positions = Positions(states, owners, uniform, readout)
        forms = {
            "chunks": partial(read_chunked, positions, embedding, SOFTCAP),
            "plain": partial(read_dense, positions, embedding, SOFTCAP),
            "products": partial(products, states, embedding),
        }
        sides = {name: partial(elapsed, form) for name, form in forms.items()}
        times = alternate(sides, args.rounds + 1)
        times = {name: values[1:] for name, values in times.items()}  # the first round warms
        seconds = medians(times)
        ratio = median_ratio(times, "plain", "chunks")
        over_products = median_ratio(times, "chunks", "products")
        print_result(
            "vocabulary",
            args,
            f"{size} entries: {seconds['chunks'] * 1e3:.0f} ms in chunks, {ratio:.2f} times faster "
            f"than the dense form, {over_products:.2f} times its products",
            size=size,
            seconds=seconds,
            ratio=ratio,
            over_products=over_products,
        )


if __name__ == "__main__":
    main()
