"""Updates of whole and quantized weights, and their gradients; targets and their errors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import redraft
from redraft.adapters import LoraConfig, LoraWeight, adapters_of, attach, merge
from redraft.adapters.attach import weights_of
from redraft.checkpoint import Quantization
from redraft.errors import CheckpointError, ConfigError
from redraft.network import DiffusionGemma, place_weight
from redraft.quant import ExpertList, PackedWeight
from redraft.testing import tiny_checkpoint, tiny_model
from redraft.train.forward import ForwardPasses
from tests.checkpoint.test_formats import SHAPE

ALL = ("attention", "dense", "experts", "self_conditioning")


def loss_and_gradients(network: DiffusionGemma, tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of clean tokens and of a canvas, with the gradient of every update."""
    passes = ForwardPasses(network, dense_experts=False, checkpointed=True)
    states, past = passes.encode(tokens)
    signal = torch.ones(*tokens.shape, network.config.hidden_size) / 8
    canvas = passes.canvas_states(tokens.flip(-1), signal, past, torch.tensor([7, 5]))
    loss = passes.token_loss(states[:, :-1], tokens[:, 1:]).mean()
    loss = loss + passes.token_loss(canvas, tokens).mean()
    loss.backward()
    gradients = {}
    for name, weight in adapters_of(network).items():
        for side in (weight.lora_a, weight.lora_b):
            assert side.grad is not None
            gradients[f"{name} {side.shape}"] = side.grad
    return loss.detach(), gradients


def with_updates(network: DiffusionGemma, targets: tuple[str, ...] = ALL) -> DiffusionGemma:
    generator = torch.Generator().manual_seed(4)
    for weight in attach(network, LoraConfig(rank=2, targets=targets)).values():
        with torch.no_grad():
            weight.lora_b.copy_(torch.randn(weight.lora_b.shape, generator=generator) * 0.2)
    return network


@pytest.mark.parametrize("name", ["int8", "int4", "fp8"])
@pytest.mark.parametrize("targets", [ALL, ("attention",)])
def test_an_update_over_quantized_weights_is_that_over_their_numbers(
    tmp_path: Path, name: str, targets: tuple[str, ...]
) -> None:
    """Loss and gradients, also through quantized weights without an update."""
    folder = tiny_checkpoint(tmp_path / "model", **SHAPE)
    packed = redraft.load(folder, dtype=Quantization(name, 32)).network.float()
    decoded = redraft.load(folder, dtype=Quantization(name, 32)).network.float()
    kinds = set()
    for target, weight in list(weights_of(decoded)):
        if isinstance(weight, PackedWeight | ExpertList):
            kinds.add(type(weight))
            place_weight(decoded, target, weight.dequantize())
    assert len(kinds) == 2  # dense and expert weights
    tokens = torch.randint(3, 90, (2, 7), generator=torch.Generator().manual_seed(3))
    loss, gradients = loss_and_gradients(with_updates(packed, targets), tokens)
    expected, others = loss_and_gradients(with_updates(decoded, targets), tokens)
    assert abs(loss - expected) < 1e-4
    assert gradients.keys() == others.keys()
    for key, gradient in gradients.items():
        assert torch.allclose(gradient, others[key], atol=1e-4), key


def test_nothing_but_the_updates_is_trained() -> None:
    network = with_updates(tiny_model(1))
    trained = {name for name, one in network.named_parameters() if one.requires_grad}
    assert trained == {
        f"{name}.{side}" for name in adapters_of(network) for side in ("lora_a", "lora_b")
    }


def test_a_merged_weight_is_the_sum(tmp_path: Path) -> None:
    network = with_updates(tiny_model(1))
    sums = {
        name: one.base + one.scale * one.lora_b @ one.lora_a
        for name, one in adapters_of(network).items()
    }
    merge(network)
    weights = dict(weights_of(network))
    for name, expected in sums.items():
        found = weights[name]
        assert isinstance(found, Tensor)
        assert torch.allclose(found, expected, atol=1e-6)


def test_a_quantized_weight_is_not_merged_into(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "model", **SHAPE)
    network = with_updates(redraft.load(folder, dtype=Quantization("int8")).network)
    with pytest.raises(CheckpointError, match="is quantized"):
        merge(network)


@pytest.mark.parametrize(("targets", "message"), [
    (("attention", "heads"), "'heads' matches no weight"),
    ((".*",), "cannot have an update"),
    (("layers.*",), "cannot have an update"),
    (("embed_tokens.weight",), "cannot have an update"),
    (("(",), "no pattern"),
    ((r"layers\.\d\.experts\.down_proj",), "take both"),
    ((r"layers\.0\.experts\.down_proj", r"layers\.1\.experts\.gate_up_proj"), "take both"),
    ((), "list of names"),
    ("attention", "list of names"),
])  # fmt: skip
def test_targets_that_match_nothing_or_too_much_are_refused(
    targets: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        attach(tiny_model(1), LoraConfig(targets=targets))


def test_a_pattern_is_a_target() -> None:
    network = tiny_model(1)
    attach(network, LoraConfig(rank=1, targets=(r"layers\.0\.mlp\.down_proj\.weight",)))
    assert set(adapters_of(network)) == {"layers.0.mlp.down_proj.weight"}
    with pytest.raises(ConfigError, match="has an adapter"):
        attach(network, LoraConfig())


def test_dropout_is_of_training_alone() -> None:
    network = tiny_model(1)
    attach(network, LoraConfig(rank=4, dropout=0.5, targets=("dense",)))
    weight = adapters_of(network)["layers.0.mlp.down_proj.weight"]
    assert isinstance(weight, LoraWeight)
    torch.nn.init.normal_(weight.lora_b)
    x = torch.randn(5, weight.shape[1])
    assert torch.equal(weight.eval().product(x), weight.product(x))
    assert not torch.equal(weight.train().product(x), weight.product(x))


@pytest.mark.parametrize("wrong", [
    {"rank": 0}, {"alpha": 0}, {"dropout": 1.0}, {"rslora": 1}, {"rank": 2.5},
])  # fmt: skip
def test_a_wrong_form_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        LoraConfig(**wrong)  # type: ignore[arg-type]


def test_rslora_scales_by_the_root() -> None:
    assert LoraConfig(rank=16, alpha=8).scale == 0.5
    assert LoraConfig(rank=16, alpha=8, rslora=True).scale == 2.0
