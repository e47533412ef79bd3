"""Serving: replicas on Ray Serve, and the application of the front before them."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST

from redraft.cluster.calls import AnswerPart, Call
from redraft.cluster.connection import ClusterError, connected
from redraft.cluster.front import FrontApp, ReplicaLostError, ended
from redraft.cluster.metrics import joined_pages
from redraft.cluster.replica import Replica, ReplicaFacts, ReplicaPlan
from redraft.cluster.resources import ReplicaResources
from redraft.cluster.state import StateActor
from redraft.server.errors import explain
from redraft.server.forwarded import ForwardedMiddleware, checked_proxies
from redraft.server.keys import checked_keys
from redraft.server.middleware import AccessMiddleware
from redraft.server.origins import checked_origins
from redraft.server.prefix import PrefixMiddleware, checked_prefix
from redraft.server.runtime.metrics import Metrics
from redraft.server.settings import Settings

# Metrics that are the front's: of answers and of API keys.
OWN = frozenset(
    {"redraft_responses", "redraft_key_requests", "redraft_key_refused", "redraft_key_tokens"}
)
MORE_CALLS = 16  # of a replica, beside its requests: health, facts
STOP_SECONDS = 600.0  # for the requests of a replica that is replaced, where none have a limit
FACTS_SECONDS = 10.0
log = logging.getLogger("redraft.server")


@dataclass(frozen=True, kw_only=True)
class ReplicaBounds:
    """How many replicas there are.

    Attributes:
        min_replicas: always. max_replicas: under load; equal to the other for a fixed number.
    """

    min_replicas: int
    max_replicas: int

    def options(self, rows: int) -> dict[str, Any]:
        """Return them as options of a Ray Serve deployment.

        Args:
            rows: requests that a replica runs at a time; more of them ask for another replica.
        """
        if self.min_replicas == self.max_replicas:
            return {"num_replicas": self.min_replicas}
        bounds = {"min_replicas": self.min_replicas, "max_replicas": self.max_replicas}
        return {"autoscaling_config": bounds | {"target_ongoing_requests": rows}}


class RayReplicas:
    """Replicas of one server on a cluster.

    Args:
        ray: the module, connected. name: of the application on the cluster.
    """

    def __init__(
        self, ray: Any, name: str, plan: ReplicaPlan, bounds: ReplicaBounds, gpus: int
    ) -> None:
        self._ray, self._name, self._plan, self._bounds = ray, name, plan, bounds
        self._gpus = gpus
        here = ray.get_runtime_context().get_node_id()
        kept = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        path = None if plan.settings.state is None else str(plan.settings.state.resolve())
        self._state = (
            ray.remote(StateActor)
            .options(num_cpus=0, max_concurrency=8, max_restarts=-1, scheduling_strategy=kept)
            .remote(path)
        )
        self._handle: Any = None

    def deploy(self) -> None:
        """Start the replicas; those of before are replaced one after another.

        Raises:
            ClusterError: they do not start.
        """
        from ray import serve

        settings = self._plan.settings
        deployment = serve.deployment(Replica).options(
            name="replica",
            ray_actor_options={"num_cpus": self._plan.threads, "num_gpus": self._gpus},
            max_ongoing_requests=settings.max_batch_size + settings.max_waiting + MORE_CALLS,
            graceful_shutdown_timeout_s=settings.timeout or STOP_SECONDS,
            graceful_shutdown_wait_loop_s=0.2,
            health_check_period_s=2.0,
            health_check_timeout_s=30.0,
            request_router_config={"request_router_class": "redraft.cluster.router.PrefixRouter"},
            **self._bounds.options(settings.max_batch_size),
        )
        serve.start(proxy_location="Disabled")
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        self._plan = replace(self._plan, round=self._plan.round + 1)
        try:
            handle = serve.run(
                deployment.bind(self._plan, self._state), name=self._name, route_prefix=None
            )
        except RuntimeError as error:
            raise ClusterError(f"the replicas do not start: {_last_line(error)}") from None
        self._handle = handle.options(stream=True)

    def delete(self) -> None:
        """End the replicas."""
        from ray import serve

        serve.delete(self._name)

    async def facts(self) -> list[ReplicaFacts]:
        """Return the facts of every replica that runs."""
        found = await self._handle.options(stream=False).broadcast("facts").results_async()
        return [one for one in found if isinstance(one, ReplicaFacts)]

    async def answer(self, call: Call) -> AsyncIterator[AnswerPart]:
        """Yield the parts of an answer.

        Raises:
            ReplicaLostError: the replica ended.
        """
        from ray.exceptions import NodeDiedError, ObjectLostError, RayActorError, RayTaskError

        parts = self._handle.answer.remote(call)
        try:
            async for part in parts:
                yield part
        except RayTaskError as error:
            raise error.cause from None
        except (RayActorError, ObjectLostError, NodeDiedError) as error:
            raise ReplicaLostError(_last_line(error)) from None
        finally:
            with suppress(Exception):
                parts.cancel()

    async def forget(self, call: Call) -> None:
        """Note that a call has ended, however it did."""
        if call.method != "GET":
            self._state.forget_request.remote(call.secret)

    def close_state(self) -> None:
        """Close the file of sessions and pages."""
        with suppress(self._ray.exceptions.RayError):
            self._ray.get(self._state.close_store.remote())


def front_app(replicas: RayReplicas, settings: Settings, *, images: bool) -> FastAPI:
    """Return the application that clients reach.

    Raises:
        ConfigError: the path prefix, an origin, a proxy or a key cannot be used.
    """
    metrics = Metrics()
    prefix = checked_prefix(settings.root_path)
    checked_origins(settings.cors_origins)
    checked_keys(settings.all_keys)
    app = FastAPI(title="redraft", openapi_url=None, docs_url=None, redoc_url=None)
    front = FrontApp(replicas, metrics.count_for_key)

    async def stop() -> None:
        front.stopping = True
        await ended(lambda: front.running, settings.grace)

    @app.get("/metrics")
    async def page() -> Response:
        try:
            found = await asyncio.wait_for(replicas.facts(), FACTS_SECONDS)
        except Exception as error:  # a replica that ends: its page is left out
            log.warning("replicas do not tell their metrics: %s", error)
            found = []
        pages = {one.name: one.metrics for one in found}
        text = joined_pages(metrics.registry, pages, OWN)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    app.state.stop = stop
    app.router.default = front
    app.add_middleware(AccessMiddleware, metrics=metrics, settings=settings, images=images)
    if prefix:
        app.add_middleware(PrefixMiddleware, prefix=prefix)
    app.add_middleware(ForwardedMiddleware, proxies=checked_proxies(settings.proxies))
    explain(app)
    return app


@contextmanager
def replicas_on(
    address: str, plan: ReplicaPlan, bounds: ReplicaBounds, port: int
) -> Iterator[tuple[RayReplicas, FastAPI]]:
    """Give replicas that run on a cluster, and the front before them; SIGHUP replaces them.

    Args:
        address: of the cluster. plan: what each replica loads. port: that the front listens at: a
            front of the same machine and port takes the place of one that was killed.

    Raises:
        RayMissingError, ClusterError, ConfigError: as the parts do.
    """
    with connected(address) as ray:
        there = ray.cluster_resources()
        resources = ReplicaResources.of(plan.models.device, plan.threads, there)
        resources.check(bounds.min_replicas, there)
        device = "cuda" if resources.gpus else "cpu"
        plan = replace(plan, models=replace(plan.models, device=device))
        name = f"redraft-{socket.gethostname()}-{port}"
        replicas = RayReplicas(ray, name, plan, bounds, resources.gpus)
        try:
            replicas.deploy()
            facts = asyncio.run(replicas.facts())
            restart_at_hangup(replicas)
            images = any(one.images for one in facts)
            yield replicas, front_app(replicas, plan.settings, images=images)
        finally:
            with suppress(Exception):
                replicas.close_state()
                replicas.delete()


def restart_at_hangup(replicas: RayReplicas) -> None:
    """Replace all replicas, one after another, whenever the process gets SIGHUP."""
    if not hasattr(signal, "SIGHUP"):  # Windows
        return
    lock = threading.Lock()

    def again() -> None:
        if not lock.acquire(blocking=False):
            return  # it happens already
        try:
            replicas.deploy()
            log.warning("all replicas have been replaced")
        except ClusterError as error:
            log.error("the replicas were not replaced: %s", error)
        finally:
            lock.release()

    def start(*_: Any) -> None:
        threading.Thread(target=again, name="redraft-restart", daemon=True).start()

    signal.signal(signal.SIGHUP, start)


def _last_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
