"""What a step asks of the vocabulary, and what it learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from redraft.ops.rows import whole_rows

Found = tuple[Tensor, Tensor, Tensor, Tensor]  # argmax, sample, entropy [N] and mean embedding [N, H] of some positions


@dataclass(frozen=True, kw_only=True)
class LogitEdits:
    """What one row changes in its logits, in this order: bias, penalty, (temperature,) top_p, min_p."""

    bias_tokens: Tensor | None = None  # [K] int64
    bias: Tensor | None = None  # [K] float32
    penalised_tokens: Tensor | None = None  # [K] int64, each once
    repetition_penalty: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0

    @property
    def filters(self) -> bool:
        """Whether a filter needs the whole distribution at once."""
        return self.top_p < 1.0 or self.min_p > 0.0

    def within(self, first: int, last: int) -> LogitEdits:
        """Bias and penalty of the tokens from `first` to before `last`, counted from `first`."""

        def part(tokens: Tensor | None, *along: Tensor | None) -> list[Tensor | None]:
            if tokens is None:
                return [None, *along]
            inside = (tokens >= first) & (tokens < last)
            return [tokens[inside] - first, *(None if values is None else values[inside] for values in along)]

        bias_tokens, bias = part(self.bias_tokens, self.bias)
        (penalised,) = part(self.penalised_tokens)
        return LogitEdits(
            bias_tokens=bias_tokens,
            bias=bias,
            penalised_tokens=penalised,
            repetition_penalty=self.repetition_penalty,
        )

    def edit_logits(self, logits: Tensor) -> None:
        """Apply bias and penalty to `logits` [N, V], in place."""
        if self.bias_tokens is not None and self.bias is not None:
            logits[:, self.bias_tokens] += self.bias
        if self.penalised_tokens is not None:
            seen = logits[:, self.penalised_tokens]
            penalty = self.repetition_penalty
            logits[:, self.penalised_tokens] = torch.where(seen > 0, seen / penalty, seen * penalty)

    def filter_logits(self, tempered: Tensor) -> None:
        """Set to -inf what top_p and min_p drop from `tempered` [N, V], in place."""
        if self.top_p < 1.0:
            probs, order = tempered.softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
            # Exclusive sum: the likeliest token is always kept.
            dropped = probs.cumsum(-1) - probs >= self.top_p
            tempered.masked_fill_(torch.zeros_like(dropped).scatter_(-1, order, dropped), -torch.inf)
        if self.min_p > 0.0:
            probs = tempered.softmax(dim=-1)
            tempered.masked_fill_(probs < self.min_p * probs.amax(dim=-1, keepdim=True), -torch.inf)


@dataclass(frozen=True, kw_only=True)
class Readout:
    """What a step asks of the vocabulary, a row each.

    temperature: float32 [B], > 0.
    uniform: float64 [B, L] in (0, 1); the sample is the first token, in vocabulary order, whose cumulative probability
        passes it.
    greedy: bool [B], rows whose sample is the argmax.
    edits: one LogitEdits a row, or None.
    wanted: bool [B, L], positions whose statistics are read at all; None for all.
    """

    temperature: Tensor
    uniform: Tensor
    greedy: Tensor
    edits: Sequence[LogitEdits | None]
    wanted: Tensor | None = None

    def within(self, first: int, last: int) -> Readout:
        """The same of the tokens from `first` to before `last` alone, without filters."""
        return replace(self, edits=[None if edits is None else edits.within(first, last) for edits in self.edits])


@dataclass(frozen=True, kw_only=True)
class VocabularyStatistics:
    """What a step learns from the vocabulary: of the edited, tempered distribution at each position.

    argmax, sample: int64 [B, L]; entropy: float32 [B, L], nats; soft_embedding: [B, L, H], the mean embedding under the
    distribution times sqrt(H), which is the next step's self-conditioning signal. Zeros at positions that were not wanted.
    """

    argmax: Tensor
    sample: Tensor
    entropy: Tensor
    soft_embedding: Tensor


@dataclass(frozen=True)
class Positions:
    """Some positions of a step, flat: states [N, H], owners int64 [N] (their rows), uniform float64 [N], and the readout."""

    states: Tensor
    owners: Tensor
    uniform: Tensor
    readout: Readout

    def in_blocks(self, size: int, read: Callable[[Positions], Found]) -> Found:
        """What `read` finds in blocks of at most `size` positions, put together."""
        parts = [read(self[slice(start, start + size)]) for start in range(0, len(self.states), size)]
        argmax, sample, entropy, soft = (torch.cat(part) for part in zip(*parts, strict=True))
        return argmax, sample, entropy, soft

    def __getitem__(self, index: Tensor | slice) -> Positions:
        return Positions(self.states[index], self.owners[index], self.uniform[index], self.readout)

    def whole_rows(self) -> Positions:
        """Padded so that every position is computed alike, whatever the others are (see `ops/rows.py`)."""
        states = whole_rows(self.states)
        more = len(states) - len(self.states)
        return Positions(states, F.pad(self.owners, (0, more)), F.pad(self.uniform, (0, more), value=0.5), self.readout)
