"""Model: weights, tokenizer, template and settings in one hand; what `redraft.load` returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import index
from pathlib import Path
from typing import Any, Literal, overload

import torch

from redraft.checkpoint import (
    Checkpoint,
    Quantization,
    load_weights,
    open_checkpoint,
    save_checkpoint,
)
from redraft.checkpoint.gguf.tokenizer import gguf_template, gguf_tokenizer
from redraft.checkpoint.load import Progress, stored_dtype
from redraft.checkpoint.memory_check import check_room
from redraft.config import GenerationConfig, ModelConfig
from redraft.config.check import check_integer
from redraft.diffusion import SamplerSpec, StoppingSpec
from redraft.engine.allocator import keep_freed_memory
from redraft.engine.autoregressive import typewrite
from redraft.engine.engine import Engine
from redraft.engine.request import Request
from redraft.errors import ChatTemplateError, ConfigError, RequestError, TokenRangeError
from redraft.events import Event, Failed, Finished
from redraft.grammar import Constraint, ConstraintLike, TokenDFA, as_constraint
from redraft.network import DiffusionGemma
from redraft.quant import FORMATS
from redraft.text import ChatTemplate, Message, Tokenizer

Prompt = str | Sequence[int]
Method = Literal["diffusion", "typewriter"]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Model:
    """A DiffusionGemma that can be asked to write.

    Attributes:
        network: the weights, a DiffusionGemma module.
        tokenizer: None for a checkpoint without one; prompts are then token ids.
        chat_template: None for a checkpoint without one; messages cannot be used then.
        generation_config: defaults that every call's options are laid over.
    """

    def __init__(
        self,
        network: DiffusionGemma,
        tokenizer: Tokenizer | None = None,
        chat_template: ChatTemplate | None = None,
        generation_config: GenerationConfig | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.chat_template = chat_template
        self.generation_config = generation_config or GenerationConfig()
        self.checkpoint = checkpoint

    @property
    def config(self) -> ModelConfig:
        return self.network.config

    @overload
    def generate(
        self,
        prompt: Prompt | None = None,
        *,
        messages: Sequence[Message] | None = None,
        method: Method = "diffusion",
        frozen: Mapping[int, int] | None = None,
        constraint: ConstraintLike | list[ConstraintLike | None] | None = None,
        sampler: SamplerSpec | None = None,
        stopping: StoppingSpec | None = None,
        **options: Any,
    ) -> Finished: ...
    @overload
    def generate(
        self,
        prompt: list[str] | list[list[int]],
        *,
        method: Method = "diffusion",
        constraint: ConstraintLike | list[ConstraintLike | None] | None = None,
        sampler: SamplerSpec | None = None,
        stopping: StoppingSpec | None = None,
        **options: Any,
    ) -> list[Finished]: ...
    def generate(self, prompt: Any = None, **options: Any) -> Finished | list[Finished]:
        """Write, and return the finished text with its figures.

        Args:
            prompt: raw text (BOS is put in front) or token ids, to be continued; a list of either
                writes all in one batch.
            messages: instead of a prompt, a conversation of `role` and `content`, put through the
                chat template.
            method: "diffusion", or "typewriter" for the same weights read left to right.
            frozen: position on the first canvas -> token id that must stand there.
            constraint: what the text must be, from its first token to its last: a Constraint, or
                what `as_constraint` takes. The text is then complete, and what it says is in
                `Finished.parsed`. With a list of prompts, one for all or a list of one each (None
                for a free one).
            sampler: decides each denoising step: an object (see `Sampler`), or a name with options
                such as "confidence:threshold=0.9".
            stopping: decides when a canvas is settled: an object (see `StoppingCriteria`), or a
                name with options.
            options: any field of GenerationConfig.

        Raises:
            RequestError, ConfigError: before any work, what is wrong and what to do.
                NonFiniteError: broken weights.
        """
        many = is_batch(prompt)
        ended = [event for event in self.stream(prompt, **options) if isinstance(event, Finished)]
        ended.sort(key=lambda event: event.request)
        return ended if many else ended[0]

    def stream(
        self,
        prompt: Any = None,
        *,
        messages: Sequence[Message] | None = None,
        method: Method = "diffusion",
        frozen: Mapping[int, int] | None = None,
        constraint: ConstraintLike | list[ConstraintLike | None] | None = None,
        sampler: SamplerSpec | None = None,
        stopping: StoppingSpec | None = None,
        max_batch_size: int = 8,
        **options: Any,
    ) -> Iterator[Event]:
        """The same as `generate`, as events: Draft after each step, Committed after each canvas,
        Finished at the end.

        Bad input raises here, at the call, not at the first event.
        """
        config = self.generation_config.with_options(options)
        if config.stop and self.tokenizer is None:
            raise RequestError("stop strings need a tokenizer, and this checkpoint has none")
        prompts = self._prompts(prompt, messages)
        constraints = [as_constraint(one) for one in _one_each(constraint, len(prompts))]
        requests = [
            Request.checked(
                tokens,
                config,
                self.config,
                frozen=frozen,
                dfa=self.compiled(one, config),
                sampler=sampler,
                stopping=stopping,
            )
            for tokens, one in zip(prompts, constraints, strict=True)
        ]
        return self._parsing(
            self.write(requests, method=method, max_batch_size=max_batch_size), constraints
        )

    def compiled(self, constraint: Constraint | None, config: GenerationConfig) -> TokenDFA | None:
        """A constraint in this model's tokens; None where it admits every text.

        Raises:
            RequestError: there is no tokenizer. ConstraintError: the constraint cannot be used.
        """
        if constraint is None:
            return None
        if self.tokenizer is None:
            raise RequestError("a constraint needs a tokenizer, and this checkpoint has none")
        return constraint.compile(
            self.tokenizer, config.eos_token_id, config.pad_token_id, self.config.vocab_size
        )

    def write(
        self, requests: Sequence[Request], *, method: Method = "diffusion", max_batch_size: int = 8
    ) -> Iterator[Event]:
        """The events of requests that are checked already, each with settings and a seed of its
        own.

        Raises:
            RequestError: the typewriter is asked to hold frozen positions. ConfigError: an unknown
                method.
        """
        check_integer("max_batch_size", max_batch_size, minimum=1)
        if method == "typewriter":
            if any(request.frozen for request in requests):
                raise RequestError(
                    "the typewriter cannot hold frozen positions: it writes from left to right"
                )
            if any(request.sampler or request.stopping for request in requests):
                raise RequestError(
                    "the autoregressive method has no canvas: leave out sampler and stopping"
                )
            return typewrite(self.network, requests, self.tokenizer, max_batch_size=max_batch_size)
        if method != "diffusion":
            raise ConfigError(f"{method=} must be 'diffusion' or 'typewriter'")
        engine = Engine(self.network, self.tokenizer, max_batch_size=max_batch_size)
        for request in requests:
            engine.add(request)
        return _unless_failed(engine.run())

    def save(self, folder: str | Path, **options: Any) -> None:
        """Write a checkpoint folder that redraft and transformers load; see `save_checkpoint`."""
        save_checkpoint(
            folder,
            self.network,
            self.generation_config,
            source=self.checkpoint,
            companion=self._write_text,
            **options,
        )

    def _write_text(self, folder: Path) -> None:
        """Tokenizer and template as they are in memory, over what was copied from the source."""
        if self.tokenizer is not None:
            self.tokenizer.save(folder)
        if self.chat_template is not None:
            (folder / "chat_template.jinja").write_text(self.chat_template.source, encoding="utf-8")

    def chat_prompt(self, messages: Sequence[Message], **options: Any) -> list[int]:
        """Token ids of a conversation, through the checkpoint's chat template."""
        if self.chat_template is None:
            raise ChatTemplateError(
                "this checkpoint has no chat template: give a prompt, or add chat_template.jinja"
            )
        return self._encode(self.chat_template.render(messages, **options), bos=False)

    def _parsing(
        self, events: Iterator[Event], constraints: Sequence[Constraint | None]
    ) -> Iterator[Event]:
        """The same events, with what a finished text says."""
        for event in events:
            if (
                isinstance(event, Finished)
                and (constraint := constraints[event.request]) is not None
            ):
                assert self.tokenizer is not None
                try:
                    event = replace(
                        event, parsed=constraint.parse(event.text, event.tokens, self.tokenizer)
                    )
                except (
                    ValueError,
                    RecursionError,
                ) as error:  # a class may ask for more than its schema says
                    event = replace(event, parse_error=str(error))
            yield event

    def _prompts(self, prompt: Any, messages: Sequence[Message] | None) -> list[list[int]]:
        if (prompt is None) == (messages is None):
            raise RequestError("give either a prompt or messages")
        if messages is not None:
            return [self.chat_prompt(messages)]
        several = is_batch(prompt)
        return [self._encode(one, bos=True) for one in (prompt if several else [prompt])]

    def _encode(self, prompt: Prompt, *, bos: bool) -> list[int]:
        if not isinstance(prompt, str):
            return token_ids(prompt)
        if self.tokenizer is None:
            raise RequestError("this checkpoint has no tokenizer: give the prompt as token ids")
        return self.tokenizer.encode(prompt, bos=bos) if prompt else []


def _unless_failed(events: Iterator[Event | Failed]) -> Iterator[Event]:
    """The same events; the error of the first request that failed is raised."""
    for event in events:
        if isinstance(event, Failed):
            raise event.error
        yield event


def _one_each(
    constraint: ConstraintLike | list[ConstraintLike | None] | None, count: int
) -> list[ConstraintLike | None]:
    if not isinstance(constraint, list):
        return [constraint] * count
    if len(constraint) != count:
        raise RequestError(
            f"{len(constraint)} constraints for {count} prompts: give one for all, or one each"
        )
    return constraint


def load(
    path_or_id: str | Path,
    *,
    dtype: str | torch.dtype | Quantization = "auto",
    device: str | torch.device = "auto",
    revision: str | None = None,
    progress: Progress | None = None,
) -> Model:
    """Load a DiffusionGemma checkpoint in the Hugging Face layout, or a GGUF file.

    Args:
        path_or_id: a local folder or GGUF file, a hub id, or "small" or "small-text", the models
            that ship with this package.
        dtype: "float32", "bfloat16", "float16", or "auto": the file's own, but float32 for float16
            files on a CPU, where float16 is some twenty times slower. Or "int8", "int4", "fp8": the
            weights are put into few bits as they are read, and computed with in bfloat16; a
            Quantization says more. What a file has in few bits stays so.
        device: "auto" takes CUDA where there is one.
        progress: called with (tensors read, tensors in all).

    Raises:
        CheckpointError, ConfigError: what is wrong with it, all of it, before the weights are read.
            MemoryLimitError: there is not enough memory for the weights.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    _check_device(device)
    quantization = Quantization(dtype) if isinstance(dtype, str) and dtype in FORMATS else None
    if isinstance(dtype, Quantization):
        quantization = dtype
    if quantization is not None:
        dtype = torch.bfloat16
    if dtype not in (*DTYPES, *DTYPES.values(), "auto"):
        raise ConfigError(f"{dtype=} must be one of auto, {', '.join((*DTYPES, *FORMATS))}")
    checkpoint = open_checkpoint(path_or_id, revision=revision)
    if isinstance(dtype, str):
        dtype = DTYPES.get(dtype) or stored_dtype(checkpoint)
        if dtype == torch.float16 and torch.device(device).type == "cpu":
            dtype = torch.float32
    assert isinstance(dtype, torch.dtype)
    check_room(checkpoint, dtype, quantization, torch.device(device))
    keep_freed_memory()
    network = load_weights(
        checkpoint, dtype=dtype, device=device, progress=progress, quantization=quantization
    )
    tokenizer, template = _text(checkpoint)
    return Model(network, tokenizer, template, checkpoint.generation_config, checkpoint)


def _text(checkpoint: Checkpoint) -> tuple[Tokenizer | None, ChatTemplate | None]:
    """Tokenizer and chat template: files of the folder, or else what a GGUF file holds."""
    folder, gguf, bos = checkpoint.folder, checkpoint.gguf, checkpoint.config.bos_token_id
    template = ChatTemplate.from_folder(folder)
    if (folder / "tokenizer.json").exists():
        tokenizer: Tokenizer | None = Tokenizer.from_folder(folder, bos_token_id=bos)
    else:
        tokenizer = gguf_tokenizer(gguf, bos) if gguf else None
    return tokenizer, template or (gguf_template(gguf) if gguf else None)


def is_batch(prompt: Any) -> bool:
    """Whether `prompt` is a list of prompts rather than one."""
    return isinstance(prompt, list) and bool(prompt) and isinstance(prompt[0], str | list | tuple)


def token_ids(prompt: Any) -> list[int]:
    """Plain integers from a sequence, array or tensor of token ids.

    Raises:
        RequestError: it is neither text nor such a sequence. TokenRangeError: one of its items is
            no integer.
    """
    if isinstance(prompt, bytes | bytearray | Mapping) or not hasattr(prompt, "__iter__"):
        raise RequestError(
            f"a prompt is text or a sequence of token ids, not {type(prompt).__name__}"
        )
    ids = []
    for token in prompt:
        try:
            if isinstance(token, bool):
                raise TypeError
            ids.append(index(token))
        except TypeError:
            raise TokenRangeError(f"token id {token!r} is not a whole number") from None
    return ids


def _check_device(device: str | torch.device) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device={str(device)!r} cannot be used here: {reason}") from error
