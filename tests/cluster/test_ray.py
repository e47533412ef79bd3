"""Batch jobs and servers on a real Ray cluster of two nodes, whose processes are killed."""

from __future__ import annotations

import concurrent.futures
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from redraft.tasks import Arithmetic, Wiki
from tests.batch.jobs import read_lines, write_lines
from tests.cluster.nodes import TwoNodes, two_nodes
from tests.command import COMMAND
from tests.server.server_process import free_port, start_server

pytestmark = pytest.mark.long
pytest.importorskip("ray", reason="Ray is an extra: pip install 'redraft[ray]', or make ray")
SECONDS = 300.0
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    if address := os.environ.get("REDRAFT_TEST_RAY"):  # one that runs already
        yield TwoNodes(None, address)
        return
    with two_nodes() as found:
        yield found


def records(count: int) -> list[Any]:
    """Return mixed lines: chats, completions, infills, constrained ones, OpenAI's, bad ones."""
    rng, made = random.Random(7), list[Any]()
    for number in range(count):
        said = [{"role": "user", "content": Arithmetic().draw(rng).prompt}]
        chat = {"messages": said, "max_tokens": 16}
        kinds: list[Any] = [
            {"id": number} | chat,
            {"id": number, "prompt": Wiki().draw(rng).prompt, "max_tokens": 16},
            {"id": number, "template": "a <hole> b", "max_candidates": 1},
            {"id": number, "constraint": {"regex": "[0-9;+=-]{1,20}"}} | chat,
            {
                "custom_id": f"o{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": "small-text"} | chat,
            },
            b"nonsense" if number % 5 == 0 else {"id": number} | chat,
        ]
        made.append(kinds[number % len(kinds)])
    return made


def compared(path: Path) -> list[Any]:
    """Return the records of a file without what is a matter of time."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(one) for one in value]
        if not isinstance(value, dict):
            return value
        passing = ("seconds", "id", "created", "prompt_tokens_details")
        inner = {name: plain(one) for name, one in value.items() if name not in passing}
        return inner | ({"id": value["id"]} if "line" in value else {})

    return [plain(one) for one in read_lines(path)]


def processes(words: str) -> list[int]:
    """Return the processes of Ray's whose titles begin so."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True)
    pairs = [line.split(maxsplit=1) for line in listed.stdout.splitlines()[1:]]
    return [int(pid) for pid, title in pairs if title.startswith(words)]


def wait_until(true: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, what
        time.sleep(0.05)


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_batch_whose_workers_and_driver_are_killed_is_as_one_process_has_it(
    nodes: TwoNodes, tmp_path: Path
) -> None:
    count = 60
    source = write_lines(tmp_path / "in.jsonl", records(count))
    words = [*COMMAND, "batch", str(source)]
    models = ["-m", "small-text", "--batch", "4"]
    alone, output = tmp_path / "alone.jsonl", tmp_path / "out.jsonl"
    environ = os.environ | ONE_THREAD
    done = subprocess.run([*words, str(alone), *models], env=environ, check=False)
    assert done.returncode == 1  # some lines are bad
    clustered = [*words, str(output), *models, "--ray", nodes.address, "--replicas", "2"]

    driver = subprocess.Popen(clustered, env=environ)
    wait_until(lambda: lines_in(output) >= 10, "no lines come")
    workers = processes("ray::BatchWorker")
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    before = lines_in(output)
    wait_until(lambda: lines_in(output) >= before + 10, "nothing comes behind a dead worker")
    driver.kill()
    driver.wait()
    assert lines_in(output) < count

    again = subprocess.run(clustered, env=environ, capture_output=True, text=True, check=False)
    assert again.returncode == 1, again.stderr
    assert compared(output) == compared(alone)
    errors = (output.with_name("out.errors.jsonl"), alone.with_name("alone.errors.jsonl"))
    assert compared(errors[0]) == compared(errors[1])
    found = [one["line"] for path in (output, errors[0]) for one in read_lines(path)]
    assert sorted(found) == list(range(1, count + 1))
    assert not processes("ray::BatchWorker")


class Load:
    """Requests to a server, all at once, in threads."""

    def __init__(self, port: int, count: int) -> None:
        rng = random.Random(11)
        self.address = f"http://127.0.0.1:{port}"
        self.bodies = [self._body(rng, number) for number in range(count)]
        self.begun = threading.Semaphore(0)

    @staticmethod
    def _body(rng: random.Random, number: int) -> dict[str, Any]:
        said = [{"role": "user", "content": Wiki().draw(rng).prompt}]
        body = {"model": "small-text", "messages": said, "max_tokens": 300, "seed": number}
        if number % 3:
            body |= {"stream": True, "stream_options": {"include_drafts": True}}
        return body

    def answer(self, body: dict[str, Any]) -> list[Any]:
        """Return the parts of an answer, without what is a matter of time; asks only once."""
        url = f"{self.address}/v1/chat/completions"
        with httpx2.stream("POST", url, json=body, timeout=SECONDS) as response:
            lines = []
            for line in response.iter_lines():
                if body.get("stream") and not lines:
                    self.begun.release()
                lines.append(line)
            assert response.status_code == 200, lines
        if not body.get("stream"):
            return [json.loads("".join(lines))["choices"]]
        assert lines[-2:] == ["data: [DONE]", ""] or lines[-1] == "data: [DONE]"
        parts = [json.loads(one[6:]) for one in lines if one.startswith("data: {")]
        assert len({one["id"] for one in parts}) == 1  # one answer, whoever wrote it
        assert not [one for one in parts if "error" in one]
        return [[one["choices"], one.get("draft")] for one in parts]

    def answers(self, meanwhile: Callable[[], None] = lambda: None) -> list[Any]:
        """Send all requests at once, and return their answers."""
        with concurrent.futures.ThreadPoolExecutor(len(self.bodies)) as pool:
            asked = [pool.submit(self.answer, body) for body in self.bodies]
            meanwhile()
            return [one.result() for one in asked]


def test_a_server_loses_no_request_when_replicas_are_killed_or_replaced(
    nodes: TwoNodes, tmp_path: Path
) -> None:
    port = free_port()
    options = ("--ray", nodes.address, "--replicas", "2", "--memory", "1", "--batch", "4")
    options = (*options, "--state", str(tmp_path / "state.db"))
    with (tmp_path / "log").open("wb") as log:
        server = start_server(port, *options, log=log)
    try:
        load = Load(port, 18)
        assert len(_replicas()) == 2
        expected = load.answers()

        def kill_one() -> None:
            for _ in range(3):
                assert load.begun.acquire(timeout=SECONDS)
            os.kill(_replicas()[0], signal.SIGKILL)

        for _ in range(5):  # a replica may have answered all of its own before it is killed
            load.begun = threading.Semaphore(0)
            assert load.answers(kill_one) == expected
            wait_until(lambda: len(_replicas()) == 2, "the dead replica is not replaced")
            if "a replica ended; a request is asked again" in (tmp_path / "log").read_text():
                break
        else:
            raise AssertionError("no replica was killed under a request")
        _check_sessions(load.address)

        before = set(_replicas())

        def replaced() -> bool:
            now = set(_replicas())
            return not now & before and len(now) == 2

        os.kill(server.pid, signal.SIGHUP)
        ends = time.monotonic() + SECONDS
        while not replaced():
            assert time.monotonic() < ends, "the replicas are not replaced"
            assert load.answers() == expected
        assert load.answers() == expected
        # Sessions stay in one place: those of before are there.
        assert len(httpx2.get(f"{load.address}/v1/sessions").json()["data"]) == 1
        (state,) = processes("ray::StateActor")
        os.kill(state, signal.SIGKILL)

        def kept() -> bool:
            answer = httpx2.get(f"{load.address}/v1/sessions", timeout=SECONDS)
            assert answer.status_code in (200, 429), answer.text
            return answer.status_code == 200 and len(answer.json()["data"]) == 1

        wait_until(kept, "the sessions are not there again")
        page = httpx2.get(f"{load.address}/metrics", timeout=SECONDS).text
        written = [line for line in page.splitlines() if line.startswith("redraft_tokens_total{")]
        assert len(written) == 2
    finally:
        server.terminate()
        server.wait(60)
    wait_until(lambda: not _replicas(), "replicas are left behind")


def _replicas() -> list[int]:
    return processes("ray::ServeReplica:redraft-")


def _check_sessions(address: str) -> None:
    """Check that an edit session is the same whichever replica is asked."""
    begun = httpx2.post(
        f"{address}/v1/sessions", json={"model": "small-text", "text": "one two"}, timeout=SECONDS
    ).json()
    assert "id" in begun, begun
    url = f"{address}/v1/sessions/{begun['id']}"
    change = {"spans": [[0, 3]], "kind": "replace", "replacement": "1"}
    for _ in range(4):
        httpx2.post(f"{url}/edits", json=change, timeout=SECONDS).raise_for_status()
        assert httpx2.get(url, timeout=SECONDS).json()["text"] == "1 two"
        httpx2.post(f"{url}/undo", timeout=SECONDS).raise_for_status()
        assert httpx2.get(url, timeout=SECONDS).json()["text"] == "one two"
