"""Batch by Ray: the engines of a job in processes on several machines.

The job itself stays in the process of the command: it reads lines, hands them out, and writes the
answers in their order. So nothing but answers crosses the network, a worker holds no state, and
what makes a job resumable is the same with Ray and without.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from redraft.batch.engines import LINES_PER_ROW
from redraft.batch.records import LineAnswer
from redraft.cluster.connection import ClusterError, connected
from redraft.cluster.resources import ReplicaResources, memory_share

if TYPE_CHECKING:
    from redraft.batch.engines import LocalEngines
    from redraft.batch.models import ModelsToLoad

# Workers that may die under a line before it is taken for the reason.
MAX_DEATHS = 3
START_SECONDS = 600.0  # to start all workers and load the models
MORE_CALLS = 16  # of a worker, beside its lines: checks that it is there


class BatchWorker:
    """Models with their engines in a process of Ray's.

    Args:
        models: what to load. threads: of tensor operations.
    """

    def __init__(self, models: ModelsToLoad, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        loaded = models.load()
        device = next(iter(loaded.values())).network.device
        if models.memory is None:
            models = replace(models, memory=memory_share(device, threads))
        self._engines: LocalEngines = models.engines(loaded)
        self._lock = asyncio.Lock()
        self._opened = False

    async def ready(self) -> int:
        """Return the requests that it works on at a time, once it can."""
        async with self._lock:
            if not self._opened:
                await self._engines.__aenter__()
                self._opened = True
        return self._engines.slots

    async def answer(self, url: str, body: dict[str, Any]) -> LineAnswer:
        """Return the answer to a request."""
        await self.ready()
        return await self._engines.answer(url, body)


class WorkerHandle:
    """A worker as the job sees it.

    Attributes:
        load: lines that it works on. starting: what waits until it can be asked.
    """

    def __init__(self, actor: Any) -> None:
        self.actor, self.load = actor, 0
        self.starting: asyncio.Future[int] = self.start()

    def start(self) -> asyncio.Future[int]:
        """Return what waits until it can be asked, at its beginning or after it died."""

        async def ready() -> int:
            slots: int = await self.actor.ready.remote()
            return slots

        self.starting = asyncio.ensure_future(ready())
        return self.starting

    @property
    def usable(self) -> bool:
        """True where it can be asked now."""
        return self.starting.done() and self.starting.exception() is None


class RayEngines:
    """Engines of a job on a cluster: an async context.

    Args:
        models: what each worker loads. address: of the cluster. replicas: workers.
        cpus: cores of each, and threads of its tensor operations.

    Raises:
        RayMissingError, ClusterError: on entering the context.
    """

    def __init__(self, models: ModelsToLoad, address: str, *, replicas: int, cpus: int = 1) -> None:
        self._models, self._address = models, address
        self._replicas, self._cpus = replicas, cpus
        self.slots = replicas * models.batch * LINES_PER_ROW * len(models.paths)
        self._stack = ExitStack()
        self._workers: list[WorkerHandle] = []

    async def __aenter__(self) -> RayEngines:
        ray = self._stack.enter_context(connected(self._address))
        try:
            await self._start(ray)
        except BaseException:
            self._stack.close()
            raise
        return self

    async def _start(self, ray: Any) -> None:
        there = ray.cluster_resources()
        resources = ReplicaResources.of(self._models.device, self._cpus, there)
        resources.check(self._replicas, there)
        device = "cuda" if resources.gpus else "cpu"
        models = replace(self._models, device=device)
        kind = ray.remote(BatchWorker).options(
            **resources.options(),
            max_restarts=-1,
            max_concurrency=self.slots // self._replicas + MORE_CALLS,
            scheduling_strategy="SPREAD",
        )
        actors = [kind.remote(models, resources.cpus) for _ in range(self._replicas)]
        self._workers = [WorkerHandle(one) for one in actors]
        _, late = await asyncio.wait([one.starting for one in self._workers], timeout=START_SECONDS)
        if late:
            raise ClusterError(
                f"{len(late)} of {self._replicas} workers have not started in {START_SECONDS:g} s: "
                "look at the logs of Ray on their machines"
            )
        for worker in self._workers:
            if (error := worker.starting.exception()) is not None:
                raise _reason(error)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.starting.cancel()
        self._stack.close()  # the workers end with the connection

    async def answer(self, url: str, body: dict[str, Any]) -> LineAnswer:
        """Return the answer to a request; one whose worker dies is given to another."""
        from ray.exceptions import RayActorError, RayTaskError

        for _ in range(MAX_DEATHS):
            worker = await self._next()
            worker.load += 1
            try:
                answer: LineAnswer = await worker.actor.answer.remote(url, body)
                return answer
            except RayTaskError as error:
                raise _reason(error) from None
            except RayActorError:
                if worker.starting.done():
                    worker.start()
            finally:
                worker.load -= 1
        problem = f"{MAX_DEATHS} workers ended while they answered this line"
        return LineAnswer(500, {"error": {"message": problem, "type": "api_error"}})

    async def _next(self) -> WorkerHandle:
        """Return the usable worker with the fewest lines; wait for one where there is none."""
        while not (usable := [one for one in self._workers if one.usable]):
            for worker in self._workers:
                if worker.starting.done():  # it died again while it started
                    worker.start()
            waiting = [one.starting for one in self._workers]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return min(usable, key=lambda one: one.load)


def _reason(error: BaseException) -> BaseException:
    """Return the error of redraft that an error of Ray stands for, or an own one."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        return cause
    return ClusterError(f"a worker cannot start: {str(error).strip().splitlines()[-1]}")
