"""Names of samplers and stopping criteria, for the command line, JSON and Python.

entropy_bound
confidence:threshold=0.9
{"name": "confidence", "threshold": 0.9}
"""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar, cast

from torch import Tensor

from redraft.config import GenerationConfig
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

# Settings of a generation that only the reference's strategies read: named without such an option,
# they take it from the settings.
FROM_SETTINGS = {
    "entropy_bound": ("entropy_bound",),
    "stable_and_confident": ("stability_threshold", "confidence_threshold"),
}

SamplerSpec = str | Mapping[str, object] | Sampler
StoppingSpec = str | Mapping[str, object] | StoppingCriteria
T = TypeVar("T")


def as_sampler(
    spec: SamplerSpec | None, settings: GenerationConfig | None = None
) -> Sampler | None:
    """Return the sampler that a name with options, a mapping or an object means; None for None.

    Args:
        settings: of the generation; `entropy_bound` by its name has the bound that they say.

    Raises:
        UnknownOptionError: no sampler or option has such a name; the message gives the nearest.
        ConfigError: a value out of range, or an object that is no sampler.
    """
    if spec is None:
        return None
    if _takes_three(getattr(spec, "step", None)) and not isinstance(spec, type):
        return _for_one_row("sampler", cast(Sampler, spec))
    return _named(
        "sampler", spec, SAMPLERS, "an object with a method `step` of three arguments", settings
    )


def as_stopping(
    spec: StoppingSpec | None, settings: GenerationConfig | None = None
) -> StoppingCriteria | None:
    """Return the stopping criterion that `spec` means; see `as_sampler`."""
    if spec is None:
        return None
    if _takes_three(spec) and not isinstance(spec, type):
        return _for_one_row("stopping", cast(StoppingCriteria, spec))
    return _named(
        "stopping", spec, STOPPING, "an object that can be called with three arguments", settings
    )


def check_settings_are_read(
    options: Mapping[str, object], sampler: object, stopping: object
) -> None:
    """Check that no option of a call is one that only a strategy reads that it does not use.

    Args:
        sampler, stopping: what `as_sampler` and `as_stopping` return.

    Raises:
        ConfigError: an option would have no effect.
    """
    chosen = (("sampler", sampler, EntropyBoundSampler), ("stopping", stopping, StableAndConfident))
    for (kind, strategy, reads), (name, settings) in zip(
        chosen, FROM_SETTINGS.items(), strict=True
    ):
        if strategy is None or isinstance(strategy, reads):
            continue
        for option in settings:
            if option in options:
                raise ConfigError(
                    f"{option} is a setting of {kind}={name!r}, and {kind} is "
                    f"{type(strategy).__name__}: leave out {option}"
                )


def _for_one_row(kind: str, strategy: T) -> T:
    """Return a strategy whose settings are numbers; tensors are for a batch of rows."""
    if isinstance(strategy, EntropyBoundSampler | StableAndConfident):
        for name, value in vars(strategy).items():
            if isinstance(value, Tensor):
                raise ConfigError(
                    f"{kind}={type(strategy).__name__}({name}=a tensor): a request has one number"
                )
    return strategy


def _takes_three(function: object) -> bool:
    """Return True for what can be called with the three arguments of a strategy."""
    if not callable(function):
        return False
    try:
        inspect.signature(function).bind(None, None, None)
    except TypeError:
        return False
    except ValueError:  # a function without a signature to look at
        return True
    return True


def _named(
    kind: str,
    spec: object,
    table: Mapping[str, type[T]],
    other: str,
    settings: GenerationConfig | None,
) -> T:
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
    if settings is not None:
        taken = {option: getattr(settings, option) for option in FROM_SETTINGS.get(name, ())}
        options = taken | options
    return made(**options)


def _parsed(kind: str, text: str) -> tuple[str, dict[str, Any]]:
    """Split `name:option=value,option=value`; values are JSON numbers, or null."""
    name, _, rest = text.partition(":")
    options: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        option, _, value = part.partition("=")
        option = option.strip()
        if option in options:
            raise ConfigError(f"{kind}={text!r} gives {option} twice: leave out one of them")
        try:
            options[option] = json.loads(value)
        except ValueError:
            raise ConfigError(
                f"{kind}={text!r}: {part!r} must be option=number, as in confidence:threshold=0.9"
            ) from None
    return name.strip(), options


def _hint(name: object, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(str(name)[:100], known, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are {', '.join(known)}" if known else "it has none"
