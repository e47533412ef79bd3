"""Serve: start replicas on a Ray cluster, replace them one after another, and stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from redraft.batch.models import ModelsToLoad
from redraft.batch.ray_engines import HERE, connect_ray, import_ray, wants_gpu
from redraft.cluster.door import Door
from redraft.cluster.replica import Replica
from redraft.errors import ConfigError
from redraft.server import Settings

NAME = "redraft"
# Requests that the door holds at a time; a replica refuses by itself what it has no room for.
DOOR_REQUESTS = 4096
# Seconds between two looks at a replica's health, and after which it is called ill.
HEALTH_PERIOD, HEALTH_TIMEOUT = 5.0, 60.0
START_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Replicas:
    """Where and how many.

    Attributes:
        address: of the cluster; `local` for one of this machine. fewest, most: replicas; where they
            differ, their number follows the load.
    """

    address: str
    fewest: int
    most: int
    host: str = "127.0.0.1"
    port: int = 8000

    def __post_init__(self) -> None:
        if not 1 <= self.fewest <= self.most:
            raise ConfigError(
                f"replicas={self.fewest} and max_replicas={self.most}: at least 1, and the second "
                "not less than the first"
            )


class Cluster:
    """The replicas of a server.

    Args:
        settings: of each replica. Its state file is read and written by one of its own.
    """

    def __init__(self, models: ModelsToLoad, settings: Settings, replicas: Replicas) -> None:
        self._ray = import_ray()
        from ray import serve

        self._serve = serve
        self._models, self._settings, self._replicas = models, settings, replicas
        self.generation = 0

    def start(self) -> None:
        """Start all, and return once they answer.

        Raises:
            ConfigError: there is no cluster, or a replica cannot start.
        """
        place = self._replicas
        connect_ray(self._ray, place.address, place.most + 2)
        self._serve.start(
            http_options={"host": place.host, "port": place.port},
            proxy_location="HeadOnly",
        )
        self._deploy()

    def restart(self) -> None:
        """Replace every replica by a new one; the old ones end what they write."""
        self.generation += 1
        self._deploy()

    def stop(self) -> None:
        """Stop the replicas; requests that run have `settings.grace` seconds."""
        self._serve.delete(NAME)
        if self._replicas.address == HERE:
            self._serve.shutdown()
            self._ray.shutdown()

    def _deploy(self) -> None:
        try:
            self._serve.run(self._application(), name=NAME, route_prefix="/", blocking=False)
        except RuntimeError as error:
            raise ConfigError(f"the replicas do not start: {error}") from None

    def _application(self) -> Any:
        place, settings = self._replicas, self._settings
        gpus = 1 if wants_gpu(self._ray, self._models.device, place.most) else 0
        common: dict[str, Any] = {
            "ray_actor_options": {"num_cpus": 1, "num_gpus": gpus},
            # Beyond it the next replica of the ring is asked, then the door waits.
            "max_ongoing_requests": settings.max_batch_size + settings.max_waiting,
            "graceful_shutdown_timeout_s": settings.grace,
            "graceful_shutdown_wait_loop_s": 0.5,
            "health_check_period_s": HEALTH_PERIOD,
            "health_check_timeout_s": HEALTH_TIMEOUT,
        }
        replicas = self._deployment("engines", Replica, common | self._numbers())
        keeper = self._deployment("keeper", Replica, common | {"num_replicas": 1})
        door = self._deployment(
            "door",
            Door,
            {
                "num_replicas": 1,
                "max_ongoing_requests": DOOR_REQUESTS,
                "ray_actor_options": {"num_cpus": 0},
            },
        )
        stateless = replace(settings, state=None)
        body = settings.body_limit(images=self._models.vision)
        return door.bind(
            replicas.bind(self._models, stateless, self.generation),
            keeper.bind(self._models, settings, self.generation),
            body,
        )

    def _numbers(self) -> dict[str, Any]:
        from ray.serve.config import RequestRouterConfig

        router = RequestRouterConfig(
            request_router_class="ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
        )
        place = self._replicas
        if place.fewest == place.most:
            return {"num_replicas": place.fewest, "request_router_config": router}
        bounds = {
            "min_replicas": place.fewest,
            "max_replicas": place.most,
            "target_ongoing_requests": self._settings.max_batch_size,
        }
        return {"autoscaling_config": bounds, "request_router_config": router}

    def _deployment(self, name: str, kind: type, options: dict[str, Any]) -> Any:
        return self._serve.deployment(kind, name=name).options(**options)


def serve_until_stopped(cluster: Cluster, tell: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; SIGHUP replaces the replicas, one after another."""
    ended, again = threading.Event(), threading.Event()

    def stop(*_: object) -> None:
        ended.set()
        again.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda *_: again.set())
    cluster.start()
    tell("the replicas answer; SIGHUP replaces them, Ctrl-C stops")
    while not ended.is_set():
        again.wait()
        again.clear()
        if not ended.is_set():
            cluster.restart()
            tell(f"the replicas were replaced ({cluster.generation})")
    cluster.stop()
