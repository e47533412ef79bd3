"""Processor: from what a caller gives to token ids and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Any

from redraft.config import GenerationConfig, ModelConfig
from redraft.config.special_tokens import EOS_ID
from redraft.engine.request import check_logit_bias, seeded
from redraft.errors import ChatTemplateError, ConfigError, RequestError, TokenRangeError
from redraft.grammar import Constraint, TokenDFA
from redraft.text import ChatTemplate, Message, Tokenizer

Prompt = str | Sequence[int]


@dataclass(frozen=True)
class Processor:
    """Tokenizer, chat template and default settings of a checkpoint.

    Attributes:
        config: the network's shape.
        tokenizer: None for a checkpoint without one; prompts are then token ids.
        chat_template: None for a checkpoint without one; messages cannot be used then.
        generation_config: defaults that the options of every call are laid over.
    """

    config: ModelConfig
    tokenizer: Tokenizer | None = None
    chat_template: ChatTemplate | None = None
    generation_config: GenerationConfig = field(default_factory=GenerationConfig)

    def prompts(self, prompt: Any, messages: Sequence[Message] | None) -> list[list[int]]:
        """Return the token ids of one prompt, of a list of prompts, or of a conversation.

        Raises:
            RequestError: none of them is given, or several.
        """
        if (prompt is None) == (messages is None):
            raise RequestError("give either a prompt or messages")
        if messages is not None:
            return [self.chat_prompt(messages)]
        several = is_batch(prompt)
        return [self.encode(one, bos=True) for one in (prompt if several else [prompt])]

    def chat_prompt(self, messages: Sequence[Message], **options: Any) -> list[int]:
        """Return the token ids of a conversation; options go to the chat template.

        Raises:
            ChatTemplateError: there is no template, or it refuses the messages.
        """
        if self.chat_template is None:
            raise ChatTemplateError(
                "this checkpoint has no chat template: give a prompt, or add chat_template.jinja"
            )
        return self.encode(self.chat_template.render(messages, **options), bos=False)

    def encode(self, prompt: Prompt, *, bos: bool) -> list[int]:
        """Return the token ids of a prompt; text gets BOS in front where `bos` says so."""
        if not isinstance(prompt, str):
            return token_ids(prompt)
        if self.tokenizer is None:
            raise RequestError("this checkpoint has no tokenizer: give the prompt as token ids")
        return self.tokenizer.encode(prompt, bos=bos) if prompt else []

    def require_tokenizer(self, purpose: str) -> Tokenizer:
        """Return the tokenizer.

        Raises:
            RequestError: there is none; `purpose` says what needs it.
        """
        if self.tokenizer is None:
            raise RequestError(f"{purpose} needs a tokenizer, and this checkpoint has none")
        return self.tokenizer

    def compile(self, constraint: Constraint | None, config: GenerationConfig) -> TokenDFA | None:
        """Return a constraint over this model's tokens; None admits every text.

        Raises:
            RequestError: there is no tokenizer. ConstraintError: the constraint cannot be used.
        """
        if constraint is None:
            return None
        tokenizer = self.require_tokenizer("a constraint")
        return constraint.compile(
            tokenizer, config.eos_token_id, config.pad_token_id, self.config.vocab_size
        )

    def settings(
        self, options: Mapping[str, Any], *, constrained: bool = False
    ) -> GenerationConfig:
        """Return the settings of one infill or repair, with a seed.

        Raises:
            ConfigError: a value is out of its range, or a token outside the vocabulary.
        """
        config = self.text_settings(options, constrained=constrained)
        check_logit_bias(config, self.config)
        size = self.config.vocab_size
        if "eos_token_id" in options and any(token >= size for token in config.eos_token_id):
            raise ConfigError(
                f"eos_token_id={config.eos_token_id} lies outside the vocabulary of {size}"
            )
        return seeded(config)

    def text_settings(self, options: Mapping[str, Any], *, constrained: bool) -> GenerationConfig:
        """Return the settings of one text: the defaults, and `options` in place of them.

        Defaults that do not go with a constraint give way to it; options of the call do not.
        """
        if constrained:
            return self.generation_config.with_options_and_constraint(options)
        return self.generation_config.with_options(options)

    def end_tokens(self, config: GenerationConfig) -> list[int]:
        """Return the tokens that end a text, those that the model has."""
        return [token for token in config.eos_token_id if token < self.config.vocab_size]

    def fill_token(self, config: GenerationConfig) -> int:
        """Return the token that fills a canvas behind the end of an answer."""
        return next(iter(self.end_tokens(config)), self.config.pad_token_id)

    def around(self, instruction: str | None) -> tuple[list[int], list[int]]:
        """Return the tokens before a text, and those that end it where it is an answer.

        Without an instruction the text stands for itself, behind BOS.
        """
        if instruction is None:
            bos = self.require_tokenizer("infilling").bos_token_id
            return ([] if bos is None else [bos]), []
        ends = self.end_tokens(self.generation_config)
        closing = [token for token in ends if token != EOS_ID][:1]
        return self.chat_prompt([{"role": "user", "content": instruction}]), closing


def is_batch(prompt: Any) -> bool:
    """Return True for a list of prompts, False for one prompt."""
    return isinstance(prompt, list) and bool(prompt) and isinstance(prompt[0], str | list | tuple)


def token_ids(prompt: Any) -> list[int]:
    """Return plain integers from a sequence, array or tensor of token ids.

    Raises:
        RequestError: it is neither text nor such a sequence. TokenRangeError: an item is no
            integer.
    """
    if isinstance(prompt, bytes | bytearray | Mapping) or not hasattr(prompt, "__iter__"):
        raise RequestError(
            f"a prompt is text or a sequence of token ids, not {type(prompt).__name__}"
        )
    return [_token_id(token) for token in prompt]


def _token_id(token: Any) -> int:
    try:
        if isinstance(token, bool):
            raise TypeError
        return index(token)
    except TypeError:
        raise TokenRangeError(f"token id {token!r} is not a whole number") from None
