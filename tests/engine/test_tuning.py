"""Measured tiles: chosen by a clock that stands for a card's, kept in a file, read where asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from redraft.engine import tuning
from redraft.errors import ConfigError
from redraft.network import place_weight
from redraft.ops import triton as kernels
from redraft.ops.triton import launch, measured_tiles
from redraft.ops.triton.measured_tiles import (
    forget_tiles,
    measured_tile,
    read_tiles,
    tiles_path,
    trying,
    write_tiles,
)
from redraft.ops.triton.tuning import TileCase, choose_tile
from redraft.quant import FORMATS
from redraft.testing import tiny_model

CUDA = torch.device("cuda", 0)


def case(outputs: dict[tuple[int, ...], object], ran: list[tuple[int, ...]]) -> TileCase:
    """Return a case whose tiles give these outputs, or raise them."""

    def run(tile: tuple[int, ...]) -> Tensor:
        ran.append(tile)
        found = outputs[tile]
        if isinstance(found, Exception):
            raise found
        return torch.tensor(found)

    return TileCase("one", (1,), [(1,), (2,), (3,), (4,), (5,)], run)


def test_the_fastest_tile_that_computes_the_same_is_taken() -> None:
    ran: list[tuple[int, ...]] = []
    seconds = {(1,): 1.0, (2,): 0.985, (3,): 0.1, (4,): 0.1, (5,): 0.5}

    def clock(launch: Callable[[], object]) -> float:
        launch()
        return seconds[ran[-1]]

    outputs = {
        (1,): [100.0, 1.0],
        (2,): [100.0, 1.0],  # less than two hundredths faster
        (3,): [100.0, 4.0],  # wrong by three hundredths of the greatest
        (4,): RuntimeError("out of resource: shared memory"),
        (5,): [101.0, 0.0],
    }
    choice = choose_tile(case(outputs, ran), clock)
    assert choice.tile == (5,)
    assert (choice.built_in_seconds, choice.seconds) == (1.0, 0.5)
    assert choice.refused == ((3,), (4,))
    outputs[(5,)] = [float("nan"), 1.0]
    assert choose_tile(case(outputs, ran), clock).tile == (1,)


def test_a_file_is_for_a_card_and_versions_and_a_broken_one_is_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDRAFT_CACHE", str(tmp_path))
    monkeypatch.setattr(measured_tiles, "card_name", lambda index: f"A Card {index}/x")
    path = tiles_path("A Card 0/x")
    assert path.parent == tmp_path / "tiles"
    assert path.name.startswith("a-card-0-x-triton")
    forget_tiles()
    assert measured_tile(CUDA, "attention", 4) is None
    write_tiles(path, "A Card 0/x", {"attention": (64, 32, 8, 2)})
    assert measured_tile(CUDA, "attention", 4) is None  # read already
    forget_tiles()
    assert measured_tile(CUDA, "attention", 4) == (64, 32, 8, 2)
    assert measured_tile(CUDA, "attention", 3) is None
    assert measured_tile(torch.device("cuda", 1), "attention", 4) is None
    assert measured_tile(torch.device("cpu"), "attention", 4) is None
    with trying("attention", (1, 2, 3, 4)):
        assert measured_tile(torch.device("cpu"), "attention", 4) == (1, 2, 3, 4)
    for text in ("{", "[]", '{"tiles": {"a": [true]}}', '{"tiles": {"a": [4096]}}', "[" * 10**5):
        path.write_text(text)
        with pytest.warns(RuntimeWarning, match="no file of measured tiles"):
            assert read_tiles(path) == {}
    monkeypatch.setattr(measured_tiles, "_versions", lambda: "newer")
    assert tiles_path("A Card 0/x") != path
    forget_tiles()


def test_a_tile_that_no_graph_can_hold_is_refused() -> None:
    ran: list[tuple[int, ...]] = []

    def clock(launch: Callable[[], object]) -> float:
        launch()
        if ran[-1] == (2,):
            raise RuntimeError("operation not permitted when stream is capturing")
        return 1.0 / ran[-1][0]

    outputs: dict[tuple[int, ...], object] = {(n,): [1.0] for n in range(1, 6)}
    choice = choose_tile(case(outputs, ran), clock)
    assert (choice.tile, choice.refused) == ((5,), ((2,),))


def test_kernels_are_chained_where_that_was_measured_and_the_card_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    capability = (9, 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(measured_tiles, "_READ", {0: {"chained": (1,)}})
    launch.can_chain.cache_clear()
    assert launch.chain(CUDA) == {"CHAINED": True, "launch_pdl": True}
    with launch.apart():
        assert launch.chain(CUDA) == {"CHAINED": False}
    with trying("chained", (0,)):
        assert launch.chain(CUDA) == {"CHAINED": False}
    monkeypatch.setattr(measured_tiles, "_READ", {0: {}})
    assert launch.chain(CUDA) == {"CHAINED": False}
    capability = (8, 9)
    launch.can_chain.cache_clear()
    with trying("chained", (1,)):
        assert launch.chain(CUDA) == {"CHAINED": False}
        assert launch.chain(torch.device("cpu")) == {"CHAINED": False}
    launch.can_chain.cache_clear()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a device")
def test_without_a_device_nothing_is_measured() -> None:
    for device in ("auto", "cuda", "cpu"):
        with pytest.raises(ConfigError, match="measured on a CUDA device"):
            tuning.check_device(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the interpreter stands for a card")
def test_every_kernel_of_a_model_is_a_case_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDRAFT_CACHE", str(tmp_path))
    monkeypatch.setattr(kernels, "KERNEL_DEVICES", {"cpu", "cuda"})
    monkeypatch.setattr(tuning, "check_device", torch.device)
    monkeypatch.setattr(tuning, "card_name", lambda index: "the interpreter")
    monkeypatch.setattr(tuning, "PREFIX", 16)
    for name in ("ATTENTION", "PRODUCTS"):
        monkeypatch.setattr(tuning, name, getattr(tuning, name)[:1])
    monkeypatch.setattr(tuning, "device_clock", lambda device: _timed)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(tuning, "can_chain", lambda device: True)
    model = tiny_model(1, num_hidden_layers=2, hidden_size=64, canvas_length=4)
    name = "layers.0.mlp.down_proj.weight"
    weight = FORMATS["int8"].quantize(model.state_dict()[name], torch.float32, 0)
    place_weight(model, name, weight)
    told: list[str] = []
    found = tuning.tune(model, told.append)
    names = [line[0] for line in found.lines]
    assert len(told) == len(names) == len(set(names)) == 2 + 2 + 1 + 1, names
    kept = json.loads(found.path.read_text())["tiles"]
    assert list(kept) == names
    assert all(after <= before for _, before, after, _ in found.lines)


def _timed(launch: Callable[[], object]) -> float:
    launch()
    return 1.0
