"""Segments of a forward pass: which of its tokens belong to which sequence.

A forward pass runs over the tokens of several sequences, laid end to end. A segment is the part of
one sequence: clean tokens, read causally and written to its cache (encoder), or a canvas, read in
both directions behind its cache (decoder).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from redraft.network.cache import Cache

# The default number of clean tokens that one pass encodes at most.
PREFILL_CHUNK = 2048
# A text is encoded in blocks that begin at multiples of this, however passes are cut. So the result
# for a block depends on nothing but the tokens up to its end, and can be reused for other texts
# with the same beginning.
ENCODE_BLOCK = 256


@dataclass(frozen=True)
class ImageSpan:
    """An image in a sequence.

    Attributes:
        start, stop: the positions of its soft tokens. They are encoded in one pass: in sliding
            layers each of them sees all others.
        features: soft tokens [stop - start, H] that stand in the place of the tokens' embeddings;
            None for an image that another pass encodes.
    """

    start: int
    stop: int
    features: Tensor | None = None


# The images of each sequence of a pass, in their order. An empty one stands for no images.
Images = Sequence[Sequence[ImageSpan]]


@dataclass(frozen=True)
class Clean:
    """Clean tokens to encode.

    Attributes:
        tokens: int64 [n] for each sequence, n >= 1.
        caches: the cache of each sequence, to which its tokens are written.
        images: those of each sequence; empty where none has any.
    """

    tokens: Sequence[Tensor]
    caches: Sequence[Cache]
    images: Images = ()


@dataclass(frozen=True)
class Segment:
    """Tokens [start, stop) of a pass, which belong to one sequence.

    Attributes:
        position: of the first token in its sequence.
        clean: the tokens are encoded causally; otherwise they are a canvas.
        kept: the tokens' keys and values stay in the cache.
        images: where images begin and end in it, counted from its first token.
    """

    start: int
    stop: int
    cache: Cache
    clean: bool
    position: int
    kept: bool
    images: tuple[tuple[int, int], ...] = ()

    @property
    def length(self) -> int:
        return self.stop - self.start


def consecutive_segments(
    lengths: Sequence[int],
    caches: Sequence[Cache],
    *,
    clean: bool,
    keep: bool = True,
    after: Sequence[Segment] = (),
    images: Images = (),
) -> list[Segment]:
    """Return segments of the given lengths, laid end to end.

    Args:
        lengths, caches: one of each for a sequence.
        keep: write clean tokens to the cache. They are then cut into blocks of ENCODE_BLOCK.
        after: segments of the same pass that come first.
        images: of each sequence; empty where none has any.
    """
    ends = {id(segment.cache): segment.position + segment.length for segment in after}
    segments, start = [], after[-1].stop if after else 0
    spans: Images = images or [()] * len(lengths)
    for length, cache, placed in zip(lengths, caches, spans, strict=True):
        position = ends.get(id(cache), cache.length)
        for part in _block_lengths(position, length, placed) if clean and keep else [length]:
            inside = tuple(
                (image.start - position, image.stop - position)
                for image in placed
                if position <= image.start < position + part
            )
            segments.append(
                Segment(start, start + part, cache, clean, position, clean and keep, inside)
            )
            start, position = start + part, position + part
    return segments


def _block_lengths(position: int, length: int, images: Sequence[ImageSpan]) -> list[int]:
    """Return the lengths of the blocks of a part of a text.

    A part that is no longer than a block, such as a commit, is not cut. A prompt with images is cut
    as a whole, in whatever parts it comes: the blocks behind an image begin where it ends.
    """
    if length <= ENCODE_BLOCK and not images:
        return [length]
    stop = position + length
    edges = [edge for edge in block_edges(position, stop, images) if edge < stop]
    return [end - begin for begin, end in pairwise([position, *edges, stop])]


def block_edges(position: int, stop: int, images: Sequence[ImageSpan] = ()) -> Sequence[int]:
    """Return the ends, above `position` and up to `stop`, of the blocks in which a text is encoded.

    They are the multiples of ENCODE_BLOCK. One inside an image moves to the image's end.
    """
    grid = range(position - position % ENCODE_BLOCK + ENCODE_BLOCK, stop + 1, ENCODE_BLOCK)
    if not images:
        return grid
    moved = dict.fromkeys(end_of_image(edge, images) for edge in grid)
    return [edge for edge in moved if edge <= stop]


def end_of_image(position: int, images: Sequence[ImageSpan]) -> int:
    """Return a position at which a text may be cut: the end of an image that it lies in, or
    itself."""
    return next((one.stop for one in images if one.start < position < one.stop), position)
