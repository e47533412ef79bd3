"""OpenAI's Responses API with OpenAI's own client, over a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from pydantic import BaseModel

from redraft.server.runtime.store import Store
from tests.server.scripted import Script, hosted, script
from tests.server.test_agents import CALLS, CANONICAL, ODD, PARAMETERS, Tools, check_history
from tests.server.test_openai import MESSAGES, QUICK, Served

__all__ = ["hosted", "script"]
THOUGHT = "<|channel>thought\nLet me think.\n<channel|>The answer.<turn|>"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    server = Served(max_batch_size=4, max_waiting=4)
    yield server
    server.close()


def tools_of(strict: bool) -> Any:
    return [
        {
            "type": "function", "name": name, "description": "x", "strict": strict,
            "parameters": {
                "type": "object", "properties": {key: {"type": kind} for key, kind in each.items()},
                "required": list(each), "additionalProperties": False,
            },
        }
        for name, each in PARAMETERS.items()
    ]  # fmt: skip


def test_a_response_is_what_the_model_writes(served: Served) -> None:
    given: Any = {"model": "small-text", "max_output_tokens": 40, "extra_body": QUICK | {"seed": 3}}
    client = served.client()
    answer = client.responses.create(input="fill python", **given)
    expected = served.model.generate(messages=MESSAGES, **QUICK, seed=3, max_new_tokens=40)
    assert answer.output_text == expected.text
    cut = expected.reason == "length"
    assert answer.status == ("incomplete" if cut else "completed")
    assert answer.usage is not None
    assert answer.usage.output_tokens == len(expected.tokens)
    with client.responses.stream(input="fill python", **given) as stream:
        events = list(stream)
    assert [event.sequence_number for event in events if hasattr(event, "sequence_number")] == list(range(len(events)))  # fmt: skip
    assert events[-1].response.output_text == expected.text  # type: ignore[union-attr]
    assert (
        "".join(e.delta for e in events if e.type == "response.output_text.delta") == expected.text
    )


class Record(BaseModel):
    name: str
    age: int


def test_structured_output_is_parsed_by_the_client(served: Served) -> None:
    answer = served.client().responses.parse(
        model="small-text", input="fill python", text_format=Record, max_output_tokens=60,
        top_logprobs=2, include=["message.output_text.logprobs"], extra_body=QUICK | {"seed": 1},
    )  # fmt: skip
    assert isinstance(answer.output_parsed, Record)
    (part,) = answer.output[0].content  # type: ignore[union-attr]
    assert "".join(one.token for one in part.logprobs) == part.text  # type: ignore[union-attr]


@pytest.mark.parametrize("kept", [True, False], ids=["previous", "whole input"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("form", ["strict", "odd"])
def test_ten_turns_with_two_tools(
    hosted: Served, script: Script, stream: bool, form: str, kept: bool
) -> None:
    conversation = CANONICAL if form == "strict" else ODD
    script.turns = [turn for _, turns, _ in conversation for turn in turns]
    client, tools = hosted.client(), Tools()
    described = tools_of(form == "strict")
    given: list[Any] = []
    previous: Any = None

    def respond() -> Any:
        nonlocal given, previous
        options: Any = {"previous_response_id": previous} if kept and previous else {}
        whole: Any = {"model": "small-text", "input": given, "tools": described, "store": kept}
        if stream:
            with client.responses.stream(**whole, **options) as events:
                answer: Any = events.get_final_response()
        else:
            answer = client.responses.create(**whole, **options)
        previous = answer.id
        said = [
            item.model_dump(exclude_none=True, exclude={"parsed", "parsed_arguments"})
            for item in answer.output
        ]
        given = [] if kept else given + said
        return answer

    for user, _, last in conversation:
        given.append({"role": "user", "content": user})
        while True:
            answer = respond()
            called = [item for item in answer.output if item.type == "function_call"]
            for item in called:
                result = tools.run(item.name, json.loads(item.arguments))
                given.append(
                    {"type": "function_call_output", "call_id": item.call_id, "output": result}
                )
            if not called:
                assert answer.output_text == last
                break
    assert tools.calls == CALLS
    check_history(script.prompts[-1], conversation)


@pytest.mark.parametrize("summary", [None, "auto"])
def test_reasoning_is_an_item_of_its_own(hosted: Served, script: Script, summary: Any) -> None:
    client = hosted.client()
    given: Any = {
        "model": "small-text",
        "input": "hi",
        "reasoning": {"effort": "low", "summary": summary},
    }
    script.turns = [THOUGHT, THOUGHT]
    answer = client.responses.create(**given)
    thought, _said = answer.output
    assert thought.type == "reasoning"
    assert thought.content is not None
    assert thought.content[0].text == "Let me think."
    assert [one.text for one in thought.summary] == (["Let me think."] if summary else [])
    assert answer.output_text == "The answer."
    with client.responses.stream(**given) as stream:
        kinds = {event.type for event in stream}
    assert ("response.reasoning_summary_text.delta" in kinds) == bool(summary)
    assert "response.reasoning_text.delta" in kinds


def test_a_response_can_be_read_referred_to_and_forgotten(hosted: Served, script: Script) -> None:
    client = hosted.client()
    script.turns = ["Rome.<turn|>", "Yes.<turn|>"]
    first = client.responses.create(model="small-text", input="Where?", instructions="Be short.")
    assert client.responses.retrieve(first.id).output_text == "Rome."
    (item,) = client.responses.input_items.list(first.id).data
    assert item.content == "Where?"  # type: ignore[union-attr]
    references: Any = [
        {"type": "item_reference", "id": first.output[0].id},
        {"role": "user", "content": "Sure?"},
    ]
    client.responses.create(model="small-text", input=references)
    assert "<|turn>model\nRome.<turn|>\n<|turn>user\nSure?<turn|>" in script.prompts[-1]
    assert "Be short" not in script.prompts[-1]
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="small-text", input="x", previous_response_id=first.id)


def test_drafts_are_one_field_away(served: Served) -> None:
    stream = served.client().responses.create(
        model="small-text", input="fill python", max_output_tokens=20, stream=True,
        stream_options={"include_drafts": True}, extra_body=QUICK,  # type: ignore[typeddict-unknown-key]
    )  # fmt: skip
    drafts = [event.draft for event in stream if event.type == "redraft.draft"]  # type: ignore[comparison-overlap,union-attr]
    assert drafts
    assert {"canvas", "step", "changed", "text"} <= set(drafts[0])


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"tools": [{"type": "web_search"}]}, "tools[0]"),
    ({"input": [{"type": "computer_call"}]}, "input[0]"),
    ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0]"),
    ({"input": [{"type": "function_call_output", "call_id": "x", "output": "y"}]}, "must follow"),
    ({"input": [{"id": "msg_x"}]}, "no item"),
    ({"input": []}, "messages is empty"),
    ({"input": [{}] * 5000}, "more than one request takes"),
    ({"previous_response_id": "\ud800"}, "there is no response"),
    ({"conversation": "x"}, "previous_response_id"),
    ({"background": True}, "background"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"temperatur": 1}, "temperature"),
    ({"max_denoising_steps": 10**6}, "max_denoising_steps"),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
    ({"reasoning": {"effort": "huge"}}, "reasoning_effort"),
]


@pytest.mark.parametrize(("changes", "words"), WRONG, ids=lambda value: ascii(value)[:40])
def test_what_is_wrong_is_told(served: Served, changes: dict[str, Any], words: str) -> None:
    body = {"model": "small-text", "input": "hi", "max_output_tokens": 4} | changes
    url, headers = f"{served.url}/responses", {"content-type": "application/json"}
    for stream in (False, True):
        found = httpx2.post(url, content=json.dumps(body | {"stream": stream}), headers=headers)
        assert found.status_code in (400, 404), found.text
        assert words in found.json()["error"]["message"]


def test_what_means_nothing_is_named(served: Served) -> None:
    body = {
        "model": "small-text",
        "input": "hi",
        "max_output_tokens": 4,
        "truncation": "auto",
        "user": "u",
        "x y\r\n": 1,
    }
    found = httpx2.post(f"{served.url}/responses", json=body | QUICK)
    assert found.status_code == 200
    assert found.headers["x-redraft-ignored"] == "truncation, user"


def response(name: str, previous: str | None, text: str = "b") -> dict[str, Any]:
    said = {"id": f"msg_{name}", "type": "message", "role": "assistant", "content": text}
    return {"id": name, "previous_response_id": previous, "output": [said]}


def test_a_conversation_outlives_the_server(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    state = Store(path)
    for number in range(5):
        given = [{"id": f"in_{number}", "role": "user", "content": str(number)}]
        state.responses.keep(response(f"r{number}", f"r{number - 1}" if number else None), given)
    state.close()
    state = Store(path)
    found = state.responses.conversation("r3")
    assert [item["id"] for item in found] == [
        f"{kind}{n}" for n in range(4) for kind in ("in_", "msg_r")
    ]
    state.responses.forget("r1")
    with pytest.raises(Exception, match="no longer kept"):
        state.responses.conversation("r3")
    assert state.responses.conversation("r0")
    state.close()


def test_the_oldest_responses_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    from redraft.server.runtime import kept_responses

    monkeypatch.setattr(kept_responses, "MAX_RESPONSES", 3)
    monkeypatch.setattr(kept_responses, "MAX_CHARACTERS", 4000)
    state = Store()
    for number in range(5):
        state.responses.keep(response(f"r{number}", None), [])
    with pytest.raises(KeyError):
        state.responses.response("r1")
    assert state.responses.response("r2")
    state.responses.keep(response("long", None, "x" * 3800), [])
    with pytest.raises(KeyError):
        state.responses.response("r4")
    assert state.responses.response("long")
    state.close()
