"""Layers in fewer operations give the bits of the layers as they are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from redraft.network import DiffusionGemma, few_operations
from redraft.network.few_operations import suits_few_operations
from redraft.network.segments import Clean
from redraft.testing import tiny_model


def states(network: DiffusionGemma) -> list[Tensor]:
    """Return states of a prompt, of a canvas behind it, and of both in one pass."""
    with torch.inference_mode():
        cache = network.new_cache(30)
        prompt, canvas = torch.arange(9), torch.arange(10, 30)[None]
        found = network.encode([prompt], [cache])
        found.append(network.canvas_states(canvas, [cache], torch.ones(1, 20, 32)))
        clean = Clean([prompt], [cache])
        found.append(network.canvas_states(canvas, [cache], torch.ones(1, 20, 32), clean))
        return found


def test_the_bits_are_those_of_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    network, ran = tiny_model(5, num_hidden_layers=4), []
    run = few_operations._run_layer
    monkeypatch.setattr(few_operations, "_run_layer", lambda *args: ran.append(1) or run(*args))
    kinds = {layer.keys_are_values for layer in network.config.layers}
    assert kinds == {False, True}
    found = states(network)
    assert len(ran) == 4 * 3
    monkeypatch.setattr("redraft.network.transformer.suits_few_operations", lambda layers, x: False)
    for one, other in zip(found, states(network), strict=True):
        assert torch.equal(one, other)
    assert len(ran) == 4 * 3


def test_hooks_other_parts_and_other_numbers_run_as_modules() -> None:
    network, x = tiny_model(6, num_hidden_layers=2), torch.zeros(4, 32)
    layer = network.layers[1]
    with torch.inference_mode():
        assert suits_few_operations(network.layers, x)
        assert not suits_few_operations(network.layers, x.double())
        assert not suits_few_operations(network.layers, x[None])
        handle = layer.self_attn.k_norm.register_forward_hook(lambda *_: None)
        assert not suits_few_operations(network.layers, x)
        handle.remove()
        assert suits_few_operations(network.layers, x)
        norm = layer.pre_feedforward_layernorm
        layer.pre_feedforward_layernorm = nn.Identity()
        assert not suits_few_operations(network.layers, x)
        layer.pre_feedforward_layernorm = norm
        norm.eps = 1.0
        assert not suits_few_operations(network.layers, x)
    assert not suits_few_operations(network.layers[:1], x), "a gradient may be wanted"
