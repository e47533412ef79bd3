"""GenerationConfig: the settings of one request, each with its meaning on a canvas."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from typing import Any, TypedDict

from redraft.config.check import check_integer, check_number
from redraft.config.logit_bias import LogitBias
from redraft.config.special_tokens import END_OF_TURN_ID, EOS_ID, PAD_ID, TOOL_RESPONSE_ID
from redraft.errors import ConfigError, ContextLengthError, UnknownOptionError, shown

# Keys of a `generation_config.json` that do not change what is generated here.
IGNORED_KEYS = frozenset(
    "transformers_version _from_model_config _commit_hash return_dict_in_generate "
    "cache_implementation cache_config disable_compile bos_token_id".split()
)
FILE_KEYS = (
    "max_new_tokens",
    "max_denoising_steps",
    "t_min",
    "t_max",
    "stability_threshold",
    "confidence_threshold",
    "pad_token_id",
)
SAMPLER = "EntropyBoundSamplerConfig"
# Names that other libraries have for fields.
FILE_NAMES = {"stop_strings": "stop"}
SAMPLING = (
    "seed",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "stop",
)
DEFAULT_MAX_NEW_TOKENS = 256
MAX_PENALTY = 2.0
MAX_NAME = 100  # characters of an unknown name that known ones are compared with
MAX_INT = 2**31 - 1
# With a temperature or a penalty below this, logits overflow.
MIN_FACTOR = 1e-3
# Above it they vanish, or overflow.
MAX_FACTOR = 1e6


# Names that other libraries have for a field.
OTHER_NAMES = {"max_tokens": "max_new_tokens"}


class GenerationOptions(TypedDict, total=False):
    """Keyword arguments that change fields of GenerationConfig, for one call; see there."""

    max_new_tokens: int
    max_tokens: int
    max_length: int | None
    eos_token_id: int | list[int] | tuple[int, ...]
    pad_token_id: int
    stop: str | list[str] | tuple[str, ...]
    max_denoising_steps: int
    t_min: float
    t_max: float
    entropy_bound: float
    stability_threshold: int
    confidence_threshold: float
    seed: int | None
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    frequency_penalty: float
    presence_penalty: float
    logit_bias: Mapping[int, float]


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """The settings of a generation. The defaults are those of the released checkpoint.

    Length
        max_new_tokens: the limit on new tokens. It is exact: the last canvas is cut.
        max_length: the limit on the tokens of prompt and text together; None for no limit. As in
            the reference, it takes the place of max_new_tokens where that is its default of 256,
            and a call's own max_new_tokens takes the place of it. Otherwise both limits hold.
        eos_token_id: ids that end the text. The first one that is committed is its last token.
        pad_token_id: fills a canvas behind the end of the text, and the rest of a hole.
        stop: strings that end the text. It ends before the first of them.
    Denoising, one canvas at a time
        max_denoising_steps: N, the limit on denoising steps of a canvas.
        t_max, t_min: the temperature is t_min + (t_max - t_min) * n / N at the step with n steps
            left; n is N at the first step.
        entropy_bound: the nats of entropy that one step may accept (EB-Sampler, arXiv:2505.24857).
        stability_threshold, confidence_threshold: a canvas is settled when its argmax has not
            changed for `stability_threshold` steps and its mean entropy, at the temperature of the
            step, is below `confidence_threshold` nats.
    Sampling
        seed: taken modulo 2**64. The noise of a request is a function of (seed, canvas, step,
            position) alone. None draws a seed and reports it.
        temperature: a factor of the schedule. 0 takes the likeliest token in place of a sample;
            entropies, and so acceptance and stopping, stay at the schedule's temperature.
        top_k, top_p, min_p: filters of each position's distribution at the temperature of the
            step, in this order. They keep the top_k likeliest tokens (0 keeps all), the smallest
            set of tokens with mass top_p, and the tokens with at least min_p times the likeliest
            one's probability. Sample, entropy and self-conditioning see only these.
        repetition_penalty: logits of tokens in the prompt and in committed canvases are divided by
            it (if positive) or multiplied by it. The canvas that is being denoised does not count:
            its tokens are drawn at once.
        frequency_penalty, presence_penalty: subtracted from the logit of a token that committed
            canvases of this text hold: the first once for each time, the second once. As OpenAI's
            API has them, from -2 to 2; the prompt does not count, and neither does the canvas that
            is being denoised.
        logit_bias: token id -> nats, added to its logit at every position before the temperature.

    Raises:
        ConfigError: a value out of its range.
    """

    max_new_tokens: int = DEFAULT_MAX_NEW_TOKENS
    max_length: int | None = None
    eos_token_id: tuple[int, ...] = (EOS_ID, END_OF_TURN_ID, TOOL_RESPONSE_ID)
    pad_token_id: int = PAD_ID
    stop: tuple[str, ...] = ()
    max_denoising_steps: int = 48
    t_min: float = 0.4
    t_max: float = 0.8
    entropy_bound: float = 0.1
    stability_threshold: int = 1
    confidence_threshold: float = 0.005
    seed: int | None = None
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=LogitBias)

    def __post_init__(self) -> None:
        object.__setattr__(self, "eos_token_id", _ids(self.eos_token_id))
        object.__setattr__(self, "stop", _strings(self.stop))
        check_integer("max_new_tokens", self.max_new_tokens, minimum=1, maximum=MAX_INT)
        if self.max_length is not None:
            check_integer("max_length", self.max_length, minimum=1, maximum=MAX_INT)
        check_integer("pad_token_id", self.pad_token_id, minimum=0)
        check_integer("max_denoising_steps", self.max_denoising_steps, minimum=1, maximum=MAX_INT)
        check_integer("stability_threshold", self.stability_threshold, minimum=0, maximum=MAX_INT)
        check_number("t_min", self.t_min, minimum=0, maximum=MAX_FACTOR)
        check_number("t_max", self.t_max, minimum=MIN_FACTOR, maximum=MAX_FACTOR)
        if self.t_max < self.t_min:
            raise ConfigError(f"t_max={self.t_max!r} must not be below t_min={self.t_min!r}")
        for name in ("entropy_bound", "confidence_threshold"):
            check_number(name, getattr(self, name), minimum=0, maximum=1e9, exclusive=True)
        least = MIN_FACTOR if self.temperature else 0
        check_number("temperature", self.temperature, minimum=least, maximum=MAX_FACTOR)
        check_integer("top_k", self.top_k, minimum=0)
        check_number("top_p", self.top_p, minimum=0, maximum=1, exclusive=True)
        check_number("min_p", self.min_p, minimum=0, maximum=1)
        check_number(
            "repetition_penalty",
            self.repetition_penalty,
            minimum=MIN_FACTOR,
            maximum=MAX_FACTOR,
        )
        for name in ("frequency_penalty", "presence_penalty"):
            check_number(name, getattr(self, name), minimum=-MAX_PENALTY, maximum=MAX_PENALTY)
        if self.seed is not None and (
            isinstance(self.seed, bool) or not isinstance(self.seed, int)
        ):
            raise ConfigError(f"seed={self.seed!r} must be a whole number or None")
        object.__setattr__(self, "logit_bias", LogitBias.checked(self.logit_bias))

    def with_options(self, options: Mapping[str, Any]) -> GenerationConfig:
        """Return a copy with `options` in place of its fields.

        A `max_new_tokens` among them also takes the place of `max_length`.

        Raises:
            UnknownOptionError: an option is not a field of this class.
            ConfigError: a value out of its range.
        """
        named = renamed(options)
        check_names(named)
        if "max_new_tokens" in named:
            named = {"max_length": None, **named}
        try:
            return replace(self, **{name: _plain(value) for name, value in named.items()})
        except ConfigError as error:
            # In the caller's word.
            for other, name in OTHER_NAMES.items():
                if other in options:
                    raise ConfigError(str(error).replace(name, other)) from None
            raise

    def with_options_and_constraint(self, options: Mapping[str, Any]) -> GenerationConfig:
        """Return a copy with `options` in place of its fields, for a text under a constraint.

        Stop strings do not go with a constraint: there are none but those of `options`. Arguments
        and errors as for `with_options`.
        """
        return self.with_options({"stop": ()} | dict(options))

    def limited(self, prompt_length: int) -> GenerationConfig:
        """Return a copy whose `max_new_tokens` holds for a prompt of `prompt_length` tokens.

        Raises:
            ContextLengthError: the prompt alone is as long as `max_length`.
        """
        if self.max_length is None:
            return self
        left = self.max_length - prompt_length
        if left < 1:
            raise ContextLengthError(
                f"the prompt has {prompt_length} tokens and max_length is {self.max_length}: "
                "shorten the prompt, or give max_new_tokens in place of max_length"
            )
        if self.max_new_tokens != DEFAULT_MAX_NEW_TOKENS:
            left = min(left, self.max_new_tokens)
        return replace(self, max_new_tokens=left, max_length=None)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> GenerationConfig:
        """Build the settings from `raw`, a parsed `generation_config.json`; null means the default.

        Unknown keys are named in a warning.

        Raises:
            ConfigError: a value out of its range, or another sampler than the entropy bound.
        """
        given = {
            key: value
            for key, value in raw.items()
            if value is not None and key not in IGNORED_KEYS
        }
        sampler = given.pop("sampler_config", {})
        if not isinstance(sampler, Mapping) or sampler.get("_cls_name", SAMPLER) != SAMPLER:
            raise ConfigError(
                f"sampler_config={sampler!r} must be the config of an {SAMPLER}: "
                "no other sampler can be read from a file"
            )
        if isinstance(given.get("logit_bias"), Mapping):  # JSON keys are strings
            given["logit_bias"] = {_id(token): bias for token, bias in given["logit_bias"].items()}
        given.update({key: value for key, value in sampler.items() if key != "_cls_name"})
        for theirs, ours in FILE_NAMES.items():
            if theirs in given:
                given.setdefault(ours, given.pop(theirs))
        # The reference always draws samples; only True says what is done.
        if given.get("do_sample") is True:
            del given["do_sample"]
        names = {f.name for f in fields(cls)}
        if unknown := sorted(set(given) - names):
            warnings.warn(
                "generation_config.json: unknown keys are not applied: "
                f"{shown(', '.join(map(str, unknown)))}",
                stacklevel=2,
            )
        return cls(**{key: value for key, value in given.items() if key in names})

    def to_dict(self) -> dict[str, Any]:
        """Return the `generation_config.json` of these settings, in the reference's layout."""
        return {
            **{key: getattr(self, key) for key in FILE_KEYS},
            **({} if self.max_length is None else {"max_length": self.max_length}),
            "eos_token_id": list(self.eos_token_id),
            "sampler_config": {"_cls_name": SAMPLER, "entropy_bound": float(self.entropy_bound)},
        }

    def sampling_to_dict(self) -> dict[str, Any]:
        """Return the sampling options that are not the default.

        The reference's file has no place for them, and its reader refuses unknown keys.
        """
        plain = GenerationConfig()
        return {
            key: getattr(self, key) for key in SAMPLING if getattr(self, key) != getattr(plain, key)
        }


def renamed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options by the names of fields: other names of them are accepted everywhere.

    Raises:
        ConfigError: two names of one option have two values.
    """
    found = dict(options)
    for other, name in OTHER_NAMES.items():
        if other in found:
            value = found.pop(other)
            if found.setdefault(name, value) != value:
                raise ConfigError(
                    f"{other}={value!r} and {name}={found[name]!r} are one option: give one"
                )
    return found


def check_names(options: Iterable[str], other_names: Iterable[str] = ()) -> None:
    """Check that all of these are fields of GenerationConfig.

    Args:
        other_names: what a caller may have misspelt beside them.

    Raises:
        UnknownOptionError: one is not; the message names the nearest field.
    """
    names = [f.name for f in fields(GenerationConfig)]
    for name in options:
        if name not in names:
            near = difflib.get_close_matches(name[:MAX_NAME], [*names, *other_names], n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"options are {', '.join(names)}"
            raise UnknownOptionError(f"unknown option {name!r}: {hint}")


def _strings(value: object) -> tuple[str, ...]:
    """Return one string, or a list of strings, as a tuple."""
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or any(
        not isinstance(text, str) or not text for text in texts
    ):
        raise ConfigError(f"stop={value!r} must be a non-empty string, or a list of them")
    return tuple(texts)


def _id(value: object) -> object:
    """Return the token id in a key of a JSON object; another value is left for the checks."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _ids(value: object) -> tuple[int, ...]:
    """Return one token id, or a list of them, as a tuple."""
    ids = (value,) if isinstance(value, int) else value
    if not isinstance(ids, list | tuple):
        raise ConfigError(f"eos_token_id={value!r} must be a token id, or a list of them")
    for token in ids:
        check_integer("eos_token_id", token, minimum=0)
    return tuple(ids)


def _plain(value: Any) -> Any:
    """Return a number of NumPy as a number of Python, everything else as it is."""
    if isinstance(value, int | float):
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value
