"""Compile a model's kernels and capture its most frequent passes before the first request."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import torch

from redraft.config import GenerationConfig
from redraft.engine.engine import Engine
from redraft.engine.request import Method, Request
from redraft.events import Failed
from redraft.network import DiffusionGemma
from redraft.network.cuda_graphs import RUNS_BEFORE

# Called with passes run, and their number.
Progress = Callable[[int, int], None]
PROMPT = (2, 3, 4)
# A pass is captured when it comes once more than RUNS_BEFORE. The first step of a canvas reads the
# prompt or a commit; a canvas has as many steps behind it, and so many commits follow.
STEPS, CANVASES = RUNS_BEFORE + 2, RUNS_BEFORE + 2
TOKENS = RUNS_BEFORE + 2  # the first is drawn from the prompt


@torch.inference_mode()
def warm_up(network: DiffusionGemma, progress: Progress | None = None) -> None:
    """Write a short text by diffusion and one token by token, where passes run as CUDA graphs.

    So the kernels of steps, commits, prompts and tokens are compiled, and what comes in every text
    is captured. Where that fails, a warning says so, and the first request will tell.

    Args:
        progress: called with (passes run, number of passes).
    """
    if not network.records_passes:
        return
    config = network.config
    room = (config.max_position_embeddings - len(PROMPT)) // config.canvas_length
    canvases = max(1, min(CANVASES, room))
    total, done = canvases * STEPS + TOKENS, 0
    settings = GenerationConfig(
        max_denoising_steps=STEPS,
        confidence_threshold=1e-9,
        stability_threshold=1000,
        eos_token_id=(),
    )
    lengths: dict[Method, int] = {
        "diffusion": canvases * config.canvas_length,
        "autoregressive": TOKENS,
    }
    texts = [
        Request.checked(
            PROMPT,
            replace(settings, max_new_tokens=tokens),
            config,
            method=method,
        )
        for method, tokens in lengths.items()
    ]
    for text in texts:
        engine = Engine(network)
        engine.add(text, drafts=False)
        while engine.busy:
            for event in engine.step():
                if isinstance(
                    event, Failed
                ):  # memory, or a kernel: requests get errors of their own
                    reason = f"the kernels could not be compiled ahead: {event.error}"
                    warnings.warn(reason, stacklevel=2)
            done += 1
            if progress is not None:
                progress(min(done, total), total)
