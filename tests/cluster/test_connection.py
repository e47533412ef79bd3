"""What is wrong with Ray, or with its cluster, is told in one line before any work."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from redraft.cli.app import app
from redraft.cluster.connection import ClusterError, RayMissingError, check_ray, connected
from redraft.cluster.resources import ReplicaResources
from redraft.errors import ConfigError
from tests.batch.jobs import infills, write_lines


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def find(name: str, *rest: Any) -> Any:
        return None if name == "ray" else found(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", find)


@pytest.fixture
def with_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redraft.cluster.connection.check_ray", lambda: None)


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize(
    "words",
    [
        ("serve", "--replicas", "2"),
        ("serve", "--ray", "auto"),
        ("serve", "--max-replicas", "2"),
        ("batch", "IN", "OUT", "--ray", "local"),
        ("batch", "IN", "OUT", "--replicas", "2"),
    ],
)
def test_without_ray_a_command_says_how_to_install_it(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    source = write_lines(tmp_path / "in.jsonl", infills(2))
    places = {"IN": str(source), "OUT": str(tmp_path / "out.jsonl")}
    done = CliRunner().invoke(app, [places.get(one, one) for one in words])
    assert isinstance(done.exception, RayMissingError)
    assert "pip install 'redraft[ray]'" in str(done.exception)
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.usefixtures("without_ray")
def test_without_ray_nothing_is_connected() -> None:
    with pytest.raises(RayMissingError):
        check_ray()
    with pytest.raises(RayMissingError), connected("local"):
        pass


@pytest.mark.usefixtures("with_ray")
def test_an_address_where_nothing_listens_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ClusterError, match=f"127.0.0.1:{port}"), connected(f"127.0.0.1:{port}"):
        pass
    for address in ("here", "host:", ":6379", "host:70000", "host:a"):
        with pytest.raises(ConfigError, match="HOST:PORT"), connected(address):
            pass


def test_replicas_that_no_machine_has_room_for_are_refused() -> None:
    cluster = {"CPU": 4.0, "GPU": 1.0}
    one = ReplicaResources.of("auto", 2, cluster)
    assert one.options() == {"num_cpus": 2, "num_gpus": 1}
    one.check(1, cluster)
    with pytest.raises(ClusterError, match="2 replicas take 2 GPUs, and the cluster has 1"):
        one.check(2, cluster)
    plain = ReplicaResources.of("cpu", 2, cluster)
    plain.check(2, cluster)
    with pytest.raises(ClusterError, match="3 replicas take 6 CPUs"):
        plain.check(3, cluster)
    assert ReplicaResources.of("auto", 1, {"CPU": 2.0}).gpus == 0
    with pytest.raises(ClusterError, match="no machine of the cluster has a GPU"):
        ReplicaResources.of("cuda", 1, {"CPU": 2.0})
