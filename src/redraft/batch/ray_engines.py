"""Engines on a Ray cluster: replicas, each an actor with the models and an engine of its own.

Actors, not Ray Data: a job is written line by line in the order of its input, and goes on behind
the last line that was written. Ray Data writes blocks, in files of its own, when each is done; what
a run had finished is not taken up again by the next.
"""

from __future__ import annotations

import asyncio
import json
import os
from types import TracebackType
from typing import Any

from redraft.batch.engines import LINES_PER_ROW, LocalEngines
from redraft.batch.models import ModelsToLoad
from redraft.batch.records import Answer
from redraft.errors import ConfigError

HERE = "local"  # an address: a cluster of this machine, for this job alone
# Replicas that may end under one line before it is reported: it may be what ends them.
ATTEMPTS = 3
# Seconds between two looks for a replica that Ray starts anew.
PAUSE = 1.0
LOST = "{} workers ended while they answered this line: it may need more memory than they have"


def import_ray() -> Any:
    """Return the package.

    Raises:
        ConfigError: it is not installed; the message says how.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigError(f"this needs Ray: pip install 'redraft[ray]' ({error})") from None
    return ray


class Replica:
    """An actor: the models, and engines that many lines share."""

    def __init__(self, models: ModelsToLoad) -> None:
        self._engines: LocalEngines = models.engines(models.load())
        self._begin = asyncio.Lock()
        self._begun = False

    async def ready(self) -> int:
        """Start the engines, and return the process's number."""
        async with self._begin:
            if not self._begun:
                await self._engines.__aenter__()
                self._begun = True
        return os.getpid()

    async def answer(self, url: str, body: str) -> tuple[int, str]:
        """Return status and body of an answer, as JSON."""
        await self.ready()
        found = await self._engines.answer(url, json.loads(body))
        return found.status, json.dumps(found.body)


class RayEngines:
    """Replicas on a cluster: an async context.

    A line goes to the replica with the fewest. One whose replica ended is asked again: with the
    same seed it gets the same answer.

    Args:
        address: of the cluster (HOST:PORT, auto), or `local`.
    """

    def __init__(self, models: ModelsToLoad, address: str, replicas: int) -> None:
        if replicas < 1:
            raise ConfigError(f"replicas={replicas} must be at least 1")
        self._ray = import_ray()
        self._models, self._address, self._count = models, address, replicas
        self.slots = models.batch * LINES_PER_ROW * len(models.paths) * replicas
        self._actors: list[Any] = []
        self._running: list[int] = [0] * replicas
        self._up: set[int] = set()  # replicas that answer
        self._some_up = asyncio.Event()
        self._awaiting: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> RayEngines:
        ray = self._ray
        await asyncio.to_thread(connect_ray, ray, self._address, self._count)
        gpus = 1 if wants_gpu(ray, self._models.device, self._count) else 0
        actor = ray.remote(Replica).options(
            num_cpus=1,
            num_gpus=gpus,
            max_restarts=-1,
            max_concurrency=self.slots + 1,
            scheduling_strategy="SPREAD",
        )
        self._actors = [actor.remote(self._models) for _ in range(self._count)]
        try:
            await asyncio.gather(*(one.ready.remote() for one in self._actors))
        except ray.exceptions.RayError as error:
            await self.__aexit__(None, None, None)
            raise ConfigError(f"a worker cannot start: {_reason(error)}") from None
        self._up = set(range(self._count))
        self._some_up.set()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._awaiting:
            task.cancel()
        for one in self._actors:
            self._ray.kill(one)
        await asyncio.to_thread(self._ray.shutdown)

    async def answer(self, url: str, body: dict[str, Any]) -> Answer:
        """Return a replica's answer to a request."""
        text = json.dumps(body)
        for _ in range(ATTEMPTS):
            number = await self._fewest()
            self._running[number] += 1
            try:
                status, answered = await self._actors[number].answer.remote(url, text)
                return Answer(status, json.loads(answered))
            except self._ray.exceptions.RayActorError:
                self._lose(number)
            except self._ray.exceptions.RayTaskError as error:
                return _failed(_reason(error), "worker_failed")
            finally:
                self._running[number] -= 1
        return _failed(LOST.format(ATTEMPTS), "worker_lost")

    async def _fewest(self) -> int:
        """Return the replica with the fewest lines, of those that are up; wait where none is."""
        while not self._up:
            await self._some_up.wait()
        return min(self._up, key=self._running.__getitem__)

    def _lose(self, number: int) -> None:
        """Ask a replica no more until it has started anew."""
        if number not in self._up:
            return
        self._up.discard(number)
        if not self._up:
            self._some_up.clear()
        task = asyncio.ensure_future(self._awaited(number))
        self._awaiting.add(task)
        task.add_done_callback(self._awaiting.discard)

    async def _awaited(self, number: int) -> None:
        while True:
            try:
                await self._actors[number].ready.remote()
                break
            except self._ray.exceptions.RayActorError:
                await asyncio.sleep(PAUSE)
        self._up.add(number)
        self._some_up.set()


def _failed(message: str, code: str) -> Answer:
    return Answer(500, {"error": {"message": message, "type": "server_error", "code": code}})


def connect_ray(ray: Any, address: str, replicas: int) -> None:
    """Connect to a cluster, or start one on this machine.

    Raises:
        ConfigError: there is none at the address.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        if address == HERE:
            cores = max(replicas, os.cpu_count() or 1)
            ray.init(num_cpus=cores, include_dashboard=False, **options)
        else:
            ray.init(address=address, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"--ray {address}: no cluster answers there: {error}") from None


def wants_gpu(ray: Any, device: str, replicas: int) -> bool:
    """Return True where each replica gets a card of the cluster."""
    if device == "auto":
        return bool(ray.cluster_resources().get("GPU", 0) >= replicas)
    return device.startswith("cuda")


def _reason(error: Exception) -> str:
    """Return the line of an error that says what is wrong: the last of the worker's."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("redraft.") or "Error:" in line]
    return (told or lines or [type(error).__name__])[-1]
