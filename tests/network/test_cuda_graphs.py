"""Recorded passes: what is recorded for some canvases serves others. Here a recording is a pass
that runs again, in the interpreter; on a CUDA device, where it is a graph,
`tests/engine/test_gpu.py` holds the same."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from weakref import ref

import pytest
import torch

pytest.importorskip("triton")

from redraft.api import Model
from redraft.network import context as contexts
from redraft.network import transformer
from redraft.network.context import CachedContext
from redraft.network.cuda_graphs import Replay, Tensors, _Recording
from redraft.ops import triton as kernels
from redraft.testing import tiny_model

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="a device has real recordings: tests/engine/test_gpu.py"
)
OPTIONS = {"max_new_tokens": 20, "max_denoising_steps": 3, "eos_token_id": ()}


@dataclass
class Again:
    """Stands for a graph: the same work on the same tensors, knowing of canvases what it knew at
    first."""

    work: Callable[[], Tensors]
    found: Tensors
    replays: int = 0

    def replay(self) -> None:
        self.replays += 1
        for kept, new in zip(self.found, self.work(), strict=True):
            kept.copy_(new)


def record(
    self: Replay, key: Any, given: Tensors, prepare: Callable[[], CachedContext], run: Any
) -> _Recording:
    context, kept = prepare(), tuple(part.clone() for part in given)
    found = run(context, *kept)
    shapes = [(canvas.start, canvas.stop) for canvas in context.canvases]
    context.let_go()

    def work() -> Tensors:
        context.canvases = [
            contexts.Segment(start, stop, None, False, -1, False) for start, stop in shapes
        ]  # type: ignore[arg-type]
        try:
            return run(context, *kept)
        finally:
            context.let_go()

    recording = self._recorded[key] = _Recording(Again(work, found), context, kept, found)  # type: ignore[arg-type]
    return recording


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    kernels.DEVICES.add("cpu")
    monkeypatch.setattr(Replay, "_record", record)
    monkeypatch.setattr(transformer, "_records", kernels.uses_kernels)
    yield
    kernels.DEVICES.discard("cpu")


def test_a_recording_serves_other_prompts_steps_and_canvases(recording: None) -> None:
    model = Model(tiny_model(1, num_hidden_layers=2))
    prompts = [[2, 7, 8], list(range(5, 25))]
    written = [
        model.generate(prompt, seed=seed, **OPTIONS).tokens for seed, prompt in enumerate(prompts)
    ]
    (only,) = model.network.replay._recorded.values()
    assert only.graph.replays > 6  # type: ignore[attr-defined]
    kernels.DEVICES.discard("cpu")
    assert written == [
        model.generate(prompt, seed=seed, **OPTIONS).tokens for seed, prompt in enumerate(prompts)
    ]
    kernels.DEVICES.add("cpu")


def test_caches_that_a_recording_was_made_with_are_let_go(recording: None) -> None:
    network = tiny_model(2, num_hidden_layers=2)
    canvas, signal = torch.arange(16)[None], torch.zeros(1, 16, 32)
    with torch.inference_mode():
        cache = network.new_cache(10)
        for _ in range(3):
            network.canvas_states(canvas, [cache], signal)
    gone = ref(cache)
    del cache
    gc.collect()
    assert gone() is None


def test_passes_of_other_sizes_are_others(recording: None) -> None:
    network = tiny_model(3, num_hidden_layers=2)
    with torch.inference_mode():
        cache = network.new_cache(10)
        for length in (16, 16, 1, 5, 16):
            states = network.canvas_states(
                torch.arange(length)[None], [cache], torch.zeros(1, length, 32)
            )
            assert states.shape == (1, length, 32)
        two = [network.new_cache(10) for _ in range(2)]
        assert network.canvas_states(
            torch.arange(16).view(2, 8), two, torch.zeros(2, 8, 32)
        ).shape == (2, 8, 32)
        assert len(network.replay._recorded) == 1
        assert len(network.replay._met) == 4
    with torch.no_grad():  # outside inference mode too
        network.canvas_states(torch.arange(16)[None], [cache], torch.zeros(1, 16, 32))


def test_a_model_that_moves_or_loads_forgets_its_recordings(recording: None) -> None:
    network = tiny_model(4, num_hidden_layers=2)
    model = Model(network)
    for change in (lambda: network.float(), lambda: network.load_state_dict(network.state_dict())):
        model.generate([2, 7], seed=1, **OPTIONS | {"max_new_tokens": 9})
        assert network.replay._recorded
        change()
        assert not network.replay._recorded


def test_copies_record_for_themselves(recording: None) -> None:
    model = Model(tiny_model(5, num_hidden_layers=2))
    expected = model.generate([2, 7], seed=1, **OPTIONS | {"max_new_tokens": 9}).tokens
    assert model.network.replay._recorded
    for copied in (deepcopy(model.network), pickle.loads(pickle.dumps(model.network))):
        assert not copied.replay._recorded
        assert (
            Model(copied).generate([2, 7], seed=1, **OPTIONS | {"max_new_tokens": 9}).tokens
            == expected
        )
