"""Passes with clean tokens, whole steps and single tokens in graphs; a stand-in plays the graphs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("triton")

from redraft.api import Model
from redraft.engine import recorded_step
from redraft.network import DiffusionGemma, recorded_context
from redraft.network.recorded_context import PassShape
from redraft.network.segments import Clean, consecutive_segments
from redraft.ops.triton import placed_attention
from redraft.testing import tiny_model
from tests.network.graph_stand_in import graphs_on_cpu

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="a device has real graphs: tests/engine/test_gpu.py"
)
WINDOW, CANVAS = 9, 4


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with graphs_on_cpu(monkeypatch, runs_before=0):
        yield


def network(seed: int) -> DiffusionGemma:
    return tiny_model(
        seed, num_hidden_layers=2, sliding_window=WINDOW, canvas_length=CANVAS, num_experts=2,
        top_k_experts=1, vocab_size=64,
    )  # fmt: skip


def commits(model: DiffusionGemma, rounds: int) -> list[Tensor]:
    """Return the states of canvases, each behind a commit of its pass, and what the cache holds."""
    cache, found = model.new_cache(40), []
    for number in range(rounds):
        tokens = torch.arange(CANVAS) + 5 * number + 3
        clean = Clean([tokens], [cache])
        signal = torch.zeros(1, CANVAS, model.config.hidden_size)
        found.append(model.canvas_states(tokens[None] + 9, [cache], signal, clean))
    # A canvas alone, behind columns that a pass before it has moved.
    found.append(model.canvas_states(tokens[None] + 9, [cache], signal))
    found += [part for layer in range(2) for part in cache.prefix(layer)]
    return found


@pytest.fixture
def short_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let slots be as short as a canvas: the interpreter takes its time for every row."""
    monkeypatch.setattr(recorded_context, "SLOT_LENGTHS", (1, CANVAS, 64))


def test_commits_in_graphs_are_those_of_passes(
    monkeypatch: pytest.MonkeyPatch, short_slots: None
) -> None:
    """The sliding layer moves its columns at the fourth: it has room for 12, and keeps 8."""
    model = network(1)
    with torch.inference_mode():
        expected = commits(model, 5)
        with graphs_on_cpu(monkeypatch, runs_before=0):
            found = commits(model, 5)
            shapes = {key[1] for key in model.cuda_graphs._captured}
    assert shapes == {PassShape(1, CANVAS, 1, CANVAS), PassShape(0, 1, 1, CANVAS)}
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


@pytest.mark.long
def test_prompts_of_other_lengths_share_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(2)

    def read() -> list[Tensor]:
        found: list[Tensor] = []
        for lengths in ([5, 2], [3, 6]):
            caches = [model.new_cache(20) for _ in lengths]
            tokens = [torch.arange(count) + 3 for count in lengths]
            found += model.encode(tokens, caches)
            model.prefill(tokens[:1], caches[:1])
            found += [part for cache in caches for part in cache.prefix(0)]
            assert [cache.length for cache in caches] == [2 * lengths[0], lengths[1]]
        return found

    with torch.inference_mode():
        expected = read()
        with graphs_on_cpu(monkeypatch, runs_before=0):
            found = read()
            kinds = [(key[0], key[1].slots) for key in model.cuda_graphs._captured]
    assert ("encode", 2) in kinds
    assert ("prefill", 1) in kinds
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_what_has_no_room_or_an_adapter_runs_as_it_is(captures: None) -> None:
    model = network(3)
    with torch.inference_mode():
        cache = model.new_cache(40)
        model.prefill([torch.arange(13) + 3], [cache])  # the sliding layer has 12 columns
        assert cache.length == 13
    assert not model.cuda_graphs._captured


@pytest.mark.parametrize("temperature", [0.9, pytest.param(0.0, marks=pytest.mark.long)])
def test_autoregressive_texts_are_those_without_graphs(
    monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    model = Model(network(4))
    monkeypatch.setattr(placed_attention, "TOKEN_PROGRAMS", 8)  # of which the interpreter runs each
    options: dict[str, Any] = {"method": "autoregressive", "max_new_tokens": 4, "eos_token_id": ()}
    prompts = [[2], [9]]

    def written() -> list[Any]:
        texts = model.generate(prompts, seed=3, temperature=temperature, **options)
        return [text.tokens for text in texts]

    expected = written()
    with graphs_on_cpu(monkeypatch, runs_before=0):
        assert written() == expected
        kept = model.network.cuda_graphs._captured
        (token,) = [one for key, one in kept.items() if key[0] == "token"]
        assert token.context.shape == PassShape(2, 1, 0, 0)
        assert token.graph.replays == 3  # type: ignore[attr-defined]


@pytest.mark.long  # test_cuda_graphs.py has such a text too
def test_a_whole_step_reads_one_tensor_back(
    monkeypatch: pytest.MonkeyPatch, short_slots: None
) -> None:
    model, copied = Model(network(5)), []
    options: dict[str, Any] = {
        "max_new_tokens": 7, "max_denoising_steps": 3, "eos_token_id": (), "seed": 2,
        "confidence_threshold": 1e-9, "frozen": {1: 11},
    }  # fmt: skip
    expected = [text.tokens for text in model.generate([[2, 7], [5]], **options)]
    read_back = recorded_step._read_back

    def noted(shown: Tensor) -> Any:
        copied.append(shown.shape)
        return read_back(shown)

    monkeypatch.setattr(recorded_step, "_read_back", noted)
    with graphs_on_cpu(monkeypatch, runs_before=0):
        found = [text.tokens for text in model.generate([[2, 7], [5]], **options)]
        kinds = {(key[0], key[1].slots) for key in model.network.cuda_graphs._captured}
    assert found == expected
    assert kinds == {("step", 2), ("step", 0)}
    assert copied == [torch.Size((2, 4 * CANVAS + 2))] * 6


def test_shapes_take_the_smallest_slot() -> None:
    cache = network(6).new_cache(600)
    for lengths, slot in (([1, 1], 1), ([2], 16), ([17, 3], 64), ([256, 256, 9], 256)):
        segments = consecutive_segments(lengths, [cache] * len(lengths), clean=True)
        assert PassShape.of(segments) == (len(lengths), slot, 0, 0)
