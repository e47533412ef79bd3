"""Replica: the server's application with engines of its own, in a process of Ray Serve's."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from redraft.batch.models import MAX_PREFIX_CACHE, ModelsToLoad
from redraft.cluster.calls import AnswerPart, Call
from redraft.cluster.connection import ClusterError
from redraft.cluster.resources import memory_share
from redraft.cluster.state import number_calls, remote_store
from redraft.drawn import drawing
from redraft.server import Settings, create_app
from redraft.server.keys import KeyRing, current_key
from redraft.server.speech import recogniser

if TYPE_CHECKING:
    from starlette.types import Message

SWITCH_INTERVAL = 0.0002
NO_LIMIT = 1 << 30
END = AnswerPart()


@dataclass(frozen=True, kw_only=True)
class ReplicaPlan:
    """The models that a replica loads, and its settings.

    Attributes:
        models: what to load. settings: of the server; the front applies those that are about
            callers. speech: name of the speech recogniser; None for none. threads: of tensor
            operations. round: of restarts.
    """

    models: ModelsToLoad
    settings: Settings
    speech: str | None = None
    threads: int = 1
    round: int = 0

    def inner_settings(self, memory: int) -> Settings:
        """Return the settings without what the front has applied.

        Args:
            memory: bytes for caches and passes, where the settings leave that open.
        """
        given = self.settings
        limit = memory if given.memory is None else given.memory
        kept = min(limit // 4, MAX_PREFIX_CACHE) if given.memory is None else given.prefix_cache
        return replace(
            given,
            memory=limit,
            prefix_cache=min(kept, given.prefix_cache),
            api_key=None,
            keys=(),
            hosts=None,
            cors_origins=(),
            proxies=(),
            state=None,
            max_body=NO_LIMIT,
            max_bodies=NO_LIMIT,
        )


@dataclass(frozen=True, kw_only=True)
class ReplicaFacts:
    """Facts of a replica.

    Attributes:
        name: of the replica, by Ray Serve. process: its id. images: one of its models reads images.
        metrics: the page of its metrics.
    """

    name: str
    process: int
    images: bool
    metrics: str


class WrittenTokens(KeyRing):
    """Counts the tokens that were written for each key, until the front is told."""

    def __init__(self) -> None:
        super().__init__(())
        self._counts: dict[str, int] = {}

    def written(self, name: str, tokens: int) -> None:
        self._counts[name] = self._counts.get(name, 0) + tokens

    def taken(self, name: str) -> int:
        """Return the tokens of a key since the last call."""
        return self._counts.pop(name, 0)


class Replica:
    """Engines behind the application of one server.

    Args:
        state: the actor that has sessions and pages.
    """

    def __init__(self, plan: ReplicaPlan, state: Any) -> None:
        import torch

        torch.set_num_threads(plan.threads)
        sys.setswitchinterval(SWITCH_INTERVAL)
        speech = None if plan.speech is None else recogniser(plan.speech)
        store = remote_store(state)
        models = plan.models.load()
        device = next(iter(models.values())).network.device
        settings = plan.inner_settings(memory_share(device, plan.threads))
        self._app = create_app(models, settings, speech, store)
        self._app.middleware_stack = self._app.build_middleware_stack()
        self._tokens = self._app.state.metrics.keys = WrittenTokens()
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._opened = False
        gc.freeze()

    async def _open(self) -> None:
        async with self._lock:
            if not self._opened:
                await self._stack.enter_async_context(self._app.router.lifespan_context(self._app))
                self._opened = True

    async def close(self) -> None:
        """End the engines."""
        await self._stack.aclose()

    async def check_health(self) -> None:
        """Check that every engine's thread works; Ray Serve replaces a replica that fails.

        Raises:
            ClusterError: one has ended.
        """
        await self._open()
        for hosted in self._app.state.registry.hosts:
            if not hosted.worker.alive:
                raise ClusterError(f"the engine of {hosted.name} has ended")

    async def facts(self) -> ReplicaFacts:
        """Return what the front wants to know of this replica."""
        from ray import serve

        await self._open()
        hosts = self._app.state.registry.hosts
        page = await self._app.state.metrics.page()
        return ReplicaFacts(
            name=serve.get_replica_context().replica_id.unique_id,
            process=os.getpid(),
            images=any(one.model.images is not None for one in hosts),
            metrics=bytes(page.body).decode(),
        )

    async def answer(self, call: Call) -> AsyncIterator[AnswerPart]:
        """Yield the parts of the answer to a request; closing it ends the request."""
        await self._open()
        parts: asyncio.Queue[AnswerPart | BaseException] = asyncio.Queue()
        left = asyncio.Event()
        task = asyncio.create_task(self._run(call, parts, left))
        try:
            while (part := await parts.get()) is not END:
                if isinstance(part, BaseException):
                    raise part
                yield part
            if tokens := self._tokens.taken(call.key):
                yield AnswerPart(tokens=tokens)
        finally:
            left.set()
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task

    async def _run(self, call: Call, parts: asyncio.Queue[Any], left: asyncio.Event) -> None:
        """Run the application for a request, and put what it sends into a queue."""
        scope = _scope(call)
        given = False

        async def receive() -> Message:
            nonlocal given
            if not given:
                given = True
                return {"type": "http.request", "body": call.body, "more_body": False}
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                headers = tuple(message.get("headers", ()))
                parts.put_nowait(AnswerPart(b"", message["status"], headers, route))
            elif body := message.get("body", b""):
                parts.put_nowait(AnswerPart(bytes(body)))

        current_key.set(call.key)
        number_calls()
        try:
            with drawing(call.secret, call.created):
                await self._app(scope, receive, send)
            parts.put_nowait(END)
        except Exception as error:
            parts.put_nowait(error)


def _scope(call: Call) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": call.method,
        "scheme": "http",
        "path": call.path,
        "raw_path": call.path.encode(),
        "query_string": call.query,
        "root_path": "",
        "headers": list(call.headers),
        "client": ("front", 0),
        "server": ("replica", 80),
    }
