"""OpenAI's own client against the server, over a socket."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import uvicorn
from pydantic import BaseModel

import redraft
from redraft.events import Finished
from redraft.server import Settings, create_app

QUICK = {"max_denoising_steps": 6}
MESSAGES: Any = [{"role": "user", "content": "fill python"}]


class Served:
    """A server in a thread. send_buffer: bytes that its kernel holds of what a client does not
    read."""

    def __init__(
        self,
        *,
        model: redraft.Model | None = None,
        send_buffer: int | None = None,
        recogniser: Any = None,
        **settings: Any,
    ) -> None:
        self.model = model or redraft.load("small-text", dtype="float32")
        app = create_app({"small-text": self.model}, Settings(**settings), recogniser)
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        listening = socket.create_server(("127.0.0.1", 0))
        if send_buffer is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.port = listening.getsockname()[1]
        self.thread = threading.Thread(
            target=lambda: asyncio.run(self.server.serve([listening])), daemon=True
        )
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def client(self, key: str = "none") -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url, api_key=key, max_retries=0)

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served(max_batch_size=4, max_waiting=4)
    yield server
    server.close()


def alone(served: Served, **options: Any) -> Finished:
    return served.model.generate(messages=MESSAGES, **QUICK, **options)


def test_a_chat_is_what_the_model_writes(served: Served) -> None:
    answer = served.client().chat.completions.create(
        model="small-text", messages=MESSAGES, seed=3, max_tokens=40, n=2, extra_body=QUICK
    )
    expected = alone(served, seed=3, max_new_tokens=40)
    assert answer.choices[0].message.content == expected.text
    assert answer.choices[0].finish_reason == ("length" if expected.reason == "length" else "stop")
    assert answer.choices[1].message.content != expected.text
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == expected.statistics.prompt_tokens
    assert answer.usage.model_extra is not None
    assert answer.usage.model_extra["steps"][0] == list(expected.statistics.steps_per_canvas)


@pytest.mark.parametrize(
    "sampler", ["top_k", {"name": "confidence", "threshold": 0.6}, "klass:threshold=0.5"]
)
def test_a_sampler_is_that_of_the_model(served: Served, sampler: Any) -> None:
    strategies = {"sampler": sampler, "stopping": "stable_and_confident:stability_threshold=0"}
    expected = alone(served, seed=4, max_new_tokens=40, **strategies)
    client = served.client()
    chat = client.chat.completions.create(
        model="small-text", messages=MESSAGES, seed=4, max_tokens=40, extra_body=QUICK | strategies
    )
    assert chat.choices[0].message.content == expected.text
    assert chat.usage is not None
    assert chat.usage.model_extra is not None
    assert chat.usage.model_extra["steps"][0] == list(expected.statistics.steps_per_canvas)
    prompt = served.model.chat_prompt(MESSAGES)
    completion = client.completions.create(
        model="small-text", prompt=prompt, seed=4, max_tokens=40, extra_body=QUICK | strategies
    )
    assert completion.choices[0].text == expected.text


def test_a_stream_is_the_same_in_pieces(served: Served) -> None:
    stream = served.client().chat.completions.create(
        model="small-text", messages=MESSAGES, seed=3, max_tokens=200, stream=True,
        stream_options={"include_usage": True, "include_drafts": True},  # type: ignore[typeddict-unknown-key]
        extra_body=QUICK,
    )  # fmt: skip
    text, drafts, reasons, usage = "", [], [], None
    for chunk in stream:
        drafts += (
            [chunk.model_extra["draft"]]
            if chunk.model_extra and "draft" in chunk.model_extra
            else []
        )
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasons += [choice.finish_reason] if choice.finish_reason else []
        usage = chunk.usage or usage
    expected = alone(served, seed=3, max_new_tokens=200)
    assert text == expected.text
    assert reasons == ["length" if expected.reason == "length" else "stop"]
    assert usage is not None
    assert usage.completion_tokens == len(expected.tokens)
    assert len(drafts) == expected.statistics.forwards
    first = [dict(draft["changed"]) for draft in drafts if draft["canvas"] == 0]
    cells: dict[int, str] = {}
    for changed in first:
        cells |= changed
    committed = served.model.tokenizer.decode(expected.tokens[: len(cells)])  # type: ignore[union-attr]
    assert "".join(cells[at] for at in sorted(cells)).startswith(committed[:20])


class Record(BaseModel):
    name: str
    age: int


def test_structured_output_is_parsed_by_the_client(served: Served) -> None:
    answer = served.client().chat.completions.parse(
        model="small-text",
        messages=MESSAGES,
        response_format=Record,
        seed=1,
        max_tokens=60,
        extra_body=QUICK,
    )
    assert isinstance(answer.choices[0].message.parsed, Record)
    plain = served.client().chat.completions.create(
        model="small-text", messages=MESSAGES, seed=1, max_tokens=30, extra_body=QUICK,
        response_format={"type": "choice", "choice": ["yes", "no"]},  # type: ignore[arg-type]
    )  # fmt: skip
    assert plain.choices[0].message.content in ("yes", "no")


def test_a_demanded_tool_is_called(served: Served) -> None:
    parameters = {
        "type": "object",
        "properties": {"city": {"enum": ["Oslo", "Rome"]}},
        "required": ["city"],
    }
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": parameters}}]
    for stream in (False, True):
        given: Any = {
            "model": "small-text",
            "messages": MESSAGES,
            "tools": tools,
            "tool_choice": "required",
        }
        answer = served.client().chat.completions.create(
            **given, seed=1, max_tokens=60, stream=stream, extra_body=QUICK
        )
        if stream:
            deltas = [choice.delta for chunk in answer for choice in chunk.choices]
            (call,) = [call for delta in deltas for call in delta.tool_calls or []]
        else:
            (call,) = answer.choices[0].message.tool_calls
            assert answer.choices[0].finish_reason == "tool_calls"
        assert call.function.name == "weather"
        assert json.loads(call.function.arguments)["city"] in ("Oslo", "Rome")


def test_completions_continue_or_fill_in(served: Served) -> None:
    client = served.client()
    plain = client.completions.create(
        model="small-text", prompt="def f():\n", seed=2, max_tokens=20, extra_body=QUICK
    )
    assert (
        plain.choices[0].text
        == served.model.generate("def f():\n", seed=2, max_new_tokens=20, **QUICK).text
    )
    filled = client.completions.create(
        model="small-text",
        prompt="x = 1\n",
        suffix="\ny = x\n",
        seed=2,
        max_tokens=8,
        extra_body=QUICK,
    )
    expected = served.model.infill(["x = 1\n", redraft.Hole(1, 8), "\ny = x\n"], seed=2, **QUICK)
    assert filled.choices[0].text == expected.fills[0]


def test_many_at_once_get_what_each_would_get_alone(served: Served) -> None:
    answers: dict[int, str | None] = {}

    def ask(seed: int) -> None:
        done = served.client().chat.completions.create(
            model="small-text", messages=MESSAGES, seed=seed, max_tokens=30, extra_body=QUICK
        )
        answers[seed] = done.choices[0].message.content

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {seed: alone(served, seed=seed, max_new_tokens=30).text for seed in range(7)}


def test_a_client_that_leaves_makes_room(served: Served) -> None:
    stream = served.client().chat.completions.create(
        model="small-text", messages=MESSAGES, max_tokens=2000, stream=True,
        stream_options={"include_drafts": True},  # type: ignore[typeddict-unknown-key]
        extra_body={"eos_token_id": [], "stability_threshold": 48},
    )  # fmt: skip
    next(iter(stream))
    stream.close()
    for _ in range(200):
        if (
            not served.client()
            ._client.get(f"http://127.0.0.1:{served.port}/ready")
            .json()["requests"]
        ):
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the request still runs")


INVALID_REQUEST: list[tuple[dict[str, Any], type[openai.APIStatusError], str]] = [
    ({"model": "gpt-9"}, openai.NotFoundError, "not hosted here"),
    ({"messages": []}, openai.BadRequestError, "messages is empty"),
    ({"max_tokens": 0}, openai.BadRequestError, "max_tokens"),
    ({"max_tokens": 100_000}, openai.BadRequestError, "context"),
    ({"extra_body": {"entropy_bond": 1}}, openai.BadRequestError, "entropy_bound"),
    ({"extra_body": {"sampler": "klas"}}, openai.BadRequestError, "did you mean 'klass'"),
    (
        {"extra_body": {"sampler": {"name": "confidence", "threshold": "high"}}},
        openai.BadRequestError,
        "finite number",
    ),
    (
        {"response_format": {"type": "regex", "regex": "(?<=a)b"}},
        openai.BadRequestError,
        "lookbehind",
    ),
    (
        {"response_format": {"type": "regex", "regex": "a{90}"}, "max_tokens": 3},
        openai.BadRequestError,
        "raise max_new_tokens",
    ),
    ({"response_format": {"type": "regex"}}, openai.BadRequestError, "needs the field"),
    ({"tool_choice": "required"}, openai.BadRequestError, "there are no tools"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        openai.BadRequestError,
        "image_url",
    ),
    ({"n": 16}, openai.BadRequestError, "more than this server writes"),
]


@pytest.mark.parametrize(
    ("changes", "error", "words"), INVALID_REQUEST, ids=lambda value: str(value)[:40]
)
def test_what_is_wrong_is_told_in_openais_shape(
    served: Served, changes: dict[str, Any], error: type[openai.APIStatusError], words: str
) -> None:
    given = {"model": "small-text", "messages": MESSAGES, "max_tokens": 8} | changes
    for stream in (False, True):
        with pytest.raises(error) as caught:
            served.client().chat.completions.create(**given, stream=stream)
        assert words in str(caught.value)
        assert "Traceback" not in str(caught.value.body)


def test_a_key_is_asked_for_and_the_body_is_limited() -> None:
    server = Served(api_key="secret", max_body=2000)
    try:
        with pytest.raises(openai.AuthenticationError):
            server.client("wrong").models.list()
        assert [model.id for model in server.client("secret").models.list()] == ["small-text"]
        with pytest.raises(openai.APIStatusError, match="2000 bytes"):
            server.client("secret").completions.create(model="small-text", prompt="x" * 4000)
    finally:
        server.close()
