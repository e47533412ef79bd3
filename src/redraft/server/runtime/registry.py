"""Registry: the models of one server, each with an engine and a thread of its own."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import cached_property, partial
from itertools import chain
from typing import Any, TypedDict

import anyio
import anyio.to_thread

from redraft.api import Model
from redraft.checkpoint.source import SHIPPED
from redraft.config.model_card import can_do
from redraft.editing import Infilled
from redraft.engine import (
    Engine,
    Request,
    Scoring,
    TokenLikelihood,
    Work,
    responsive_chunk,
    responsive_inference,
    responsive_positions,
)
from redraft.errors import ConfigError
from redraft.events import Completed, Draft, EngineEvent, Failed, Finished
from redraft.images import FORMATS
from redraft.server.errors import NotHereError
from redraft.server.runtime.metrics import Metrics
from redraft.server.runtime.pixels import PixelBudget
from redraft.server.runtime.preparing import Preparing, time_left
from redraft.server.runtime.worker import REPLY_SECONDS, Events, Worker
from redraft.server.settings import Settings

# Settings whose values clients show.
DEFAULTS = (
    "max_denoising_steps", "entropy_bound", "temperature", "stability_threshold",
    "confidence_threshold",
)  # fmt: skip


class ImageFacts(TypedDict):
    """How a model reads images.

    max_soft_tokens: of an image, unless a request says otherwise. choices: what it may say.
    """

    max_soft_tokens: int
    choices: list[int]
    formats: list[str]


class Description(TypedDict):
    """Facts of a model that clients use.

    defaults: values of settings, where a request gives no others.
    """

    canvas_length: int
    context_length: int
    shipped: bool
    defaults: dict[str, float]
    card: dict[str, Any] | None
    images: ImageFacts | None


class HostedModel:
    """One model of a server, with its share of memory and prefix cache.

    Attributes:
        parent: name of the model whose adapter this is; both have one engine. None for none.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        metrics: Metrics,
        settings: Settings,
        memory: int | None,
        prefix_cache: int,
        preparing: Preparing,
    ) -> None:
        self.name, self.model, self.metrics = name, model, metrics
        self.parent: str | None = None
        self.preparing = preparing
        self.pixels = PixelBudget()
        size = self._max_batch_size = settings.max_batch_size
        self.engine = Engine(
            model.network,
            model.tokenizer,
            max_batch_size=size,
            prefix_cache=prefix_cache,
            memory=memory,
            keeps_share=True,
            prefill_chunk=responsive_chunk(model.network.device),
            group_positions=responsive_positions(model.network.device),
            group_inference=responsive_inference(model.network.device, model.config),
            images=model.images,
        )
        self.worker = Worker(self.engine, max_batch_size=size, max_waiting=settings.max_waiting)

    def adapters(self) -> Iterator[HostedModel]:
        """Yield the model with each of its adapters, by their names, in the same engine."""
        for name in self.model.adapters:
            found = copy.copy(self)
            found.name, found.model, found.parent = name, self.model.using(name), self.name
            yield found

    @property
    def batch_size(self) -> int:
        """Requests that run at a time."""
        return self._max_batch_size

    def describe(self) -> Description:
        """Return the facts of the model that clients use."""
        config, checkpoint = self.model.config, self.model.checkpoint
        usual = self.model.generation_config
        return {
            "canvas_length": config.canvas_length,
            "context_length": config.max_position_embeddings,
            "shipped": checkpoint is not None and checkpoint.folder in SHIPPED.values(),
            "defaults": {name: getattr(usual, name) for name in DEFAULTS}
            | {"max_tokens": usual.max_new_tokens},
            "card": None if self.model.card is None else self.model.card.to_dict(),
            "images": self._images(),
        }

    def _images(self) -> ImageFacts | None:
        if self.model.images is None:
            return None
        config = self.model.images.encoder.config
        return {
            "max_soft_tokens": config.budget,
            "choices": list(config.budgets),
            "formats": [f"image/{name.lower()}" for name in FORMATS],
        }

    def tokens_left(self, prompt_length: int) -> int:
        """Return how many tokens an answer may have whose request sets no limit.

        That is what the context leaves, and `max_length` of the checkpoint. Where memory is
        limited, it is also what an equal share of it holds, so that one open answer does not make
        all others wait; but not less than the checkpoint's `max_new_tokens`.
        """
        return self.model.processor.tokens_left(prompt_length, self._tokens_of_a_share)

    @cached_property
    def _tokens_of_a_share(self) -> int:
        """Tokens of prompt and answer that fit into an equal share of the memory."""
        memory = self.engine.memory
        if memory.limit is None:
            return self.model.config.max_position_embeddings
        return memory.tokens_within(memory.limit // self._max_batch_size)

    async def write(
        self,
        requests: Sequence[Request],
        seconds: float | None,
        *,
        drafts: bool,
        deadline: float | None = None,
    ) -> Events:
        """Yield `(index, event)` for every text until all have finished.

        Args:
            deadline: time of `time.monotonic` from which on the best draft is taken for the text.
        """
        writing = self.worker.events(requests, seconds, drafts=drafts, deadline=deadline)
        async with aclosing(writing) as events:
            async for index, event in events:
                if isinstance(event, Finished):
                    self.metrics.count_text(event.statistics)
                yield index, event

    async def infill(
        self,
        plan: Callable[[], Work],
        seconds: float | None,
        *,
        drafts: bool,
        constrained: bool = False,
        deadline: float | None = None,
    ) -> AsyncGenerator[Draft | Infilled, None]:
        """Yield the drafts of an infill, then its result; `plan` runs in a thread.

        Args:
            constrained: `plan` compiles constraints. deadline: as for `write`.
        """
        began = time.monotonic()
        work = await self.preparing.run(plan, seconds, constrained=constrained)
        work.adapter = self.model.adapter
        left = time_left(seconds, began)
        filling = self.worker.events([work], left, drafts=drafts, deadline=deadline)
        async with aclosing(filling) as events:
            async for _, event in events:
                found = _result_of(event)
                if isinstance(found, Infilled):
                    self.metrics.count_infill(found)
                yield found

    def check_scoring(self, request: Request) -> None:
        """Check that the scores of everything that a request may write fit into memory.

        Raises:
            MemoryLimitError: they do not.
        """
        longest = [0] * request.config.max_new_tokens
        work = Scoring(request.prompt, longest, images=request.images)
        self.engine.check_memory(work)

    async def score(
        self,
        request: Request,
        tokens: Sequence[int],
        top: int,
        seconds: float | None,
        *,
        echo: bool = False,
    ) -> list[TokenLikelihood]:
        """Return how likely each token is behind the prompt of a request that was admitted.

        Args:
            echo: the tokens of the prompt too, but the first.
        """
        prompt = request.prompt
        if echo:
            prompt, tokens = prompt[:1], (*prompt[1:], *tokens)
        work = Scoring(prompt, tokens, top, request.images)
        work.adapter = request.adapter
        async with aclosing(self.worker.events([work], seconds, follow_up=True)) as events:
            results = [_result_of(event) async for _, event in events]
        found: list[TokenLikelihood] = results[-1]
        return found

    async def score_prompts(
        self, requests: Sequence[Request], top: int, seconds: float | None
    ) -> list[list[TokenLikelihood]]:
        """Return how likely each token of some prompts is behind those before it, but the first."""
        works = [Scoring(one.prompt[:1], one.prompt[1:], top) for one in requests]
        for work, one in zip(works, requests, strict=True):
            work.adapter = one.adapter
        found: list[list[TokenLikelihood]] = [[] for _ in works]
        async with aclosing(self.worker.events(works, seconds)) as events:
            async for index, event in events:
                found[index] = _result_of(event)
        return found


def _result_of(event: EngineEvent) -> Any:
    """Return an event, or the result that it brings; raise the error that it brings."""
    if isinstance(event, Failed):
        raise event.error
    return event.result if isinstance(event, Completed) else event


class Registry:
    """All models of a server, by name, and their adapters by theirs.

    Raises:
        ConfigError: an adapter has the name of a model, or of another adapter.
    """

    def __init__(self, models: Mapping[str, Model], settings: Settings, metrics: Metrics) -> None:
        names = [*models, *chain.from_iterable(one.adapters for one in models.values())]
        if double := [one for one in names if names.count(one) > 1]:
            raise ConfigError(f"two models or adapters have the name {double[0]!r}: rename one")
        self._models, self._settings, self._metrics = dict(models), settings, metrics
        self._hosted: dict[str, HostedModel] = {}
        self._stopping: asyncio.Future[None] | None = None
        self._preparing: Preparing | None = None

    def start(self) -> None:
        """Start a thread for each; memory is shared out evenly."""
        self._stopping = None
        settings, count = self._settings, len(self._models)
        self._preparing = preparing = Preparing(settings.max_waiting)
        if settings.compile_soon:
            preparing.start()
        memory = None if settings.memory is None else settings.memory // count
        prefix_cache = settings.prefix_cache // count
        for name, model in self._models.items():
            hosted = HostedModel(
                name, model, self._metrics, settings, memory, prefix_cache, preparing
            )
            self._hosted[name] = hosted
            self._hosted |= {one.name: one for one in hosted.adapters()}

    async def stop(self) -> None:
        """Stop all of them at once, each when its work is done or the grace is over.

        Further calls wait for the first.
        """
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop())
        await self._stopping

    async def _stop(self) -> None:
        grace, began = self._settings.grace, time.monotonic()
        if self._preparing is not None:
            self._preparing.close()
        limiter = anyio.CapacityLimiter(len(self.hosts) or 1)
        close = partial(anyio.to_thread.run_sync, limiter=limiter)
        closing = asyncio.gather(*(close(one.worker.close, grace) for one in self.hosts))
        told = grace - REPLY_SECONDS
        await asyncio.wait({closing}, timeout=max(0.0, told))
        if self._preparing is not None:
            await self._preparing.end(told - (time.monotonic() - began))
        await closing

    @property
    def status(self) -> str:
        """`ready` where every model takes a request now; else `full`, or `stopping`."""
        if self._stopping is not None:
            return "stopping"
        full = any(one.worker.full or one.preparing.full for one in self.hosts)
        return "full" if full else "ready"

    @property
    def load(self) -> int:
        """Number of requests that run or wait."""
        return sum(one.worker.load for one in self.hosts)

    @property
    def hosts(self) -> list[HostedModel]:
        """The models with an engine of their own: not the adapters."""
        return [one for one in self._hosted.values() if one.parent is None]

    def __iter__(self) -> Iterator[HostedModel]:
        return iter(self._hosted.values())

    def named(self, name: str | None, task: str | None = None) -> HostedModel:
        """Return the model of this name. Where a client names none: the first that can do the task,
        or else the first.

        Raises:
            NotHereError: there is none.
        """
        if name:
            return self[name]
        able = (one for one in self if task is None or can_do(one.model.card, task))
        return next(able, next(iter(self)))

    def __getitem__(self, name: str) -> HostedModel:
        """Return the model of this name.

        Raises:
            NotHereError: there is none.
        """
        if (found := self._hosted.get(name)) is None:
            raise NotHereError(
                "model", f"the model {name!r} is not hosted here: {', '.join(self._hosted)} is"
            )
        return found
