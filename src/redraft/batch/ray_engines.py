"""Engines on a Ray cluster: replicas, each an actor with the models and an engine of its own.

Actors, not Ray Data: a job is written line by line in the order of its input, and goes on behind
the last line that was written. Ray Data writes blocks, in files of its own, when each is done; what
a run had finished is not taken up again by the next.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from redraft.batch.engines import LINES_PER_ROW, LocalEngines
from redraft.batch.models import ModelsToLoad
from redraft.batch.records import Answer
from redraft.errors import ConfigError

HERE = "local"  # an address: a cluster of this machine, for this job alone
# Replicas that may end under one line before it is reported: it may be what ends them.
ATTEMPTS = 3
# Seconds between two attempts; a replica that is started anew loads its models meanwhile.
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
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one in self._actors:
            self._ray.kill(one)
        await asyncio.to_thread(self._ray.shutdown)

    async def answer(self, url: str, body: dict[str, Any]) -> Answer:
        """Return a replica's answer to a request."""
        text = json.dumps(body)

        async def ask() -> Answer:
            number = min(range(self._count), key=self._running.__getitem__)
            self._running[number] += 1
            try:
                status, answered = await self._actors[number].answer.remote(url, text)
            finally:
                self._running[number] -= 1
            return Answer(status, json.loads(answered))

        return await asked_again(ask, self._ray.exceptions.RayActorError)


async def asked_again(
    ask: Callable[[], Awaitable[Answer]], lost: type[Exception], pause: float = PAUSE
) -> Answer:
    """Return an answer; ask again while the worker that has the line is lost, a few times."""
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(pause)
        try:
            return await ask()
        except lost:
            continue
    error = {"message": LOST.format(ATTEMPTS), "type": "server_error", "code": "worker_lost"}
    return Answer(500, {"error": error})


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
