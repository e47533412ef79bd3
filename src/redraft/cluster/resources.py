"""Resources: what one replica takes of the machine that it runs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redraft.cluster.connection import ClusterError
from redraft.engine.memory_budget import usable_memory

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class ReplicaResources:
    """Resources of one replica.

    Attributes:
        cpus: cores, which are also the threads of its tensor operations. gpus: CUDA devices.
    """

    cpus: int = 1
    gpus: int = 0

    @classmethod
    def of(cls, device: str, cpus: int, cluster: dict[str, float]) -> ReplicaResources:
        """Return the resources of a replica on a device ("auto" takes one where there are some).

        Args:
            cluster: the resources of the whole cluster, by Ray's names.

        Raises:
            ClusterError: no machine of the cluster has such a device.
        """
        there = cluster.get("GPU", 0.0) >= 1
        wanted = there if device == "auto" else device.startswith("cuda")
        if wanted and not there:
            raise ClusterError("no machine of the cluster has a GPU: leave out --device cuda")
        return cls(cpus=cpus, gpus=int(wanted))

    def check(self, replicas: int, cluster: dict[str, float]) -> None:
        """Check that a cluster has room for so many replicas.

        Raises:
            ClusterError: it has not.
        """
        for name, each in (("CPU", self.cpus), ("GPU", self.gpus)):
            there = cluster.get(name, 0.0)
            if each * replicas > there:
                raise ClusterError(
                    f"{replicas} replicas take {each * replicas} {name}s, and the cluster has "
                    f"{there:g}: give fewer --replicas, or add machines"
                )

    def options(self) -> dict[str, Any]:
        """Return them as options of a Ray actor."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus}


def memory_share(device: torch.device, cpus: int) -> int:
    """Return the bytes that a replica on this machine may take for caches and passes.

    A CUDA device is a replica's alone. The machine's memory is not: a replica takes as much of it
    as of the cores.
    """
    limit = usable_memory(device)
    if device.type == "cuda":
        return limit
    import ray

    here = ray.get_runtime_context().get_node_id()
    nodes = {one["NodeID"]: one["Resources"] for one in ray.nodes()}
    cores = nodes.get(here, {}).get("CPU", 0.0)
    return int(limit * min(1.0, cpus / cores)) if cores else limit
