"""The forward pass against transformers, float32, on random shapes and random weights."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor

import redraft
from redraft.network import DiffusionGemma
from tests.cases import cases
from tests.parity.reference import saved_reference

TOLERANCE = 1e-4


def compare(
    reference, model: DiffusionGemma, prefix: Tensor, rng: torch.Generator
) -> dict[str, float]:
    """Largest differences: encoder states, cache, logits at step one, with self-conditioning, and
    after a commit."""
    shape = model.config
    canvas = torch.randint(0, shape.vocab_size, (1, shape.canvas_length), generator=rng)
    earlier = torch.randn(1, shape.canvas_length, shape.vocab_size, generator=rng) * 4
    cache = model.new_cache(len(prefix) + shape.canvas_length)
    errors = {}
    with torch.inference_mode():
        theirs = reference(input_ids=prefix[None], decoder_input_ids=canvas)
        states = model.encode([prefix], [cache])[0]
        errors["encoder"] = distance(states, theirs.encoder_last_hidden_state[0])
        errors["cache"] = cache_distance(cache, theirs.cache)
        zeros = torch.zeros(1, shape.canvas_length, shape.hidden_size)
        errors["step one"] = distance(
            model.logits(model.canvas_states(canvas, [cache], zeros)), theirs.logits
        )

        again = reference(
            cache=theirs.cache, decoder_input_ids=canvas, self_conditioning_logits=earlier
        )
        signal = earlier.softmax(-1) @ model.embed_tokens.weight * model.embedding_scale
        logits = model.logits(model.canvas_states(canvas, [cache], signal))
        errors["self-conditioning"] = distance(logits, again.logits)

        # The canvas is committed, and a second one stands behind it.
        committed = reference(
            input_ids=canvas, cache=theirs.cache, decoder_input_ids=canvas.flip(-1)
        )
        model.encode([canvas[0]], [cache])
        errors["cache after commit"] = cache_distance(cache, committed.cache)
        logits = model.logits(model.canvas_states(canvas.flip(-1), [cache], zeros))
        errors["second canvas"] = distance(logits, committed.logits)
    return errors


def distance(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return (ours - theirs).abs().max().item()


def cache_distance(ours, theirs) -> float:
    worst = 0.0
    for index, layer in enumerate(theirs.layers):
        key, value = ours.prefix(index)
        worst = max(worst, distance(key, layer.keys[0]), distance(value, layer.values[0]))
    return worst


@pytest.mark.parametrize("seed", cases(12, 5))
def test_hidden_states_cache_and_logits_are_the_references(tmp_path: Path, seed: int) -> None:
    reference = saved_reference(tmp_path / "model", seed)
    model = redraft.load(tmp_path / "model").network
    rng, window = torch.Generator().manual_seed(seed), model.config.sliding_window
    # Prefixes shorter than the window, just at it, one past it, and many windows long.
    for length in (1, window - 1, window, window + 1, 3 * window + 2):
        prefix = torch.randint(3, 150, (length,), generator=rng)
        errors = compare(reference, model, prefix, rng)
        assert max(errors.values()) < TOLERANCE, (length, errors)


@pytest.mark.parametrize("seed", cases(6, 3))
def test_a_batch_of_unequal_prompts_is_the_references_padded_batch(
    tmp_path: Path, seed: int
) -> None:
    reference = saved_reference(tmp_path / "model", seed)
    model = redraft.load(tmp_path / "model").network
    rng, shape = random.Random(seed), model.config
    prompts = [[rng.randrange(3, 150) for _ in range(rng.randint(1, 40))] for _ in range(4)]
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    canvas = torch.randint(0, shape.vocab_size, (4, shape.canvas_length))
    with torch.inference_mode():
        theirs = reference(
            input_ids=ids, attention_mask=mask, decoder_input_ids=canvas,
            decoder_attention_mask=torch.nn.functional.pad(mask, (0, shape.canvas_length), value=1),
        )  # fmt: skip
        caches = [model.new_cache(len(prompt)) for prompt in prompts]
        states = model.encode([torch.tensor(prompt) for prompt in prompts], caches)
        zeros = torch.zeros(4, shape.canvas_length, shape.hidden_size)
        logits = model.logits(model.canvas_states(canvas, caches, zeros))
    assert distance(logits, theirs.logits) < TOLERANCE
    for row, own in enumerate(states):
        assert distance(own, theirs.encoder_last_hidden_state[row, -len(own) :]) < TOLERANCE


@pytest.mark.parametrize("seed", range(4))
def test_encoding_in_pieces_is_encoding_at_once(tmp_path: Path, seed: int) -> None:
    reference = saved_reference(tmp_path / "model", seed)
    model = redraft.load(tmp_path / "model").network
    prefix = torch.randint(3, 150, (61,), generator=torch.Generator().manual_seed(seed))
    cache = model.new_cache(61)
    with torch.inference_mode():
        theirs = reference(input_ids=prefix[None], decoder_input_ids=prefix[None, :16])
        states = [model.encode([part], [cache])[0] for part in prefix.split([1, 20, 3, 30, 7])]
    assert distance(torch.cat(states), theirs.encoder_last_hidden_state[0]) < TOLERANCE
    assert cache_distance(cache, theirs.cache) < TOLERANCE


def test_bfloat16_is_as_close_to_float32_as_the_reference_is(tmp_path: Path) -> None:
    """Over several models: in bfloat16 a router's choice may flip on either side, so that one model
    says little."""
    mine = others = 0.0
    for seed in range(16):
        reference = saved_reference(tmp_path / f"{seed}", seed)
        exact, rounded = (
            redraft.load(tmp_path / f"{seed}", dtype=name).network
            for name in ("float32", "bfloat16")
        )
        prefix = torch.randint(3, 150, (50,), generator=torch.Generator().manual_seed(0))
        canvas = prefix[None, : exact.config.canvas_length]
        with torch.inference_mode():
            logits = []
            for network in (exact, rounded):
                cache = network.new_cache(50)
                network.encode([prefix], [cache])
                zeros = torch.zeros(*canvas.shape, network.config.hidden_size, dtype=network.dtype)
                logits.append(network.logits(network.canvas_states(canvas, [cache], zeros)))
            theirs = reference.to(torch.bfloat16)(
                input_ids=prefix[None], decoder_input_ids=canvas
            ).logits
        mine += (logits[1] - logits[0]).abs().mean().item()
        others += (theirs - logits[0]).abs().mean().item()
    assert mine < 1.25 * others
