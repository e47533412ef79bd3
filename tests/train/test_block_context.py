"""The pass of training against the passes of inference: the same hidden states, row by row."""

from __future__ import annotations

import random

import pytest
import torch

from redraft.model.layers import Experts
from redraft.testing import tiny_model
from redraft.testing.tiny import random_shape
from redraft.train.batch import Batch
from redraft.train.loss import answer_loss, canvas_logits


@pytest.mark.parametrize("seed", range(12))
def test_training_sees_what_inference_sees(seed: int) -> None:
    rng = random.Random(seed)
    model = tiny_model(seed, vocab_size=150, **random_shape(rng))
    length, rows = model.config.canvas_length, 3
    lengths = [rng.randint(1, 30) for _ in range(rows)]
    prefix = torch.randint(2, 150, (rows, 30))
    batch = Batch(prefix, torch.tensor(lengths), torch.randint(2, 150, (rows, length)), torch.full((rows,), length))
    noisy, signal = torch.randint(0, 150, (rows, length)), torch.randn(rows, length, model.config.hidden_size)
    with torch.no_grad():
        logits, states = canvas_logits(model, batch, noisy, signal, answer=True)
        short, nothing = canvas_logits(model, batch, noisy, signal)
    assert nothing is None
    assert states is not None
    assert torch.allclose(logits, short, atol=1e-4)
    with torch.inference_mode():
        for row in range(rows):
            cache = model.new_cache(lengths[row] + length)
            prompt = model.encode([prefix[row, : lengths[row]]], [cache])[0]
            alone = model.logits(model.canvas_states(noisy[row : row + 1], [cache], signal[row : row + 1]))[0]
            assert torch.allclose(logits[row], alone, atol=1e-4)
            answer = model.encode([batch.target[row]], [cache])[0]
            assert torch.allclose(states[row], torch.cat((prompt[-1:], answer[:-1])), atol=1e-4)


def test_every_expert_on_every_token_is_the_same_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(3)
    x = torch.randn(40, 32)
    layer = model.layers[0]
    sparse = layer.experts(x, *layer.router(x))
    monkeypatch.setattr(Experts, "dense", True)
    assert torch.allclose(layer.experts(x, *layer.router(x)), sparse, atol=1e-4)


def test_what_fills_the_canvas_does_not_count_left_to_right() -> None:
    model = tiny_model(0)
    target = torch.randint(2, 300, (2, 16))
    hidden = torch.randn(2, 16, 32)
    prefix = torch.zeros(2, 4, dtype=torch.long)
    lengths = torch.tensor([5, 16])
    whole = answer_loss(model, Batch(prefix, lengths, target, lengths), hidden)
    changed = target.clone()
    changed[0, 5:] = 1
    assert torch.equal(answer_loss(model, Batch(prefix, lengths, changed, lengths), hidden), whole)
    by_token = -model.logits(hidden).log_softmax(-1).gather(-1, target[..., None])[..., 0]
    assert torch.allclose(whole, torch.cat((by_token[0, :5], by_token[1])).mean(), atol=1e-4)
