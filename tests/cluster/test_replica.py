"""A stream whose replica ends goes on byte for byte, in every dialect, by real replicas."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import httpx2
import pytest
import torch

from redraft.batch.models import ModelsToLoad
from redraft.cluster.calls import AnswerPart, Call
from redraft.cluster.front import FrontApp, ReplicaLostError
from redraft.cluster.metrics import joined_pages
from redraft.cluster.replica import Replica, ReplicaPlan
from redraft.cluster.serving import OWN, ReplicaBounds
from redraft.cluster.state import StateActor
from redraft.server import Settings
from redraft.server.runtime.metrics import Metrics
from redraft.server.runtime.store import Store

SAID = [{"role": "user", "content": "calc 17+25-03"}]
DRAFTS = {"stream": True, "stream_options": {"include_drafts": True}}
STREAMS = [
    ("/v1/chat/completions", {"model": "small", "messages": SAID, **DRAFTS}),
    ("/v1/responses", {"model": "small", "input": "calc 4+5", **DRAFTS}),
    (
        "/v1/messages",
        {"model": "small", "messages": SAID, "max_tokens": 40, "stream": True, "drafts": True},
    ),
    ("/api/chat", {"model": "small", "messages": SAID, "drafts": True}),
    ("/completion", {"prompt": "calc 3+4", "n_predict": 24, "stream": True}),
    ("/v1/infill", {"model": "small", "template": "1+<hole>=3", "stream": True}),
    ("/v1/chat/completions", {"model": "small", "messages": SAID}),
]
# What is a matter of time, and stands in the last part.
PASSING = re.compile(
    rb'"(seconds|\w+_duration|\w+_ms|\w+_per_second|cached_\w+|cache_n)": ?[0-9.e-]+'
)


class TwoReplicas:
    """Two replicas in this process, of which the first ends after some parts of an answer."""

    def __init__(self, after: int) -> None:
        plan = ReplicaPlan(models=ModelsToLoad(paths={"small": "small"}), settings=Settings())
        self.replicas = [Replica(plan, None) for _ in range(2)]
        self.after = after
        self.calls: list[Call] = []

    async def answer(self, call: Call) -> AsyncIterator[AnswerPart]:
        self.calls.append(call)
        first = len(self.calls) == 1
        async with aclosing(self.replicas[0 if first else 1].answer(call)) as parts:
            count = 0
            async for part in parts:
                if first and count >= self.after:
                    raise ReplicaLostError("it ended")
                yield part
                count += 1

    async def forget(self, call: Call) -> None:
        pass


@pytest.fixture(scope="module")
def replicas() -> Iterator[TwoReplicas]:
    threads, interval = torch.get_num_threads(), sys.getswitchinterval()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("redraft.cluster.replica.memory_share", lambda *_: 1 << 30)
        patch.setattr("redraft.cluster.replica.remote_store", lambda _: Store())
        yield TwoReplicas(0)
    torch.set_num_threads(threads)
    sys.setswitchinterval(interval)
    gc.unfreeze()


def test_a_stream_goes_on_where_its_replica_ended_in_every_dialect(replicas: TwoReplicas) -> None:
    async def get() -> list[tuple[int, bytes, bytes]]:
        front = FrontApp(replicas, lambda _: None)
        found = []
        transport = httpx2.ASGITransport(front)
        async with httpx2.AsyncClient(transport=transport, base_url="http://front") as client:
            for number, (path, body) in enumerate(STREAMS):
                shown = "drafts" in str(body) or path == "/v1/infill"
                replicas.calls, replicas.after = [], 2 + number % 3 if shown else 1
                answer = await client.post(path, json=body, timeout=60)
                assert len(replicas.calls) == 2, path
                alone = b""
                async for part in replicas.replicas[0].answer(replicas.calls[0]):
                    alone += part.body
                found.append((answer.status_code, answer.content, alone))
        for replica in replicas.replicas:
            await replica.close()
        return found

    for (path, _), (status, content, alone) in zip(STREAMS, asyncio.run(get()), strict=True):
        assert status == 200, (path, content)
        assert len(content) > 100
        assert PASSING.sub(b"", content) == PASSING.sub(b"", alone), path


def test_the_state_remembers_a_requests_calls_until_it_has_ended() -> None:
    state = StateActor(None)
    first = state.call(b"a", 0, "", "begin", ("small", "one", None))
    assert state.call(b"a", 0, "", "begin", ("small", "one", None)) == first
    second = state.call(b"a", 1, "", "begin", ("small", "one", None))
    assert len({one["id"] for one in state.call(b"", 0, "", "sessions", ())}) == 2
    state.call(b"b", 0, "", "edit", (first["id"], "one", "two"))
    # A read of the request that came before the edit is what it was.
    read = state.call(b"c", 0, "", "session", (first["id"],))
    state.call(b"c", 1, "", "edit", (first["id"], "two", "three"))
    assert state.call(b"c", 0, "", "session", (first["id"],)) == read
    state.forget_request(b"c")
    assert state.call(b"c", 0, "", "session", (first["id"],))["text"] == "three"
    assert second["id"] != first["id"]
    with pytest.raises(KeyError):
        state.call(b"d", 0, "responses", "response", ("none",))


def test_bounds_are_those_of_autoscaling() -> None:
    assert ReplicaBounds(min_replicas=2, max_replicas=2).options(8) == {"num_replicas": 2}
    scaled: Any = ReplicaBounds(min_replicas=1, max_replicas=4).options(8)["autoscaling_config"]
    assert scaled == {"min_replicas": 1, "max_replicas": 4, "target_ongoing_requests": 8}


def test_the_page_of_metrics_has_each_replica_and_counts_answers_once() -> None:
    front, other = Metrics(), Metrics()
    front.answered("/v1/x", 200)
    other.answered("/v1/x", 200)
    page = asyncio.run(other.page()).body.decode()
    joined = joined_pages(front.registry, {"a": page, "b": page}, OWN).decode().splitlines()
    answers = [line for line in joined if line.startswith("redraft_responses_total")]
    assert answers == ['redraft_responses_total{route="/v1/x",status="200"} 1.0']
    tokens = [line for line in joined if line.startswith("redraft_tokens_total")]
    assert tokens == [f'redraft_tokens_total{{replica="{name}"}} 0.0' for name in "ab"]
    assert len([one for one in joined if one.startswith("# TYPE redraft_tokens_total ")]) == 1
