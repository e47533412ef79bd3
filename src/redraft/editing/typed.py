"""The same holes filled left to right, for comparison: typed behind what stands before them, the length searched by the same
score."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from redraft.editing.layout import Pieces
from redraft.editing.prefix import Prefix
from redraft.editing.result import Candidate, Infilled
from redraft.editing.score import scores
from redraft.editing.template import Hole, Template
from redraft.model import Cache, DiffusionGemma
from redraft.text import Tokenizer


@torch.inference_mode()
def type_in(
    network: DiffusionGemma, tokenizer: Tokenizer, template: Template, pieces: Pieces, prefix: Prefix, ends: Sequence[int]
) -> Infilled:
    """Hole by hole: the likeliest token after the other, up to the hole's most or one of `ends`; of every length from its least
    on, the one with which the text goes on most likely is kept. Pieces have no seams here."""
    length = network.config.canvas_length
    total = sum(hole.max_tokens for hole in template.holes) + len(pieces.left) + sum(map(len, pieces.between))
    cache, last = prefix.read(pieces.prefix, total + 1)
    behind = [*pieces.between, pieces.right[:length] + pieces.closing[:1]]
    before, fills, widths, steps, score = pieces.left, [], [], 0, 0.0
    for number, hole in enumerate(template.holes):
        if before:
            last = network.encode([torch.tensor(before, device=network.device)], [cache])[0][-1]
        typed = _type(network, cache.fork(), last, hole, ends)
        steps += len(typed)
        least = min(hole.min_tokens, len(typed))
        texts = [typed[:count] + behind[number] for count in range(least, len(typed) + 1)]
        found = scores(network, cache, last, [text or [*ends][:1] for text in texts])
        best = max(range(len(texts)), key=lambda at: found[at])
        chosen, score = typed[: least + best], found[best]
        fills.append(tokenizer.decode(chosen))
        widths.append(len(chosen))
        before = chosen + behind[number]
    candidate = Candidate(tuple(widths), tuple(fills), steps, score)
    return Infilled(template.filled(fills), candidate.fills, (candidate,), (len(pieces.right[:length]), len(pieces.right)), 0)


def _type(network: DiffusionGemma, cache: Cache, last: Tensor, hole: Hole, ends: Sequence[int]) -> list[int]:
    typed: list[int] = []
    while len(typed) < hole.max_tokens:
        token = int(network.logits(last).argmax())
        if token in ends:
            break
        typed.append(token)
        last = network.encode([torch.tensor([token], device=network.device)], [cache], alike=False)[0][-1]
    return typed
