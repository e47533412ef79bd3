"""The objective against transformers and autograd: the loss, and the gradient of every weight."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import redraft
from redraft.checkpoint.names import to_file
from redraft.train.finetune.encoded import TrainingCanvas
from redraft.train.finetune.objective import CanvasBatch, canvas_losses
from redraft.train.forward import ForwardPasses
from tests.parity.reference import saved_reference


def random_canvases(shape, rng: random.Random) -> list[TrainingCanvas]:
    """Three examples: a canvas in the middle of a turn, one with its end, and one with holes."""
    length, top = shape.canvas_length, 150
    found = []
    for number, (total, start) in enumerate(((9 + length, 5), (20, 13), (11, 11))):
        tokens = [rng.randrange(3, top) for _ in range(total)]
        target = (tokens[start : start + length] + [1] * length)[:length]
        frozen = [number == 2 and rng.random() < 0.5 for _ in range(length)]
        counted = [not known and rng.random() < 0.9 for known in frozen]
        learnt = [number == 0 or at >= start for at in range(total)]
        found.append(TrainingCanvas(tokens, learnt, start, target, frozen, counted))
    return found


def reference_losses(model, batch: CanvasBatch, canvases: list[TrainingCanvas]) -> Tensor:
    """The same losses by transformers, one example at a time."""
    diffusion, encoder = [], []
    for row, canvas in enumerate(canvases):
        sequence = torch.tensor([canvas.sequence])
        noisy = batch.noisy[row : row + 1]
        prefix = sequence[:, : canvas.start]
        signal = None
        if batch.conditioned[row]:
            with torch.no_grad():
                signal = model(input_ids=prefix, decoder_input_ids=noisy).logits
                # A frozen position is sure of its token.
                own = F.one_hot(batch.target[row], signal.shape[-1]).float() * 1e4
                signal[0][batch.frozen[row]] = own[batch.frozen[row]]
        logits = model(
            input_ids=prefix, decoder_input_ids=noisy, self_conditioning_logits=signal
        ).logits
        loss = F.cross_entropy(logits[0].float(), batch.target[row], reduction="none")
        diffusion.append((loss * batch.counted[row]).sum())
        states = model(input_ids=sequence, decoder_input_ids=noisy).encoder_last_hidden_state
        cap = model.config.text_config.final_logit_softcapping
        read = model.lm_head(states)
        read = torch.tanh(read / cap) * cap
        loss = F.cross_entropy(read[0, :-1].float(), sequence[0, 1:], reduction="none")
        encoder.append((loss * torch.tensor(canvas.learnt[1:])).sum())
    return torch.stack([torch.stack(diffusion).sum(), torch.stack(encoder).sum()])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("thrifty", [False, True])
def test_losses_and_gradients_are_those_of_transformers(
    tmp_path: Path, seed: int, thrifty: bool
) -> None:
    reference = saved_reference(tmp_path / "model", seed)
    network = redraft.load(tmp_path / "model").network.requires_grad_(True)
    rng = random.Random(seed)
    canvases = random_canvases(network.config, rng)
    batch = CanvasBatch.of(
        canvases,
        [random.Random(f"{seed} {row}") for row in range(3)],
        vocab_size=network.config.vocab_size,
        pad=0,
        self_conditioning=0.8,
    )
    assert batch.conditioned.any()
    passes = ForwardPasses(
        network, dense_experts=False, checkpointed=thrifty, chunk=7 if thrifty else None
    )
    ours = canvas_losses(passes, batch)
    theirs = reference_losses(reference, batch, canvases)
    counts = torch.tensor([ours.diffusion_count, ours.encoder_count])
    found = torch.stack([ours.diffusion, ours.encoder]) / counts
    assert torch.allclose(found, theirs / counts, atol=1e-5, rtol=1e-5)
    found.sum().backward()
    (theirs / counts).sum().backward()
    expected = {name: one.grad for name, one in reference.named_parameters(remove_duplicate=False)}
    checked = 0
    for name, parameter in network.named_parameters():
        other = expected[to_file(name)]
        if other is None:
            assert parameter.grad is None or not parameter.grad.any(), name
            continue
        assert parameter.grad is not None, name
        scale = other.abs().max().clamp_min(1.0)
        assert ((parameter.grad - other).abs().max() / scale) < 1e-5, name
        checked += 1
    assert checked > 20


def test_an_example_does_not_depend_on_its_batch(tmp_path: Path) -> None:
    saved_reference(tmp_path / "model", 4)
    network = redraft.load(tmp_path / "model").network
    canvases = random_canvases(network.config, random.Random(1))
    passes = ForwardPasses(network, dense_experts=False)

    def rows(chosen: list[int]) -> list[float]:
        batch = CanvasBatch.of(
            [canvases[one] for one in chosen],
            [random.Random(f"x {one}") for one in chosen],
            vocab_size=network.config.vocab_size,
            pad=0,
        )
        return canvas_losses(passes, batch).by_row.tolist()

    alone = [rows([one])[0] for one in range(3)]
    assert rows([2, 0, 1]) == pytest.approx([alone[2], alone[0], alone[1]], rel=1e-5)


def test_a_sequence_may_be_a_single_token(tmp_path: Path) -> None:
    saved_reference(tmp_path / "model", 4)
    network = redraft.load(tmp_path / "model").network
    length = network.config.canvas_length
    alone = TrainingCanvas([2], [True], 1, [5] * length, [False] * length, [True] * length)
    batch = CanvasBatch.of([alone], [random.Random(1)], vocab_size=90, pad=0)
    found = canvas_losses(ForwardPasses(network, dense_experts=False, chunk=8), batch)
    assert (float(found.encoder), found.encoder_count) == (0.0, 0)
    assert float(found.diffusion) > 0
