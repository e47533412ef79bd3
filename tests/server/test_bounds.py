"""What a request's length decides, and what bounds it."""

from __future__ import annotations

import io
import random
import threading
import time
from typing import Any

import anyio
import pytest
from PIL import Image
from pydantic import ConfigDict, ValidationError

from redraft.errors import ChatTemplateError, ImageError, RequestError
from redraft.images.read import read_image
from redraft.server.anthropic.blocks import _assistant
from redraft.server.anthropic.schemas import CountRequest
from redraft.server.ollama.schemas import OllamaChatRequest
from redraft.server.ollama.waiting import Call, Waiting
from redraft.server.openai.completion_schema import MAX_PROMPTS, CompletionRequest
from redraft.server.openai.messages import MAX_CALLS, openai_messages
from redraft.server.openai.schemas import (
    MAX_BIASES,
    MAX_ERRORS,
    MAX_MESSAGES,
    MAX_OBJECTS,
    MAX_TOOLS,
    Body,
    ChatRequest,
    settings_among,
)
from redraft.server.responses.schemas import ResponseRequest
from redraft.server.routes.infill import MAX_HOLES, InfillRequest
from redraft.server.runtime.database import Database
from redraft.server.runtime.kept_responses import MAX_CHAIN_CHARACTERS, Responses
from redraft.server.runtime.preparing import Preparing
from redraft.server.runtime.store import MAX_SHOWN, MAX_TITLE, Store
from redraft.server.runtime.worker import BusyError
from redraft.text.messages import _members
from redraft.text.plain_data import plain
from redraft.text.tool_schemas import simple_tool


def take_slowly(waiting: list[Call], name: object, tool: object) -> Call | None:
    """Look through all calls for the one that a result belongs to."""
    named = [one for one in waiting if tool in (None, one[1])]
    for one in ([one for one in waiting if one[0] == name] or named)[:1]:
        waiting.remove(one)
        return one
    return None


def test_results_find_their_calls_as_by_looking_through_all_of_them() -> None:
    rng = random.Random(1)
    for _ in range(300):
        calls = [(rng.choice("abc"), rng.choice("xyz")) for _ in range(rng.randrange(8))]
        fast, slow = Waiting(calls), list(calls)
        for _ in range(9):
            name, tool = rng.choice(["a", "b", "q", None]), rng.choice(["x", "y", "w", None])
            assert fast.take(name, tool) == take_slowly(slow, name, tool)


def test_an_id_that_is_no_text_finds_nothing() -> None:
    waiting = Waiting([([], "x")])
    assert waiting.take([], "y") is None
    assert waiting.take({}, "x") == ([], "x")


def test_thoughts_in_many_blocks_are_one_text() -> None:
    blocks = [{"type": "thinking", "thinking": text} for text in ("a", "b", "c")]
    assert _assistant(blocks, "messages[0]") == {
        "role": "assistant",
        "reasoning_content": "abc",
        "content": None,
    }


def turn(calls: int, results: int) -> list[dict[str, Any]]:
    """Return calls of tools, and results of the first."""
    made = [
        {"id": f"c{number}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for number in range(calls)
    ]
    result = {"role": "tool", "tool_call_id": "c0", "content": "x"}
    return [{"role": "assistant", "content": None, "tool_calls": made}, *[result] * results]


def test_calls_and_results_have_a_limit() -> None:
    assert len(openai_messages(turn(MAX_CALLS, MAX_CALLS) * 2)) == 2 * (MAX_CALLS + 1)
    for calls, results in ((MAX_CALLS + 1, 0), (1, MAX_CALLS + 1)):
        with pytest.raises(RequestError, match="256 calls"):
            openai_messages(turn(calls, results))


def test_calls_that_are_no_list_have_no_results() -> None:
    with pytest.raises(RequestError, match="must follow"):
        openai_messages([{"role": "assistant", "tool_calls": 5}, {"role": "tool", "content": "x"}])


def tool(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": schema}}


def test_references_do_not_multiply_a_large_schema() -> None:
    large = {f"k{number}": number for number in range(2000)}
    properties = {f"p{number}": {"$ref": "#/$defs/b"} for number in range(200)}
    with pytest.raises(ChatTemplateError, match="members"):
        simple_tool(tool({"properties": properties, "$defs": {"b": large}}))
    chain = {f"d{number}": {"$ref": f"#/$defs/d{number + 1}"} for number in range(200)}
    with pytest.raises(ChatTemplateError, match="references"):
        simple_tool(tool({"$ref": "#/$defs/d0", "$defs": chain}))
    with pytest.raises(ChatTemplateError, match="characters"):
        simple_tool(tool({"$ref": "#" + "/a" * 5000}))


def test_what_two_options_require_is_what_both_do() -> None:
    options = [{"type": "object", "required": names} for names in (["b", "a"], ["a", 5, "c"])]
    found = simple_tool(tool({"properties": {"p": {"anyOf": options}}}))
    assert found["function"]["parameters"]["properties"]["p"]["required"] == ["a"]  # type: ignore[index,call-overload]


def test_a_member_that_comes_twice_is_named() -> None:
    with pytest.raises(ValueError, match="'b' comes twice"):
        _members([("a", 1), ("b", 2), ("c", 1), ("b", 1)])


def test_items_that_are_referred_to_have_a_limit_together() -> None:
    responses = Responses(Database())
    item = {"id": "msg_1", "text": "x" * (MAX_CHAIN_CHARACTERS // 3)}
    own = {"id": "mine", "text": "y"}
    response = {"id": "resp_1", "previous_response_id": None, "output": [item]}
    responses.keep(response, [own])
    reference = {"type": "item_reference", "id": "msg_1"}
    assert responses.resolved([reference, own, reference]) == [item, own, item]
    with pytest.raises(RequestError, match="refer to fewer"):
        responses.resolved([reference] * 4)
    # Another client could have the same id.
    with pytest.raises(RequestError, match="no item"):
        responses.resolved([{"id": "mine"}])


def test_lists_of_sessions_and_pages_are_small() -> None:
    store = Store()
    store.begin("m", "text", "i" * 100_000)
    (listed,) = store.sessions()
    assert listed["instruction"] == "i" * MAX_SHOWN
    assert store.session(listed["id"])["instruction"] == "i" * 100_000
    with pytest.raises(RequestError, match="title"):
        store.keep_page("m", "t" * (MAX_TITLE + 1), "text")


def test_a_client_that_leaves_keeps_its_place_until_its_thread_has_ended() -> None:
    preparing = Preparing(max_waiting=0)
    ended = threading.Event()

    def work() -> None:
        ended.wait(30)

    async def leave() -> None:
        with anyio.move_on_after(0.05):
            await preparing.run(work, None, constrained=False)

    async def many() -> None:
        for _ in range(4):
            await leave()
        assert preparing.lanes["short"].plain.full
        with pytest.raises(BusyError):
            await preparing.run(lambda: None, None, constrained=False)
        ended.set()
        for _ in range(200):
            if not preparing.lanes["short"].plain.load:
                break
            await anyio.sleep(0.05)
        await preparing.run(lambda: None, None, constrained=False)
        assert preparing.lanes["short"].plain.load == 0

    try:
        anyio.run(many)
    finally:
        ended.set()
        preparing.close()


def test_many_wrong_values_are_counted_and_not_described() -> None:
    for count, told in ((MAX_ERRORS, MAX_ERRORS), (MAX_ERRORS + 1, 1)):
        with pytest.raises(ValidationError) as error:
            ChatRequest.model_validate({"model": "m", "messages": [1] * count})
        assert error.value.error_count() == told
    assert "1001 values" in error.value.errors()[0]["msg"]


def test_one_format_for_all_holes_is_read_once() -> None:
    given = {"model": "m", "template": "<hole>x" * 3, "formats": [{"type": "regex", "regex": "a"}]}
    first, *others = InfillRequest.model_validate(given).parts().holes
    assert first.constraint is not None
    assert all(other.constraint is first.constraint for other in others)


class Extra(Body):
    """A body with settings among its further fields."""

    model_config = ConfigDict(extra="allow")


def test_holes_spans_biases_and_messages_have_a_limit() -> None:
    many = InfillRequest.model_validate({"model": "m", "template": "<hole>x" * (MAX_HOLES + 1)})
    with pytest.raises(RequestError, match="holes"):
        many.parts()
    bias = {str(token): 1.0 for token in range(MAX_BIASES + 1)}
    with pytest.raises(ValidationError, match="at most 4096"):
        ChatRequest.model_validate({"model": "m", "messages": [], "logit_bias": bias})
    with pytest.raises(RequestError, match="logit_bias"):
        settings_among(Extra.model_validate({"logit_bias": bias}))
    with pytest.raises(ValidationError, match="at most 10000"):
        ChatRequest.model_validate({"model": "m", "messages": [{}] * (MAX_MESSAGES + 1)})


def test_the_name_of_a_place_stays_short() -> None:
    key, value = "k" * 100_000, {"deep": object()}
    with pytest.raises(ChatTemplateError) as error:
        plain({key: [0, value]}, "messages[0]")
    assert str(error.value).startswith(f"messages[0].{'k' * 100}[1].deep is a object")


def test_texts_and_merges_of_a_schema_count() -> None:
    long = {"type": "string", "description": "d" * 100_000}
    properties = {f"p{number}": {"$ref": "#/$defs/b"} for number in range(100)}
    with pytest.raises(ChatTemplateError, match="members"):
        simple_tool(tool({"properties": properties, "$defs": {"b": long}}))
    parts: list[Any] = [
        {"properties": {f"p{part}_{number}": {} for number in range(29)}} for part in range(300)
    ]
    with pytest.raises(ChatTemplateError, match="members"):
        simple_tool(tool({"allOf": parts}))


def test_a_jpeg_of_many_scans_is_refused() -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(file, "JPEG", progressive=True)
    data = file.getvalue()
    assert read_image(data, files=False).shape == (48, 64, 3)
    last = data.rindex(b"\xff\xda")
    with pytest.raises(ImageError, match="scans"):
        read_image(data[:-2] + data[last:-2] * 70 + data[-2:], files=False)


@pytest.mark.parametrize(
    ("form", "fields", "told"),
    [
        (InfillRequest, {"template": "x", "formats": [{"type": "text"}] * 60_000}, MAX_HOLES),
        (CompletionRequest, {"prompt": ["a"] * 100_000}, MAX_PROMPTS),
        (CompletionRequest, {"prompt": [[1]] * 100_000}, MAX_PROMPTS),
        (ResponseRequest, {"input": [{}] * 100_000}, MAX_OBJECTS),
        (ResponseRequest, {"tools": [{}] * 40_000}, MAX_TOOLS),
        (ChatRequest, {"messages": [], "tools": [{}] * 40_000}, MAX_TOOLS),
        (ChatRequest, {"messages": [], "documents": [{}] * 40_000}, MAX_OBJECTS),
        (OllamaChatRequest, {"tools": [{}] * 40_000}, MAX_TOOLS),
        (OllamaChatRequest, {"messages": [{"role": "a"}] * 40_000}, MAX_MESSAGES),
        (CountRequest, {"messages": [], "system": [{}] * 40_000}, MAX_OBJECTS),
        (CountRequest, {"messages": [], "tools": [{}] * 40_000}, MAX_TOOLS),
    ],
)
def test_lists_are_counted_before_they_are_read(
    form: type[Body], fields: dict[str, Any], told: int
) -> None:
    began = time.thread_time()
    with pytest.raises(ValidationError) as error:
        form.model_validate({"model": "m"} | fields)
    assert time.thread_time() - began < 0.15
    (one,) = error.value.errors()
    assert str(told) in one["msg"]


def test_a_prompt_of_many_tokens_is_one() -> None:
    given = {"model": "m", "prompt": [5] * (MAX_PROMPTS + 1)}
    assert len(CompletionRequest.model_validate(given).prompts()) == 1
