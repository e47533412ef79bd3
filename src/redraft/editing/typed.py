"""The same holes filled left to right, for comparison: typed behind what stands before them, the
length searched by the same score."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from redraft.editing.layout import Pieces, behind
from redraft.editing.prefix import Prefix
from redraft.editing.result import Candidate, Infilled
from redraft.editing.score import scores
from redraft.editing.template import Hole, Template
from redraft.network import Cache, DiffusionGemma
from redraft.text import Tokenizer


@torch.inference_mode()
def type_holes(
    network: DiffusionGemma,
    tokenizer: Tokenizer,
    template: Template,
    pieces: Pieces,
    ends: Sequence[int],
    seed: int,
) -> Infilled:
    """Hole by hole: the likeliest token after the other, up to the hole's most or one of `ends`; of
    every length from its least on, the one with which the text goes on most likely is kept. Pieces
    have no seams here."""
    seen = min(network.config.canvas_length, pieces.right_length)
    total = sum(hole.max_tokens for hole in template.holes) + pieces.between_length
    cache, last = Prefix(network).read(pieces.prefix, total)
    (score,) = scores(network, cache, last, [pieces.left])
    before, fills, widths, steps = pieces.left, list[str](), list[int](), 0
    for hole, text in zip(template.holes, [*pieces.between, behind(pieces, seen)], strict=True):
        if before:
            last = network.read(before, cache)
        typed = _type(network, cache.fork(), last, hole, ends)
        steps += len(typed)
        found = scores(
            network,
            cache,
            last,
            [typed[:count] + text for count in range(hole.min_tokens, len(typed) + 1)],
        )
        best = max(range(len(found)), key=lambda at: found[at])
        chosen = typed[: hole.min_tokens + best]
        score += found[best]
        fills.append(tokenizer.decode(chosen))
        widths.append(len(chosen))
        before = chosen + text
    candidate = Candidate(tuple(widths), tuple(fills), steps, score)
    return Infilled(
        template.filled(fills), candidate.fills, (candidate,), (seen, pieces.right_length), seed
    )


def _type(
    network: DiffusionGemma, cache: Cache, last: Tensor, hole: Hole, ends: Sequence[int]
) -> list[int]:
    typed: list[int] = []
    while len(typed) < hole.max_tokens:
        logits = network.logits(last)
        if len(typed) < hole.min_tokens and ends:
            logits[list(ends)] = -torch.inf
        token = int(logits.argmax())
        if token in ends:
            break
        typed.append(token)
        last = network.encode([torch.tensor([token], device=network.device)], [cache], alike=False)[
            0
        ][-1]
    return typed
