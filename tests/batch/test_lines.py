"""Lines of a batch file become requests of the server."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from redraft.batch.lines import Defaults, read_item
from redraft.server.openai.completion_schema import CompletionRequest
from redraft.server.openai.schemas import ChatRequest
from redraft.server.routes.infill import EditRequest, InfillRequest

CHAT = {"messages": [{"role": "user", "content": "hi"}]}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def item(record: Any, folder: Path = Path(), model: str | None = "m") -> Any:
    return read_item(3, json.dumps(record).encode(), Defaults(model, 7, folder))


@pytest.mark.parametrize(
    ("record", "url", "form"),
    [
        (CHAT, "/v1/chat/completions", ChatRequest),
        ({"prompt": "once", "max_tokens": 3}, "/v1/completions", CompletionRequest),
        ({"template": "a <hole>", "instruction": "fill"}, "/v1/infill", InfillRequest),
        ({"text": "abc", "spans": [[0, 1]], "kind": "rewrite"}, "/v1/edits", EditRequest),
    ],
)
def test_each_kind_is_a_request_that_the_server_reads(record: Any, url: str, form: Any) -> None:
    found = item({"id": "x"} | record)
    assert (found.url, found.name, found.problem) == (url, "x", "")
    request = form.model_validate_json(json.dumps(found.body))
    assert request.model == "m"
    assert request.seed == item({"id": "y"} | record).body["seed"]


@pytest.mark.parametrize("name", ["regex", "choice", "grammar", "json_schema"])
def test_a_constraint_is_the_servers_format(name: str) -> None:
    value = {"regex": "a+", "choice": ["a", "b"], "grammar": 'start: "a"', "json_schema": SCHEMA}
    for record, field in (
        (CHAT, "response_format"),
        ({"prompt": "x"}, "response_format"),
        ({"template": "<hole>"}, "formats"),
    ):
        found = item(record | {"constraint": {name: value[name]}})
        form = found.body[field][0] if field == "formats" else found.body[field]
        assert form["type"] == name
        assert "constraint" not in found.body
        kinds = {"/v1/infill": InfillRequest, "/v1/completions": CompletionRequest}
        kinds.get(found.url, ChatRequest).model_validate_json(json.dumps(found.body))


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (CHAT | {"prompt": "x"}, "messages and prompt"),
        (CHAT | {"id": [1]}, "must be a string or an integer"),
        (CHAT | {"stream": True}, "no streams"),
        (CHAT | {"constraint": {"regexp": "a"}}, "constraint must be"),
        (CHAT | {"constraint": {"regex": "a"}, "response_format": {}}, "two constraints"),
        ({"text": "a", "spans": [[0, 1]], "constraint": {"regex": "a"}}, "an edit has none"),
        ({"custom_id": "a", "body": {}, "extra": 1}, "extra"),
        ({"custom_id": "a", "url": "/v1/embeddings", "body": {}}, "must be one of"),
        ({"custom_id": "a", "url": "/v1/infill", "body": 3}, "body must be an object"),
        ("text", "JSON str"),
    ],
)
def test_what_is_wrong_is_named(record: Any, words: str) -> None:
    assert words in item(record).problem


def test_among_several_models_a_line_names_one() -> None:
    assert "name one in each line" in item(CHAT, model=None).problem
    assert item(CHAT | {"model": "b"}, model=None).body["model"] == "b"


def test_files_of_images_are_read_beside_the_input(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), "red").save(tmp_path / "red.png")
    (tmp_path / "text.txt").write_text("secret")

    def chat(name: str) -> Any:
        part = {"type": "image", "image": name, "max_soft_tokens": 70}
        return item({"messages": [{"role": "user", "content": [part]}]}, tmp_path)

    part = chat("red.png").body["messages"][0]["content"][0]
    head, _, data = part["image"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == (tmp_path / "red.png").read_bytes()
    assert part["max_soft_tokens"] == 70
    assert "is none of PNG" in chat("text.txt").problem
    assert "cannot be read" in chat("none.png").problem
    assert "is no file" in chat(".").problem
    assert chat("data:image/png;base64,xx").problem == ""


def test_a_byte_order_mark_is_read_over() -> None:
    data = b"\xef\xbb\xbf" + json.dumps(CHAT).encode()
    assert read_item(1, data, Defaults("m", 0, Path())).problem == ""
    assert read_item(2, b"[" * 100_000, Defaults("m", 0, Path())).problem
