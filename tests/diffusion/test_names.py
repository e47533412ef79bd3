from __future__ import annotations

import pytest

from redraft.diffusion import (
    SAMPLERS,
    STOPPING,
    ConfidenceThresholdSampler,
    EntropyBoundSampler,
    EveryPositionConfident,
    KlassSampler,
    PredictorCorrectorSampler,
    SamplerSpec,
    StableAndConfident,
    TopKSampler,
    as_sampler,
    as_stopping,
)
from redraft.errors import ConfigError, UnknownOptionError


@pytest.mark.parametrize(("spec", "expected"), [
    ("entropy_bound", EntropyBoundSampler()),
    ("entropy_bound:entropy_bound=0.3", EntropyBoundSampler(0.3)),
    ("confidence:threshold=0.9", ConfidenceThresholdSampler(0.9)),
    ({"name": "confidence", "threshold": 0.7}, ConfidenceThresholdSampler(0.7)),
    ("top_k", TopKSampler()),
    ("top_k:steps=8", TopKSampler(8)),
    ("klass:threshold=0.8, kl_threshold=1e-3,history=3", KlassSampler(0.8, 1e-3, 3)),
    ("predictor_corrector:eta=0.05", PredictorCorrectorSampler(eta=0.05)),
    ({"name": "predictor_corrector", "kappa": 1, "eta": None}, PredictorCorrectorSampler(1.0)),
    (KlassSampler(), KlassSampler()),
    (None, None),
])  # fmt: skip
def test_names_with_options_mean_objects(spec: SamplerSpec | None, expected: object) -> None:
    assert as_sampler(spec) == expected


def test_every_name_means_something() -> None:
    for name, made in SAMPLERS.items():
        assert type(as_sampler(name)) is made
    for name, criterion in STOPPING.items():
        assert type(as_stopping(name)) is criterion
    assert as_stopping("stable_and_confident:stability_threshold=2") == StableAndConfident(2)
    assert as_stopping("every_position:max_entropy=0.1") == EveryPositionConfident(0.1)
    with pytest.raises(ConfigError, match="max_entropy"):
        as_stopping("every_position:max_entropy=-1")


@pytest.mark.parametrize(("spec", "error", "message"), [
    ("confidnce", UnknownOptionError, "did you mean 'confidence'"),
    ("zzz", UnknownOptionError, "there are entropy_bound, confidence, top_k"),
    ("confidence:treshold=0.9", UnknownOptionError, "did you mean 'threshold'"),
    ("top_k:k=3", UnknownOptionError, "there are steps"),
    ("confidence:threshold", ConfigError, "option=number"),
    ("confidence:threshold=high", ConfigError, "option=number"),
    ("confidence:threshold=2", ConfigError, "threshold=2"),
    ('confidence:threshold="0.9"', ConfigError, "finite number"),
    ({"threshold": 0.9}, UnknownOptionError, "unknown sampler None"),
    ({"name": 3}, UnknownOptionError, "unknown sampler 3"),
    ({"name": "klass", "history": 1.5}, ConfigError, "history"),
    ("klass:history=1,history=2", ConfigError, "history twice"),
    (7, ConfigError, "a method `step`"),
    (["top_k"], ConfigError, "must be"),
])  # fmt: skip
def test_a_wrong_name_or_option_is_an_error_that_names_the_nearest(
    spec: SamplerSpec, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        as_sampler(spec)
