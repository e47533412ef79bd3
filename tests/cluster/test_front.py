"""The front answers every request, whichever replica ends, and sends no byte twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from redraft.cluster.calls import AnswerPart, Call, prefixes_of
from redraft.cluster.front import TRIES, BrokenStreamError, FrontApp, ReplicaLostError
from redraft.drawn import drawing, random_bits, token_hex

TEXT = [f"data: part {number}\n\n".encode() for number in range(8)]


class FailingReplicas:
    """Replicas of which the first `deaths` end after some parts; `change` alters later answers."""

    def __init__(self, deaths: int, after: int, *, change: bool = False) -> None:
        self.deaths, self.after, self.change = deaths, after, change
        self.calls: list[Call] = []
        self.forgotten: list[bytes] = []

    async def answer(self, call: Call) -> AsyncIterator[AnswerPart]:
        self.calls.append(call)
        dies = len(self.calls) <= self.deaths
        yield AnswerPart(status=200, headers=((b"x-from", b"%d" % len(self.calls)),), route="/v1/x")
        # Every answer is cut into other parts than the one before.
        size = 7 + len(self.calls)
        whole = b"".join(TEXT)
        if self.change and len(self.calls) > 1:
            whole = whole.replace(b"part 1", b"part I")
        for at, start in enumerate(range(0, len(whole), size)):
            if dies and at == self.after:
                raise ReplicaLostError("killed")
            yield AnswerPart(whole[start : start + size])
        if dies:
            raise ReplicaLostError("killed")
        yield AnswerPart(tokens=5)

    async def forget(self, call: Call) -> None:
        self.forgotten.append(call.secret)


def ask(replicas: FailingReplicas, written: list[int] | None = None) -> httpx2.Response:
    """Ask for a stream, and return the answer."""
    front = FrontApp(replicas, ([] if written is None else written).append)

    async def get() -> httpx2.Response:
        transport = httpx2.ASGITransport(front)
        async with httpx2.AsyncClient(transport=transport, base_url="http://front") as client:
            return await client.post("/v1/x", json={"model": "m", "prompt": "a"})

    return asyncio.run(get())


@pytest.mark.parametrize("after", [0, 1, 4, 1000])
@pytest.mark.parametrize("deaths", [0, 1, 3])
def test_an_answer_goes_on_where_its_replica_ended(
    deaths: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redraft.cluster.front.PAUSES", (0.0,) * (TRIES - 1))
    replicas, written = FailingReplicas(deaths, after), list[int]()
    answer = ask(replicas, written)
    assert answer.content == b"".join(TEXT)
    assert len(replicas.calls) == deaths + 1
    # The answer is one: all asked for it with one secret, and its head is the first that was sent.
    assert len({one.secret for one in replicas.calls}) == 1
    assert int(answer.headers["x-from"]) == (deaths + 1 if after == 0 else 1)
    assert written == [5]
    assert replicas.forgotten == [replicas.calls[0].secret]


def test_an_answer_that_is_another_one_breaks_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redraft.cluster.front.PAUSES", (0.0,) * (TRIES - 1))
    with pytest.raises(BrokenStreamError, match="another one"):
        ask(FailingReplicas(1, 6, change=True))
    # One that had not begun may be another one.
    assert b"part I" in ask(FailingReplicas(1, 0, change=True)).content


def test_a_request_that_ends_every_replica_gets_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redraft.cluster.front.PAUSES", (0.0,) * (TRIES - 1))
    replicas = FailingReplicas(100, 0)
    answer = ask(replicas)
    assert (answer.status_code, len(replicas.calls)) == (503, TRIES)
    assert "have ended" in answer.json()["error"]["message"]
    with pytest.raises(BrokenStreamError):
        ask(FailingReplicas(100, 3))


def test_numbers_follow_from_a_secret_alone() -> None:
    def drawn(secret: bytes) -> list[Any]:
        with drawing(secret, 1.0):
            return [token_hex(12), random_bits(63), token_hex(16)]

    assert drawn(b"a") == drawn(b"a") != drawn(b"b")
    assert token_hex(12) != token_hex(12)
    assert 0 <= drawn(b"a")[1] < 1 << 63


def test_prompts_that_begin_alike_share_prefixes() -> None:
    def prefixes(**body: Any) -> tuple[bytes, ...]:
        return prefixes_of("/v1/chat/completions", json.dumps(body).encode())

    long = "".join(f"sentence {number}. " for number in range(100))
    first = [{"role": "user", "content": long}]
    second = [*first, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "so?"}]
    one, two = prefixes(messages=first, model="m"), prefixes(model="m", messages=second, seed=1)
    shared = len(json.dumps(first)) // 256
    assert one[:shared] == two[:shared]
    assert len(set(one)) == len(one) > 4
    assert not set(one) & set(prefixes(model="adapter", messages=first))
    assert prefixes_of("/v1/models", b"") != prefixes_of("/v1/sessions/a", b"")
    assert prefixes_of("/x", b"\xff" * 700)[:2] == prefixes_of("/x", b"\xff" * 600)[:2]
