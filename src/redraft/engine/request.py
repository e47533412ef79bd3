"""Request: what is to be written, checked before any work."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from redraft.config import GenerationConfig, ModelConfig
from redraft.diffusion import (
    Sampler,
    SamplerSpec,
    StoppingCriteria,
    StoppingSpec,
    as_sampler,
    as_stopping,
)
from redraft.errors import (
    ConfigError,
    ContextLengthError,
    EmptyPromptError,
    RequestError,
    TokenRangeError,
)
from redraft.grammar import Guide, TokenDFA


@dataclass(frozen=True)
class Request:
    """One text to write.

    Attributes:
        prompt: token ids, at least one.
        config: settings; its seed is drawn here where it is None, so that every text can be written
            again.
        stream: which of several texts from one seed.
        frozen: position on the first canvas -> token id that stands there from the first step on
            and is part of the text.
        dfa: the compiled constraint of the text; None for any text.
        sampler: decides each denoising step; None for the EntropyBoundSampler of the settings.
        stopping: decides when a canvas is settled; None for the StableAndConfident of the settings.
    """

    prompt: tuple[int, ...]
    config: GenerationConfig = field(default_factory=GenerationConfig)
    stream: int = 0
    frozen: Mapping[int, int] = field(default_factory=dict)
    dfa: TokenDFA | None = None
    sampler: Sampler | None = None
    stopping: StoppingCriteria | None = None

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
        sampler: SamplerSpec | None = None,
        stopping: StoppingSpec | None = None,
    ) -> Request:
        """A request that the model can serve.

        Raises:
            EmptyPromptError, ContextLengthError, TokenRangeError, ConstraintUnsatisfiedError,
                RequestError: it cannot, and why.
        """
        if not prompt:
            raise EmptyPromptError("the prompt has no tokens: give at least one (BOS will do)")
        limit = shape.max_position_embeddings
        if len(prompt) + config.max_new_tokens > limit:
            raise ContextLengthError(
                f"the prompt has {len(prompt)} tokens and max_new_tokens is {config.max_new_tokens}, the context holds "
                f"{limit}: shorten the prompt or lower max_new_tokens"
            )
        if frozen is not None and not isinstance(frozen, Mapping):
            raise RequestError(f"frozen={frozen!r} must map positions on the canvas to token ids")
        frozen = dict(frozen or {})
        check_tokens([*prompt, *frozen.values()], shape)
        if outside := [
            at for at in frozen if type(at) is not int or not 0 <= at < shape.canvas_length
        ]:
            raise RequestError(
                f"frozen positions {outside} are not positions on the canvas of {shape.canvas_length}"
            )
        if outside := [token for token in config.logit_bias if token >= shape.vocab_size]:
            raise ConfigError(
                f"logit_bias names tokens {outside}, the vocabulary has {shape.vocab_size}"
            )
        if dfa is not None:
            check_constraint(config)
            Guide.checked(dfa, config.max_new_tokens, shape.canvas_length, frozen)
        if config.seed is None:
            config = replace(config, seed=secrets.randbits(63))
        return cls(
            tuple(prompt),
            config,
            stream,
            frozen,
            dfa,
            as_sampler(sampler),
            as_stopping(stopping),
        )


def check_constraint(config: GenerationConfig) -> None:
    """Whether these settings go with a constraint.

    Raises:
        RequestError: they could cut a text, or leave none.
    """
    if config.stop:
        raise RequestError(
            "stop strings would cut what a constraint holds together: leave them out, or the constraint"
        )
    if config.top_p < 1.0 or config.min_p > 0.0:
        raise RequestError(
            "top_p and min_p could leave no text that the constraint admits: leave them out, or the constraint"
        )


def check_tokens(tokens: Sequence[int], shape: ModelConfig) -> None:
    """Whether the model can read these tokens.

    Raises:
        TokenRangeError: one lies outside its vocabulary, or stands for an image.
    """
    for token in tokens:
        if (
            isinstance(token, bool)
            or not isinstance(token, int)
            or not 0 <= token < shape.vocab_size
        ):
            raise TokenRangeError(
                f"token id {token!r} is outside the vocabulary of {shape.vocab_size}"
            )
        if token == shape.image_token_id:
            raise TokenRangeError(
                f"token id {token} stands for an image: only text can be read so far"
            )
