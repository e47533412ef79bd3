"""Classes of tokens: how the vocabulary is laid out so that each class can be summed up by
itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

PIECE = 1024  # tokens at a time
WIDE = 512  # a class of more tokens has pieces of its own
# The share of a run of the vocabulary from which on a class takes it as it lies, the other tokens
# in it ruled out.
MIN_RUN_SHARE = 0.75


@dataclass(frozen=True, eq=False)
class Piece:
    """Some tokens.

    rows: where they lie in the embedding, a slice or int64 [C]. tokens: int64 [C]. numbers: int64
    [k], their classes.
    kinds: int64 [C], the class of each, as its place in `numbers`. out: places of tokens that do
    not count, or None.
    """

    rows: slice | Tensor
    tokens: Tensor
    numbers: Tensor
    kinds: Tensor
    out: Tensor | None = None

    @property
    def count(self) -> int:
        """Classes in it."""
        return len(self.numbers)

    def sums(self, values: Tensor) -> Tensor:
        """Sums [N, k] over the tokens of each class, of values [N, C]; in one order on every
        device."""
        lengths = torch.bincount(self.kinds, minlength=self.count)
        return torch.segment_reduce(values, "sum", lengths=lengths.expand(len(values), -1), axis=1)

    def embeddings(self, table: Tensor) -> Tensor:
        """[C, H], of the tied embedding [V, H]."""
        return (
            table[self.rows] if isinstance(self.rows, slice) else table.index_select(0, self.rows)
        )


@dataclass(frozen=True, eq=False)
class TokenClasses:
    """A vocabulary by classes; tokens of none (-1) are ruled out.

    of_token: int64 [V], the class of each token.
    count: classes, K. wide: class -> its pieces. narrow: pieces of whole classes, each of a few
    tokens.
    """

    of_token: Tensor
    count: int
    wide: dict[int, tuple[Piece, ...]]
    narrow: tuple[Piece, ...]

    @classmethod
    def of(cls, classes: Tensor, count: int) -> TokenClasses:
        """From the class of each token, int64 [V]; classes are numbered from 0 to count - 1, and
        none is empty."""
        sizes = torch.bincount(classes[classes >= 0], minlength=count)
        wide = (sizes > WIDE).nonzero().squeeze(-1).tolist()
        pieces = {number: tuple(_wide(classes, number)) for number in wide}
        narrow = _narrow(
            classes, [number for number in range(count) if number not in pieces], sizes.tolist()
        )
        return cls(classes, count, pieces, tuple(narrow))


def _wide(classes: Tensor, number: int) -> Iterator[Piece]:
    """One class: runs of the vocabulary that are mostly its own as they lie, the rest gathered."""
    scattered = []
    alone = torch.tensor([number], device=classes.device)
    for start in range(0, len(classes), PIECE):
        mine = classes[start : start + PIECE] == number
        if mine.float().mean() >= MIN_RUN_SHARE:
            run = torch.arange(start, start + len(mine), device=classes.device)
            out = (~mine).nonzero().squeeze(-1)
            yield Piece(
                slice(start, start + len(mine)),
                run,
                alone,
                torch.zeros_like(run),
                out if len(out) else None,
            )
        else:
            scattered.append(mine.nonzero().squeeze(-1) + start)
    if scattered:
        for tokens in torch.cat(scattered).split(PIECE):
            if len(tokens):
                yield Piece(tokens, tokens, alone, torch.zeros_like(tokens))


def _narrow(classes: Tensor, numbers: list[int], sizes: list[int]) -> Iterator[Piece]:
    """As many classes in one piece as it holds."""
    order = torch.argsort(classes, stable=True)
    starts = torch.searchsorted(
        classes[order], torch.arange(len(sizes), device=classes.device)
    ).tolist()
    groups: list[list[int]] = []
    held = PIECE
    for number in numbers:
        if held + sizes[number] > PIECE:
            groups.append([])
            held = 0
        groups[-1].append(number)
        held += sizes[number]
    for group in groups:
        tokens = torch.cat(
            [order[starts[number] : starts[number] + sizes[number]] for number in group]
        )
        kinds = torch.arange(len(group)).repeat_interleave(
            torch.tensor([sizes[number] for number in group])
        )
        yield Piece(
            tokens, tokens, torch.tensor(group, device=tokens.device), kinds.to(tokens.device)
        )
