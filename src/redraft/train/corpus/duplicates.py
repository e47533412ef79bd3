"""Near-duplicates: files that share most of their lines, found by MinHash (Broder, 1997)."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

PERMUTATIONS, BANDS = 64, 16  # four hashes a band: two files of similarity 0.5 meet in most cases
MAX_SIMILARITY = 0.5  # Jaccard similarity from which on a file is a duplicate
MIN_LINE = 4  # characters: a shorter line says nothing
MIN_PAIR = 30  # characters of two lines that can tell a copy from common code
MAX_COPIED_SHARE = 0.1  # of a training file's pairs of lines, also in held-out files
MAX_COPIED_PAIRS = 20  # as a number


def shingles(text: str, min_length: int = 0) -> Hashes:
    """Return the hashes of all pairs of lines that follow each other, each once, sorted.

    Lines are stripped; comments and very short lines do not count. Pairs of fewer than `min_length`
    characters are left out.
    """
    lines = [line.strip() for line in text.split("\n")]
    lines = [line for line in lines if len(line) >= MIN_LINE and not line.startswith("#")]
    pairs = (f"{one}\n{two}" for one, two in pairwise(lines))
    digests = [
        hashlib.blake2b(pair.encode(), digest_size=8).digest()
        for pair in pairs
        if len(pair) >= min_length
    ]
    return np.unique(np.frombuffer(b"".join(digests), dtype=np.uint64))


def signature(hashes: Hashes) -> Hashes:
    """Return the MinHash signature [PERMUTATIONS] of a set of hashes."""
    odd = np.random.default_rng(1).integers(0, 1 << 63, (2, PERMUTATIONS), dtype=np.uint64)
    mixed = (hashes[None, :] ^ odd[1][:, None]) * (odd[0][:, None] | np.uint64(1))
    lowest: Hashes = (mixed ^ (mixed >> np.uint64(32))).min(axis=1)
    return lowest


def similarity(one: Hashes, other: Hashes) -> float:
    """Return the Jaccard similarity of two sets of sorted hashes."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / max(1, len(one) + len(other) - shared)


def unique(texts: Sequence[str]) -> list[int]:
    """Return the numbers of the texts that are no near-duplicates of an earlier one."""
    buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    hashes: list[Hashes] = []
    kept: list[int] = []
    for number, text in enumerate(texts):
        mine = shingles(text)
        hashes.append(mine)
        if not len(mine):
            continue
        rows = signature(mine).reshape(BANDS, -1)
        keys = [(band, row.tobytes()) for band, row in enumerate(rows)]
        near = dict.fromkeys(chain.from_iterable(buckets[key] for key in keys))
        if any(similarity(mine, hashes[other]) > MAX_SIMILARITY for other in near):
            continue
        kept.append(number)
        for key in keys:
            buckets[key].append(number)
    return kept


def copied(text: str, held_out: Hashes) -> bool:
    """Check whether a training text has lines of held-out files: a share of it, or a number."""
    mine = shingles(text, MIN_PAIR)
    shared = len(np.intersect1d(mine, held_out, assume_unique=True))
    return shared >= MAX_COPIED_PAIRS or shared > MAX_COPIED_SHARE * max(1, len(mine))


def pool(texts: Iterable[str]) -> Hashes:
    """Return the hashes of all pairs of lines of some texts together."""
    found = [shingles(text, MIN_PAIR) for text in texts]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.uint64)
