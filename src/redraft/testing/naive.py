"""Naive generation: one row, one canvas after another, all logits in float32.

It is the oracle of the engine's tests.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from redraft.config import GenerationConfig
from redraft.diffusion.noise import Noise
from redraft.network import DiffusionGemma


@torch.inference_mode()
def naive_generate(
    network: DiffusionGemma, prompt: Sequence[int], config: GenerationConfig, *, seed: int = 0
) -> tuple[list[int], list[list[Tensor]]]:
    """Return the tokens written behind `prompt`, and the argmax canvas [L] of every step.

    It follows the settings of denoising, length and EOS, and none of the sampling options. Argmax
    canvases are grouped by canvas.
    """
    length, vocab = network.config.canvas_length, network.config.vocab_size
    written: list[int] = []
    history: list[list[Tensor]] = []
    while len(written) < config.max_new_tokens:
        cache = network.new_cache(len(prompt) + len(written))
        network.encode([torch.tensor([*prompt, *written])], [cache])
        noise = Noise.of([(seed, 0, len(history))])
        canvas = noise.initial(length, vocab)
        signal = torch.zeros(1, length, network.config.hidden_size, dtype=network.dtype)
        history.append([])
        for left in range(config.max_denoising_steps, 0, -1):
            temperature = (
                config.t_min + (config.t_max - config.t_min) * left / config.max_denoising_steps
            )
            logits = network.logits(network.canvas_states(canvas, [cache], signal)) / temperature
            probs = logits.softmax(-1)
            entropy = -(probs * probs.log().nan_to_num(neginf=0.0)).sum(-1)[0]
            step = torch.tensor([config.max_denoising_steps - left + 1])
            uniform, fresh = noise.at(step, length, vocab)
            cumulative = probs[0].double().cumsum(-1)
            sample = (cumulative <= uniform[0, :, None] * cumulative[:, -1:]).sum(-1)
            accepted, spent = torch.zeros(length, dtype=torch.bool), 0.0
            for position in entropy.argsort(stable=True):
                if spent > config.entropy_bound:
                    break
                accepted[position] = True
                spent += float(entropy[position])
            history[-1].append(logits[0].argmax(-1))
            canvas = torch.where(accepted, sample, fresh[0])[None]
            signal = (
                probs.to(network.dtype) @ network.embed_tokens.weight
            ) * network.embedding_scale
            recent = history[-1][-config.stability_threshold - 1 :]
            stable = len(recent) > config.stability_threshold and all(
                torch.equal(recent[-1], past) for past in recent
            )
            if stable and float(entropy.mean()) < config.confidence_threshold:
                break
        for token in history[-1][-1].tolist():
            written.append(token)
            if token in config.eos_token_id or len(written) == config.max_new_tokens:
                return written, history
    return written, history
