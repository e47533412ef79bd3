"""A real Ray cluster of two nodes, each with processes of its own, on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.server.server_process import free_port

# Ports that are given, a node does not wait for: its agents may be slow to start.
PORTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)


@contextmanager
def two_nodes(cpus: int) -> Iterator[str]:
    """Yield the address of a cluster whose nodes have so many CPUs each."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

    def node() -> dict[str, Any]:
        ports = {name: free_port() for name in PORTS}
        return {"num_cpus": cpus, "object_store_memory": 100 << 20, **ports}

    cluster = Cluster(initialize_head=True, head_node_args=node() | {"include_dashboard": False})
    try:
        cluster.add_node(**node())
        yield cluster.address
    finally:
        cluster.shutdown()
