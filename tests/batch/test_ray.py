"""Jobs on a real Ray cluster of two nodes, on this machine: workers and drivers that are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import redraft
from redraft.batch.engines import LocalEngines
from redraft.batch.files import Input, JobFiles
from redraft.batch.lines import Defaults
from redraft.batch.models import ModelsToLoad
from redraft.batch.ray_engines import RayEngines
from redraft.batch.run import Progress, run_job
from redraft.errors import ConfigError
from tests.batch.jobs import read_lines, write_lines
from tests.batch.test_engines import timeless
from tests.cluster.nodes import two_nodes
from tests.command import COMMAND

pytestmark = pytest.mark.long
ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'redraft[ray]'")
MODELS = ModelsToLoad(paths={"small": "small"}, batch=2, memory=1 << 30)
SECONDS = 600


def lines(count: int) -> list[dict[str, Any]]:
    said = [f"calc {10 + at}+{20 + at}-05" for at in range(count)]
    records: list[dict[str, Any]] = [
        {"id": at, "messages": [{"role": "user", "content": text}]} for at, text in enumerate(said)
    ]
    records[5] = {"id": 5, "no": "request"}
    return records


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with two_nodes(1) as found:
        yield found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """Return the answers and errors of a run in one process."""
    folder = tmp_path_factory.mktemp("whole")
    source = write_lines(folder / "in.jsonl", lines(16))

    async def answered() -> None:
        with JobFiles(Input.of(source), folder / "out.jsonl", {}) as files:
            async with LocalEngines({"small": redraft.load("small")}, batch=2) as engines:
                await run_job(files, engines, Defaults("small", 0, folder))

    asyncio.run(answered())
    return results(folder / "out.jsonl")


def results(output: Path) -> tuple[Any, ...]:
    errors = output.with_name(output.stem + ".errors.jsonl")
    return timeless(read_lines(output)), timeless(read_lines(errors))


def test_a_worker_that_is_killed_loses_nothing(
    address: str, whole: tuple[Any, ...], tmp_path: Path
) -> None:
    source = write_lines(tmp_path / "in.jsonl", lines(16))
    killed: list[int] = []

    async def answered() -> None:
        with JobFiles(Input.of(source), tmp_path / "out.jsonl", {}) as files:
            async with RayEngines(MODELS, address, 2) as engines:
                numbers = [await one.ready.remote() for one in engines._actors]
                assert len(set(numbers)) == 2
                assert os.getpid() not in numbers

                def kill_once(progress: Progress) -> None:
                    if progress.done >= 3 and not killed:
                        killed.append(numbers[1])
                        os.kill(numbers[1], signal.SIGKILL)

                await run_job(files, engines, Defaults("small", 0, tmp_path), kill_once)

    asyncio.run(answered())
    assert killed
    assert results(tmp_path / "out.jsonl") == whole


def test_a_driver_that_is_killed_goes_on(
    address: str, whole: tuple[Any, ...], tmp_path: Path
) -> None:
    write_lines(tmp_path / "in.jsonl", lines(16))
    words = ["batch", str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl"), "-m", "small"]
    command = [*COMMAND, *words, "--batch", "1", "--memory", "1", "--ray", address]
    output = tmp_path / "out.jsonl"
    driver = subprocess.Popen(command)
    began = time.monotonic()
    while not (output.exists() and output.stat().st_size):
        assert driver.poll() is None
        assert time.monotonic() - began < SECONDS
        time.sleep(0.02)
    driver.kill()
    driver.wait()
    assert 0 < len(output.read_bytes().split(b"\n")) - 1 < 15
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 1, done.stderr  # one line is bad
    assert "16 of 16 lines" in done.stderr
    assert results(output) == whole


def test_a_model_that_is_not_there_is_one_error(address: str) -> None:
    async def started() -> None:
        missing = ModelsToLoad(paths={"none": "/no/such/model"})
        async with RayEngines(missing, address, 1):
            pass

    with pytest.raises(ConfigError, match="/no/such/model"):
        asyncio.run(started())


def test_an_address_without_a_cluster_is_told() -> None:
    async def started() -> None:
        async with RayEngines(MODELS, "127.0.0.1:1", 1):
            pass

    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:1"):
        asyncio.run(started())
