"""The naive generate: one row, one canvas after another, whole logits in float32; the engine's
oracle."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from redraft.config import GenerationConfig
from redraft.diffusion.noise import Noise
from redraft.network import DiffusionGemma


@torch.inference_mode()
def naive_generate(
    model: DiffusionGemma, prompt: Sequence[int], config: GenerationConfig, *, seed: int = 0
) -> tuple[list[int], list[list[Tensor]]]:
    """Tokens written after `prompt`, and the argmax canvas [L] of every step of every canvas.

    Knows the settings of denoising, length and EOS; none of the sampling options.
    """
    length, vocab = model.config.canvas_length, model.config.vocab_size
    written: list[int] = []
    history: list[list[Tensor]] = []
    while len(written) < config.max_new_tokens:
        cache = model.new_cache(len(prompt) + len(written))
        model.encode([torch.tensor([*prompt, *written])], [cache])
        noise = Noise.of([(seed, 0, len(history))])
        canvas = noise.initial(length, vocab)
        signal = torch.zeros(1, length, model.config.hidden_size, dtype=model.dtype)
        history.append([])
        for left in range(config.max_denoising_steps, 0, -1):
            temperature = (
                config.t_min + (config.t_max - config.t_min) * left / config.max_denoising_steps
            )
            logits = model.logits(model.canvas_states(canvas, [cache], signal)) / temperature
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
            signal = (probs.to(model.dtype) @ model.embed_tokens.weight) * model.embedding_scale
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
