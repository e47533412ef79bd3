"""A server of two replicas on a real Ray cluster of two nodes, on this machine."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

import redraft
from redraft.batch.models import ModelsToLoad
from redraft.cluster.serve import Cluster, Replicas
from redraft.server import Settings
from tests.cluster.nodes import two_nodes
from tests.server.server_process import free_port

pytestmark = pytest.mark.long
ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'redraft[ray]'")
SAID = [[{"role": "user", "content": f"calc {10 + at}+{30 - at}"}] for at in range(8)]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Cluster, str]]:
    with two_nodes(4) as address:
        port = free_port()
        place = Replicas(address=address, fewest=2, most=2, port=port)
        models = ModelsToLoad(paths={"small": "small"}, memory=1 << 30)
        cluster = Cluster(models, Settings(memory=1 << 30, grace=60.0), place)
        cluster.start()
        yield cluster, f"http://127.0.0.1:{port}"
        cluster.stop()
        ray.shutdown()


def body(at: int, **more: Any) -> dict[str, Any]:
    return {"model": "small", "messages": SAID[at % len(SAID)], "seed": at} | more


def ask(url: str, at: int) -> str:
    answer = httpx2.post(f"{url}/v1/chat/completions", json=body(at), timeout=300)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def streamed(url: str, at: int) -> str:
    given = body(at, stream=True)
    text = ""
    with httpx2.stream("POST", f"{url}/v1/chat/completions", json=given, timeout=300) as answer:
        assert answer.status_code == 200
        lines = [line[6:] for line in answer.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    for line in lines[:-1]:
        for choice in json.loads(line)["choices"]:
            text += choice["delta"].get("content") or ""
    return text


class Users:
    """Users who ask all the time, whole and in streams."""

    def __init__(self, url: str, count: int) -> None:
        self.url, self.stopping = url, threading.Event()
        self.texts: list[tuple[int, str]] = []
        self.errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number,)) for number in range(count)
        ]

    def __enter__(self) -> Users:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join()

    def wait(self, more: int) -> None:
        """Wait for so many further answers."""
        enough = len(self.texts) + more
        while len(self.texts) < enough and not self.errors:
            time.sleep(0.05)

    def _run(self, number: int) -> None:
        at = number
        while not self.stopping.is_set() and not self.errors:
            try:
                self.texts.append((at, (streamed if number % 2 else ask)(self.url, at)))
            except BaseException as error:
                self.errors.append(error)
            at += 10


def replica_pids() -> set[int]:
    from ray.util.state import list_actors

    actors = list_actors(filters=[("state", "=", "ALIVE")], limit=1000)
    return {one.pid for one in actors if "engines" in (one.name or "")}


def check(users: Users) -> None:
    assert not users.errors, users.errors[0]
    model = redraft.load("small")
    for at, text in users.texts[::3]:
        assert text == model.generate(messages=body(at)["messages"], seed=at).text


def test_a_killed_replica_loses_no_request_that_has_not_begun(server: tuple[Cluster, str]) -> None:
    _, url = server
    with Users(url, 4) as users:
        users.wait(4)
        os.kill(replica_pids().pop(), signal.SIGKILL)
        users.wait(12)
    broken = [one for one in users.errors if not isinstance(one, httpx2.RemoteProtocolError)]
    users.errors = broken  # a stream that had begun breaks, and says so
    check(users)


def test_replicas_are_replaced_without_a_failed_request(server: tuple[Cluster, str]) -> None:
    cluster, url = server
    before = replica_pids()
    with Users(url, 4) as users:
        users.wait(4)
        cluster.restart()
        users.wait(8)
    check(users)
    assert not before & replica_pids()


def test_a_conversation_stays_with_one_replica(server: tuple[Cluster, str]) -> None:
    _, url = server
    counted: Counter[int] = Counter()
    for _ in range(3):
        answer = httpx2.post(f"{url}/v1/chat/completions", json=body(0), timeout=300).json()
        details = answer["usage"]["prompt_tokens_details"]
        counted[details["cached_tokens"]] += 1
    assert sum(counted.values()) == 3


def test_sessions_are_kept_in_one_place(server: tuple[Cluster, str]) -> None:
    _, url = server
    made = httpx2.post(f"{url}/v1/sessions", json={"model": "small", "text": "abc"}, timeout=300)
    assert made.status_code == 200, made.text
    name = made.json()["id"]
    for _ in range(6):
        assert httpx2.get(f"{url}/v1/sessions/{name}", timeout=300).json()["text"] == "abc"
