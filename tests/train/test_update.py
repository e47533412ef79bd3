"""One update of the weights: which optimizer takes what, at which rate, and the average behind it."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from random import Random

import pytest
import torch

from redraft.errors import NonFiniteError
from redraft.network import DiffusionGemma
from redraft.tasks import Arithmetic, Infill
from redraft.testing import tiny_config, tiny_model
from redraft.testing.byte_tokenizer import byte_tokenizer
from redraft.text import ChatTemplate
from redraft.text.chat_template import TURN_TEMPLATE
from redraft.train import Recipe, Trainer
from redraft.train.examples import step_examples
from redraft.train.forward import ForwardPasses
from redraft.train.initial import initialise
from redraft.train.loss import Corruption, losses
from redraft.train.muon import ITERATIONS, NEWTON_SCHULZ, Muon
from redraft.train.optimizers import make_optimizers, update
from redraft.train.recipe import TaskShare
from redraft.train.trainer import STATE
from tests.train.test_context import batch_of


def recipe(**changes: object) -> Recipe:
    settings = {
        "model": tiny_config(canvas_length=16, num_hidden_layers=2),
        "tasks": (TaskShare(Arithmetic(1, 1), 1.0),),
        "steps": 6,
        "batch_size": 4,
        "prefix_length": 32,
        "log_every": 1,
    }
    return Recipe(**settings | changes)


def trainer(folder: Path, **changes: object) -> Trainer:
    template = ChatTemplate(TURN_TEMPLATE, {"bos_token": "<bos>"})
    return Trainer(recipe(**changes), byte_tokenizer(), template, folder)


def naive_orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """Iterate on the singular values alone: X = U S V^T stays U p(S) V^T."""
    u, s, vt = torch.linalg.svd(matrix.double(), full_matrices=False)
    s = s / matrix.double().norm()
    a, b, c = NEWTON_SCHULZ
    for _ in range(ITERATIONS):
        s = a * s + b * s**3 + c * s**5
    return u @ torch.diag(s) @ vt


def test_muon_steps_along_the_orthogonalised_nesterov_momentum() -> None:
    torch.manual_seed(0)
    shapes = [(6, 4), (4, 6), (3, 8, 2)]
    parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    gradients = [[torch.randn(shape) for shape in shapes] for _ in range(3)]
    expected = [parameter.detach().double() for parameter in parameters]
    momenta = [torch.zeros(shape).double() for shape in shapes]
    muon = Muon(parameters, lr=0.1, momentum=0.9, dtype=torch.float32)
    for step in gradients:
        for number, gradient in enumerate(step):
            parameters[number].grad = gradient.clone()
            momenta[number] = 0.9 * momenta[number] + 0.1 * gradient
            direction = 0.1 * gradient + 0.9 * momenta[number]
            rows, columns = direction.shape[-2:]
            stack = direction.reshape(-1, rows, columns)
            turned = torch.stack([naive_orthogonal(one) for one in stack]).view_as(direction)
            length = 0.1 * math.sqrt(max(1.0, rows / columns))
            expected[number] = expected[number] - length * turned
        muon.step()
    for parameter, value in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.double(), value, atol=1e-4, rtol=1e-3)


def test_matrices_go_to_muon_and_all_else_to_adam() -> None:
    network = tiny_model(0).requires_grad_(True)
    muon, adam = make_optimizers(network, recipe(matrix_lr=0.5, other_lr=0.25), torch.float32)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    taken = [
        {names[id(one)] for one in optimizer.param_groups[0]["params"]}
        for optimizer in (muon, adam)
    ]
    assert taken[0] | taken[1] == set(names.values())
    assert not taken[0] & taken[1]
    assert "embed_tokens.weight" in taken[1]
    assert all("norm" in name or "scale" in name or "embed" in name for name in taken[1])
    assert {"layers.0.experts.gate_up_proj", "layers.0.router.proj.weight"} <= taken[0]
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = network.embed_tokens.weight.detach().clone()
    update([muon, adam], 0.5)
    assert [one.param_groups[0]["lr"] for one in (muon, adam)] == [0.25, 0.125]
    # The first step of Adam has the length of the rate.
    moved = before - network.embed_tokens.weight.detach()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.125))
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_average_follows_the_weights_by_its_decay(tmp_path: Path) -> None:
    run = trainer(tmp_path, ema=0.3)
    expected = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    for step, _ in enumerate(run.run()):
        decay = min(0.3, (1 + step) / (10 + step))
        for name, tensor in run.network.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * tensor
    assert step == 5
    for name, tensor in run.average.items():
        torch.testing.assert_close(tensor, expected[name])


def test_rates_rise_and_fall_in_straight_lines() -> None:
    one = recipe(steps=100, warm_up=9, decay=0.2)
    expected = [
        min((step + 1) / 10, 1.0) if step < 80 else (100 - step) / 21 for step in range(100)
    ]
    assert [one.learning_rate(step) for step in range(100)] == pytest.approx(expected)
    assert one.decay_start == 80


def test_a_gradient_that_is_not_finite_ends_the_run_unsaved(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    next(run.run())
    run.save_state()
    before = (tmp_path / STATE).read_bytes()
    with torch.no_grad():
        run.network.norm.weight[0] = torch.nan
    with pytest.raises(NonFiniteError, match="not finite at step 1"):
        list(run.run())
    assert (tmp_path / STATE).read_bytes() == before


def test_gradients_are_clipped_to_the_norm_of_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []

    def watch(optimizers, share) -> None:
        gradients = [one.grad for one in run.network.parameters() if one.grad is not None]
        norms.append(float(torch.stack([one.norm() for one in gradients]).norm()))
        update(optimizers, share)

    monkeypatch.setattr("redraft.train.trainer.update", watch)
    run = trainer(tmp_path, clip=1e-3, steps=2)
    list(run.run())
    assert norms == pytest.approx([1e-3, 1e-3], rel=1e-3)


def test_the_encoder_loss_comes_every_so_many_updates(tmp_path: Path) -> None:
    rows = list(trainer(tmp_path / "third", encoder_every=3).run())
    assert [row["encoder_loss"] is not None for row in rows] == [True, False, False] * 2
    rows = list(trainer(tmp_path / "never", encoder_every=0).run())
    assert [row["encoder_loss"] for row in rows] == [None] * 6


def test_a_short_hole_weighs_as_its_share_of_twenty_tokens() -> None:
    network = tiny_model(2, vocab_size=150, canvas_length=40)
    batch = batch_of(3, 40, 10, [3, 10, 7])
    batch.weight[:] = 0
    for row, count in enumerate((5, 20, 30)):
        batch.weight[row, :count] = 1
    corruption = Corruption.of(batch, 1, 150, torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = losses(ForwardPasses(network), batch, corruption, self_conditioning=())
    shares = torch.tensor([5 / 20, 1.0, 1.0])
    torch.testing.assert_close(found.diffusion, (found.by_row * shares).mean())


def test_examples_are_mixed_by_their_shares() -> None:
    tasks = (TaskShare(Arithmetic(), 3.0), TaskShare(Infill(), 1.0))
    examples = step_examples(recipe(tasks=tasks, batch_size=600), Random(1))
    count = Counter("calc" in example.prompt for example in examples)
    assert len(examples) == 600
    assert 410 < count[True] < 490


def test_initial_weights_have_the_sizes_that_train_well() -> None:
    config = tiny_config(hidden_size=256, head_dim=16)
    network = initialise(DiffusionGemma(config), torch.Generator().manual_seed(0))
    weights = network.state_dict()

    def deviation(name: str) -> float:
        return float(weights[name].std())

    assert deviation("embed_tokens.weight") == pytest.approx(256**-0.5, rel=0.02)
    assert deviation("layers.0.mlp.gate_proj.weight") == pytest.approx(0.5 * 256**-0.5, rel=0.03)
    assert deviation("layers.0.self_attn.o_proj.weight") == pytest.approx(0.5 / 8, rel=0.03)
    post_norm = weights["layers.0.post_attention_layernorm.weight"]
    torch.testing.assert_close(post_norm, torch.full_like(post_norm, 0.3))
    assert set(weights["layers.0.input_layernorm.weight"].tolist()) == {1.0}
    assert weights["layers.0.self_attn.q_norm.weight"][0] == pytest.approx(1.3 / 2)
    assert not weights["self_conditioning.down_proj.weight"].any()


def test_examples_that_are_too_long_are_drawn_again() -> None:
    tasks = (TaskShare(Arithmetic(), 1.0),)
    every = step_examples(recipe(tasks=tasks, batch_size=40), Random(3))
    short = step_examples(
        recipe(tasks=tasks, batch_size=40), Random(3), lambda example: len(example.answer) < 30
    )
    assert any(len(example.answer) >= 30 for example in every)
    assert all(len(example.answer) < 30 for example in short)
