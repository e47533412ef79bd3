"""Weights with a common input lie side by side where kernels run, and are what they were."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

pytest.importorskip("triton")

from redraft.network import DiffusionGemma, join_weights
from redraft.network.layers import Layer
from redraft.ops import triton as kernels
from redraft.ops.linear import joined_weights, parallel_linears
from redraft.testing import tiny_model

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def on_kernels() -> Iterator[None]:
    kernels.KERNEL_DEVICES.add(DEVICE)
    yield
    if DEVICE != "cuda":
        kernels.KERNEL_DEVICES.discard(DEVICE)


def layers_of(network: DiffusionGemma) -> list[list[torch.nn.Module]]:
    """The layers with a common input, of the first layer, and of a full one without values."""
    first, last = (network.layers[at] for at in (0, -1))
    assert isinstance(first, Layer)
    assert isinstance(last, Layer)
    attention = first.self_attn
    assert attention.v_proj is not None
    assert last.self_attn.v_proj is None
    return [
        [attention.q_proj, attention.k_proj, attention.v_proj],
        [last.self_attn.q_proj, last.self_attn.k_proj],
        [first.mlp.gate_proj, first.mlp.up_proj],
        [network.self_conditioning.gate_proj, network.self_conditioning.up_proj],
    ]


def are_joined(network: DiffusionGemma) -> list[bool]:
    groups = layers_of(network)
    return [joined_weights([one.weight for one in group]) is not None for group in groups]  # type: ignore[misc]


def test_joined_weights_are_what_they_were(on_kernels: None) -> None:
    network = tiny_model(5, num_hidden_layers=2).requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    x = torch.randn(3, 32, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    network.to(DEVICE)
    assert are_joined(network) == [True] * 4
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name].cpu(), before[name].cpu()) for name in before)
    with torch.inference_mode():
        for group in layers_of(network):
            for found, layer in zip(parallel_linears(x, group), group, strict=True):
                assert torch.allclose(found, layer(x), atol=1e-5)
    network.double()  # each weight has memory of its own again, and is joined anew
    assert are_joined(network) == [True] * 4


def test_weights_that_are_trained_or_far_from_kernels_stay_where_they_are() -> None:
    network = tiny_model(6, num_hidden_layers=2).requires_grad_(False)
    join_weights(network)  # the processor has no kernels
    assert are_joined(network) == [False] * 4
    kernels.KERNEL_DEVICES.add("cpu")
    try:
        join_weights(network.requires_grad_(True))
        assert are_joined(network) == [False] * 4
        join_weights(network.requires_grad_(False))
        assert are_joined(network) == [True] * 4
    finally:
        kernels.KERNEL_DEVICES.discard("cpu")
