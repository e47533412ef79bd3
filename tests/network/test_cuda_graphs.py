"""CUDA graphs: a pass that was captured for some canvases serves others.

Here a captured pass runs again in the interpreter. On a CUDA device, where it is a graph,
`tests/engine/test_gpu.py` checks the same.
"""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterator
from copy import deepcopy
from weakref import ref

import pytest
import torch

pytest.importorskip("triton")

from redraft.api import Model
from redraft.network import recorded_context
from redraft.ops import triton as kernels
from redraft.testing import tiny_model
from tests.network.graph_stand_in import graphs_on_cpu

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="a device has real graphs: tests/engine/test_gpu.py"
)
OPTIONS = {"max_new_tokens": 5, "max_denoising_steps": 5, "eos_token_id": ()}


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Slots as short as the prompts: the interpreter takes its time for every row.
    monkeypatch.setattr(recorded_context, "SLOT_LENGTHS", (1, 8, 64))
    with graphs_on_cpu(monkeypatch):
        yield


@pytest.mark.long
def test_a_graph_serves_other_prompts_steps_and_canvases(captures: None) -> None:
    model = Model(tiny_model(1, num_hidden_layers=2, canvas_length=4))
    prompts = [[2, 7, 8], list(range(5, 12))]
    written = [
        model.generate(prompt, seed=seed, **OPTIONS).tokens for seed, prompt in enumerate(prompts)
    ]
    captured = model.network.cuda_graphs._captured
    (only,) = [one for key, one in captured.items() if not key[1].slots]
    assert only.graph.replays > 6  # type: ignore[attr-defined]
    kernels.KERNEL_DEVICES.discard("cpu")
    assert written == [
        model.generate(prompt, seed=seed, **OPTIONS).tokens for seed, prompt in enumerate(prompts)
    ]
    kernels.KERNEL_DEVICES.add("cpu")


def test_caches_of_a_capture_are_freed(captures: None) -> None:
    network = tiny_model(2, num_hidden_layers=2)
    canvas, signal = torch.arange(4)[None], torch.zeros(1, 4, 32)
    with torch.inference_mode():
        cache = network.new_cache(10)
        for _ in range(3):
            network.canvas_states(canvas, [cache], signal)
    gone = ref(cache)
    del cache
    gc.collect()
    assert gone() is None


@pytest.mark.long
def test_passes_of_other_sizes_are_others(captures: None) -> None:
    network = tiny_model(3, num_hidden_layers=2)
    with torch.inference_mode():
        cache = network.new_cache(10)
        for length in (16, 16, 1, 5, 5, 16):
            states = network.canvas_states(
                torch.arange(length)[None], [cache], torch.zeros(1, length, 32)
            )
            assert states.shape == (1, length, 32)
        two = [network.new_cache(10) for _ in range(2)]
        assert network.canvas_states(
            torch.arange(16).view(2, 8), two, torch.zeros(2, 8, 32)
        ).shape == (2, 8, 32)
        assert len(network.cuda_graphs._captured) == 1
        assert len(network.cuda_graphs._runs) == 4
    with torch.no_grad():  # outside inference mode too
        network.canvas_states(torch.arange(16)[None], [cache], torch.zeros(1, 16, 32))


@pytest.mark.long
def test_a_model_that_moves_or_loads_drops_its_graphs(captures: None) -> None:
    network = tiny_model(4, num_hidden_layers=2, canvas_length=4)
    model = Model(network)
    for change in (lambda: network.float(), lambda: network.load_state_dict(network.state_dict())):
        model.generate([2, 7], seed=1, **OPTIONS | {"max_new_tokens": 4})
        assert network.cuda_graphs._captured
        change()
        assert not network.cuda_graphs._captured


@pytest.mark.long
def test_copies_capture_their_own_graphs(captures: None) -> None:
    model = Model(tiny_model(5, num_hidden_layers=2, canvas_length=4))
    expected = model.generate([2, 7], seed=1, **OPTIONS | {"max_new_tokens": 4}).tokens
    assert model.network.cuda_graphs._captured
    for copied in (deepcopy(model.network), pickle.loads(pickle.dumps(model.network))):
        assert not copied.cuda_graphs._captured
        assert (
            Model(copied).generate([2, 7], seed=1, **OPTIONS | {"max_new_tokens": 4}).tokens
            == expected
        )
