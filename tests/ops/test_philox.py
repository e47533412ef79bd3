from __future__ import annotations

import pytest
import torch

from redraft.diffusion import Noise
from redraft.ops.philox import philox

# Known answers published with Random123 for philox4x32-10.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]  # fmt: skip


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_the_published_answers(
    counter: tuple[int, ...], key: tuple[int, ...], words: tuple[int, ...]
) -> None:
    result = philox(tuple(map(torch.tensor, counter)), tuple(map(torch.tensor, key)))  # type: ignore[arg-type]
    assert tuple(int(word) for word in result) == words


def test_noise_depends_on_seed_stream_canvas_step_and_position_alone() -> None:
    rows = [(5, 0, 0), (5, 0, 1), (5, 1, 0), (6, 0, 0), (2**63 + 5, 0, 0), (-1, 3, 7)]
    together = Noise.of(rows).at(torch.tensor([1, 2, 3, 4, 5, 6]), 40, 1000)
    for index, row in enumerate(rows):
        alone = Noise.of([row]).at(torch.tensor([index + 1]), 64, 1000)
        for part, whole in zip(alone, together, strict=True):
            assert torch.equal(part[0, :40], whole[index])
    uniform = torch.cat([Noise.of([row]).at(torch.tensor([1]), 64, 1000)[0] for row in rows])
    assert len(uniform.unique()) == uniform.numel()


def test_draws_are_uniform() -> None:
    uniform, tokens = Noise.of([(seed, 0, 0) for seed in range(400)]).at(
        torch.ones(400, dtype=torch.long), 256, 50
    )
    assert float(uniform.min()) > 0
    assert float(uniform.max()) < 1
    for values, bins in ((uniform * 50, 50), (tokens, 50)):
        counts = values.long().flatten().bincount(minlength=bins).double()
        expected = values.numel() / bins
        chi_squared = float(((counts - expected) ** 2 / expected).sum())
        assert chi_squared < 49 + 6 * (2 * 49) ** 0.5
        assert len(counts) == bins


def test_all_words_of_a_batch_are_those_of_each_counter_alone() -> None:
    """And those of the formula, in Python's integers."""
    generator = torch.Generator().manual_seed(9)
    draw = lambda *size: torch.randint(0, 1 << 32, size, generator=generator)  # noqa: E731
    counter, key = (draw(1, 5), draw(3, 1), draw(3, 1), draw(1, 1)), (draw(3, 1), draw(1, 1))
    words = torch.stack(philox(counter, key))
    assert words.dtype == torch.int64
    every = [part.expand(3, 5).tolist() for part in (*counter, *key)]
    for row in range(3):
        for column in range(5):
            a, b, c, d, k, m = (part[row][column] for part in every)
            for _ in range(10):
                first, second = a * 0xD2511F53, c * 0xCD9E8D57
                a, b, c, d = (
                    second >> 32 ^ b ^ k,
                    second % 2**32,
                    first >> 32 ^ d ^ m,
                    first % 2**32,
                )
                k, m = (k + 0x9E3779B9) % 2**32, (m + 0xBB67AE85) % 2**32
            assert words[:, row, column].tolist() == [a, b, c, d]
