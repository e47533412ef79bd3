"""Request: a text to write, checked before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from redraft.config import GenerationConfig, ModelConfig
from redraft.config.logit_bias import LogitBias
from redraft.diffusion import (
    Sampler,
    SamplerSpec,
    StoppingCriteria,
    StoppingSpec,
    as_sampler,
    as_stopping,
)
from redraft.drawn import random_bits
from redraft.engine.images import PlacedImage, check_places
from redraft.errors import (
    ConfigError,
    ContextLengthError,
    EmptyPromptError,
    RequestError,
    TokenRangeError,
)
from redraft.grammar import TokenDFA
from redraft.grammar.guide import Guide

Method = Literal["diffusion", "autoregressive", "typewriter"]
METHODS: dict[str, Method] = {
    "diffusion": "diffusion",
    "autoregressive": "autoregressive",
    "typewriter": "autoregressive",  # the word of the demo, accepted everywhere
}


def checked_method(method: str) -> Method:
    """Return the method's one name.

    Raises:
        ConfigError: there is no such method.
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ConfigError(f"{method=} must be 'diffusion' or 'autoregressive'")
    return METHODS[method]


def check_without_canvas(sampler: object, stopping: object) -> None:
    """Check that the autoregressive method is given no strategy for a canvas.

    Raises:
        RequestError: it is.
    """
    if sampler is not None or stopping is not None:
        raise RequestError(
            "the autoregressive method has no canvas: leave out sampler and stopping"
        )


@dataclass(frozen=True)
class Request:
    """One text to write.

    Attributes:
        prompt: token ids, at least one.
        images: those whose soft tokens stand in the prompt, in their order.
        config: settings, with a seed, so that every text can be written again.
        stream: which of several texts from one seed.
        frozen: position on the first canvas -> token id that stands there from the first step on
            and is part of the text.
        dfa: the constraint that the text must meet; None admits every text.
        method: by diffusion, or left to right.
        sampler: decides each denoising step; None for the EntropyBoundSampler of the settings.
        stopping: decides when a canvas is settled; None for the StableAndConfident of the settings.
        adapter: name of the adapter that it is written with; None for the base alone.
    """

    prompt: tuple[int, ...]
    config: GenerationConfig = field(default_factory=GenerationConfig)
    stream: int = 0
    frozen: Mapping[int, int] = field(default_factory=dict)
    dfa: TokenDFA | None = None
    method: Method = "diffusion"
    sampler: Sampler | None = None
    stopping: StoppingCriteria | None = None
    adapter: str | None = None
    images: tuple[PlacedImage, ...] = ()

    def by(self, method: Method) -> Request:
        """Return the same request, written by another method.

        Raises:
            RequestError: the autoregressive method has no canvas for its frozen positions, its
                sampler or its stopping criteria.
        """
        request = replace(self, method=checked_method(method))
        request._check_method()
        return request

    def _check_method(self) -> None:
        if self.method != "autoregressive":
            return
        if self.frozen:
            raise RequestError(
                "frozen positions need the diffusion method: the autoregressive one writes from "
                "left to right"
            )
        check_without_canvas(self.sampler, self.stopping)

    @property
    def seed(self) -> int:
        assert self.config.seed is not None
        return self.config.seed

    @classmethod
    def checked(
        cls,
        prompt: Sequence[int],
        config: GenerationConfig,
        shape: ModelConfig,
        *,
        stream: int = 0,
        frozen: Mapping[int, int] | None = None,
        dfa: TokenDFA | None = None,
        can_be_cut: bool = False,
        method: Method = "diffusion",
        sampler: SamplerSpec | None = None,
        stopping: StoppingSpec | None = None,
        adapter: str | None = None,
        images: Sequence[PlacedImage] = (),
    ) -> Request:
        """Return a request that the model can serve; a seed is drawn where `config` has none.

        Args:
            can_be_cut: a text of `dfa` may end at a stop string.

        Raises:
            EmptyPromptError, ContextLengthError, TokenRangeError, ImageError,
                ConstraintUnsatisfiedError, RequestError, ConfigError: the model cannot serve it;
                the message says why.
        """
        method = checked_method(method)
        if not prompt:
            raise EmptyPromptError("the prompt has no tokens: give at least one (BOS will do)")
        limit = shape.max_position_embeddings
        config = config.limited(len(prompt))
        if len(prompt) + config.max_new_tokens > limit:
            raise ContextLengthError(
                f"the prompt has {len(prompt)} tokens and max_new_tokens is "
                f"{config.max_new_tokens}, the context holds {limit}: shorten the prompt or lower "
                "max_new_tokens"
            )
        frozen = _checked_frozen(frozen, shape)
        check_tokens([*prompt, *frozen.values()], shape, images)
        check_logit_bias(config, shape)
        if dfa is not None:
            check_constraint(config, can_be_cut=can_be_cut)
            Guide.checked(dfa, config.max_new_tokens, shape.canvas_length, frozen)
        chosen, criterion = as_sampler(sampler, config), as_stopping(stopping, config)
        request = cls(
            tuple(prompt),
            seeded(config),
            stream,
            frozen,
            dfa,
            method,
            chosen,
            criterion,
            adapter,
            tuple(images),
        )
        request._check_method()
        return request


def seeded(config: GenerationConfig) -> GenerationConfig:
    """Return the settings with a seed: their own, or one drawn here."""
    return config if config.seed is not None else replace(config, seed=random_bits(63))


def _checked_frozen(frozen: Mapping[int, int] | None, shape: ModelConfig) -> dict[int, int]:
    if frozen is not None and not isinstance(frozen, Mapping):
        raise RequestError(f"frozen={frozen!r} must map positions on the canvas to token ids")
    frozen = dict(frozen or {})
    length = shape.canvas_length
    outside = [at for at in frozen if type(at) is not int or not 0 <= at < length]
    if outside:
        raise RequestError(f"frozen positions {outside} are not on the canvas of {length}")
    return frozen


def check_logit_bias(config: GenerationConfig, shape: ModelConfig) -> None:
    """Check that `logit_bias` names tokens of the vocabulary.

    Raises:
        ConfigError: a token lies outside.
    """
    bias = config.logit_bias
    if isinstance(bias, LogitBias) and bias.largest < shape.vocab_size:
        return
    if outside := [token for token in bias if token >= shape.vocab_size]:
        raise ConfigError(
            f"logit_bias names tokens {outside}, the vocabulary has {shape.vocab_size}"
        )


def check_constraint(config: GenerationConfig, *, can_be_cut: bool = False) -> None:
    """Check that settings go together with a constraint.

    Args:
        can_be_cut: a text of the constraint may end at a stop string.

    Raises:
        RequestError: they could cut a text.
    """
    if config.stop and not can_be_cut:
        raise RequestError(
            "stop strings would cut a constrained text: leave out them or the constraint"
        )


def check_tokens(
    tokens: Sequence[int], shape: ModelConfig, images: Sequence[PlacedImage] = ()
) -> None:
    """Check that the model can read these tokens, and that each image has its place among them.

    Raises:
        TokenRangeError: one lies outside its vocabulary, or stands for an image that is not there.
        ImageError: an image has no place.
    """
    for token in tokens:
        whole = isinstance(token, int) and not isinstance(token, bool)
        if not whole or not 0 <= token < shape.vocab_size:
            raise TokenRangeError(
                f"token id {token!r} is outside the vocabulary of {shape.vocab_size}"
            )
    check_places(tokens, images, shape)
