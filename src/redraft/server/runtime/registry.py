"""Served: the models behind one server, each with a thread of its own, and what they can be asked
for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from redraft.checkpoint.source import SHIPPED
from redraft.editing import Infilled, Model
from redraft.editing.filling import Filling
from redraft.editing.prefix import Prefix
from redraft.engine import Engine, Request, Share, typewrite
from redraft.engine.scoring import TokenLikelihood, likelihoods
from redraft.events import Draft, Event, Failed, Finished
from redraft.server.errors import NotHereError
from redraft.server.runtime.metrics import Meter
from redraft.server.runtime.worker import Task, Worker
from redraft.server.settings import Settings

Written = AsyncGenerator[tuple[int, Event | Failed], None]


class Served:
    """One model that is served. `memory` and `prefix_cache` are its share of the server's."""

    def __init__(
        self,
        name: str,
        model: Model,
        meter: Meter,
        settings: Settings,
        memory: int | None,
        prefix_cache: int,
    ) -> None:
        self.name, self.model, self.meter = name, model, meter
        self.engine = Engine(
            model.network,
            model.tokenizer,
            max_batch_size=settings.max_batch_size,
            prefix_cache=prefix_cache,
            memory=memory,
        )
        self.worker = Worker(
            self.engine, max_batch_size=settings.max_batch_size, max_waiting=settings.max_waiting
        )

    def described(self) -> dict[str, Any]:
        """What a client may want to know of it."""
        config, checkpoint = self.model.config, self.model.checkpoint
        shipped = checkpoint is not None and checkpoint.folder in SHIPPED.values()
        return {
            "canvas_length": config.canvas_length, "context_length": config.max_position_embeddings, "shipped": shipped
        }  # fmt: skip

    async def write(
        self,
        requests: Sequence[Request],
        seconds: float | None,
        *,
        drafts: bool,
        typed: bool = False,
    ) -> Written:
        """The events of requests, each with its place among them; `typed` ones are written left to
        right."""
        events = (
            self._typed(requests, seconds)
            if typed
            else self.worker.events(requests, seconds, drafts=drafts)
        )
        async with aclosing(events):
            async for place, event in events:
                if isinstance(event, Finished):
                    self.meter.count(event.statistics)
                yield place, event

    async def _typed(self, requests: Sequence[Request], seconds: float | None) -> Written:
        def passes() -> Iterator[Event]:
            return typewrite(self.model.network, requests, self.model.tokenizer)

        longest = max(len(request.prompt) + request.config.max_new_tokens for request in requests)
        task = Task(passes, Share(rows=len(requests), caches=len(requests), tokens=longest))
        async with aclosing(self.worker.run(task, seconds)) as events:
            async for event in events:
                yield event.request, event

    async def fill(
        self, make: Callable[[Prefix], Filling], seconds: float | None, *, drafts: bool
    ) -> AsyncGenerator[Draft | Infilled, None]:
        """Drafts of a filling, which `make` lays out behind a prefix, then what came of it."""
        filling = await anyio.to_thread.run_sync(
            make, Prefix(self.model.network, shared=self.engine.prefixes)
        )
        async with aclosing(
            self.worker.run(Task(filling.passes, filling.share), seconds, drafts=drafts)
        ) as events:
            async for event in events:
                if isinstance(event, Infilled):
                    self.meter.fill(event)
                yield event

    def check_likelihoods(self, request: Request) -> None:
        """Whether there could be room for the likelihoods of all that a request may write.

        Raises:
            MemoryLimitError: there could not.
        """
        self.engine.memory.check(Share(1, 1, len(request.prompt) + request.config.max_new_tokens))

    async def likelihoods(
        self, request: Request, tokens: Sequence[int], most: int, seconds: float | None
    ) -> list[TokenLikelihood]:
        """How likely each of the tokens is behind the prompt of a request, which was let in with
        this."""

        def passes() -> Iterator[list[TokenLikelihood]]:
            return likelihoods(self.engine.prefixes, request.prompt, tokens, most)

        task = Task(passes, Share(rows=1, caches=1, tokens=len(request.prompt) + len(tokens)))
        async with aclosing(self.worker.run(task, seconds, follows=True)) as parts:
            return [one async for part in parts for one in part]


class Models:
    """All that are served, by name."""

    def __init__(self, models: Mapping[str, Model], settings: Settings, meter: Meter) -> None:
        self._models, self._settings, self._meter = dict(models), settings, meter
        self._served: dict[str, Served] = {}

    def start(self) -> None:
        """Start a thread for each; memory is shared out evenly."""
        given, count = self._settings, len(self._models)
        memory = None if given.memory is None else given.memory // count
        for name, model in self._models.items():
            self._served[name] = Served(
                name, model, self._meter, given, memory, given.prefix_cache // count
            )

    async def stop(self) -> None:
        """Stop them all at once, each when what it does is done or its time is over."""
        limiter = anyio.CapacityLimiter(len(self._served) or 1)
        async with anyio.create_task_group() as group:
            for one in self._served.values():
                group.start_soon(
                    partial(anyio.to_thread.run_sync, one.worker.close, limiter=limiter)
                )

    @property
    def load(self) -> int:
        """Requests that run or wait."""
        return sum(one.worker.load for one in self)

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served.values())

    def __getitem__(self, name: str) -> Served:
        """Raises NotHereError where there is none of this name."""
        if (found := self._served.get(name)) is None:
            raise NotHereError(
                "model", f"the model {name!r} is not served here: {', '.join(self._served)} is"
            )
        return found
