"""What is compiled and captured before the first request; a stand-in plays the graphs."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton")

from redraft.engine.warm_up import warm_up
from redraft.ops.triton import placed_attention
from redraft.testing import tiny_model
from tests.network.graph_stand_in import graphs_on_cpu

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="a device has real graphs: tests/engine/test_gpu.py"
)

SMALL = {
    "num_hidden_layers": 2, "canvas_length": 4, "num_experts": 2, "top_k_experts": 1,
    "vocab_size": 64,
}  # fmt: skip


@pytest.mark.long
def test_the_passes_of_every_text_are_captured_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_model(1, **SMALL)
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(placed_attention, "TOKEN_PROGRAMS", 8)
    warm_up(network, lambda done, total: told.append((done, total)))
    assert not told, "without graphs there is nothing to do"
    with graphs_on_cpu(monkeypatch):
        warm_up(network, lambda done, total: told.append((done, total)))
    captured = network.cuda_graphs._captured
    assert {(key[0], key[1].slots, key[1].canvases) for key in captured} == {
        ("step", 0, 1), ("step", 1, 1), ("token", 1, 0),
    }  # fmt: skip
    assert told == [(number, 20) for number in range(1, 21)]


@pytest.mark.long
def test_a_model_that_cannot_write_is_told_of_and_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_model(2, **SMALL)
    network.norm.weight.data.fill_(torch.nan)
    with graphs_on_cpu(monkeypatch), pytest.warns(UserWarning, match="could not be compiled ahead"):
        warm_up(network)
