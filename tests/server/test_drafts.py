"""The drafts of real streams of all dialects, against the schema that the server hands out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import jsonschema
import pytest

from tests.docs.blocks import DOCS
from tests.server.test_openai import Served

QUICK = {"max_denoising_steps": 3, "seed": 1, "model": "small-text"}
MESSAGES = [{"role": "user", "content": "fill python"}]
ASKED = {"stream": True, "stream_options": {"include_drafts": True}}
STREAMS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": MESSAGES, "max_tokens": 8, "n": 2, **ASKED},
    "/v1/completions": {"prompt": "x = 1\n", "max_tokens": 8, **ASKED},
    "/v1/responses": {"input": "fill python", "max_output_tokens": 8, **ASKED},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 8, "stream": True, "drafts": True},
    "/api/chat": {"messages": MESSAGES, "options": {"num_predict": 8}, "drafts": True},
    "/api/generate": {"prompt": "x = 1\n", "raw": True, "options": {"num_predict": 8}, "drafts": True},
    "/v1/infill": {"template": "x = <hole>\n", "stream": True, "max_candidates": 2, "max_tokens": 4},
    "/v1/edits": {"text": "x = 1\n", "spans": [[4, 5]], "stream": True, "max_candidates": 2, "max_tokens": 4},
}  # fmt: skip


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = Served()
    yield f"http://127.0.0.1:{server.port}"
    server.close()


@pytest.fixture(scope="module")
def valid(url: str) -> jsonschema.Draft202012Validator:
    schema = httpx2.get(f"{url}/v1/drafts/schema").json()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def drafts_of(url: str, path: str) -> list[dict[str, Any]]:
    answer = httpx2.post(url + path, json=QUICK | STREAMS[path], timeout=60)
    assert answer.status_code == 200, answer.text
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n")]
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [one for one in found if "draft" in one or one.get("object") == "infill.draft"]


@pytest.mark.parametrize("path", STREAMS)
def test_the_drafts_of_a_stream_are_as_the_schema_says(
    url: str, path: str, valid: jsonschema.Draft202012Validator
) -> None:
    found = drafts_of(url, path)
    assert found
    for one in found:
        valid.validate(one)
    tokens: dict[tuple[int, int], dict[int, str]] = {}
    for one in found:
        draft = one.get("draft", one)
        index = draft["candidate"] if "candidate" in draft else draft["index"]
        cells = tokens.setdefault((index, draft["canvas"]), {})
        changed = dict(draft["changed"])
        assert all(cells.get(at) != text for at, text in changed.items())
        cells |= changed
        assert sorted(cells) == list(range(len(draft["confidence"])))
    if path == "/v1/chat/completions":
        assert {(0, 0), (1, 0)} <= set(tokens)


def test_what_is_no_draft_is_refused_by_the_schema(
    url: str, valid: jsonschema.Draft202012Validator
) -> None:
    good = drafts_of(url, "/v1/completions")[0]
    for wrong in (
        {"step": 0}, {"canvas": "0"}, {"confidence": [101]}, {"changed": [[-1, "a"]]}, {"changed": [["a", 1]]}, {"more": 1},
    ):  # fmt: skip
        broken = good | {"draft": good["draft"] | wrong}
        assert not valid.is_valid(broken), wrong
    without = {name: value for name, value in good["draft"].items() if name != "text"}
    assert not valid.is_valid(good | {"draft": without})


def test_the_schema_in_the_docs_is_the_servers() -> None:
    import sys

    sys.path.insert(0, str(DOCS))
    import drafts_schema

    assert drafts_schema.PAGE.read_text(encoding="utf-8") == drafts_schema.page(), (
        "run python docs/drafts_schema.py"
    )
