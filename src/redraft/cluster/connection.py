"""Connection: from this process to a Ray cluster, or to a Ray of its own on this machine."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redraft.errors import ConfigError, RedraftError

# Address of a Ray that begins and ends with this process.
LOCAL = "local"
NAMESPACE = "redraft"
REACH_SECONDS = 5.0  # to open a connection to the head of a cluster
LOCAL_STORE = 256 << 20  # bytes of its object store: answers are small
INSTALL = "pip install 'redraft[ray]'"


class RayMissingError(ConfigError):
    """The package Ray is not installed."""


class ClusterError(RedraftError):
    """A Ray cluster cannot be reached, or has no room for what is asked of it."""


def check_ray() -> None:
    """Check that Ray is installed.

    Raises:
        RayMissingError: it is not; the message says how to install it.
    """
    if importlib.util.find_spec("ray") is None:
        raise RayMissingError(f"more than one machine needs Ray: {INSTALL}")


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Give the module `ray`, connected to a cluster; the connection ends with the block.

    Args:
        address: HOST:PORT of a cluster's head, "auto" for the cluster that this machine is part of,
            or "local" for a Ray of this process alone.

    Raises:
        RayMissingError: Ray is not installed. ClusterError: no cluster is there.
    """
    check_ray()
    _check_reachable(address)
    # Ray would count every command for its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    words: dict[str, Any] = {}
    if address == LOCAL:
        words = {"include_dashboard": False, "object_store_memory": LOCAL_STORE}
    try:
        ray.init(
            address,
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level=logging.WARNING,
            configure_logging=False,
            **words,
        )
    except Exception as error:  # Ray raises its own, and plain ones, where a node starts too slowly
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        where = "Ray does not start here" if address == LOCAL else f"no Ray at {address!r}"
        raise ClusterError(f"{where}: {first}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Check that something listens at HOST:PORT: Ray itself would try for minutes.

    Raises:
        ConfigError: the address has another form. ClusterError: nothing listens.
    """
    if address in (LOCAL, "auto") or address.startswith("ray://"):
        return
    host, sign, port = address.rpartition(":")
    if not sign or not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(
            f"--ray {address!r} must be HOST:PORT of a cluster's head, auto, or local for this "
            "machine alone"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except OSError as error:
        raise ClusterError(f"no Ray cluster answers at {address!r}: {error}") from None
