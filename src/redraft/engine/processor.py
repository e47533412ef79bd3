"""Processor: from what a caller gives to token ids and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Any, TypedDict, cast

from numpy.typing import NDArray
from torch import Tensor

from redraft.config import GenerationConfig, GenerationOptions, ModelConfig
from redraft.config.special_tokens import EOS_ID
from redraft.config.vision import VisionConfig
from redraft.engine.images import MAX_IMAGES, EncodedPrompt, expand_images
from redraft.engine.request import check_logit_bias, seeded
from redraft.errors import (
    ChatTemplateError,
    ConfigError,
    ImageError,
    RequestError,
    TokenRangeError,
)
from redraft.grammar import Constraint, TokenDFA, behind_thoughts
from redraft.images import ImageBudget, PreparedImage, prepare
from redraft.text import ChatTemplate, Message, Tokenizer
from redraft.text.image_parts import ImagePart, first_image

Prompt = str | Sequence[int] | Tensor | NDArray[Any]
NO_IMAGES = "this model has no image encoder"
# Variables of a chat template that are options of their own.
RESERVED = ("messages", "tools", "documents", "template")


class PromptOptions(TypedDict, total=False):
    """Keyword arguments that say how messages, or a prompt, become token ids.

    Of messages
        tools: functions that the model may call, as OpenAI's API has them.
        documents: texts for a template that reads them.
        thinking: switch the model's reasoning on or off: the template's `enable_thinking`. Unless
            given, the template decides; the release's does not think.
        chat_template_kwargs: further variables of the template.
        template: the name of one of several templates.
        sanitize_control_tokens: a control token in a message stays text. False makes it a control
            token, as other engines do.
    Of a prompt
        add_special_tokens: put special tokens around a raw text, as transformers does: those that
            the tokenizer's file says, or BOS in front where it says none. True unless given.
    """

    tools: Sequence[Mapping[str, Any]] | None
    documents: Sequence[Mapping[str, Any]] | None
    thinking: bool | None
    chat_template_kwargs: Mapping[str, Any] | None
    template: str | None
    sanitize_control_tokens: bool
    add_special_tokens: bool


class TextOptions(GenerationOptions, PromptOptions, total=False):
    """Keyword arguments of one text."""


def split_text_options(options: TextOptions) -> tuple[PromptOptions, GenerationOptions]:
    """Return the options of the prompt, and those of its generation."""
    names = PromptOptions.__annotations__
    prompt = {name: value for name, value in options.items() if name in names}
    settings = {name: value for name, value in options.items() if name not in names}
    return cast(PromptOptions, prompt), cast(GenerationOptions, settings)


@dataclass(frozen=True)
class Processor:
    """Tokenizer, chat template and default settings of a checkpoint.

    Attributes:
        config: the network's shape.
        tokenizer: None for a checkpoint without one; prompts are then token ids.
        chat_template: None for a checkpoint without one; messages cannot be used then.
        generation_config: defaults that the options of every call are laid over.
        vision: shape of the image encoder; None for a model that reads text alone.
        no_images: why it reads text alone.
    """

    config: ModelConfig
    tokenizer: Tokenizer | None = None
    chat_template: ChatTemplate | None = None
    generation_config: GenerationConfig = field(default_factory=GenerationConfig)
    vision: VisionConfig | None = None
    no_images: str = NO_IMAGES

    def prompts(
        self,
        prompt: Any,
        messages: Sequence[Message] | None,
        options: PromptOptions | None = None,
    ) -> list[EncodedPrompt]:
        """Return the token ids of one prompt, of a list of prompts, or of a conversation.

        Raises:
            RequestError: none of them is given, or several, or an option of the other.
        """
        if (prompt is None) == (messages is None):
            raise RequestError("give either a prompt or messages")
        given = options or {}
        if messages is not None:
            if "add_special_tokens" in given:
                raise RequestError(
                    "add_special_tokens is for a prompt: the chat template writes a "
                    "conversation's special tokens"
                )
            return [self.chat(messages, **given)]
        if foreign := [name for name in given if name != "add_special_tokens"]:
            raise RequestError(f"{foreign[0]} is for messages, and a prompt is given")
        around = given.get("add_special_tokens", True)
        several = is_batch(prompt)
        return [
            EncodedPrompt(self.encode(one, bos=around)) for one in (prompt if several else [prompt])
        ]

    def chat_prompt(self, messages: Sequence[Message], **options: Any) -> list[int]:
        """Return the token ids of a conversation; arguments and errors as for `chat`."""
        return self.chat(messages, **options).tokens

    def chat(
        self,
        messages: Sequence[Message],
        *,
        files: bool = True,
        thinking: bool | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        sanitize_control_tokens: bool = True,
        **variables: Any,
    ) -> EncodedPrompt:
        """Return the token ids of a conversation, and its images.

        Args:
            files: an image may be the path of a file.
            thinking: see `PromptOptions`, and so for the others.
            variables: `tools`, `documents`, `template` and `add_generation_prompt` (see
                `ChatTemplate.render`), and further variables of the template.

        Raises:
            ChatTemplateError: there is no template, or it refuses the messages. ImageError: an
                image cannot be read, or has no place.
        """
        if self.vision is None and (found := first_image(messages)):
            raise self._no_images(*found)
        if self.chat_template is None:
            raise ChatTemplateError(
                "this checkpoint has no chat template: give a prompt, or add chat_template.jinja"
            )
        if thinking is not None and not isinstance(thinking, bool):
            raise RequestError(f"{thinking=} must be True, False or None")
        if not isinstance(chat_template_kwargs or {}, Mapping):
            raise RequestError(f"{chat_template_kwargs=} must map names to values")
        further = dict(chat_template_kwargs or {})
        if reserved := [name for name in RESERVED if name in further]:
            raise RequestError(f"chat_template_kwargs holds {reserved[0]!r}: give it by itself")
        variables = further | variables
        if thinking is not None and variables.setdefault("enable_thinking", thinking) != thinking:
            raise RequestError(f"{thinking=}, and enable_thinking says something else")
        if self.tokenizer is None:
            raise RequestError("this checkpoint has no tokenizer: give the prompt as token ids")
        prompt = self.chat_template.prompt(messages, **variables)
        self._check_images(prompt.images)
        tokens = prompt.encode(self.tokenizer, sanitize_control_tokens=sanitize_control_tokens)
        if not prompt.images:
            return EncodedPrompt(tokens)
        prompt.check_order()
        budget = None if files else ImageBudget()  # whoever may name files is no stranger
        images = [self._prepared(part, files=files, budget=budget) for part in prompt.images]
        return expand_images(tokens, images, self.config)

    def image(self, source: object, max_soft_tokens: int | None = None) -> PreparedImage:
        """Return an image that is ready for the encoder; arguments and errors as for `prepare`.

        Raises:
            ImageError: the model has no image encoder, too.
        """
        if self.vision is None:
            raise ImageError(f"this model reads no images: {self.no_images}")
        return prepare(source, self.vision, max_soft_tokens)

    def _check_images(self, parts: Sequence[ImagePart]) -> None:
        """Check that the model reads images, and not too many."""
        if parts and self.vision is None:
            raise self._no_images(parts[0].place, parts[0].kind)
        if len(parts) > MAX_IMAGES:
            raise ImageError(
                f"the conversation has {len(parts)} images: {MAX_IMAGES} are read at most; leave "
                "out older ones"
            )

    def _no_images(self, place: str, kind: str) -> ImageError:
        return ImageError(
            f"{place}: a part of type {kind!r} cannot be read, only text can: {self.no_images}"
        )

    def _prepared(
        self, part: ImagePart, *, files: bool, budget: ImageBudget | None
    ) -> PreparedImage:
        assert self.vision is not None
        try:
            return prepare(
                part.source, self.vision, part.max_soft_tokens, files=files, budget=budget
            )
        except ImageError as error:
            raise ImageError(f"{part.place}: {error}") from None

    def encode(self, prompt: Prompt, *, bos: bool) -> list[int]:
        """Return the token ids of a prompt; text gets special tokens where `bos` says so."""
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

    def after_thoughts(
        self, constraint: Constraint | None, prompt: Sequence[int]
    ) -> Constraint | None:
        """Return a constraint of the answer behind the thoughts that a conversation begins or asks
        for; the same one where there are none."""
        if constraint is None or self.tokenizer is None:
            return constraint
        return behind_thoughts(constraint, prompt, self.tokenizer)

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

        Stop strings of the defaults give way to a constraint; those of the call do not.
        """
        if constrained:
            return self.generation_config.with_options_and_constraint(options)
        return self.generation_config.with_options(options)

    def tokens_left(self, prompt_length: int, memory_tokens: int) -> int:
        """Return how many tokens an answer may have for which no limit is set.

        Args:
            memory_tokens: the tokens of prompt and answer that there is memory for. They limit an
                answer to no less than the default of `max_new_tokens`.
        """
        limit, settings = self.config.max_position_embeddings, self.generation_config
        left = min(limit, settings.max_length or limit) - prompt_length
        within = max(memory_tokens - prompt_length, settings.max_new_tokens)
        return max(1, min(left, within))

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
    """Return True for a list of prompts, or token ids [B, N]; False for one prompt."""
    if getattr(prompt, "ndim", 1) > 1:
        return True
    if not isinstance(prompt, list) or not prompt:
        return False
    return isinstance(prompt[0], str | list | tuple) or getattr(prompt[0], "ndim", 0) > 0


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
    tokens = list(prompt)
    if any(isinstance(token, Mapping) for token in tokens):
        raise RequestError("that is a conversation: give it as messages=, one in a call")
    return [_token_id(token) for token in tokens]


def _token_id(token: Any) -> int:
    try:
        if isinstance(token, bool):
            raise TypeError
        return index(token)
    except TypeError:
        raise TokenRangeError(f"token id {token!r} is not a whole number") from None
