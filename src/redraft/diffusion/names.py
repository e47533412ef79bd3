"""Names of samplers and stopping criteria, for the command line, JSON and Python.

entropy_bound
confidence:threshold=0.9
{"name": "confidence", "threshold": 0.9}
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from redraft.diffusion.sampler import Sampler
from redraft.diffusion.samplers import (
    ConfidenceThresholdSampler,
    EntropyBoundSampler,
    KlassSampler,
    PredictorCorrectorSampler,
    TopKSampler,
)
from redraft.diffusion.stopping import (
    EveryPositionConfident,
    StableAndConfident,
    StoppingCriteria,
)
from redraft.errors import ConfigError, UnknownOptionError

SAMPLERS: dict[str, type[Sampler]] = {
    "entropy_bound": EntropyBoundSampler,
    "confidence": ConfidenceThresholdSampler,
    "top_k": TopKSampler,
    "klass": KlassSampler,
    "predictor_corrector": PredictorCorrectorSampler,
}
STOPPING: dict[str, type[StoppingCriteria]] = {
    "stable_and_confident": StableAndConfident,
    "every_position": EveryPositionConfident,
}

SamplerSpec = str | Mapping[str, object] | Sampler
StoppingSpec = str | Mapping[str, object] | StoppingCriteria
T = TypeVar("T")


def as_sampler(spec: SamplerSpec | None) -> Sampler | None:
    """Return the sampler that a name with options, a mapping or an object means; None for None.

    Raises:
        UnknownOptionError: no sampler or option has such a name; the message gives the nearest.
        ConfigError: a value out of range, or an object that is no sampler.
    """
    if spec is None or isinstance(spec, Sampler):
        return spec
    return _named("sampler", spec, SAMPLERS, "an object with a method `step`")


def as_stopping(spec: StoppingSpec | None) -> StoppingCriteria | None:
    """Return the stopping criterion that `spec` means; see `as_sampler`."""
    if spec is None or (callable(spec) and not isinstance(spec, type)):
        return spec
    return _named("stopping", spec, STOPPING, "an object that can be called")


def _named(kind: str, spec: object, table: Mapping[str, type[T]], other: str) -> T:
    if isinstance(spec, str):
        name, options = _parsed(kind, spec)
    elif isinstance(spec, Mapping):
        options = dict(spec)
        name = options.pop("name", None)
    else:
        raise ConfigError(
            f"{kind}={spec!r} must be one of {', '.join(table)}, a mapping with a `name`, "
            f"or {other}"
        )
    if not isinstance(name, str) or name not in table:
        raise UnknownOptionError(f"unknown {kind} {name!r}: {_hint(name, table)}")
    made = table[name]
    known = [field.name for field in fields(made)]  # type: ignore[arg-type]  # all are dataclasses
    for option in options:
        if option not in known:
            raise UnknownOptionError(
                f"{kind} {name} has no option {option!r}: {_hint(option, known)}"
            )
    return made(**options)


def _parsed(kind: str, text: str) -> tuple[str, dict[str, Any]]:
    """Split `name:option=value,option=value`; values are JSON numbers, or null."""
    name, _, rest = text.partition(":")
    options = {}
    for part in filter(None, rest.split(",")):
        option, _, value = part.partition("=")
        try:
            options[option.strip()] = json.loads(value)
        except ValueError:
            raise ConfigError(
                f"{kind}={text!r}: {part!r} must be option=number, as in confidence:threshold=0.9"
            ) from None
    return name.strip(), options


def _hint(name: object, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are {', '.join(known)}" if known else "it has none"
