"""Denoising a canvas, knowing the model only as a Denoiser.

The loop of one canvas:

    noise -> canvas -> denoiser -> statistics -> sampler (accept, re-noise) -> stop? -> argmax
    canvas
                ^                                          |
                +------------------------------------------+
"""

from redraft.diffusion.canvas import Canvas
from redraft.diffusion.denoise import Denoiser, DenoisingState, denoise, denoise_step
from redraft.diffusion.noise import Noise
from redraft.diffusion.options import DenoisingOptions
from redraft.diffusion.sampler import DenoisingStep, EntropyBoundSampler, Sampler
from redraft.diffusion.stopping import StableAndConfident, StoppingCriteria

__all__ = [
    "Canvas",
    "Denoiser",
    "DenoisingOptions",
    "DenoisingState",
    "DenoisingStep",
    "EntropyBoundSampler",
    "Noise",
    "Sampler",
    "StableAndConfident",
    "StoppingCriteria",
    "denoise",
    "denoise_step",
]
