"""The dense block runs beside the experts in a graph, and nothing races. Stand-ins play the device."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from redraft.config.presets import PRESETS
from redraft.network import fused_layers, side_by_side
from redraft.network.side_by_side import MAX_ROWS, MIN_NUMBERS, MIN_ROWS, gains_side_by_side
from redraft.ops import triton as kernels
from redraft.testing import tiny_model
from tests.network.launches import network_without_numbers, without_numbers, zeros
from tests.network.streams_stand_in import Races, Stream, streams

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="with a device, kernels are not the interpreter's"
)
FULL = PRESETS["26b"]
SIX = replace(FULL, num_hidden_layers=6, layer_types=FULL.layer_types[:6])


def run_canvas(monkeypatch: pytest.MonkeyPatch, form: str = "bf16") -> Races:
    """Run the layers of the released shape over a canvas; return what was launched."""
    races = Races()
    with without_numbers(), torch.inference_mode(), streams(monkeypatch, races, "meta"):
        network = network_without_numbers(SIX, form, False)
        with races:
            network.canvas_states(
                zeros(1, 256),
                [network.new_cache(16)],
                zeros(1, 256, SIX.hidden_size, dtype=torch.bfloat16),
            )
    return races


@pytest.mark.parametrize("form", ["bf16", "int8"])
def test_dense_blocks_run_beside_experts_and_nothing_races(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    races = run_canvas(monkeypatch, form)
    assert races.found == []
    main, side = races.counts.values()
    products = "linear" if form == "bf16" else "_product"
    assert (side[products], side["_gated"]) == (2 * 6, 6)
    assert not side["_end_layer"]
    # Those of experts, and of packed matrices of attention.
    assert main["_product"] == (2 if form == "bf16" else 4) * 6
    assert main["_end_layer"] == 6


@pytest.mark.parametrize("left_out", ["part", "join"])
def test_without_a_wait_it_would_race(left_out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wait, side = Stream.wait_stream, side_by_side._STREAMS

    def other(self: Stream, before: Stream) -> None:
        parts = self in side_by_side._STREAMS.values()
        if parts != (left_out == "part"):
            wait(self, before)

    monkeypatch.setattr(Stream, "wait_stream", other)
    found = run_canvas(monkeypatch).found
    assert side is side_by_side._STREAMS
    name = "linear reads" if left_out == "part" else "_end_layer writes"
    assert found.count(name) >= 6, found


def test_memory_that_is_given_back_too_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def parted(held: bool) -> list[str]:
        races = Races()
        with streams(monkeypatch, races, "cpu"), races:
            inputs = [torch.ones(4) * 2]
            keep = inputs[0] if held else None
            side_by_side.side_by_side(
                torch.device("cpu"), lambda: inputs.pop() + 1, lambda: torch.ones(4) * 3
            )
            del keep
        return races.found

    assert parted(held=True) == []
    assert "mul takes memory" in parted(held=False)


def test_it_is_in_order_where_it_cannot_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: Any = lambda count: torch.empty(count, 8, device="meta")  # noqa: E731
    assert not gains_side_by_side(rows(256), MIN_NUMBERS)
    with streams(monkeypatch, Races(), "meta"):
        assert gains_side_by_side(rows(256), MIN_NUMBERS)
        assert not gains_side_by_side(rows(256), MIN_NUMBERS - 1)
        assert not gains_side_by_side(rows(MIN_ROWS - 1), MIN_NUMBERS)
        assert not gains_side_by_side(rows(MAX_ROWS + 1), MIN_NUMBERS)
        assert not gains_side_by_side(torch.empty(256, 8), MIN_NUMBERS)
        monkeypatch.setattr(side_by_side, "card_of", lambda device: "small")
        assert not gains_side_by_side(rows(256), MIN_NUMBERS)
        monkeypatch.setattr(side_by_side, "card_of", lambda device: "hopper")
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
        assert not gains_side_by_side(rows(256), MIN_NUMBERS)


def test_bits_are_those_of_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_model(3, num_hidden_layers=1)
    monkeypatch.setattr(kernels, "KERNEL_DEVICES", {"cpu"})

    def states() -> Tensor:
        with torch.inference_mode():
            return network.canvas_states(
                torch.arange(2)[None], [network.new_cache(4)], torch.zeros(1, 2, 32)
            )

    expected = states()
    asked: list[int] = []
    monkeypatch.setattr(
        fused_layers, "gains_side_by_side", lambda x, numbers: bool(asked.append(numbers) or True)
    )
    with streams(monkeypatch, Races(), "cpu"):
        assert torch.equal(states(), expected)
    config = network.config
    assert asked == [3 * config.hidden_size * config.intermediate_size]
