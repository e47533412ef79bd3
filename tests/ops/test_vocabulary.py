from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from transformers.generation import logits_process

from redraft.ops.vocabulary import (
    Allowed,
    LogitEdits,
    Readout,
    chunked,
    dense,
    inverse_cdf,
    read_vocabulary,
    softcapped_logits,
)
from redraft.ops.vocabulary.types import Positions


def readout(
    rows: int, length: int, edits: list[LogitEdits | None] | None = None, greedy: bool = False
) -> Readout:
    return Readout(
        temperature=torch.rand(rows) + 0.3,
        uniform=torch.rand(rows, length, dtype=torch.float64),
        greedy=torch.full((rows,), greedy),
        edits=edits or [None] * rows,
    )


@pytest.mark.parametrize("chunk", [2048, 64, 7])
def test_statistics_are_those_of_the_whole_distribution(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunked, "CHUNK", chunk)
    monkeypatch.setattr(chunked, "BLOCK", 32)
    torch.manual_seed(0)
    hidden, embedding, scale = torch.randn(3, 27, 16), torch.randn(90, 16), torch.tensor(4.0)
    asked = readout(3, 27)
    got = read_vocabulary(hidden, embedding, 30.0, scale, asked)
    logits = 30 * torch.tanh(hidden @ embedding.T / 30) / asked.temperature[:, None, None]
    probs = logits.softmax(-1)
    assert torch.equal(got.argmax, logits.argmax(-1))
    assert torch.allclose(got.entropy, -(probs * probs.log()).sum(-1), atol=1e-5)
    assert torch.allclose(got.confidence, probs.amax(-1), atol=1e-5)
    assert torch.allclose(got.soft_embedding, probs @ embedding * 4, atol=1e-4)
    below = (probs.double().cumsum(-1) <= asked.uniform[..., None]).sum(-1)
    assert torch.equal(got.sample, below)


@pytest.mark.parametrize("seed", range(20))
def test_the_fast_form_is_the_plain_form(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On random states, sharp and flat, with biases that rule tokens out, penalties, positions that
    may take some tokens only, and temperatures down to 0.02."""
    monkeypatch.setattr(chunked, "CHUNK", 50 + seed)
    monkeypatch.setattr(dense, "MAX_LOGITS", 5000)
    torch.manual_seed(seed)
    hidden, embedding = torch.randn(3, 40, 16) * 10 ** (torch.rand(1) * 3 - 1), torch.randn(400, 16)
    out = torch.rand(400) < 0.3
    out[: 80 + seed] = seed % 2 == 0  # whole chunks ruled out, also the first
    out[399] = False  # something must be left
    edits: list[LogitEdits | None] = [
        None,
        LogitEdits(bias_tokens=out.nonzero()[:, 0], bias=torch.full((int(out.sum()),), -torch.inf)),
        LogitEdits(penalised_tokens=torch.randperm(400)[:50], repetition_penalty=1.7),
    ]
    allowed = Allowed(torch.rand(4, 400) < 0.05, torch.randint(-1, 4, (3, 40)))
    allowed.masks[:, 399] = True
    asked = Readout(
        temperature=torch.rand(3) + 0.02, uniform=torch.rand(3, 40, dtype=torch.float64),
        greedy=torch.zeros(3, dtype=torch.bool), edits=edits, allowed=allowed,
    )  # fmt: skip
    owners, which = torch.arange(3).repeat_interleave(40), allowed.mask_index.flatten()
    positions = Positions(hidden.flatten(0, 1), owners, asked.uniform.flatten(), asked, which)
    fast, plain = (
        chunked.read_chunked(positions, embedding, 30.0),
        dense.read_dense(positions, embedding, 30.0),
    )
    assert torch.equal(fast[0], plain[0])
    assert (
        fast[1] == plain[1]
    ).float().mean() > 0.98  # a draw on the border of two tokens may fall on either side
    assert not out[fast[1][owners == 1]].any()
    bound = which >= 0
    assert 0 < int(bound.sum()) < len(bound)
    assert allowed.masks[which[bound], fast.sample[bound]].all()
    assert allowed.masks[which[bound], fast.argmax[bound]].all()
    assert torch.allclose(fast.entropy, plain.entropy, atol=2e-4)
    assert torch.allclose(fast.confidence, plain.confidence, atol=2e-4)
    assert torch.allclose(fast.soft, plain.soft, atol=2e-3)


@pytest.mark.parametrize(("bias", "temperature"), [(1e3, 0.6), (1e6, 0.6), (1e9, 0.6), (0.0, 1e-5)])
def test_entropy_is_exact_however_great_the_logits(
    bias: float, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunked, "CHUNK", 5)
    torch.manual_seed(3)
    edits = (
        LogitEdits(bias_tokens=torch.tensor([2, 11]), bias=torch.tensor([bias, bias]))
        if bias
        else None
    )
    asked = Readout(
        temperature=torch.tensor([temperature]), uniform=torch.rand(1, 32, dtype=torch.float64),
        greedy=torch.tensor([False]), edits=[edits],
    )  # fmt: skip
    table = torch.randn(20, 8)
    table[7] = table[13] = 3 * table[7]  # ties at any temperature
    positions = Positions(
        torch.randn(32, 8), torch.zeros(32, dtype=torch.int64), asked.uniform[0], asked
    )
    assert torch.allclose(
        chunked.read_chunked(positions, table, 30.0)[2],
        dense.read_dense(positions, table, 30.0)[2],
        atol=1e-5,
    )


def test_samples_of_the_fast_form_follow_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "CHUNK", 3)
    embedding = torch.eye(8)
    probs = torch.tensor([0.3, 0.01, 0.09, 0.2, 0.0, 0.25, 0.05, 0.1])
    logits = (probs + 1e-12).log()
    hidden = (30 * torch.atanh(logits / 30)).expand(1, 40_000, -1)
    asked = Readout(
        temperature=torch.ones(1), uniform=torch.rand(1, 40_000, dtype=torch.float64),
        greedy=torch.zeros(1, dtype=torch.bool), edits=[None],
    )  # fmt: skip
    counts = (
        read_vocabulary(hidden, embedding, 30.0, torch.tensor(1.0), asked)
        .sample.flatten()
        .bincount(minlength=8)
    )
    kept = probs > 0
    expected = probs[kept] * 40_000
    assert counts[4] == 0
    assert float(((counts[kept] - expected) ** 2 / expected).sum()) < 30


def test_positions_that_are_not_wanted_cost_nothing_and_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hidden, embedding, scale = torch.randn(2, 64, 16), torch.randn(90, 16), torch.tensor(4.0)
    asked = readout(2, 64)
    everything = read_vocabulary(hidden, embedding, 30.0, scale, asked)
    wanted = torch.rand(2, 64) < 0.3
    seen: list[int] = []
    form = chunked._read_block
    monkeypatch.setattr(
        chunked,
        "_read_block",
        lambda part, *rest: seen.append(len(part.states)) or form(part, *rest),
    )
    got = read_vocabulary(
        hidden, embedding, 30.0, scale, Readout(**{**vars(asked), "wanted": wanted})
    )
    assert sum(seen) < int(wanted.sum()) + 32
    for name in ("argmax", "sample", "entropy", "confidence", "soft_embedding"):
        part = getattr(got, name)
        assert torch.equal(part[wanted], getattr(everything, name)[wanted])
        assert part[~wanted].count_nonzero() == 0
    nothing = read_vocabulary(
        hidden,
        embedding,
        30.0,
        scale,
        Readout(**{**vars(asked), "wanted": torch.zeros_like(wanted)}),
    )
    assert nothing.entropy.count_nonzero() == 0


def test_samples_follow_the_distribution() -> None:
    probs = torch.tensor([0.5, 0.0, 0.2, 0.05, 0.25])
    draws = inverse_cdf(probs.expand(50_000, -1), torch.rand(50_000, dtype=torch.float64))
    counts = draws.bincount(minlength=5)
    assert counts[1] == 0
    kept = [0, 2, 3, 4]
    expected = probs[kept] * 50_000
    assert float(((counts[kept] - expected) ** 2 / expected).sum()) < 25


def test_the_ends_of_the_unit_interval_never_take_a_token_of_no_probability() -> None:
    probs = torch.tensor([[0.0, 0.3, 0.0, 0.7, 0.0]])
    assert inverse_cdf(probs, torch.tensor([0.5 / 2**48], dtype=torch.float64)).item() == 1
    assert inverse_cdf(probs, torch.tensor([1 - 0.5 / 2**48], dtype=torch.float64)).item() == 3


def test_greedy_rows_take_the_argmax() -> None:
    got = read_vocabulary(
        torch.randn(2, 9, 16),
        torch.randn(90, 16),
        30.0,
        torch.tensor(4.0),
        readout(2, 9, greedy=True),
    )
    assert torch.equal(got.sample, got.argmax)


def distribution(
    edits: LogitEdits | None, hidden: torch.Tensor, embedding: torch.Tensor, temperature: float
):
    """What the edited distribution is, read back from soft embeddings under an orthonormal
    table."""
    asked = Readout(
        temperature=torch.tensor([temperature]), uniform=torch.rand(1, 1, dtype=torch.float64),
        greedy=torch.tensor([False]), edits=[edits],
    )  # fmt: skip
    soft = read_vocabulary(
        hidden[None, None], embedding, 30.0, torch.tensor(1.0), asked
    ).soft_embedding
    return soft[0, 0] @ embedding.T


def test_bias_penalty_and_filters_do_what_they_say() -> None:
    torch.manual_seed(1)
    embedding = torch.linalg.qr(torch.randn(12, 12))[0]
    logits = torch.randn(12) * 2
    hidden = embedding.T @ (30 * torch.atanh(logits / 30))
    plain = (logits / 0.7).softmax(-1)
    assert torch.allclose(distribution(None, hidden, embedding, 0.7), plain, atol=1e-5)

    biased = logits.clone()
    biased[3] += 4.0
    edits = LogitEdits(bias_tokens=torch.tensor([3]), bias=torch.tensor([4.0]))
    assert torch.allclose(
        distribution(edits, hidden, embedding, 0.7), (biased / 0.7).softmax(-1), atol=1e-5
    )

    penalised = logits.clone()
    penalised[[2, 5]] = torch.where(logits[[2, 5]] > 0, logits[[2, 5]] / 1.5, logits[[2, 5]] * 1.5)
    edits = LogitEdits(penalised_tokens=torch.tensor([2, 5]), repetition_penalty=1.5)
    assert torch.allclose(
        distribution(edits, hidden, embedding, 0.7), (penalised / 0.7).softmax(-1), atol=1e-5
    )

    order = plain.argsort(descending=True)
    mass, kept = 0.0, []
    for token in order.tolist():
        if mass >= 0.8:
            break
        kept.append(token)
        mass += float(plain[token])
    expected = torch.zeros(12)
    expected[kept] = plain[kept] / plain[kept].sum()
    assert torch.allclose(
        distribution(LogitEdits(top_p=0.8), hidden, embedding, 0.7), expected, atol=1e-5
    )

    expected = torch.where(plain >= 0.2 * plain.max(), plain, 0.0)
    assert torch.allclose(
        distribution(LogitEdits(min_p=0.2), hidden, embedding, 0.7),
        expected / expected.sum(),
        atol=1e-5,
    )


@pytest.mark.parametrize("seed", range(12))
def test_filters_are_those_of_transformers(seed: int) -> None:
    """In its order: temperature, top_k, top_p, min_p."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    top_k, top_p = rng.choice((0, 1, 3, 11, 500)), rng.choice((1.0, 0.9, 0.4))
    min_p, temperature = rng.choice((0.0, 0.1)), rng.choice((0.3, 1.0, 1.7))
    hidden, embedding = torch.randn(1, 25, 16), torch.randn(90, 16)
    edits = LogitEdits(top_k=top_k, top_p=top_p, min_p=min_p)
    asked = replace(readout(1, 25, [edits]), temperature=torch.tensor([temperature]))
    got = read_vocabulary(hidden, embedding, 30.0, torch.tensor(1.0), asked)
    logits = 30 * torch.tanh(hidden[0] @ embedding.T / 30) / temperature
    for wanted, warper in (
        (top_k > 0, logits_process.TopKLogitsWarper(max(top_k, 1))),
        (top_p < 1, logits_process.TopPLogitsWarper(top_p)),
        (min_p > 0, logits_process.MinPLogitsWarper(min_p)),
    ):
        logits = warper(torch.zeros(25, 1), logits) if wanted else logits
    probs = logits.softmax(-1)
    assert torch.allclose(got.soft_embedding[0], probs @ embedding, atol=1e-4)
    assert torch.allclose(got.entropy[0], torch.special.entr(probs).sum(-1), atol=1e-4)
    assert (probs.gather(1, got.sample[0, :, None]) > 0).all()


def test_ties_with_the_last_of_the_top_k_are_kept() -> None:
    logits = torch.tensor([[1.0, 2.0, 2.0, 0.0], [-torch.inf, -torch.inf, 3.0, -torch.inf]])
    expected = torch.tensor([[0, 1, 1, 0], [0, 0, 1, 0]]).bool()
    LogitEdits(top_k=1).filter_logits(logits)
    assert torch.equal(logits > -torch.inf, expected)
    LogitEdits(top_k=3).filter_logits(logits)
    assert torch.equal(logits > -torch.inf, expected)


@pytest.mark.parametrize("seed", range(6))
def test_without_a_softcap_every_form_reads_the_logits_as_they_are(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunked, "CHUNK", 13)
    torch.manual_seed(seed)
    hidden, embedding, scale = torch.randn(2, 20, 16) * 3, torch.randn(90, 16), torch.tensor(4.0)
    edits: list[LogitEdits | None] = [None, LogitEdits(top_k=90, min_p=1e-30)]
    asked = readout(2, 20, edits)
    got = read_vocabulary(hidden, embedding, None, scale, asked)
    logits = hidden @ embedding.T
    assert float(logits.abs().max()) > 30
    assert torch.allclose(softcapped_logits(hidden[0], embedding, None), logits[0], atol=1e-4)
    probs = (logits / asked.temperature[:, None, None]).softmax(-1)
    assert torch.equal(got.argmax, logits.argmax(-1))
    assert torch.allclose(got.entropy, torch.special.entr(probs).sum(-1), atol=1e-4)
    assert torch.allclose(got.soft_embedding, probs @ embedding * 4, atol=1e-3)


def test_edits_stay_in_their_row() -> None:
    torch.manual_seed(2)
    hidden, embedding, scale = torch.randn(3, 30, 16), torch.randn(90, 16), torch.tensor(4.0)
    edits: list[LogitEdits | None] = [
        None,
        LogitEdits(top_p=0.3, bias_tokens=torch.tensor([1]), bias=torch.tensor([5.0])),
        None,
    ]
    asked = readout(3, 30)
    plain = read_vocabulary(hidden, embedding, 30.0, scale, asked)
    edited = read_vocabulary(
        hidden, embedding, 30.0, scale, Readout(**{**vars(asked), "edits": edits})
    )
    for row, same in ((0, True), (1, False), (2, True)):
        assert torch.equal(plain.entropy[row], edited.entropy[row]) == same
        assert torch.equal(plain.sample[row], edited.sample[row]) or not same


def test_a_position_takes_what_it_may_and_its_neighbours_take_what_they_took() -> None:
    torch.manual_seed(4)
    hidden, embedding, scale = torch.randn(2, 30, 16), torch.randn(90, 16), torch.tensor(4.0)
    asked = readout(2, 30)
    which = torch.full((2, 30), -1)
    which[0, 3], which[1, 5], which[1, 6] = 0, 1, 0
    masks = torch.zeros(2, 90, dtype=torch.bool)
    masks[0, [7]] = masks[1, [11, 80]] = True
    plain = read_vocabulary(hidden, embedding, 30.0, scale, asked)
    bound = read_vocabulary(
        hidden, embedding, 30.0, scale, Readout(**{**vars(asked), "allowed": Allowed(masks, which)})
    )
    free = which < 0
    for name in ("argmax", "sample", "entropy", "confidence", "soft_embedding"):
        assert torch.equal(getattr(plain, name)[free], getattr(bound, name)[free])
    assert bound.sample[0, 3] == bound.argmax[1, 6] == 7
    assert bound.entropy[0, 3] == 0
    logits = (30 * torch.tanh(hidden[1, 5] @ embedding.T / 30) / asked.temperature[1])[[11, 80]]
    assert torch.allclose(bound.confidence[1, 5], logits.softmax(-1).amax(), atol=1e-5)
    assert int(bound.sample[1, 5]) in (11, 80)


def test_masks_of_several_canvases_are_joined() -> None:
    first = Allowed(torch.eye(4, dtype=torch.bool), torch.tensor([[0, -1, 3]]))
    second = Allowed(torch.ones(1, 4, dtype=torch.bool), torch.tensor([[-1, 0, -1]]))
    shape = torch.Size((1, 3))
    joined = Allowed.join([first, None, second], [shape] * 3)
    assert joined is not None
    assert joined.mask_index.tolist() == [[0, -1, 1], [-1, -1, -1], [-1, 2, -1]]
    assert joined.masks.tolist() == [
        [True, False, False, False],
        [False, False, False, True],
        [True] * 4,
    ]
    assert joined.rows(torch.tensor([2])).mask_index.tolist() == [[-1, 2, -1]]
    parts = [joined.rows(slice(at, at + 1)) for at in range(3)]
    again = Allowed.join(
        parts, [shape] * 3
    )  # as a batch is taken apart and put together at every step
    assert again is not None
    assert torch.equal(again.masks, joined.masks)
    assert torch.equal(again.mask_index, joined.mask_index)
    assert Allowed.join([parts[1]], [shape]) is None
    assert Allowed.join([None, None], [shape] * 2) is None
