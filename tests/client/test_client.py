"""The client against a real server, over a socket."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import pytest

from redraft import Hole
from redraft.client import AsyncClient, Client, ServerError, StreamedDraft, StreamedText
from redraft.errors import ConfigError
from tests.server.test_openai import Served

QUICK = {"max_denoising_steps": 4, "seed": 5}
SHORT = {**QUICK, "max_tokens": 12}
TEMPLATE = "x = 1\ny = <hole>\n"
FEW = {**QUICK, "max_tokens": 4, "max_candidates": 2}


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    served = Served(api_key="secret")
    yield served
    served.close()


@pytest.fixture
def client(server: Served) -> Iterator[Client]:
    with Client(server.url, key="secret") as client:
        yield client


def test_the_client_needs_no_torch() -> None:
    script = (
        "import sys, redraft.client; assert not {'torch', 'numpy', 'fastapi'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_chat_is_drafts_and_its_text(client: Client, server: Served) -> None:
    events = client.chat("fill python", **SHORT)
    found = list(events)
    drafts = [event for event in found if isinstance(event, StreamedDraft)]
    texts = [event for event in found if isinstance(event, StreamedText)]
    message = [{"role": "user", "content": "fill python"}]
    alone = server.model.generate(
        messages=message, max_new_tokens=12, max_denoising_steps=4, seed=5
    )
    answer = events.result()
    assert answer.text == "".join(one.text for one in texts) == alone.text
    assert len(drafts) == alone.statistics.forwards == sum(answer.usage["steps"][0])
    assert drafts[-1].text == alone.text
    assert "".join(drafts[-1].tokens).startswith(alone.text)


def test_a_completion_without_drafts_is_its_text_alone(client: Client) -> None:
    events = list(client.complete("x = 1\n", drafts=False, n=2, **SHORT))
    assert events
    assert all(isinstance(event, StreamedText) for event in events)


def test_an_infill_is_that_of_the_model(client: Client, server: Served) -> None:
    before, behind = TEMPLATE.split("<hole>")
    alone = server.model.infill([before, Hole(1, 4), behind], max_candidates=2, **QUICK)
    with client.infill(TEMPLATE, **FEW) as events:
        drafts = list(events)
    found = events.result()
    assert (found.text, list(found.fills)) == (alone.text, list(alone.fills))
    best = [one for one in drafts if isinstance(one, StreamedDraft) and one.text == found.text]
    assert best


def test_an_edit_ends_with_its_diff(client: Client) -> None:
    found = client.edit("a = 1\nb = 2\n", [(4, 5)], **FEW).result()
    assert found.text.startswith("a = ")
    assert found.text.endswith("\nb = 2\n")
    assert isinstance(found.body["diff"], str)


def test_an_asynchronous_client_gives_the_same(client: Client, server: Served) -> None:
    async def ask() -> list[str]:
        async with AsyncClient(server.url, key="secret") as one:
            chats = [one.chat("fill python", **SHORT), one.chat("fill python", **SHORT)]
            answers = await asyncio.gather(*(chat.result() for chat in chats))
            steps = [event async for event in one.infill(TEMPLATE, **FEW)]
            assert any(isinstance(event, StreamedDraft) for event in steps)
            async with one.chat("fill python", **SHORT) as left:
                await anext(left)
            return [answer.text for answer in answers]

    expected = client.chat("fill python", **SHORT).result().text
    assert asyncio.run(ask()) == [expected] * 2


def test_what_a_server_refuses_is_an_error_with_its_words(server: Served) -> None:
    with Client(server.url, key="secret", model="other") as client:
        with pytest.raises(ServerError, match="'other'") as caught:
            client.chat("hi").result()
        assert (caught.value.status, caught.value.code) == (404, "model_not_found")
        assert client.models() == ["small-text"]
    with Client(server.url, key="wrong") as client, pytest.raises(ServerError, match="API key"):
        client.models()


def test_a_server_that_is_not_there_is_an_error() -> None:
    with Client("http://127.0.0.1:9", model="m") as client, pytest.raises(ServerError, match="run"):
        client.chat("hi").result()
    with pytest.raises(ConfigError, match="localhost"):
        Client("localhost:8000")


@pytest.mark.parametrize(
    ("status", "content", "words"),
    [
        (200, b'data: {"choices": []}\n\n', "broke off"),
        (502, b"<html>Bad Gateway", "Bad Gateway"),
        (500, b'{"error": "odd"}', "odd"),
    ],
)
def test_what_no_server_of_ours_sends_is_an_error(status: int, content: bytes, words: str) -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=content)

    with (
        Client(model="m", transport=httpx2.MockTransport(answer)) as client,
        pytest.raises(ServerError, match=words),
    ):
        client.chat("hi").result()


def test_the_key_of_the_environment_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDRAFT_API_KEY", "from there")
    assert Client().http.headers["authorization"] == "Bearer from there"
    assert Client(key="").http.headers.get("authorization") is None
    assert str(Client("http://h:1/v1/").http.base_url) == "http://h:1"
