"""The pass of training against the passes of inference: the same hidden states, row by row."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from redraft.ops import attention
from redraft.testing import tiny_model
from redraft.testing.tiny import random_shape
from redraft.train import context, forward
from redraft.train.batch import MAX_TAIL_WEIGHT, Batch, position_weights
from redraft.train.context import repeated
from redraft.train.example_encoder import EncodedExample
from redraft.train.forward import ForwardPasses
from redraft.train.loss import Corruption, answer_loss, answer_states, losses
from tests.cases import cases


def batch_of(rows: int, length: int, prefix: int, lengths: list[int]) -> Batch:
    target = torch.randint(2, 150, (rows, length))
    free = torch.zeros(rows, length, dtype=torch.bool)
    return Batch(
        prefix=torch.randint(2, 150, (rows, prefix)),
        prefix_lengths=torch.tensor(lengths),
        target=target,
        frozen=free,
        weight=(~free).float(),
        answer=target,
        answer_lengths=torch.full((rows,), length),
    )


@pytest.mark.parametrize("seed", cases(12, 4))
def test_training_sees_what_inference_sees(seed: int) -> None:
    rng = random.Random(seed)
    model = tiny_model(seed, vocab_size=150, **random_shape(rng))
    length, rows, draws = model.config.canvas_length, 3, 2
    lengths = [rng.randint(1, 30) for _ in range(rows)]
    batch = batch_of(rows, length, 30, lengths)
    noisy = torch.randint(0, 150, (draws * rows, length))
    signal = torch.randn(draws * rows, length, model.config.hidden_size)
    with torch.no_grad():
        passes = ForwardPasses(model)
        states, past = passes.encode(batch.prefix)
        after = model.logits(answer_states(passes, batch, states, past))
        doubled, ends = repeated(past, draws), batch.prefix_lengths.repeat(draws)
        logits = model.logits(passes.canvas_states(noisy, signal, doubled, ends))
    with torch.inference_mode():
        for canvas in range(draws * rows):
            row = canvas % rows
            cache = model.new_cache(lengths[row] + length)
            prompt = model.encode([batch.prefix[row, : lengths[row]]], [cache])[0]
            one = slice(canvas, canvas + 1)
            alone = model.logits(model.canvas_states(noisy[one], [cache], signal[one]))[0]
            assert torch.allclose(logits[canvas], alone, atol=1e-4)
            answer = model.encode([batch.answer[row]], [cache])[0]
            assert torch.allclose(
                after[row], model.logits(torch.cat((prompt[-1:], answer[:-1]))), atol=1e-4
            )


def test_the_loss_is_the_mean_over_what_is_not_frozen_and_frozen_tokens_stay() -> None:
    model = tiny_model(2, vocab_size=150, canvas_length=40)
    passes = ForwardPasses(model)
    batch = batch_of(4, 40, 10, [3, 10, 7, 1])
    frozen = torch.rand(4, 40) < 0.3
    batch = replace(batch, frozen=frozen, weight=(~frozen).float())
    corruption = Corruption.of(batch, 3, 150, torch.Generator().manual_seed(0))
    assert corruption.noisy.shape == (3, 4, 40)
    assert torch.equal(corruption.noisy[:, frozen], batch.target[frozen].expand(3, -1))
    spread = corruption.level.sort(dim=0).values
    again = torch.Generator().manual_seed(0)
    leaning = Corruption.of(batch, 3, 150, again, power=2.0).level
    assert (1 - leaning).sqrt().sub(1 - corruption.level).abs().max() < 0.01
    assert torch.allclose(spread[1:] - spread[:-1], torch.tensor(1 / 3), atol=1e-3)
    with torch.no_grad():
        found = losses(passes, batch, corruption, self_conditioning=())
        _, past = passes.encode(batch.prefix)
        canvas = corruption.noisy[1]
        logits = model.logits(
            passes.canvas_states(canvas, torch.zeros(4, 40, 32), past, batch.prefix_lengths)
        )
        right = -logits.log_softmax(-1).gather(-1, batch.target[..., None])[..., 0]
    means = torch.stack([row[~known].mean() for row, known in zip(right, frozen, strict=True)])
    assert torch.allclose(found.by_row.view(3, 4)[1], means, atol=1e-4)
    halves = [
        losses(passes, batch.part(n, 2), corruption.part(n, 2), self_conditioning=()).diffusion
        for n in (0, 1)
    ]
    assert torch.allclose(torch.stack(halves).mean(), found.diffusion, atol=1e-4)


def test_what_is_frozen_is_heard_as_itself() -> None:
    """As at inference: the next step hears a frozen position's own token, whatever the model
    believed there."""
    model = tiny_model(5, vocab_size=150, canvas_length=12)
    batch = replace(batch_of(2, 12, 6, [6, 4]), frozen=torch.ones(2, 12, dtype=torch.bool))
    heard = {}
    join = model.self_conditioning.join

    def listen(embeddings: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
        heard[len(heard)] = signal.clone()
        return join(embeddings, signal)

    model.self_conditioning.join = listen
    losses(
        ForwardPasses(model), batch, Corruption.of(batch, 2, 150, torch.Generator().manual_seed(0))
    )
    assert heard[0].count_nonzero() == 0
    assert torch.allclose(heard[1][:2], model.embed(batch.target))
    assert heard[1][2:].count_nonzero() == 0


def test_a_second_pass_hears_the_first_and_is_heard_by_fewer() -> None:
    model = tiny_model(6, vocab_size=150, canvas_length=12)
    batch = batch_of(4, 12, 6, [6, 4, 2, 1])
    corruption = Corruption.of(batch, 1, 150, torch.Generator().manual_seed(0))
    heard: list[torch.Tensor] = []
    join = model.self_conditioning.join

    def listen(embeddings: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
        heard.append(signal.clone())
        return join(embeddings, signal)

    model.self_conditioning.join = listen
    passes = ForwardPasses(model)
    losses(passes, batch, corruption, self_conditioning=(0.5, 0.25))
    first, second, last = heard
    assert (len(first), len(second), len(last)) == (2, 1, 4)
    model.self_conditioning.join = join
    _, past = passes.encode(batch.prefix)

    def belief(row: int, signal: torch.Tensor) -> torch.Tensor:
        one = slice(row, row + 1)
        own = [(key[one], value[one]) for key, value in past]
        states = passes.canvas_states(
            corruption.noisy[0, one], signal, own, batch.prefix_lengths[one]
        )
        return passes.soft_embedding(states)[0].detach()

    assert torch.allclose(second[0], belief(0, first[:1]), atol=1e-4)
    assert torch.allclose(last[0], belief(0, second), atol=1e-4)
    assert torch.allclose(last[1], belief(1, first[1:]), atol=1e-4)
    assert last[2:].count_nonzero() == 0


def test_a_tail_weighs_little_and_what_is_frozen_nothing() -> None:
    free = EncodedExample([1], [5, 6, 7], [False] * 3, [5, 6, 7])
    weights = position_weights(free, 19)
    assert weights[:3] == [1.0] * 3
    assert sum(weights[3:]) == MAX_TAIL_WEIGHT
    assert position_weights(free, 5) == [1.0] * 5
    held = EncodedExample([1], [5, 6, 7], [True, False, True], [5, 6, 7])
    assert position_weights(held, 6) == [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_every_expert_on_every_token_is_the_same_sum() -> None:
    model = tiny_model(3)
    x = torch.randn(40, 32)
    layer = model.layers[0]
    sparse = layer.experts(x, *layer.router(x))
    dense = layer.experts(x, *layer.router(x), dense=True)
    assert not torch.equal(dense, sparse)  # another order of additions
    assert torch.allclose(dense, sparse, atol=1e-4)


def test_what_fills_the_canvas_does_not_count_left_to_right() -> None:
    model = tiny_model(0)
    batch = replace(batch_of(2, 16, 4, [4, 4]), answer_lengths=torch.tensor([5, 16]))
    hidden = torch.randn(2, 16, 32)
    whole = answer_loss(ForwardPasses(model), batch, hidden)
    changed = batch.answer.clone()
    changed[0, 5:] = 1
    assert torch.equal(
        answer_loss(ForwardPasses(model), replace(batch, answer=changed), hidden), whole
    )
    by_token = -model.logits(hidden).log_softmax(-1).gather(-1, batch.answer[..., None])[..., 0]
    assert torch.allclose(whole, torch.cat((by_token[0, :5], by_token[1])).mean(), atol=1e-4)


def test_canvases_longer_than_a_block_of_attention_see_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = tiny_model(4, vocab_size=150, canvas_length=80)
    batch = batch_of(2, 80, 20, [20, 3])
    passes = ForwardPasses(model)

    def states() -> tuple[torch.Tensor, torch.Tensor]:
        first, past = passes.encode(batch.prefix)
        signal = torch.zeros(2, 80, 32)
        canvas = passes.canvas_states(batch.target, signal, past, batch.prefix_lengths)
        return canvas, answer_states(passes, batch, first, past)

    with torch.no_grad():
        whole = states()
        monkeypatch.setattr(attention, "MAX_SCORES_CPU", 1)  # the least: 32 queries a block
        for one, other in zip(whole, states(), strict=True):
            assert torch.allclose(one, other, atol=1e-5)
    model.requires_grad_(True)
    gradient = torch.autograd.grad(states()[0].sum(), model.layers[0].self_attn.q_proj.weight)
    assert gradient[0].isfinite().all()


def test_what_one_run_compiles_is_no_others_business() -> None:
    before = (context.run_layer, forward.token_loss, forward.soft_embedding)
    model = tiny_model(4)
    compiled, plain = ForwardPasses(model, compiled=True), ForwardPasses(model)
    assert (plain._run_layer, plain._token_loss, plain._soft_embedding) == before
    assert compiled._run_layer is not plain._run_layer
    assert (context.run_layer, forward.token_loss, forward.soft_embedding) == before
