"""Requests that begin alike go to one replica; a request whose replica is lost goes to another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.requests import Request

import redraft
from redraft.batch.models import ModelsToLoad
from redraft.cluster.door import ATTEMPTS, Door, begun
from redraft.cluster.replica import Asked, Head, Replica
from redraft.cluster.routing import is_kept, routing_key
from redraft.cluster.serve import Replicas
from redraft.errors import ConfigError
from redraft.server import Settings

CHAT = "/v1/chat/completions"


def key(path: str = CHAT, **body: Any) -> str:
    return routing_key(path, json.dumps(body).encode())


def said(*texts: str, system: str = "Be brief.") -> list[dict[str, str]]:
    roles = ["user", "assistant"] * len(texts)
    turns = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    return [{"role": "system", "content": system}, *turns]


def test_all_turns_of_a_conversation_have_one_key() -> None:
    first = key(model="m", messages=said("Who?"))
    assert first == key(model="m", messages=said("Who?", "I.", "Why?"), seed=3)
    assert first == key("/v1/messages", model="m", messages=said("Who?"))
    assert first != key(model="m", messages=said("What?"))
    assert first != key(model="m", messages=said("Who?", system="Be long."))


def test_adapters_and_long_prefixes_have_keys_of_their_own() -> None:
    assert key(model="a", prompt="x" * 600) == key(model="a", prompt="x" * 512 + "y")
    assert key(model="a", prompt="x") != key(model="b", prompt="x")
    assert key(model="a", prompt=[1, 2]) != key(model="a", prompt=[1, 3])
    assert "secret" not in key(model="m", prompt="secret")


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff", b"[" * 99_999, b'{"model": 3}'])
def test_what_is_no_request_has_a_key_too(body: bytes) -> None:
    assert len(routing_key("/x", body)) == 32


def test_state_is_in_one_place() -> None:
    kept = ["/v1/sessions", "/v1/sessions/a/undo", "/v1/responses", "/v1/pages/x", "/metrics"]
    assert [is_kept(path) for path in kept] == [True] * 5
    assert not [path for path in (CHAT, "/", "/v1/models", "/v1/sessionsx") if is_kept(path)]


class ActorDiedError(Exception):
    """As Ray names it."""


async def answer(*parts: Any) -> AsyncGenerator[Any, None]:
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part


def test_a_lost_replicas_request_goes_to_another_before_it_has_begun() -> None:
    tries = iter([answer(ActorDiedError()), answer(ActorDiedError()), answer(Head(200, []), b"a")])

    async def asked() -> tuple[Head, list[bytes]]:
        head, rest = await begun(lambda: next(tries), pause=0.0)
        return head, [part async for part in rest]

    assert asyncio.run(asked()) == (Head(200, []), [b"a"])


def test_behind_its_head_nothing_is_sent_twice() -> None:
    class Broken:
        cancelled = False

        def __init__(self) -> None:
            self.parts = answer(Head(200, []), b"a", ActorDiedError())

        def __aiter__(self) -> Any:
            return self.parts

        def cancel(self) -> None:
            self.cancelled = True

    made: list[Broken] = []

    async def asked() -> None:
        def ask() -> Broken:
            made.append(Broken())
            return made[-1]

        _, rest = await begun(ask, pause=0.0)
        got: list[bytes] = []

        async def read() -> None:
            async for part in rest:
                got.append(part)

        with pytest.raises(ActorDiedError):
            await read()
        assert got == [b"a"]

    asyncio.run(asked())
    assert len(made) == 1
    assert made[0].cancelled


def test_other_errors_and_the_last_loss_are_raised() -> None:
    asks: list[int] = []

    def failing(error: Exception) -> Any:
        asks.append(1)
        return answer(error)

    with pytest.raises(KeyError):
        asyncio.run(begun(lambda: failing(KeyError("x")), pause=0.0))
    assert len(asks) == 1
    with pytest.raises(ActorDiedError):
        asyncio.run(begun(lambda: failing(ActorDiedError()), pause=0.0))
    assert len(asks) == 1 + ATTEMPTS


def test_numbers_of_replicas_are_checked() -> None:
    for fewest, most in ((0, 1), (3, 2)):
        with pytest.raises(ConfigError, match="replicas"):
            Replicas(address="local", fewest=fewest, most=most)


class Handle:
    """Calls a replica of this process, as Ray's handle would."""

    def __init__(self, replica: Replica) -> None:
        self._replica, self.keys = replica, []  # type: ignore[var-annotated]

    def options(self, *, stream: bool, session_id: str) -> Any:
        assert stream
        self.keys.append(session_id)
        return self

    @property
    def answer(self) -> Any:
        return self

    def remote(self, asked: Asked) -> Any:
        return self._replica.answer(asked)


def request(path: str, body: bytes, size: int = 7) -> Request:
    parts = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    messages = [
        {"type": "http.request", "body": part, "more_body": at + 1 < len(parts)}
        for at, part in enumerate(parts)
    ]

    async def receive() -> Any:
        return messages.pop(0)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"",
             "headers": headers, "server": ("localhost", 80), "scheme": "http"}  # fmt: skip
    return Request(scope, receive)


def test_the_door_hands_answers_and_streams_on() -> None:
    models = ModelsToLoad(paths={"small": "small"}, memory=1 << 30)

    async def asked() -> None:
        replica = Replica(models, Settings(memory=1 << 30))
        await replica.check_health()
        engines, keeper = Handle(replica), Handle(replica)
        door = Door(engines, keeper, 4000)
        body = {"model": "small", "messages": [{"role": "user", "content": "calc 1+1"}], "seed": 1}
        whole = await door(request(CHAT, json.dumps(body).encode()))
        text = b"".join([part async for part in whole.body_iterator])  # type: ignore[attr-defined]
        content = json.loads(text)["choices"][0]["message"]["content"]
        expected = redraft.load("small").generate(messages=body["messages"], seed=1).text
        assert content == expected
        streamed = await door(request(CHAT, json.dumps(body | {"stream": True}).encode()))
        assert streamed.headers["content-type"].startswith("text/event-stream")
        parts = [part async for part in streamed.body_iterator]  # type: ignore[attr-defined]
        assert b"".join(parts).endswith(b"data: [DONE]\n\n")
        refused = await door(request(CHAT, b"x" * 5000))
        assert refused.status_code == 413
        assert len(engines.keys) == 2
        assert len(set(engines.keys)) == 1
        listed = await door(request("/v1/sessions", b"{}"))
        assert listed.status_code == 400
        assert len(keeper.keys) == 1

    asyncio.run(asked())
