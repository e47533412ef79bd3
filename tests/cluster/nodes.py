"""A Ray cluster of two nodes for tests: processes of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEAD = {"include_dashboard": False, "no_monitor": True}
STORE = 80 << 20  # bytes of each node's object store: the least that Ray takes


@dataclass
class TwoNodes:
    """A cluster of two nodes; `cluster` is Ray's own object, `address` that of its head."""

    cluster: Any
    address: str


@contextmanager
def two_nodes(cpus: int = 2) -> Iterator[TwoNodes]:
    """Start a head and a second node with so many cores each, and end both."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # The memory of a machine that others use, too, is not the tests': Ray would kill workers for it.
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
    # Workers are the tests' own Python with the tests' own paths.
    paths = [str(Path(__file__).parents[2] / "src"), str(Path(__file__).parents[2])]
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [*paths, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    )
    from ray.cluster_utils import Cluster

    node = {"num_cpus": cpus, "object_store_memory": STORE, "include_log_monitor": False}
    cluster = Cluster(initialize_head=True, head_node_args=node | HEAD)
    try:
        cluster.add_node(**node)
        cluster.wait_for_nodes()
        yield TwoNodes(cluster, cluster.address)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    with two_nodes() as nodes:
        print(nodes.address, flush=True)
        sys.stdin.read()
