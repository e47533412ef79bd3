"""The KL divergence from the step before, in chunks, against the dense form of its definition."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from redraft.ops.vocabulary import (
    Allowed,
    DistributionComparison,
    LogitEdits,
    Readout,
    VocabularyStatistics,
    chunked,
    dense,
    read_vocabulary,
)

LENGTH, SIZE = 40, 400


def logits(hidden: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
    return 30 * torch.tanh(hidden.double() @ embedding.double().T / 30)


def divergence(now: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """KL(now || before), from logits [..., V], token by token; 0 log 0 is 0."""
    p, q = now.log_softmax(-1), before.log_softmax(-1)
    return torch.where(p == -torch.inf, 0.0, p.exp() * (p - q)).nan_to_num(posinf=torch.inf).sum(-1)


def read(hidden: torch.Tensor, embedding: torch.Tensor, readout: Readout) -> VocabularyStatistics:
    return read_vocabulary(hidden, embedding, 30.0, torch.tensor(1.0), readout)


def case(seed: int, rows: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Readout]:
    """Hidden states now and before, which differ a little or much, an embedding, and a readout."""
    torch.manual_seed(seed)
    hidden, embedding = torch.randn(rows, LENGTH, 16), torch.randn(SIZE, 16)
    before = hidden + torch.randn(rows, LENGTH, 16) * 10 ** (torch.rand(rows, LENGTH, 1) * 4 - 4)
    readout = Readout(
        temperature=torch.rand(rows) + 0.3,
        uniform=torch.rand(rows, LENGTH, dtype=torch.float64),
        greedy=torch.zeros(rows, dtype=torch.bool),
        edits=[None] * rows,
    )
    return hidden, before, embedding, readout


@pytest.mark.parametrize("seed", range(8))
def test_it_is_that_of_whole_distributions(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At this step's temperature, over chunks of several sizes; a first step has no before."""
    monkeypatch.setattr(chunked, "CHUNK", 50 + 13 * seed)
    hidden, before, embedding, readout = case(seed)
    compared = replace(
        readout, comparison=DistributionComparison([True] * 3, [before[0], None, before[2]])
    )
    found = read(hidden, embedding, compared)
    heat = readout.temperature[:, None, None]
    expected = divergence(logits(hidden, embedding) / heat, logits(before, embedding) / heat)
    assert found.divergence is not None
    assert bool(found.divergence[1].isinf().all())
    for row in (0, 2):
        assert torch.allclose(found.divergence[row], expected[row].float(), rtol=1e-3, atol=2e-6)
    assert float(expected.min()) < 1e-5
    assert float(expected.max()) > 1e-2
    assert found.hidden_states is not None
    assert torch.equal(found.hidden_states, hidden)


def test_what_has_not_changed_is_at_zero() -> None:
    hidden, _, embedding, readout = case(0)
    found = read(
        hidden,
        embedding,
        replace(readout, comparison=DistributionComparison([True] * 3, [*hidden])),
    )
    assert found.divergence is not None
    assert float(found.divergence.max()) < 1e-6
    assert float(found.divergence.min()) >= 0.0


@pytest.mark.parametrize("seed", range(4))
def test_both_steps_are_edited_alike(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bias, penalty, filters, and tokens that are not allowed, a row each."""
    monkeypatch.setattr(chunked, "CHUNK", 64)
    monkeypatch.setattr(dense, "MAX_LOGITS", 32 * SIZE)
    hidden, before, embedding, readout = case(seed, rows=4)
    some = torch.randperm(SIZE)[:30]
    edits = [
        None,
        LogitEdits(
            bias_tokens=some, bias=torch.randn(30), penalised_tokens=some, repetition_penalty=1.3
        ),
        LogitEdits(min_p=1e-4),
        LogitEdits(top_p=0.95),
    ]
    masks = torch.rand(1, SIZE) < 0.4
    which = torch.full((4, LENGTH), -1)
    which[0, ::3] = 0
    readout = replace(readout, edits=edits, allowed=Allowed(masks, which))
    found = read(
        hidden,
        embedding,
        replace(readout, comparison=DistributionComparison([True] * 4, [*before])),
    )
    assert found.divergence is not None
    for row in range(4):
        pair = []
        for states in (hidden, before):
            mine = logits(states[row], embedding).float()
            mine[which[row] >= 0] = mine[which[row] >= 0].masked_fill(~masks[0], -torch.inf)
            edit = edits[row]
            if edit is not None:
                edit.edit_logits(mine)
            mine /= readout.temperature[row]
            if edit is not None:
                edit.filter_logits(mine)
            pair.append(mine.double())
        expected = divergence(*pair).float()
        assert torch.equal(found.divergence[row].isinf(), expected.isinf())
        finite = expected.isfinite()
        assert torch.allclose(found.divergence[row][finite], expected[finite], rtol=1e-3, atol=1e-5)


def test_rows_and_positions_that_nobody_wants_cost_nothing_and_change_nothing() -> None:
    hidden, before, embedding, readout = case(3)
    wanted = torch.rand(3, LENGTH) < 0.5
    readout = replace(readout, wanted=wanted)
    plain = read(hidden, embedding, readout)
    assert plain.divergence is None
    assert plain.hidden_states is None
    compared = DistributionComparison([True, False, True], [before[0], None, before[2]])
    found = read(hidden, embedding, replace(readout, comparison=compared))
    for name in ("argmax", "sample", "entropy", "confidence", "soft_embedding"):
        assert torch.equal(getattr(found, name), getattr(plain, name))
    assert found.divergence is not None
    assert not bool(found.divergence[1].any())
    assert not bool(found.divergence[~wanted].any())
    everything = read(
        hidden, embedding, replace(readout, wanted=None, comparison=compared)
    ).divergence
    assert everything is not None
    assert torch.equal(found.divergence[0][wanted[0]], everything[0][wanted[0]])


def test_a_row_is_compared_alike_in_any_batch() -> None:
    hidden, before, embedding, readout = case(6)
    together = read(
        hidden,
        embedding,
        replace(readout, comparison=DistributionComparison([True] * 3, [*before])),
    )
    for row in range(3):
        one = slice(row, row + 1)
        alone = Readout(
            temperature=readout.temperature[one], uniform=readout.uniform[one],
            greedy=readout.greedy[one], edits=[None],
            comparison=DistributionComparison([True], [before[row]]),
        )  # fmt: skip
        found = read(hidden[one], embedding, alone)
        assert found.divergence is not None
        assert together.divergence is not None
        assert torch.equal(found.divergence[0], together.divergence[row])
