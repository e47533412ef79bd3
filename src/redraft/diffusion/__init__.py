"""Denoise canvases; the network is known as a `Denoiser` only.

The loop of one canvas:

    noise -> canvas -> denoiser -> statistics -> sampler (accept, re-noise) -> stop? -> argmax
    canvas
                ^                                          |
                +------------------------------------------+
"""

from redraft.diffusion.canvas import Canvas
from redraft.diffusion.denoise import Denoiser, denoise, denoise_step
from redraft.diffusion.names import (
    SAMPLERS,
    STOPPING,
    SamplerSpec,
    StoppingSpec,
    as_sampler,
    as_stopping,
    check_settings_are_read,
)
from redraft.diffusion.noise import Noise
from redraft.diffusion.options import DenoisingOptions
from redraft.diffusion.sampler import Sampler
from redraft.diffusion.samplers import (
    ConfidenceThresholdSampler,
    EntropyBoundSampler,
    KlassSampler,
    PredictorCorrectorSampler,
    TopKSampler,
)
from redraft.diffusion.state import DenoisingState
from redraft.diffusion.step import DenoisingStep, ScheduledStep
from redraft.diffusion.stopping import EveryPositionConfident, StableAndConfident, StoppingCriteria

__all__ = [
    "SAMPLERS",
    "STOPPING",
    "Canvas",
    "ConfidenceThresholdSampler",
    "Denoiser",
    "DenoisingOptions",
    "DenoisingState",
    "DenoisingStep",
    "EntropyBoundSampler",
    "EveryPositionConfident",
    "KlassSampler",
    "Noise",
    "PredictorCorrectorSampler",
    "Sampler",
    "SamplerSpec",
    "ScheduledStep",
    "StableAndConfident",
    "StoppingCriteria",
    "StoppingSpec",
    "TopKSampler",
    "as_sampler",
    "as_stopping",
    "check_settings_are_read",
    "denoise",
    "denoise_step",
]
