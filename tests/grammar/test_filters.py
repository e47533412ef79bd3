"""top_k, top_p and min_p under a constraint, against all texts written out."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import redraft
from redraft.editing import Hole
from redraft.events import Finished
from redraft.grammar import JsonSchema, Regex
from redraft.grammar.guide import Guide
from redraft.ops.vocabulary import LogitEdits, Readout, read_vocabulary, softcapped_logits
from tests.grammar.test_inference import PATTERNS, dfa_of, written_out

SOFTCAP, WIDTH = 30.0, 6
NAMES = ("argmax", "sample", "entropy", "confidence", "soft_embedding")
FILTERS: list[dict[str, Any]] = [
    {"top_k": 1},
    {"top_k": 2},
    {"top_p": 0.5},
    {"min_p": 0.4},
    {"top_k": 3, "top_p": 0.8, "min_p": 0.05},
    {"top_p": 0.7, "bias_tokens": torch.tensor([2, 5]), "bias": torch.tensor([3.0, -2.0])},
]


def drops(probs: np.ndarray, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> np.ndarray:
    """The tokens that filters drop of one distribution, one token at a time."""
    kept = {token for token in range(len(probs)) if probs[token] > 0}
    order = sorted(kept, key=lambda token: -probs[token])
    if top_k:
        kept &= {token for token in kept if probs[token] >= probs[order[:top_k][-1]]}
    mass, whole = 0.0, sum(probs[token] for token in kept)
    for token in [token for token in order if token in kept] if top_p < 1 else []:
        if mass >= top_p * whole:
            kept.remove(token)
        mass += probs[token]
    kept = {token for token in kept if probs[token] >= min_p * probs[order[0]]}
    return np.array([token not in kept for token in range(len(probs))])


def left(found: dict[tuple[int, ...], float], filters: dict[str, Any]) -> dict[Any, float]:
    """The probabilities of the texts that filters leave: those with the fewest dropped tokens."""

    def normal(weights: dict[Any, float]) -> dict[Any, float]:
        top = max(weights.values())
        masses = {tokens: np.exp(weight - top) for tokens, weight in weights.items()}
        return {tokens: mass / sum(masses.values()) for tokens, mass in masses.items()}

    dropped = np.array([drops(row, **filters) for row in marginals_of(normal(found))])
    lost = {tokens: sum(dropped[range(len(tokens)), tokens]) for tokens in found}
    least = min(lost.values())
    return normal({tokens: found[tokens] for tokens in found if lost[tokens] == least})


def marginals_of(probs: dict[tuple[int, ...], float]) -> np.ndarray:
    marginals = np.zeros((len(next(iter(probs))), 9))
    for tokens, mass in probs.items():
        marginals[range(len(tokens)), tokens] += mass
    return marginals


def row(seed: int) -> tuple[str, Any, Tensor, float, LogitEdits, dict[str, Any]]:
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    source, given = rng.choice(PATTERNS), rng.choice(FILTERS)
    dfa, length = dfa_of(source), rng.randint(2, 4)
    hidden = torch.randn(length, WIDTH, generator=generator) * rng.choice([0.3, 1, 4])
    filters = {name: value for name, value in given.items() if not isinstance(value, Tensor)}
    return source, dfa, hidden, rng.choice([0.4, 1.0]), LogitEdits(**given), filters


EMBEDDING = torch.randn(9, WIDTH, generator=torch.Generator().manual_seed(9))


def read(rows: list[Any], uniform: Tensor) -> list[dict[str, Tensor]]:
    length = max(len(one[2]) for one in rows)
    hidden = torch.zeros(len(rows), length, WIDTH)
    for at, one in enumerate(rows):
        hidden[at, : len(one[2])] = one[2]
    readout = Readout(
        temperature=torch.tensor([one[3] for one in rows]),
        uniform=uniform[None, :length].expand(len(rows), -1).contiguous(),
        greedy=torch.zeros(len(rows), dtype=torch.bool),
        edits=[one[4] for one in rows],
        span_constraints=[
            [Guide(one[1], len(one[2])).on_canvas(len(one[2]))] for one in rows
        ],
    )  # fmt: skip
    found = read_vocabulary(hidden, EMBEDDING, SOFTCAP, torch.tensor(1.0), readout)
    return [
        {name: getattr(found, name)[at, : len(one[2])] for name in NAMES}
        for at, one in enumerate(rows)
    ]


@pytest.mark.parametrize("seed", range(60))
def test_filters_keep_of_what_a_constraint_leaves(seed: int) -> None:
    source, _, hidden, temperature, edits, filters = one = row(seed)
    logits = softcapped_logits(hidden, EMBEDDING, SOFTCAP).double()
    edits.edit_logits(logits)
    texts = written_out(source, (logits / temperature).log_softmax(-1).numpy())
    if not texts:
        pytest.skip("no text has this length")
    expected = left(texts, filters)
    marginals = torch.tensor(marginals_of(expected))
    uniform = torch.rand(4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    (found,) = read([one], uniform)
    assert tuple(found["argmax"].tolist()) == max(expected, key=lambda tokens: expected[tokens])
    assert expected[tuple(found["sample"].tolist())] > 0
    assert torch.allclose(
        found["entropy"].double(), torch.special.entr(marginals).sum(-1), atol=1e-4
    )
    assert torch.allclose(
        found["soft_embedding"].double(), marginals @ EMBEDDING.double(), atol=1e-3
    )
    sure = marginals.gather(1, found["argmax"][:, None]).squeeze(1)
    assert torch.allclose(found["confidence"].double(), sure, atol=1e-4)


def test_filtered_rows_are_the_same_alone_and_in_a_batch() -> None:
    rows = [one for one in map(row, range(40)) if one[1].min_tokens <= len(one[2])]
    uniform = torch.rand(4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    kept = []
    for one in rows:
        try:
            kept.append((one, read([one], uniform)[0]))
        except redraft.errors.ConstraintUnsatisfiedError:
            continue
    together = read([one for one, _ in kept], uniform)
    for (_, alone), found in zip(kept, together, strict=True):
        assert all(torch.equal(alone[name], found[name]) for name in NAMES)


@pytest.mark.parametrize("method", ["diffusion", "autoregressive"])
@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-9}, {"min_p": 1.0, "top_k": 3}])
def test_texts_stay_valid(checkpoint: Path, method: Any, options: Any) -> None:
    tiny = redraft.load(checkpoint)
    schema = JsonSchema({"type": "array", "items": {"enum": [1, "two", None]}, "maxItems": 3})
    given: dict[str, Any] = options | {"max_denoising_steps": 3, "max_new_tokens": 40, "seed": 3}
    alone = tiny.generate("x", constraint=schema, method=method, **given)
    assert alone.parsed is not None
    both = tiny.generate(
        ["a long one", "x"], constraint=[Regex("a+b"), schema], method=method, **given
    )
    assert isinstance(both[1], Finished)
    assert re.fullmatch("a+b", both[0].text)
    if method == "autoregressive":
        # At a single token that is kept, what is drawn is what is likeliest.
        greedy = tiny.generate("x", constraint=schema, method=method, **given, temperature=0.0)
        assert alone.text == greedy.text
    else:
        hole = Hole(1, 8, Regex("[a-f]{2,3}"))
        fills = tiny.infill(["x = ", hole, ";"], seed=2, max_denoising_steps=3, **options).fills
        assert re.fullmatch("[a-f]{2,3}", fills[0])
