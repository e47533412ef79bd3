"""Router: Ray Serve's question which replica takes a request, answered by affinity."""

from __future__ import annotations

from typing import Any

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from redraft.cluster.affinity import PrefixAffinity
from redraft.cluster.calls import Call


class PrefixRouter(RequestRouter):
    """Routes by prefix and adapter; it lives beside the front, and sees every request."""

    def initialize_state(self, **_: Any) -> None:
        """Begin without any knowledge."""
        self._affinity = PrefixAffinity()
        self._running: dict[str, int] = {}

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """Return a rank for each replica: that which should take the request first."""
        named = {one.replica_id.unique_id: one for one in candidate_replicas}
        order = self._affinity.order(_prefixes(pending_request), named, self._running)
        return [[named[one]] for one in order]

    def on_request_routed(
        self, pending_request: PendingRequest, replica_id: ReplicaID, result: Any
    ) -> None:
        """Count a request, and remember its prompt."""
        name = replica_id.unique_id
        self._running[name] = self._running.get(name, 0) + 1
        self._affinity.note(_prefixes(pending_request), name)

    def on_request_completed(self, replica_id: ReplicaID, internal_request_id: str) -> None:
        """Count a request less."""
        name = replica_id.unique_id
        left = self._running.get(name, 0) - 1
        if left > 0:
            self._running[name] = left
        else:
            self._running.pop(name, None)


def _prefixes(pending: PendingRequest | None) -> tuple[bytes, ...]:
    for value in () if pending is None else pending.args:
        if isinstance(value, Call):
            return value.prefixes
    return ()
