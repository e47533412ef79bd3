"""Images over HTTP: data URLs and nothing else; usage; hostile bodies; no file and no address is
read."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import redraft
from redraft.images import prepare
from redraft.images.prepare import from_pixels
from redraft.server import Settings, create_app
from redraft.server.runtime.pixels import PixelBudget
from redraft.server.runtime.worker import BusyError
from redraft.testing import tiny_checkpoint, tiny_encoder
from redraft.testing.tiny import tiny_vision_config
from tests.images.hostile import hostile_bodies, url
from tests.images.test_read import file_of
from tests.text.templates import RELEASE, find_template

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
FILE = file_of(Image.fromarray(PIXELS))


def served(folder: Path, vision: bool) -> TestClient:
    encoder = tiny_encoder(1) if vision else None
    path = tiny_checkpoint(folder / "tiny", 1, vision=encoder, max_position_embeddings=4096)
    if vision and (source := find_template(RELEASE)):
        (path / "chat_template.jinja").write_text(source, encoding="utf-8")
    return TestClient(
        create_app({"tiny": redraft.load(path)}, Settings()), base_url="http://127.0.0.1"
    )


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with served(tmp_path_factory.mktemp("vision"), True) as client:
        yield client


def ask(client: TestClient, *parts: Any, **more: Any) -> Any:
    message = {"role": "user", "content": [*parts, {"type": "text", "text": "what?"}]}
    body = {"model": "tiny", "messages": [message], "seed": 1} | more
    limits = {"max_tokens": 4, "max_denoising_steps": 2}
    return client.post("/v1/chat/completions", json=limits | body)


def part(address: Any = None, **options: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": address or url(FILE)} | options}


def tokens(client: TestClient, *parts: Any) -> int:
    answer = ask(client, *parts)
    assert answer.status_code == 200, answer.text
    count: int = answer.json()["usage"]["prompt_tokens"]
    return count


def test_usage_counts_soft_tokens_and_two_marks(client: TestClient) -> None:
    plain, config = tokens(client), tiny_vision_config()
    for options, budget in (
        ({}, None), ({"detail": "auto"}, None), ({"detail": "low"}, 70), ({"detail": "high"}, 1120),
        ({"max_soft_tokens": 140}, 140), ({"detail": "auto", "max_soft_tokens": 280}, 280),
    ):  # fmt: skip
        wanted = prepare(PIXELS, config, budget).soft_tokens + 2
        assert tokens(client, part(**options)) == plain + wanted
    assert tokens(client, part(), part()) == plain + 2 * (prepare(PIXELS, config).soft_tokens + 2)
    again = ask(client, {"type": "input_image", "image_url": url(FILE)})
    assert again.json()["usage"]["prompt_tokens"] == tokens(client, part())


def test_an_answer_depends_on_the_image_and_streams_alike(client: TestClient) -> None:
    other = url(file_of(Image.fromarray(255 - PIXELS)))
    first, second = (
        ask(client, part(one), max_tokens=16).json()["choices"][0]["message"]["content"]
        for one in (url(FILE), other)
    )
    assert first != second
    streamed = ask(client, part(), stream=True, stream_options={"include_usage": True})
    assert streamed.status_code == 200
    assert '"prompt_tokens"' in streamed.text
    scored = ask(client, part(), logprobs=True, top_logprobs=2)
    assert scored.status_code == 200, scored.text


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:9/a.png", "https://example.com/a.png", "file:///etc/passwd", "/etc/passwd"],
)
def test_nothing_is_fetched_and_no_file_is_read(
    client: TestClient, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("a file was opened"))
    for one in (
        part(address),
        {"type": "image_url", "image_url": address},
        {"type": "image", "image": address},
        {"type": "image", "path": address},
    ):
        answer = ask(client, one)
        assert answer.status_code == 400
        message = answer.json()["error"]["message"]
        assert "data URL" in message
        assert "messages[0].content[0]" in message


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (part(detail="huge"), "low, auto, high"),
        (part(max_soft_tokens=99), "70, 140, 280, 560, 1120"),
        (part(detail="low", max_soft_tokens=280), "differ"),
        (part(quality=3), "quality"),
        (part(url(b"no image")), "PNG, JPEG, WEBP or GIF"),
        ({"type": "image_url"}, "image_url"),
        ({"type": "image_url", "image_url": {}}, "data URL"),
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "only text"),
    ],
)
def test_what_is_wrong_with_an_image_is_said(client: TestClient, one: Any, words: str) -> None:
    answer = ask(client, one)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["error"]["message"]


def test_models_say_what_they_read(client: TestClient, tmp_path: Path) -> None:
    (entry,) = client.get("/v1/models").json()["data"]
    assert entry["redraft"]["images"]["choices"] == [70, 140, 280, 560, 1120]
    assert "image/png" in entry["redraft"]["images"]["formats"]
    with served(tmp_path, False) as text:
        assert text.get("/v1/models").json()["data"][0]["redraft"]["images"] is None
        answer = ask(text, part())
        assert answer.status_code == 400
        assert "without an image encoder" in answer.json()["error"]["message"]


def test_bodies_with_images_may_be_larger(client: TestClient, tmp_path: Path) -> None:
    large = url(b"x" * (5 << 20))
    assert ask(client, part(large)).status_code == 400  # it was read, and is no image
    with served(tmp_path, False) as text:
        assert ask(text, part(large)).status_code == 413


def test_pixels_that_wait_have_a_bound() -> None:
    budget, config = PixelBudget(limit=40 * 36 * 3), tiny_vision_config()
    images = [from_pixels(np.zeros((24, 36, 3), np.uint8), config) for _ in range(2)]
    budget.take(images[0])
    with pytest.raises(BusyError):
        budget.take(images[1])
    del images[0]
    assert budget.held == 0
    budget.take(images[0])


@pytest.mark.filterwarnings("ignore")
def test_hostile_bodies_get_an_answer(client: TestClient) -> None:
    statuses = set()
    for number, body in enumerate(hostile_bodies(random.Random(3), 60)):
        answer = client.post(
            "/v1/chat/completions",
            content=json.dumps(body).encode("ascii"),
            headers={"Content-Type": "application/json"},
        )
        statuses.add(answer.status_code)
        assert answer.status_code < 500, (number, answer.text)
    assert {200, 400} <= statuses


DATA = url(FILE).partition(",")[2]
LIMITS = {"max_denoising_steps": 2, "seed": 1, "model": "tiny", "stream": False}


def in_dialects(detail: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The same message, an image and `what?`, in every dialect."""
    source = {"type": "base64", "media_type": "image/png", "data": DATA}
    image, what = {"type": "image", "source": source}, {"type": "text", "text": "what?"}
    shown = {"type": "input_image", "image_url": url(FILE)} | detail
    asked = {"role": "user", "content": [shown, {"type": "input_text", "text": "what?"}]}
    return {
        "/v1/messages": {"max_tokens": 4, "messages": [{"role": "user", "content": [image | detail, what]}]},
        "/v1/responses": {"max_output_tokens": 4, "input": [asked]},
        "/api/chat": {"options": {"num_predict": 4}, "messages": [{"role": "user", "content": "what?", "images": [DATA]}]},
        "/api/generate": {"options": {"num_predict": 4}, "prompt": "what?", "images": [url(FILE)]},
    }  # fmt: skip


def read_in(path: str, answer: dict[str, Any]) -> tuple[int, str]:
    """The tokens of the prompt, and the text."""
    match path:
        case "/v1/messages":
            text = "".join(block.get("text", "") for block in answer["content"])
            return answer["usage"]["input_tokens"], text
        case "/v1/responses":
            parts = answer["output"][-1]["content"]
            return answer["usage"]["input_tokens"], "".join(part["text"] for part in parts)
        case "/api/chat":
            return answer["prompt_eval_count"], answer["message"]["content"]
    return answer["prompt_eval_count"], answer["response"]


@pytest.mark.parametrize("path", in_dialects({}))
def test_an_image_is_the_same_in_every_dialect(client: TestClient, path: str) -> None:
    plain = ask(client, part()).json()
    expected = plain["usage"]["prompt_tokens"], plain["choices"][0]["message"]["content"]
    answer = client.post(path, json=LIMITS | in_dialects({})[path])
    assert answer.status_code == 200, answer.text
    assert read_in(path, answer.json()) == expected
    if path in ("/v1/messages", "/v1/responses"):
        answer = client.post(path, json=LIMITS | in_dialects({"max_soft_tokens": 70})[path])
        assert read_in(path, answer.json())[0] == tokens(client, part(max_soft_tokens=70))


def test_the_images_of_a_tools_result_are_shown_behind_all_results(client: TestClient) -> None:
    call = {"name": "look", "arguments": "{}"}
    calls = [{"id": one, "type": "function", "function": call} for one in "ab"]
    results = [
        {"role": "tool", "tool_call_id": one, "content": text}
        for one, text in (("a", "see"), ("b", ""))
    ]
    user = {"role": "user", "content": "go"}
    shown = {"role": "user", "content": [part(), part()]}
    turns = [user, {"role": "assistant", "content": None, "tool_calls": calls}, *results, shown]
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    body = {
        "model": "tiny",
        "messages": turns,
        "tools": [tool],
        "max_tokens": 2,
        "max_denoising_steps": 2,
    }
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    expected = answer.json()["usage"]["prompt_tokens"]
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}
    text = {"type": "text", "text": "see"}
    blocks = [
        {"type": "tool_result", "tool_use_id": "a", "content": [text, image]},
        {"type": "tool_result", "tool_use_id": "b", "content": [image]},
    ]
    uses = [{"type": "tool_use", "id": one, "name": "look", "input": {}} for one in "ab"]
    turns = [user, {"role": "assistant", "content": uses}, {"role": "user", "content": blocks}]
    tools = [{"name": "look", "input_schema": {"type": "object"}}]
    counted = client.post(
        "/v1/messages/count_tokens", json={"model": "tiny", "messages": turns, "tools": tools}
    )
    assert counted.json() == {"input_tokens": expected}
    seen = {"type": "input_image", "image_url": url(FILE)}
    items = [
        {"role": "user", "content": "go"},
        *({"type": "function_call", "call_id": one, "name": "look", "arguments": "{}"} for one in "ab"),
        {"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "see"}, seen]},
        {"type": "function_call_output", "call_id": "b", "output": [seen]},
    ]  # fmt: skip
    tools = [{"type": "function", "name": "look", "parameters": {"type": "object"}}]
    body = LIMITS | {"input": items, "tools": tools, "max_output_tokens": 2}
    assert client.post("/v1/responses", json=body).json()["usage"]["input_tokens"] == expected
