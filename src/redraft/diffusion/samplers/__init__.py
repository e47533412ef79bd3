"""The samplers that ship with redraft, one a file."""

from redraft.diffusion.samplers.confidence_threshold import ConfidenceThresholdSampler
from redraft.diffusion.samplers.entropy_bound import EntropyBoundSampler
from redraft.diffusion.samplers.klass import KlassSampler
from redraft.diffusion.samplers.predictor_corrector import PredictorCorrectorSampler
from redraft.diffusion.samplers.top_k import TopKSampler

# Their results need no check of values.
SHIPPED = (
    ConfidenceThresholdSampler,
    EntropyBoundSampler,
    KlassSampler,
    PredictorCorrectorSampler,
    TopKSampler,
)

__all__ = [
    "SHIPPED",
    "ConfidenceThresholdSampler",
    "EntropyBoundSampler",
    "KlassSampler",
    "PredictorCorrectorSampler",
    "TopKSampler",
]
