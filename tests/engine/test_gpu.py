"""On a CUDA device: the same text as on the CPU, from the same seed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import redraft
from redraft.api import Model
from redraft.checkpoint.quantize import Quantization
from redraft.grammar import Regex
from redraft.network.recorded_context import RecordedContext
from redraft.testing import byte_tokenizer, tiny_checkpoint, tiny_model

pytestmark = pytest.mark.gpu
OPTIONS = {"max_new_tokens": 40, "max_denoising_steps": 5, "eos_token_id": ()}
# Wide enough for the kernels that read few bits.
WIDE = {"hidden_size": 64, "moe_intermediate_size": 64, "intermediate_size": 64}


def on_both(seed: int, kind: type[Model] = Model, **changes: int) -> list[Model]:
    return [
        kind(tiny_model(seed, **changes).to(device), byte_tokenizer()) for device in ("cpu", "cuda")
    ]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("method", ["diffusion", "typewriter"])
@pytest.mark.parametrize(
    "edits", [{}, {"top_p": 0.9, "repetition_penalty": 1.1, "logit_bias": {7: 2.0}}]
)
def test_the_same_seed_writes_the_same_text_on_both_devices(
    seed: int, method: str, edits: dict[str, object]
) -> None:
    written = [
        model.generate([2, 150 + seed, 151], seed=seed, method=method, **OPTIONS, **edits).tokens
        for model in on_both(seed)
    ]
    assert written[0] == written[1]


def test_one_recording_serves_other_prompts_and_canvases() -> None:
    cpu, cuda = on_both(1)
    prompts = [[2, 7, 8], list(range(5, 40)), [9], list(range(100, 113))]
    for seed, prompt in enumerate(prompts):
        assert (
            cuda.generate(prompt, seed=seed, **OPTIONS).tokens
            == cpu.generate(prompt, seed=seed, **OPTIONS).tokens
        )
    captured = cuda.network.cuda_graphs._captured
    assert ("step", 0, 1) in [(key[0], key[1].slots, key[1].canvases) for key in captured]
    batch = [
        [one.tokens for one in model.generate(prompts, seed=3, **OPTIONS)] for model in (cpu, cuda)
    ]
    assert batch[0] == batch[1]
    assert ("step", 0, 4) in [(key[0], key[1].slots, key[1].canvases) for key in captured]


def test_commits_and_tokens_are_captured_and_write_the_same() -> None:
    """More canvases than the sliding window holds, so that columns move; and token by token."""
    cpu, cuda = on_both(8, canvas_length=4, sliding_window=9)
    options = OPTIONS | {"max_new_tokens": 40}
    for method in ("diffusion", "autoregressive"):
        written = [
            model.generate([2, 7, 8], seed=5, method=method, **options).tokens
            for model in (cpu, cuda)
        ]
        assert written[0] == written[1], method
    kinds = [(key[0], key[1].slots) for key in cuda.network.cuda_graphs._captured]
    assert ("step", 1) in kinds
    assert ("token", 1) in kinds


def test_caches_of_finished_texts_are_let_go() -> None:
    model = on_both(2)[1]
    torch.cuda.synchronize()
    held = []
    for seed in range(6):
        model.generate(list(range(5, 60)), seed=seed, **OPTIONS)
        held.append(torch.cuda.memory_allocated())
    assert held[2] == held[-1]


def test_a_model_that_moved_records_anew() -> None:
    model = on_both(3)[1]
    expected = model.generate([2, 7], seed=1, **OPTIONS).tokens
    model.network.to("cpu").to("cuda")
    assert model.generate([2, 7], seed=1, **OPTIONS).tokens == expected


def test_what_cannot_be_recorded_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    model = on_both(6)[1]
    expected = model.generate([2, 7], seed=1, **OPTIONS).tokens
    model.network.to("cpu").to("cuda")
    attend = RecordedContext.attend

    def waiting(
        self: RecordedContext, index: int, query: Tensor, key: Tensor, value: Tensor
    ) -> Tensor:
        assert query.sum().item() is not None
        return attend(self, index, query, key, value)

    monkeypatch.setattr(RecordedContext, "attend", waiting)
    assert model.generate([2, 7], seed=1, **OPTIONS).tokens == expected
    assert not model.network.cuda_graphs._captured
    monkeypatch.undo()
    model.network.to("cpu").to("cuda")
    assert model.generate([2, 7], seed=1, **OPTIONS).tokens == expected
    assert model.network.cuda_graphs._captured


def test_constraints_and_holes_come_out_the_same() -> None:
    cpu, cuda = on_both(4, Model, vocab_size=384, canvas_length=32, max_position_embeddings=2048)
    written = [
        model.generate("x", constraint=Regex("[a-c]{3,9}"), seed=1, max_new_tokens=20).text
        for model in (cpu, cuda)
    ]
    assert written[0] == written[1]
    filled = [
        model.infill(["one ", redraft.Hole(1, 6), " two"], seed=2, max_steps=4).text
        for model in (cpu, cuda)
    ]
    assert filled[0] == filled[1]


@pytest.mark.parametrize("form", ["int8", "int4", "fp8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_in_few_bits_load_onto_the_device(
    tmp_path: Path, form: str, dtype: torch.dtype
) -> None:
    source = tiny_checkpoint(
        tmp_path, 7, **WIDE
    )  # of which bfloat16 sends few tokens to other experts
    cpu, cuda = (
        redraft.load(source, dtype=Quantization(form, 32), device=device)
        for device in ("cpu", "cuda")
    )
    cpu.network.float()
    cuda.network.to(dtype)
    experts = cuda.network.layers[0].experts
    assert experts.in_kernels
    canvas, prefix = torch.arange(16)[None] + 5, torch.arange(30) + 3
    states = []
    for model in (cpu, cuda):
        network = model.network
        with torch.inference_mode():
            cache = network.new_cache(40)
            network.encode_prompt(prefix.tolist(), cache)
            signal = torch.zeros(1, 16, 64, dtype=network.dtype, device=network.device)
            for _ in range(3):  # as it is, recorded, and replayed
                found = network.canvas_states(canvas.to(network.device), [cache], signal)
        states.append(found.float().cpu())
    errors = (states[0] - states[1]).norm(dim=-1) / states[0].norm(dim=-1)
    assert float(errors.median()) < (1e-5 if dtype == torch.float32 else 0.1)
