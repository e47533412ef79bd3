"""The vocabulary pass alone: in chunks against the plain form, and against its two products, by
size of vocabulary."""

from __future__ import annotations

import torch
from measure import arguments, in_turn, median_ratio, medians, seconds, tell

from redraft.engine.allocator import keep_freed_memory
from redraft.ops.linear import linear
from redraft.ops.vocabulary import Readout
from redraft.ops.vocabulary.chunked import CHUNK, read_chunks
from redraft.ops.vocabulary.dense import read_whole
from redraft.ops.vocabulary.types import Positions

POSITIONS, HIDDEN, SOFTCAP = 256, 768, 30.0


def products(states: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
    """Logits and what they weigh, chunk by chunk: what no form can do without."""
    soft = torch.zeros(len(states), embedding.shape[1])
    for chunk in embedding.split(CHUNK):
        soft += linear(linear(states, chunk), chunk.T)
    return soft


@torch.inference_mode()
def main() -> None:
    """Measure and tell."""
    parser = arguments(__doc__, peer="none", rounds=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32768, 262144])
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    dtype = getattr(torch, given.dtype)
    generator = torch.Generator().manual_seed(0)
    for size in given.sizes:
        embedding = (torch.randn(size, HIDDEN, generator=generator) * 0.05).to(dtype)
        states = torch.randn(POSITIONS, HIDDEN, generator=generator).to(dtype)
        uniform = torch.rand(POSITIONS, generator=generator, dtype=torch.float64)
        readout = Readout(
            temperature=torch.tensor([0.8]),
            uniform=uniform,
            greedy=torch.tensor([False]),
            edits=[None],
        )
        asked = Positions(states, torch.zeros(POSITIONS, dtype=torch.int64), uniform, readout)
        sides = {
            "chunks": lambda asked=asked, embedding=embedding: seconds(
                lambda: read_chunks(asked, embedding, SOFTCAP)
            ),
            "plain": lambda asked=asked, embedding=embedding: seconds(
                lambda: read_whole(asked, embedding, SOFTCAP)
            ),
            "products": lambda states=states, embedding=embedding: seconds(
                lambda: products(states, embedding)
            ),
        }
        taken = in_turn(sides, given.rounds + 1)
        taken = {name: times[1:] for name, times in taken.items()}  # the first round warms
        found = medians(taken)
        ratio, floor = (
            median_ratio(taken, "plain", "chunks"),
            median_ratio(taken, "chunks", "products"),
        )
        tell(
            "vocabulary", given,
            f"{size} entries: {found['chunks'] * 1e3:.0f} ms in chunks, {ratio:.2f} times faster than plain, "
            f"{floor:.2f} times its products",
            size=size, seconds=found, ratio=ratio, over_products=floor,
        )  # fmt: skip


if __name__ == "__main__":
    main()
