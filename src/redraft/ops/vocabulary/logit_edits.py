"""Changes to logits: for a row (LogitEdits), and for a position (Allowed)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class LogitEdits:
    """Changes that one row makes to its logits: bias, penalty, (temperature,) top_k,
    top_p, min_p.

    They are made in this order. bias_tokens: int64 [K], bias: float32 [K]. penalised_tokens: int64
    [K], each once.
    """

    bias_tokens: Tensor | None = None
    bias: Tensor | None = None
    penalised_tokens: Tensor | None = None
    repetition_penalty: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    @property
    def filters(self) -> bool:
        """True where a filter needs the whole distribution at once."""
        return self.top_k > 0 or self.top_p < 1.0 or self.min_p > 0.0

    def without_filters(self) -> LogitEdits:
        """Return bias and penalty alone."""
        return replace(self, top_k=0, top_p=1.0, min_p=0.0)

    def within(self, first: int, last: int) -> LogitEdits:
        """Return bias and penalty of the tokens from `first` to before `last`, counted from
        `first`."""

        def part(tokens: Tensor | None, *along: Tensor | None) -> list[Tensor | None]:
            if tokens is None:
                return [None, *along]
            inside = (tokens >= first) & (tokens < last)
            return [
                tokens[inside] - first,
                *(None if values is None else values[inside] for values in along),
            ]

        bias_tokens, bias = part(self.bias_tokens, self.bias)
        (penalised,) = part(self.penalised_tokens)
        return LogitEdits(
            bias_tokens=bias_tokens,
            bias=bias,
            penalised_tokens=penalised,
            repetition_penalty=self.repetition_penalty,
        )

    def among(self, tokens: Tensor) -> LogitEdits:
        """Return bias and penalty of `tokens` (int64 [C]), each numbered by its place in them."""
        ascending, order = tokens.sort()

        def part(given: Tensor | None, *along: Tensor | None) -> list[Tensor | None]:
            if given is None:
                return [None, *along]
            at = torch.searchsorted(ascending, given).clamp_max(len(tokens) - 1)
            here = ascending[at] == given
            return [
                order[at[here]],
                *(None if values is None else values[here] for values in along),
            ]

        bias_tokens, bias = part(self.bias_tokens, self.bias)
        (penalised,) = part(self.penalised_tokens)
        return replace(self, bias_tokens=bias_tokens, bias=bias, penalised_tokens=penalised)

    def edit_logits(self, logits: Tensor) -> None:
        """Apply bias and penalty to `logits` [N, V], in place."""
        if self.bias_tokens is not None and self.bias is not None:
            logits[:, self.bias_tokens] += self.bias
        if self.penalised_tokens is not None:
            seen = logits[:, self.penalised_tokens]
            penalty = self.repetition_penalty
            logits[:, self.penalised_tokens] = torch.where(seen > 0, seen / penalty, seen * penalty)

    def filter_logits(self, tempered: Tensor) -> None:
        """Set to -inf what top_k, top_p and min_p drop from `tempered` [N, V], in place.

        Tokens that are as likely as the last of the `top_k` are kept too, so that the order of the
        vocabulary decides nothing.
        """
        if 0 < self.top_k < tempered.shape[-1]:
            last = tempered.topk(self.top_k, dim=-1).values[:, -1:]
            tempered.masked_fill_(tempered < last, -torch.inf)
        if self.top_p < 1.0:
            probs, order = tempered.softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
            # Exclusive sum. The likeliest token is kept, also where top_p is 0 in this dtype.
            dropped = probs.cumsum(-1) - probs >= self.top_p
            dropped[:, 0] = False
            tempered.masked_fill_(
                torch.zeros_like(dropped).scatter_(-1, order, dropped), -torch.inf
            )
        if self.min_p > 0.0:
            probs = tempered.softmax(dim=-1)
            tempered.masked_fill_(probs < self.min_p * probs.amax(dim=-1, keepdim=True), -torch.inf)


@dataclass(frozen=True)
class Allowed:
    """Positions that may take some tokens only.

    masks: bool [K, V], True where a token is allowed; every mask allows one at least. mask_index:
    int64 [B, L], the row of `masks` that holds for each position, -1 where all tokens are allowed.
    """

    masks: Tensor
    mask_index: Tensor

    def rows(self, index: Tensor | slice) -> Allowed:
        """Return the rows at `index`."""
        return Allowed(self.masks, self.mask_index[index])

    @classmethod
    def join(cls, parts: Sequence[Allowed | None], shapes: Sequence[torch.Size]) -> Allowed | None:
        """Return the rows of all parts, each of a shape [B, L]; None where nothing is forbidden.

        Masks that no position has are dropped.
        """
        given = {id(part.masks): part.masks for part in parts if part is not None}
        if not given:
            return None
        masks = torch.cat(list(given.values()))
        sizes = [len(mask) for mask in given.values()]
        starts = dict(zip(given, itertools.accumulate(sizes, initial=0), strict=False))
        which = [
            torch.full(shape, -1, device=masks.device)
            if part is None
            else torch.where(part.mask_index < 0, -1, part.mask_index + starts[id(part.masks)])
            for part, shape in zip(parts, shapes, strict=True)
        ]
        used, renumbered = torch.cat(which).unique(return_inverse=True)
        free = int(used[0] < 0)
        return cls(masks[used[free:]], renumbered - free) if len(used) > free else None
