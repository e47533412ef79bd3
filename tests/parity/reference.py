"""The oracle: transformers' DiffusionGemma with random weights, saved by transformers itself, and
fed our draws."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    DiffusionGemmaConfig,
    DiffusionGemmaForBlockDiffusion,
    DiffusionGemmaTextConfig,
    Gemma4VisionConfig,
)
from transformers.models.diffusion_gemma import generation_diffusion_gemma as generation

from redraft.config import GenerationConfig
from redraft.diffusion import Noise
from redraft.ops.vocabulary import inverse_cdf
from redraft.testing.tiny import random_shape, randomise_tensors, tiny_config

EOS = [1, 106]
RANDOM_BUFFERS = ("layer_scalar", "std_bias", "std_scale")


def reference_model(
    seed: int, *, vision_shape: dict[str, Any] | None = None, **changes: Any
) -> DiffusionGemmaForBlockDiffusion:
    """A reference model of a random shape, every tensor random: norms, scales, and both layer
    scalars; of the image encoder also the position table and what standardizes."""
    shape = tiny_config(**{"vocab_size": 160, **random_shape(random.Random(seed)), **changes})
    inherited = (
        "vocab_size hidden_size intermediate_size moe_intermediate_size num_hidden_layers "
        "num_attention_heads num_key_value_heads head_dim num_global_key_value_heads "
        "global_head_dim num_experts top_k_experts "
        "sliding_window max_position_embeddings"
    ).split()
    text = DiffusionGemmaTextConfig(
        **{name: getattr(shape, name) for name in inherited},
        layer_types=list(shape.layer_types),
        use_bidirectional_attention="vision",
        eos_token_id=EOS,
    )
    vision = Gemma4VisionConfig(
        **{
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 1,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "patch_size": 2,
            "position_embedding_size": 4,
            **(vision_shape or {}),
        }
    )
    config = DiffusionGemmaConfig(
        text_config=text,
        vision_config=vision,
        canvas_length=shape.canvas_length,
        boi_token_id=157,
        eoi_token_id=158,
        image_token_id=159,
    )
    model = DiffusionGemmaForBlockDiffusion(config).eval()
    randomise_tensors(
        dict(model.named_parameters())
        | {n: b for n, b in model.named_buffers() if n.endswith(RANDOM_BUFFERS)},
        seed,
    )
    return model


def saved_reference(folder: Path, seed: int, **options: Any) -> DiffusionGemmaForBlockDiffusion:
    """The same, saved into `folder` by transformers' own writer."""
    model = reference_model(seed, **options)
    model.save_pretrained(folder)
    return model


@contextmanager
def our_draws(seeds: list[int]) -> Iterator[None]:
    """Make the reference draw from our noise: same initial canvas, same samples, same re-noising, a
    seed a row."""
    state = {"canvas": -1, "step": 0, "renoising": False}

    def noise() -> Noise:
        return Noise.of([(seed, 0, state["canvas"]) for seed in seeds])

    def initialize_canvas(self: Any, batch_size: int, device: torch.device) -> Tensor:
        if state["renoising"]:
            step = torch.full((batch_size,), state["step"])
            return noise().at(step, self.canvas_length, self.vocab_size)[1]
        state["canvas"] += 1
        state["step"] = 0
        return noise().initial(self.canvas_length, self.vocab_size)

    original_renoise = generation.EntropyBoundSampler.renoise_canvas

    def renoise_canvas(self: Any, *args: Any) -> Tensor:
        state["renoising"] = True
        try:
            return original_renoise(self, *args)
        finally:
            state["renoising"] = False

    def multinomial(probs: Tensor, num_samples: int) -> Tensor:
        assert num_samples == 1
        state["step"] += 1
        step = torch.full((len(seeds),), state["step"])
        uniform = noise().at(step, len(probs) // len(seeds), probs.shape[-1])[0]
        return inverse_cdf(probs, uniform.reshape(-1))[:, None]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation.EntropyBoundSampler, "initialize_canvas", initialize_canvas)
        patch.setattr(generation.EntropyBoundSampler, "renoise_canvas", renoise_canvas)
        patch.setattr(torch, "multinomial", multinomial)
        yield


class Recorder:
    """A streamer that keeps every draft the reference puts out, and where canvases end."""

    def __init__(self) -> None:
        self.canvases: list[list[Tensor]] = [[]]

    def put(self, value: Tensor) -> None:
        self.canvases.append([])

    def put_draft(self, value: Tensor) -> None:
        self.canvases[-1].append(value)

    def end(self) -> None:
        self.canvases = [canvas for canvas in self.canvases if canvas]


@torch.no_grad()
def reference_generate(
    model: DiffusionGemmaForBlockDiffusion,
    prompts: list[list[int]],
    config: GenerationConfig,
    seeds: list[int],
) -> tuple[list[list[int]], list[list[Tensor]]]:
    """Tokens that the reference writes (cut after EOS and at max_new_tokens), and its argmax
    canvases [B, L], every step."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    recorder = Recorder()
    settings = generation.DiffusionGemmaGenerationConfig(
        max_new_tokens=config.max_new_tokens,
        max_denoising_steps=config.max_denoising_steps,
        t_min=config.t_min,
        t_max=config.t_max,
        stability_threshold=config.stability_threshold,
        pad_token_id=0,
        confidence_threshold=config.confidence_threshold,
        eos_token_id=list(config.eos_token_id),
        sampler_config=generation.EntropyBoundSamplerConfig(config.entropy_bound),
    )
    with our_draws(seeds):
        output = model.generate(
            input_ids=ids, attention_mask=mask, generation_config=settings, streamer=recorder
        )
    written = []
    for row in output.sequences[:, longest:].tolist():
        ends = [i for i, token in enumerate(row) if token in config.eos_token_id]
        written.append(row[: (ends[0] + 1) if ends else len(row)][: config.max_new_tokens])
    return written, recorder.canvases
