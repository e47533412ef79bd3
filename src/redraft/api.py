"""The Python API: `load`, and the one Model.

prompt -> Processor (token ids, settings) -> Work -> Engine -> events -> result
"""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Unpack, cast, overload

import torch
from numpy.typing import NDArray
from torch import Tensor

from redraft.adapters import adapters_of, attach_by_row, load_adapter
from redraft.adapters.attach import shared_copy
from redraft.checkpoint import (
    Checkpoint,
    Quantization,
    load_weights,
    open_checkpoint,
    save_checkpoint,
)
from redraft.checkpoint.dtype import checked_dtype, suitable_dtype
from redraft.checkpoint.gguf.tokenizer import gguf_template, gguf_tokenizer
from redraft.checkpoint.load import Progress
from redraft.checkpoint.memory_check import check_memory, growth
from redraft.checkpoint.vision import LEFT_OUT, VisionPlan, load_vision, plan_vision, vision_bytes
from redraft.config import GenerationConfig, ModelCard, ModelConfig
from redraft.config.check import check_boolean, check_integer
from redraft.diffusion import SamplerSpec, StoppingSpec, check_settings_are_read
from redraft.editing import (
    Hole,
    Infilled,
    Repaired,
    Session,
    Template,
    plan_infill,
    plan_repair,
    rewriting,
)
from redraft.editing.options import InfillOptions, RepairOptions
from redraft.engine import Engine, Method, Processor, Request, Scoring, TokenLikelihood, Work
from redraft.engine.allocator import keep_freed_memory
from redraft.engine.image_encoder import ImageEncoder
from redraft.engine.memory_budget import Memory, usable_memory
from redraft.engine.prefix_cache import PrefixCache
from redraft.engine.processor import (
    NO_IMAGES,
    Prompt,
    TextOptions,
    is_batch,
    split_text_options,
)
from redraft.engine.request import check_tokens
from redraft.engine.warm_up import warm_up as compile_ahead
from redraft.engine.work import check_adapter
from redraft.errors import CheckpointError, ConfigError, ContextLengthError, RequestError
from redraft.events import Completed, Draft, EngineEvent, Event, Failed, Finished
from redraft.grammar import Constraint, ConstraintLike, as_constraint
from redraft.network import DiffusionGemma
from redraft.notebook import ShowsCanvas
from redraft.text import ChatTemplate, Message, Tokenizer

TemplateLike = str | Sequence[str | Hole] | Template
Constraints = ConstraintLike | list[ConstraintLike | None] | None
Adapters = str | list[str | None] | None
Value = TypeVar("Value")


class Model:
    """A DiffusionGemma that writes, fills in, edits and scores text.

    Attributes:
        network: the weights, a DiffusionGemma module.
        tokenizer: None for a checkpoint without one; prompts are then token ids.
        chat_template: None for a checkpoint without one; messages cannot be used then.
        generation_config: defaults that the options of every call are laid over.
        checkpoint: where the weights come from; None for a model made in memory.
        adapter: name of the adapter that all is done with; None for the base alone. See `using`.
        images: the image encoder, which keeps the soft tokens of the images that it read last; None
            for a model that reads text alone.
        no_images: why it reads text alone.
    """

    def __init__(
        self,
        network: DiffusionGemma,
        tokenizer: Tokenizer | None = None,
        chat_template: ChatTemplate | None = None,
        generation_config: GenerationConfig | None = None,
        checkpoint: Checkpoint | None = None,
        *,
        images: ImageEncoder | None = None,
        no_images: str = NO_IMAGES,
    ) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.chat_template = chat_template
        self.generation_config = generation_config or GenerationConfig()
        self.checkpoint = checkpoint
        self.adapter: str | None = None
        self.images = images
        self.no_images = no_images

    def __repr__(self) -> str:
        name = "in memory" if self.checkpoint is None else self.checkpoint.path.name
        config, network = self.config, self.network
        sees = "reads images" if self.images is not None else "reads text"
        return (
            f"<redraft Model {name}: {config.num_hidden_layers} layers of {config.hidden_size}, "
            f"{config.num_experts} experts, canvas {config.canvas_length}, {sees}; "
            f"{str(network.dtype).removeprefix('torch.')} on {network.device}>"
        )

    @property
    def config(self) -> ModelConfig:
        """Shape of the network."""
        return self.network.config

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of the adapters that it was loaded with."""
        return self.network.adapters

    @property
    def card(self) -> ModelCard | None:
        """The tasks that the model was trained for; None for a model of general use."""
        return None if self.checkpoint is None else self.checkpoint.card

    @property
    def processor(self) -> Processor:
        """Turns prompts and options into token ids and settings."""
        return Processor(
            self.config,
            self.tokenizer,
            self.chat_template,
            self.generation_config,
            None if self.images is None else self.images.encoder.config,
            self.no_images,
        )

    @overload
    def generate(
        self,
        prompt: Prompt | None = None,
        *,
        messages: Sequence[Message] | None = None,
        method: Method = "diffusion",
        frozen: Mapping[int, int] | None = None,
        constraint: Constraints = None,
        sampler: SamplerSpec | None = None,
        stopping: StoppingSpec | None = None,
        adapter: Adapters = None,
        max_batch_size: int = 8,
        **options: Unpack[TextOptions],
    ) -> Finished: ...
    @overload
    def generate(
        self,
        prompt: list[str] | list[list[int]] | list[Tensor] | list[NDArray[Any]],
        *,
        method: Method = "diffusion",
        frozen: Mapping[int, int] | None = None,
        constraint: Constraints = None,
        sampler: SamplerSpec | None = None,
        stopping: StoppingSpec | None = None,
        adapter: Adapters = None,
        max_batch_size: int = 8,
        **options: Unpack[TextOptions],
    ) -> list[Finished]: ...
    def generate(
        self,
        prompt: Any = None,
        *,
        messages: Sequence[Message] | None = None,
        method: Method = "diffusion",
        frozen: Mapping[int, int] | None = None,
        constraint: Constraints = None,
        sampler: SamplerSpec | None = None,
        stopping: StoppingSpec | None = None,
        adapter: Adapters = None,
        max_batch_size: int = 8,
        **options: Unpack[TextOptions],
    ) -> Finished | list[Finished]:
        """Write, and return the finished text with its statistics.

        Args:
            prompt: raw text (special tokens are put around it) or token ids (a list, an array or a
                tensor), to be continued; a list of either, or ids [B, N], are written in one batch.
            messages: instead of a prompt, a conversation of `role` and `content`, put through the
                chat template. A control token in a message stays text. A content may be a list of
                parts: `{"type": "text", "text": ...}` and, where the model has an image encoder,
                `{"type": "image", "image": ...}` with a path, bytes, a data URL, a Pillow image or
                a uint8 array; `max_soft_tokens` beside it says how closely it is looked at.
            method: "diffusion", or "autoregressive" for the same weights read left to right.
            frozen: position on the first canvas -> token id that stands there.
            constraint: what the text must be, from its first token to its last (thoughts of a
                conversation come before it): a Constraint, or what `as_constraint` takes. The text
                is then complete, and its value is in `Finished.parsed`. With a list of prompts: one
                for all, or a list of one each (None for a free one).
            sampler: decides each denoising step: an object (see `Sampler`), or a name with options
                such as "confidence:threshold=0.9"; None for the entropy bound of the options.
            stopping: decides when a canvas is settled: an object (see `StoppingCriteria`), or a
                name with options; None for the reference's rule.
            adapter: name of one of `adapters`, in place of the model's own; with a list of prompts
                one for all, or a list of one each (None for the base alone).
            max_batch_size: texts written at a time, at most.
            options: any field of GenerationConfig; and of PromptOptions, such as `thinking` and
                `tools`.

        Raises:
            RequestError, ConfigError: before any work; the message says what is wrong and what to
                do. NonFiniteError: the weights hold NaN or infinity.
        """
        many = is_batch(prompt)
        events = self.stream(
            prompt,
            messages=messages,
            method=method,
            frozen=frozen,
            constraint=constraint,
            sampler=sampler,
            stopping=stopping,
            adapter=adapter,
            max_batch_size=max_batch_size,
            **options,
        )
        ended = [event for event in events if isinstance(event, Finished)]
        ended.sort(key=lambda event: event.request)
        return ended if many else ended[0]

    def stream(
        self,
        prompt: Any = None,
        *,
        messages: Sequence[Message] | None = None,
        method: Method = "diffusion",
        frozen: Mapping[int, int] | None = None,
        constraint: Constraints = None,
        sampler: SamplerSpec | None = None,
        stopping: StoppingSpec | None = None,
        adapter: Adapters = None,
        max_batch_size: int = 8,
        **options: Unpack[TextOptions],
    ) -> Iterator[Event]:
        """Write, and yield events: Draft after each step, Committed after each canvas, Finished.

        Arguments and errors as for `generate`. Bad input raises here, at the call, not at the
        first event.
        """
        prompt_options, settings = split_text_options(options)
        config = self.generation_config.with_options(settings)
        if config.stop and self.tokenizer is None:
            raise RequestError("stop strings need a tokenizer, and this checkpoint has none")
        processor = self.processor
        prompts = processor.prompts(prompt, messages, prompt_options)
        constraints = [
            as_constraint(one) for one in _one_each("constraints", constraint, len(prompts))
        ]
        adapters = self._adapters_of(adapter, len(prompts))
        if messages is not None:
            constraints = [processor.after_thoughts(constraints[0], prompts[0].tokens)]
        requests: list[Request] = []
        for encoded, one, name in zip(prompts, constraints, adapters, strict=True):
            config = processor.text_settings(settings, constrained=one is not None)
            dfa = processor.compile(one, config)
            requests.append(
                Request.checked(
                    encoded.tokens,
                    config,
                    self.config,
                    images=encoded.images,
                    frozen=frozen,
                    dfa=dfa,
                    can_be_cut=one is not None and one.can_be_cut,
                    method=method,
                    sampler=sampler,
                    stopping=stopping,
                    adapter=name,
                )
            )
            check_settings_are_read(settings, requests[0].sampler, requests[0].stopping)
        return self._with_parsed(self.run(requests, max_batch_size=max_batch_size), constraints)

    def infill(
        self,
        template: TemplateLike,
        *,
        instruction: str | None = None,
        method: Method = "diffusion",
        **options: Unpack[InfillOptions],
    ) -> Infilled:
        """Fill the holes of a text; what stands outside them comes back as it was.

        The number of tokens that a hole takes is not known: up to `max_candidates` widths between
        its minimum and its maximum are tried as rows of one batch behind one encoded prefix, and
        the likeliest filling is kept (see `Candidate.score`). A model that was trained to pad
        leaves the rest of a hole empty. A hole wider than a canvas is written over several.

        Args:
            template: a text with `<hole>` marks, or texts and Holes in their order.
            instruction: what a user asks for; the text is then the answer to it, in the chat
                template. Without one the text stands for itself.
            method: "autoregressive" fills left to right with the same weights, for comparison:
                greedily, every length tried, so that of all options only `eos_token_id` counts.
            options: `max_candidates`; `max_steps`: denoising steps of all candidates together,
                after which those that have not settled are taken as they stand (no limit unless
                given; `max_denoising_steps` limits the steps of each canvas); `heal`: where a hole
                begins or ends inside a word, try every width with the token beside it written anew
                too; and fields of GenerationConfig, of which `max_new_tokens` and `stop` mean
                nothing here. Penalties are for tokens of the encoded prefix.

        Raises:
            RequestError, ConfigError: before any work; the message says what is wrong with the
                template or the options. NonFiniteError: the weights hold NaN or infinity.
        """
        work = plan_infill(
            self.processor, Template.of(template), instruction, options, method=method
        )
        return cast(Infilled, self._result(work))

    def stream_infill(
        self,
        template: TemplateLike,
        *,
        instruction: str | None = None,
        method: Method = "diffusion",
        **options: Unpack[InfillOptions],
    ) -> Iterator[Draft | Infilled]:
        """Fill holes, and yield a Draft a candidate and step, then the Infilled.

        The `text` of a draft is all of the text as it stands. Arguments and errors as for `infill`.
        Bad input raises here, at the call, not at the first event.
        """
        work = plan_infill(
            self.processor, Template.of(template), instruction, options, method=method
        )
        return self._results(work)

    def insert(
        self,
        text: str,
        at: int,
        instruction: str | None = None,
        *,
        hole: Hole | None = None,
        **options: Unpack[InfillOptions],
    ) -> Infilled:
        """Insert something at character `at` of a text; arguments and errors as for `infill`."""
        template = Template.around(text, [(at, at)], hole)
        return self.infill(template, instruction=instruction, **options)

    def rewrite(
        self,
        text: str,
        spans: Sequence[tuple[int, int]],
        instruction: str | None = None,
        *,
        hole: Hole | None = None,
        **options: Unpack[InfillOptions],
    ) -> Infilled:
        """Rewrite spans (first and last character) of a text.

        Args:
            instruction: what is to become of them. The model does not see what it writes over, so
                the user's turn says it: `rewrite SPANS: INSTRUCTION`.
            hole: how wide they may become; unless given, twice as wide as they are, and 24 tokens
                at least.
            options: as for `infill`, and so are the errors.
        """
        template, instruction = rewriting(self.processor, text, spans, instruction, hole)
        return self.infill(template, instruction=instruction, **options)

    def repair(
        self,
        text: str,
        *,
        instruction: str | None = None,
        max_noised: int = 8,
        rounds: int = 4,
        **options: Unpack[RepairOptions],
    ) -> Repaired:
        """Noise the tokens of a text that the model finds least likely, denoise them, and keep
        what makes a likelier text.

        Args:
            instruction: as for `infill`.
            max_noised: tokens noised at a time, at most. rounds: changes to each half canvas of
                the text, at most.
            options: fields of GenerationConfig; `sampler` and `stopping` as for `generate`.

        Raises:
            RequestError, ConfigError: before any work; the message says what is wrong.
            NonFiniteError: the weights hold NaN or infinity.
        """
        work = plan_repair(
            self.processor, text, instruction, options, max_noised=max_noised, rounds=rounds
        )
        return cast(Repaired, self._result(work))

    def edit(self, text: str, *, instruction: str | None = None) -> Session:
        """Begin to edit a text, with undo and redo; what did not change is not encoded again.

        Args:
            text: all of it. instruction: as for `infill`; it holds for every edit.

        Raises:
            RequestError: the checkpoint has no tokenizer, or no chat template for the instruction.
        """

        def run(work: Work) -> Infilled:
            return cast(Infilled, self._result(work))

        return Session(self.processor, run, text, instruction)

    def score(self, prompt: Prompt, text: Prompt, *, top: int = 0) -> list[TokenLikelihood]:
        """Score each token of a text behind a prompt, read left to right at temperature 1.

        Args:
            prompt: raw text (special tokens are put around it) or token ids; it has at least one
                token.
            text: raw text or token ids. top: likeliest tokens to tell in the place of each.

        Raises:
            RequestError: before any work; the message says what is wrong. NonFiniteError: the
                weights hold NaN or infinity.
        """
        check_integer("top", top, minimum=0)
        processor = self.processor
        before = processor.encode(prompt, bos=True)
        tokens = processor.encode(text, bos=False)
        if not before:
            raise RequestError("the prompt has no tokens: give at least one (BOS will do)")
        check_tokens([*before, *tokens], self.config)
        limit = self.config.max_position_embeddings
        if len(before) + len(tokens) > limit:
            raise ContextLengthError(
                f"prompt and text have {len(before) + len(tokens)} tokens, the context holds "
                f"{limit}: shorten them"
            )
        return cast(list[TokenLikelihood], self._result(Scoring(before, tokens, top)))

    def surprise(
        self, prompt: Prompt | None = None, *, messages: Sequence[Message] | None = None
    ) -> float:
        """Return how much a prompt surprises the model: nats a token, read left to right.

        `ModelCard.surprise_limit` says from where on a prompt is unlike what the model was trained
        on. Of a prompt longer than the context its beginning is read; one with images does not
        surprise. Arguments and errors as for `generate`.
        """
        (encoded,) = self.processor.prompts(prompt, messages)
        tokens = encoded.tokens[: self.config.max_position_embeddings]
        if len(tokens) < 2 or encoded.images:
            return 0.0
        scored = self.score(tokens[:1], tokens[1:])
        return -sum(one.log_probability for one in scored) / len(scored)

    def chat_prompt(self, messages: Sequence[Message], **options: Any) -> list[int]:
        """Return the token ids of a conversation.

        Args:
            options: those of PromptOptions (`tools`, `thinking`, ...), and further variables of the
                chat template.

        Raises:
            ChatTemplateError: there is no template, or it refuses the messages.
        """
        return self.processor.chat_prompt(messages, **options)

    def image_features(self, image: object, max_soft_tokens: int | None = None) -> Tensor:
        """Return the soft tokens of an image, as they stand in the place of scaled embeddings.

        Args:
            image: the path of a file, bytes, a data URL, a Pillow image, or an array uint8 [height,
                width], or [height, width, channels] with 1, 3 or 4 channels.
            max_soft_tokens: 70, 140, 280, 560 or 1120; None for the checkpoint's own, 280 for the
                release. The ratio of the sides decides how many of them there are.

        Returns:
            [n, hidden_size], row by row of the image, in the dtype of the weights; a copy.

        Raises:
            ImageError: the model has no image encoder, or the image cannot be read. NonFiniteError:
                the weights hold NaN or infinity.
        """
        prepared = self.processor.image(image, max_soft_tokens)
        assert self.images is not None
        return self.images.features(prepared).clone()

    def tokens_left(self, prompt: Sequence[int]) -> int:
        """Return how many tokens an answer may have that is limited by nothing else than the
        context, `max_length` of the settings, and the memory that is free now.

        Args:
            prompt: token ids.

        Raises:
            ContextLengthError: the prompt leaves no room for an answer.
        """
        memory = Memory(PrefixCache(self.network))
        within = memory.tokens_within(usable_memory(self.network.device))
        return self.processor.tokens_left(len(prompt), within)

    def run(
        self,
        requests: Iterable[Request],
        *,
        method: Method | None = None,
        max_batch_size: int = 8,
    ) -> Iterator[Event]:
        """Write requests that are checked, each with settings of its own; yield their events.

        The `request` of an event is the place of its request. A request that names no adapter is
        written with the model's own.

        Args:
            requests: made by `Request.checked`. method: writes all of them by one method, whatever
                they name. max_batch_size: texts written at a time, at most.

        Raises:
            RequestError, ConfigError: before any work. NonFiniteError: the weights hold NaN or
                infinity. The error of the first request that fails is raised as it fails.
        """
        check_integer("max_batch_size", max_batch_size, minimum=1)
        engine = Engine(
            self.network, self.tokenizer, max_batch_size=max_batch_size, images=self.images
        )
        for request in requests:
            request = request if method is None else request.by(method)
            if request.adapter is None and self.adapter is not None:
                request = dataclasses.replace(request, adapter=self.adapter)
            engine.add(request)
        return cast(Iterator[Event], _raising(engine.run()))

    def using(self, adapter: str | None) -> Model:
        """Return the model for which all is done with one of `adapters`; both share everything.

        Raises:
            RequestError: it was loaded without an adapter of this name.
        """
        check_adapter(self.network, adapter)
        model = copy.copy(self)
        model.adapter = adapter
        return model

    def _adapters_of(self, given: Adapters, count: int) -> list[str | None]:
        """Return the adapter of each prompt."""
        names = _one_each("adapters", self.adapter if given is None else given, count)
        for name in names:
            check_adapter(self.network, name)
        return names

    def with_adapter(self, folder: str | Path) -> Model:
        """Return the model with a LoRA adapter in PEFT's format; both share the base's weights.

        `load(..., adapters=...)` takes several, and rows of different ones share passes.

        Args:
            folder: has `adapter_config.json` and `adapter_model.safetensors`.

        Raises:
            CheckpointError: there is no adapter, or it is one of another model.
        """
        network = shared_copy(self.network)
        load_adapter(folder).attach(network)
        return Model(
            network.eval().requires_grad_(False),
            self.tokenizer,
            self.chat_template,
            self.generation_config,
            self.checkpoint,
            images=self.images,
            no_images=self.no_images,
        )

    def save(self, folder: str | Path, **options: Any) -> None:
        """Write a checkpoint folder that redraft and transformers load; see `save_checkpoint`.

        Raises:
            CheckpointError: the model has an adapter.
        """
        if self.adapters or adapters_of(self.network):
            raise CheckpointError(
                "the model has an adapter, and a checkpoint has none: merge it with `redraft merge`"
            )
        save_checkpoint(
            folder,
            self.network,
            self.generation_config,
            source=self.checkpoint,
            companion=self._write_text_files,
            vision=None if self.images is None else self.images.encoder,
            **options,
        )

    def _write_text_files(self, folder: Path) -> None:
        """Write tokenizer and template as they are in memory, over copies from the source."""
        if self.tokenizer is not None:
            self.tokenizer.save(folder)
        if self.chat_template is not None:
            self.chat_template.save(folder)

    def _results(self, work: Work) -> Iterator[Any]:
        """Run one piece of work; yield its drafts and its result."""
        work.adapter = self.adapter
        engine = Engine(self.network, self.tokenizer)
        engine.add(work)
        for event in _raising(engine.run()):
            yield self._spelled(event.result) if isinstance(event, Completed) else event

    def _result(self, work: Work) -> Any:
        """Run one piece of work; return its result."""
        work.drafts = False
        *_, result = self._results(work)
        return result

    def _with_parsed(
        self, events: Iterator[Event], constraints: Sequence[Constraint | None]
    ) -> Iterator[Event]:
        """Yield the events; finished texts under a constraint get their value."""
        for event in events:
            if isinstance(event, Finished) and constraints[event.request] is not None:
                event = self._parsed(event, cast(Constraint, constraints[event.request]))
            yield self._spelled(event)

    def _spelled(self, event: Value) -> Value:
        """Return an event or a result; one with a canvas can show it in a notebook."""
        if isinstance(event, ShowsCanvas) and self.tokenizer is not None:
            tokenizer = self.tokenizer
            event.spelled_by(lambda token: tokenizer.decode([token], special=True))
        return event

    def _parsed(self, event: Finished, constraint: Constraint) -> Finished:
        assert self.tokenizer is not None
        try:
            value = constraint.parse(event.text, event.tokens, self.tokenizer)
        except (ValueError, RecursionError) as error:
            # A class may ask for more than its schema says.
            return dataclasses.replace(event, parse_error=str(error))
        return dataclasses.replace(event, parsed=value)


def load(
    path_or_id: str | Path,
    *,
    dtype: str | torch.dtype | Quantization = "auto",
    device: str | torch.device = "auto",
    revision: str | None = None,
    vision: bool = True,
    progress: Progress | None = None,
    warm_up: bool = True,
    warming: Progress | None = None,
    adapters: Mapping[str, str | Path] | None = None,
) -> Model:
    """Load a DiffusionGemma checkpoint in the Hugging Face layout, or a GGUF file.

    Args:
        path_or_id: a local folder or GGUF file, a hub id, or "small", "small-text" or
            "small-sight", the models that ship with this package.
        dtype: "float32", "bfloat16", "float16", or "auto": the file's own, but float32 for float16
            files on a CPU, where float16 is some twenty times slower, and for bfloat16 files of up
            to 0.5 GiB on a CPU without instructions for bfloat16. Or "int8", "int4", "fp8": the
            weights are quantized as they are read, and computed with in bfloat16; a Quantization
            says more. Weights that the file has quantized stay so.
        device: "auto" takes CUDA where there is one.
        revision: branch, tag or commit of a hub id.
        vision: load the image encoder where the checkpoint has one; it is never quantized. False
            saves its memory, 1.1 GB for the release.
        progress: called with (tensors read, number of tensors).
        warm_up: on a CUDA device, compile the kernels now, which takes a minute or so when it is
            done first, and capture the passes of a text; False leaves it to the first request.
        warming: called with (passes run, number of passes) meanwhile.
        adapters: LoRA adapters in PEFT's format by the names that `generate` and `Model.using`
            take: a folder each.

    Raises:
        CheckpointError, ConfigError: everything that is wrong with it, before weights are read.
        MemoryLimitError: there is not enough memory for the weights.
    """
    read = {name: load_adapter(folder) for name, folder in _checked_names(adapters or {}).items()}
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    _check_device(device)
    dtype, quantization = checked_dtype(dtype)
    checkpoint = open_checkpoint(path_or_id, revision=revision)
    if isinstance(dtype, str):
        dtype = suitable_dtype(checkpoint, torch.device(device))
    check_boolean("vision", vision)
    check_boolean("warm_up", warm_up)
    plan = plan_vision(checkpoint) if vision else VisionPlan(reason=LEFT_OUT)
    image_bytes = vision_bytes(plan, checkpoint.config.hidden_size, dtype)
    needed = check_memory(checkpoint, dtype, quantization, torch.device(device), vision=image_bytes)
    if sentence := growth(checkpoint, dtype, needed):
        warnings.warn(sentence, stacklevel=2)
    keep_freed_memory()
    network = load_weights(
        checkpoint, dtype=dtype, device=device, progress=progress, quantization=quantization
    )
    if read:
        attach_by_row(network, read)
    if warm_up:
        compile_ahead(network, warming)
    encoder = load_vision(checkpoint, plan, dtype=dtype, device=device)
    tokenizer, template = text_files(checkpoint)
    return Model(
        network,
        tokenizer,
        template,
        checkpoint.generation_config,
        checkpoint,
        images=None if encoder is None else ImageEncoder(encoder),
        no_images=plan.reason,
    )


def _checked_names(adapters: Mapping[str, str | Path]) -> Mapping[str, str | Path]:
    for name in adapters:
        if not isinstance(name, str) or not name or not name.isprintable():
            raise ConfigError(f"adapters: {name!r} is no name: give printable characters")
    return adapters


def text_files(checkpoint: Checkpoint) -> tuple[Tokenizer | None, ChatTemplate | None]:
    """Return tokenizer and chat template: files of the folder, or else those in a GGUF file."""
    folder, gguf, bos = checkpoint.folder, checkpoint.gguf, checkpoint.config.bos_token_id
    template = ChatTemplate.from_folder(folder)
    if (folder / "tokenizer.json").exists():
        tokenizer: Tokenizer | None = Tokenizer.from_folder(folder, bos_token_id=bos)
    else:
        tokenizer = gguf_tokenizer(gguf, bos) if gguf else None
    return tokenizer, template or (gguf_template(gguf) if gguf else None)


def _check_device(device: str | torch.device) -> None:
    if device is None:
        raise ConfigError("device=None must be auto, cpu, cuda, cuda:1 or a torch.device")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device={str(device)!r} cannot be used here: {reason}") from error


def _raising(events: Iterable[EngineEvent]) -> Iterator[Event | Completed]:
    """Yield the events; raise the error of the first request that failed."""
    for event in events:
        if isinstance(event, Failed):
            raise event.error
        yield event


def _one_each(what: str, given: Value | list[Value], count: int) -> list[Value]:
    """Return one for each prompt: the same for all, or those of a list."""
    if not isinstance(given, list):
        return [given] * count
    if len(given) != count:
        raise RequestError(
            f"{len(given)} {what} for {count} prompts: give one for all, or one each"
        )
    return given
